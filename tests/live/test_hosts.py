"""Nodes on hosts without what a desktop has: writable folders, many file descriptors, a home directory."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from mesh_process import MESH, MeshNode, ThisMachine, wait_until

from mesh.lab.live.namespaces import Host, NetLab
from tests.support.root import ROOT

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
def test_a_node_catches_up_without_a_writable_temporary_folder(netlab: NetLab, tmp_path: Path) -> None:
    (host,) = netlab.hosts(1)
    netlab.mount(tmp_path, size_bytes=HOME_BYTES)
    machine = ReadOnlyMachine(host)
    kitchen, study = MeshNode(tmp_path / "kitchen", machine), MeshNode(tmp_path / "study", machine)
    port = kitchen.up(*LOCAL)["port"]
    study.up(*LOCAL)
    half = "".join(json.dumps({"type": "sale", "n": n}) + "\n" for n in range(1_000))

    for _ in range(2):  # in turns, so that the study gets events that sort between its own
        kitchen.ask("add", "-", stdin=half)
        study.ask("add", "-", stdin=half)
    study.ask("stop")
    study.up(*LOCAL, "--peer", f"127.0.0.1:{port}")

    wait_until(lambda: study.status()["events"] == 4_000, 15, "the study has all that the kitchen has")
    witness = machine.spawn([sys.executable, "-c", "import tempfile; tempfile.gettempdir()"], stderr=subprocess.PIPE)
    assert "No usable temporary directory" in witness.communicate()[1]


# Few file descriptors

UPGRADE = (
    b"GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


class LimitedMachine(ThisMachine):
    """This machine, on which a process may open only a few files."""

    def __init__(self, limit: str) -> None:
        self._limit = limit

    def spawn(self, args: Sequence[str | Path], **options: Any) -> subprocess.Popen[str]:
        return super().spawn(["sh", "-euc", f'ulimit {self._limit}; exec "$@"', "sh", *args], **options)


@pytest.mark.parametrize("first_words", [b"", UPGRADE], ids=["silent", "idle"])
def test_silent_connections_keep_neither_commands_nor_later_nodes_out(tmp_path: Path, first_words: bytes) -> None:
    complaints = tmp_path / "complaints"
    kitchen, study = MeshNode(tmp_path / "kitchen", LimitedMachine("-n 64")), MeshNode(tmp_path / "study")
    with ExitStack() as stack:
        kitchen_errors = stack.enter_context(complaints.open("w"))
        stack.callback(kitchen.kill)
        stack.callback(study.kill)
        port = kitchen.up(*LOCAL, stderr=kitchen_errors)["port"]
        callers = [stack.enter_context(socket.create_connection(("127.0.0.1", port))) for _ in range(120)]
        for caller in callers:
            with suppress(ConnectionError):  # it was turned away
                caller.sendall(first_words)

        assert kitchen.status()["events"] == 0
        if first_words:  # their handshakes are done: only closing them makes room
            for caller in callers:
                caller.close()
        study.up(*LOCAL, "--peer", f"127.0.0.1:{port}")

        # It shares the address of the silent ones, so it may be turned away until they have taken half of their time.
        assert "connected" in [notice["event"] for notice in islice(study.notices(), 2)]
    assert len(complaints.read_text().splitlines()) <= 2


def test_a_node_may_open_more_files_than_the_soft_limit_says(tmp_path: Path) -> None:
    kitchen = MeshNode(tmp_path, LimitedMachine("-S -n 64"))
    kitchen.up(*LOCAL)
    assert kitchen.process is not None

    limits = Path(f"/proc/{kitchen.process.pid}/limits").read_text()
    kitchen.kill()

    found = re.search(r"^Max open files +(\d+)", limits, re.MULTILINE)
    assert found is not None and int(found[1]) > 64


# A user without a home directory


@pytest.mark.netlab
@pytest.mark.parametrize(
    ("args", "complaint"),
    [
        (["up"], r"user 54321 has no home directory .*: give --home DIR, or set MESH_HOME\n"),
        (["--home", "~/x", "status"], r"the directory ~/x is not known here: give --home a whole path\n"),
    ],
)
@pytest.mark.usefixtures("netlab_flags")
def test_a_user_without_a_home_directory_gets_an_error_that_names_the_option(
    args: Sequence[str], complaint: str
) -> None:
    bare = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}

    done = subprocess.run(
        ["unshare", "--user", "--map-user=54321", *MESH, *args],
        env=bare,
        cwd="/",
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )

    assert (done.returncode, done.stdout) == (1, "")
    assert re.fullmatch(complaint, done.stderr)
