"""The log of a home in which no node runs, read by real commands."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mesh_process import MeshNode

from mesh import Node
from peers.stores.runs.sqlite.reader import SqliteRunReader
from peers.stores.store import StoreError
from tests.support.commands import environment
from tests.support.forked_process import MESH, run_forked

MOUNT_READ_ONLY = (
    'mount --bind "$1" "$1" && mount -o remount,bind,ro "$1" && ! touch "$1/x" 2>/dev/null && shift && exec "$@"'
)


def look(home: Path) -> dict[str, tuple[int, int, int, bytes]]:
    """All files of a home, with their content."""
    found = {}
    for path in sorted(home.iterdir()):
        status = path.lstat()
        content = path.read_bytes() if path.is_file() else b""
        found[path.name] = (status.st_mtime_ns, status.st_size, status.st_ino, content)
    return found


def run(home: Path, *arguments: str, before: tuple[str | Path, ...] = ()) -> subprocess.CompletedProcess[str]:
    command = [*before, *MESH, "--home", home, "log", *arguments]
    return run_forked(command, text=True, timeout=60, env=environment())


def types(done: subprocess.CompletedProcess[str]) -> list[str]:
    assert done.returncode == 0, done.stderr
    return [json.loads(line)["event"]["type"] for line in done.stdout.splitlines()]


@pytest.fixture
def stopped(tmp_path: Path) -> Path:
    """A home whose node was stopped."""
    home = tmp_path / "home"
    with Node("kitchen", home=home, mdns=False, listen="127.0.0.1:0", open=True) as node:
        for name in ("milk", "bread"):
            node.log.add({"type": name}).get(10)
    return home


@pytest.fixture
def killed(tmp_path: Path) -> Path:
    """A home whose node was killed: most of its log is in the write-ahead log."""
    node = MeshNode(tmp_path / "home")
    node.up("--name", "kitchen", "--no-mdns", "--listen", "127.0.0.1:0")
    node.ask("add", '{"type": "milk"}', '{"type": "bread"}')
    node.kill()
    assert (node.home / "log.sqlite-wal").stat().st_size > 0
    return node.home


@pytest.mark.parametrize("how", ["stopped", "killed"])
def test_the_log_of_a_node_that_does_not_run_is_read_and_nothing_in_its_home_changes(
    how: str, request: pytest.FixtureRequest
) -> None:
    home: Path = request.getfixturevalue(how)
    before = look(home)

    done = run(home, "--json")
    readable = run(home, "--type", "bread").stdout

    assert types(done) == ["milk", "bread"]
    assert readable.split()[2:] == ["kitchen", "bread"]
    assert look(home) == before
    assert types_of(home) == ["milk", "bread"]  # the next run has all events


def types_of(home: Path) -> list[str]:
    with Node(home=home, mdns=False, listen="127.0.0.1:0", open=True) as node:
        return [event["type"] for event, _ in node.log.each()]


def test_a_write_ahead_log_without_its_index_is_read_from_a_copy(killed: Path) -> None:
    (killed / "log.sqlite-shm").unlink()
    before = look(killed)

    assert types(run(killed, "--json")) == ["milk", "bread"]
    assert look(killed) == before


@pytest.mark.netlab
@pytest.mark.parametrize("how", ["stopped", "killed"])
def test_the_log_is_read_on_a_read_only_disk(netlab: Any, how: str, request: pytest.FixtureRequest) -> None:
    home: Path = request.getfixturevalue(how)

    done = run(home, "--json", before=("unshare", "-m", "sh", "-c", MOUNT_READ_ONLY, "sh", home))

    assert types(done) == ["milk", "bread"]


def test_following_needs_a_node(stopped: Path) -> None:
    done = run(stopped, "--follow")

    assert done.returncode == 1
    assert done.stderr.startswith(f"no node runs in {stopped}: start it:")


def test_a_home_without_a_log_says_that_no_node_runs(tmp_path: Path) -> None:
    done = run(tmp_path)

    assert (done.returncode, list(tmp_path.iterdir())) == (1, [])
    assert done.stderr.startswith(f"no node runs in {tmp_path}")


@pytest.mark.parametrize("how", ["stopped", "killed"])
def test_a_node_that_starts_meanwhile_is_not_disturbed_and_the_reader_prints_a_consistent_log(
    how: str, request: pytest.FixtureRequest
) -> None:
    home: Path = request.getfixturevalue(how)
    reader = SqliteRunReader(home / "log.sqlite")
    reader.open()
    assert len(reader.each()) == 2

    node = MeshNode(home)  # in another process: in one process SQLite would share the index of the reader
    node.up("--no-mdns", "--listen", "127.0.0.1:0")
    node.ask("add", "-", stdin="".join(f'{{"type": "more {number}"}}\n' for number in range(500)))
    with pytest.raises(StoreError, match="opened by a node meanwhile"):
        reader.each()
    reader.close()
    node.ask("stop")
    node.kill()

    assert len(types(run(home, "--json"))) == 502


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (lambda log: log.write_bytes(b""), "if it had events, put it back from a backup"),
        (lambda log: log.write_bytes(b"not a log" * 100), "it is not a log"),
        (lambda log: log.write_bytes(log.read_bytes()[:63] + b"\x01" + log.read_bytes()[64:]), "start its node once"),
        (lambda log: log.write_bytes(log.read_bytes()[:63] + b"\x09" + log.read_bytes()[64:]), "by a newer release"),
    ],
)
def test_a_file_that_cannot_be_read_is_an_error_with_a_sentence(
    stopped: Path, spoil: Callable[[Path], Any], sentence: str
) -> None:
    spoil(stopped / "log.sqlite")
    before = look(stopped)

    done = run(stopped)

    assert done.returncode == 1
    assert sentence in done.stderr
    assert look(stopped) == before
