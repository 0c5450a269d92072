"""A program that forks while its node runs mDNS discovery."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from mesh_process import ROOT

from mesh.lab.live.namespaces import NetLab
from mesh.notices import OPEN_LINK

PROGRAM = ROOT / "tests" / "support" / "forking_program.py"


@pytest.mark.netlab
def test_the_child_closes_the_multicast_sockets_too_and_is_silent(netlab: NetLab, tmp_path: Path) -> None:
    (host,) = netlab.hosts(1)

    for how in ("thread", "loop"):
        program = [sys.executable, "-W", "always", PROGRAM, how, tmp_path / how, "0", "calls", "mdns"]
        pipes: dict[str, Any] = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
        out, complaints = host.spawn(program, env={"PYTHONPATH": str(ROOT)}, **pipes).communicate(timeout=20)

        shown: dict[str, Any] = {}
        for line in out.splitlines():
            shown |= json.loads(line)
        assert shown["sockets_of_parent"] > 2  # one is the listening socket
        assert (shown["sockets"], shown["left"], complaints) == (0, True, f"{OPEN_LINK}\n")
