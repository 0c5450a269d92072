"""Nodes on hosts that lack what a desktop has."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from mesh_process import MeshNode, wait_until
from netlab import Host, NetLab

LOCAL = ("--no-mdns", "--listen", "127.0.0.1:0")
HOME_BYTES = 64 * 1024 * 1024
TEMPORARY_VARIABLES = ("TMPDIR", "TEMP", "TMP", "SQLITE_TMPDIR")
_READ_ONLY = """
mount --rbind /tmp /tmp
mount -o remount,ro,bind /tmp
for folder in /var/tmp /usr/tmp /dev/shm; do
    [ ! -d $folder ] || mount -t tmpfs -o ro tmpfs $folder
done
cd /tmp
exec "$@"
"""


class ReadOnlyMachine:
    """A host of the lab on which only homes can be written."""

    def __init__(self, host: Host) -> None:
        self._host = host

    def spawn(self, args: Sequence[str | Path], **options: Any) -> subprocess.Popen[str]:
        inside = ["unshare", "--mount", "--propagation", "private", "sh", "-euc", _READ_ONLY, "sh", *args]
        return self._host.spawn(["env", *(f"--unset={name}" for name in TEMPORARY_VARIABLES), *inside], **options)


@pytest.mark.netlab
def test_catches_up_where_no_temporary_folder_can_be_written(netlab: NetLab, tmp_path: Path) -> None:
    (host,) = netlab.hosts(1)
    netlab.mount(tmp_path, size_bytes=HOME_BYTES)
    machine = ReadOnlyMachine(host)
    kitchen, study = MeshNode(tmp_path / "kitchen", machine), MeshNode(tmp_path / "study", machine)
    port = kitchen.up(*LOCAL)["port"]
    study.up(*LOCAL)
    half = "".join(json.dumps({"type": "sale", "n": n}) + "\n" for n in range(1_500))

    for _ in range(2):  # by turns, so that what the study gets belongs between what it has
        kitchen.ask("add", "-", stdin=half)
        study.ask("add", "-", stdin=half)
    study.ask("stop")
    study.up(*LOCAL, "--peer", f"127.0.0.1:{port}")

    wait_until(lambda: study.status()["events"] == 6_000, 15, "the study has all that the kitchen has")
    witness = machine.spawn([sys.executable, "-c", "import tempfile; tempfile.gettempdir()"], stderr=subprocess.PIPE)
    assert "No usable temporary directory" in witness.communicate()[1]
