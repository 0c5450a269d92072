"""Commands whose standard streams are closed or full."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mesh import Node
from mesh.settings.paths import SOCKET_FILE
from tests.support.root import ROOT

DEADLINE_SECONDS = 20.0
MILK = """add '{"type": "milk"}'"""
FULL = "nothing can be printed on standard output: No space left on device\n"
CLOSED = "nothing can be printed on standard output: it is closed\n"
STORED = "events are stored all the same, from here on without a line for each: "


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    with Node("kitchen", home=tmp_path, listen="127.0.0.1:0", open=True, mdns=False) as running:
        running.log.add({"type": "bread"}).get(DEADLINE_SECONDS)
        yield running


def environment(home: Path) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), "MESH_HOME": str(home)}


def shell(home: Path, command: str) -> subprocess.CompletedProcess[str]:
    """Run `mesh COMMAND` in a shell that can close streams; the result has the output of the others."""
    return subprocess.run(
        ["sh", "-c", f"exec {sys.executable} -m mesh {command}"],
        capture_output=True,
        text=True,
        timeout=DEADLINE_SECONDS,
        check=False,
        env=environment(home),
    )


@pytest.mark.parametrize(
    ("streams", "complaint"),
    [
        (">&-", STORED + CLOSED),
        (">/dev/full", STORED + FULL),
        (">&- 2>&- <&-", ""),
        (">/dev/full 2>/dev/full", ""),
    ],
)
def test_add_succeeds_when_the_event_is_stored_but_its_line_cannot_be_printed(
    node: Node, streams: str, complaint: str
) -> None:
    before = node.log.last_added

    done = shell(node.home, f"{MILK} {streams}")

    assert (done.returncode, done.stdout, done.stderr) == (0, "", complaint)
    assert node.log.last_added == before + 1


@pytest.mark.parametrize(
    ("command", "code", "complaint"),
    [
        ("log >&-", 1, CLOSED),
        ("log >/dev/full", 1, FULL),
        ("status >&-", 1, CLOSED),
        ("peers --json >/dev/full 2>/dev/full", 1, ""),
        ("--help >/dev/full", 1, "the system: No space left on device\n"),
        ("scenario --list >/dev/full", 1, FULL),
        ("retry >&- 2>&- <&-", 0, ""),
        ("nonsense 2>/dev/full", 2, ""),
    ],
)
def test_a_result_that_cannot_be_printed_is_an_error(node: Node, command: str, code: int, complaint: str) -> None:
    done = shell(node.home, command)

    assert (done.returncode, done.stdout, done.stderr) == (code, "", complaint)


def test_a_node_with_closed_streams_does_not_print_into_its_files(tmp_path: Path) -> None:
    command = f"exec {sys.executable} -m mesh up --open --no-mdns --listen 127.0.0.1:0 <&- >&- 2>&-"
    process = subprocess.Popen(["sh", "-c", command], env=environment(tmp_path))
    deadline = time.monotonic() + DEADLINE_SECONDS

    while not (tmp_path / SOCKET_FILE).exists():
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.01)
    opened = [Path(f"/proc/{process.pid}/fd/{number}").readlink() for number in range(3)]
    shell(tmp_path, "stop")

    assert opened == [Path(os.devnull)] * 3
    assert process.wait(DEADLINE_SECONDS) == 0
