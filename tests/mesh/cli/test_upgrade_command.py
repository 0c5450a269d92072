"""A home of an earlier release: its first start, `mesh upgrade`, `mesh log`, `mesh status` and `mesh backup`."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path

import pytest

from mesh import Node
from mesh.errors import MeshError
from mesh.settings.home import Home
from mesh.settings.paths import LOG_FILE
from mesh.settings.upgrade import is_log_old, kept_file
from mesh.trust.invite_code import INVITE_SECRET_BYTES, InviteCode
from peers.stores.runs.sqlite.upgrade import old_file
from tests.support.commands import DEADLINE_SECONDS, next_line, run, running
from tests.support.old_logs import OldLogFile, old_event


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """It holds three events, one of which has no place in an epoch any more."""
    path = tmp_path / "home"
    opened = Home(path, name="kitchen", mesh="home")
    old = OldLogFile(clock_ms=9)
    old.show_all([old_event(1, "milk", node=opened.node_id), old_event(2, "bread")], "kitchen-1")
    old.show(old_event(4, "tea"), "kitchen-1", 4)
    opened.close()
    old.write(path / LOG_FILE)
    return path


def types(home: Path) -> list[str]:
    done = run(home, "log", "--json")
    assert done.returncode == 0, done.stderr
    return [json.loads(line)["event"]["type"] for line in done.stdout.splitlines()]


def node_of(home: Path) -> Node:
    return Node(home=home, listen="127.0.0.1:0", open=True, mdns=False)


def test_mesh_up_prints_that_it_brings_the_log_up_to_date_before_the_node_is_up(home: Path) -> None:
    with running(home, "up", "--open", "--no-mdns", "--listen", "127.0.0.1:0") as process:
        lines = [next_line(process).decode() for _ in range(3)]

    assert "brings its log up to date, 0 MB of an older release" in lines[0]
    assert "has brought its log of 3 events up to date in " in lines[1]
    assert " is up in mesh home: " in lines[2]


def test_the_first_start_brings_the_log_up_to_date_and_says_so(home: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "mesh")

    with node_of(home) as node:
        assert [event["type"] for event, _ in node.log.each()] == ["milk", "bread", "tea"]
        node.log.add({"type": "new"}).get(DEADLINE_SECONDS)
        status = node.status().get(DEADLINE_SECONDS)
        assert status["old_log_bytes"] == kept_file(home).size > 0
        shown = run(home, "status").stdout.decode()
        assert "old log kept" in shown and "`mesh upgrade --drop-old` deletes it" in shown

        assert run(home, "upgrade", "--drop-old").stdout.decode().startswith(f"deleted {old_file(home / LOG_FILE)}, ")
        assert node.status().get(DEADLINE_SECONDS)["old_log_bytes"] == 0
        assert "old log kept" not in run(home, "status").stdout.decode()
    assert types(home) == ["milk", "bread", "tea", "new"]
    sentences = [record.getMessage() for record in caplog.records]
    assert any("brings its log up to date" in each for each in sentences)
    assert any("has brought its log of 3 events up to date in" in each for each in sentences)


def test_a_start_that_cannot_bring_the_log_up_to_date_says_why_and_leaves_it(home: Path) -> None:
    old_file(home / LOG_FILE).write_bytes(b"another one")

    with pytest.raises(MeshError, match="keeps another old log"), node_of(home):
        pass
    assert is_log_old(home)
    old_file(home / LOG_FILE).unlink()
    with node_of(home) as node:
        assert node.log.last_added == 3


def test_a_stopped_home_is_brought_up_to_date_by_a_command(home: Path) -> None:
    refused = run(home, "log")
    assert refused.returncode == 1
    assert b"start its node once, or run `mesh upgrade`" in refused.stderr

    done = run(home, "upgrade")
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.decode().startswith("3 events in ")
    assert types(home) == ["milk", "bread", "tea"]
    assert run(home, "upgrade").stdout.decode().startswith("the log is up to date; the old file is kept as ")

    shown = json.loads(run(home, "upgrade", "--json").stdout)
    assert (shown["events"], shown["old_bytes"]) == (None, kept_file(home).size)
    assert json.loads(run(home, "upgrade", "--drop-old", "--json").stdout) == {"dropped_bytes": shown["old_bytes"]}
    assert run(home, "upgrade", "--drop-old").stdout == b"there is no old file\n"
    assert run(home, "upgrade").stdout == b"the log is up to date\n"


def test_the_old_file_is_not_dropped_before_the_upgrade(home: Path) -> None:
    old_file(home / LOG_FILE).write_bytes((home / LOG_FILE).read_bytes())

    done = run(home, "upgrade", "--drop-old")

    assert done.returncode == 1 and b"older release" in done.stderr
    assert old_file(home / LOG_FILE).exists()


def test_a_folder_without_a_home_gets_a_sentence(tmp_path: Path) -> None:
    done = run(tmp_path / "none", "upgrade")

    assert (done.returncode, done.stdout) == (1, b"")
    assert str(tmp_path / "none").encode() in done.stderr


@pytest.mark.parametrize("prepare", [lambda _home: None, lambda home: run(home, "upgrade")])
def test_a_backup_of_either_layout_is_restored_and_starts(
    home: Path, tmp_path: Path, prepare: Callable[[Path], object]
) -> None:
    prepare(home)
    file, new = tmp_path / "kitchen.backup", tmp_path / "new"
    was_old = is_log_old(home)

    assert b"3 events" in run(home, "backup", str(file)).stdout
    assert run(new, "restore", str(file)).returncode == 0

    assert is_log_old(new) == was_old
    with node_of(new) as node:
        assert [event["type"] for event, _ in node.log.each()] == ["milk", "bread", "tea"]
    assert not is_log_old(new)


def test_a_mesh_is_founded_on_the_log_of_an_earlier_release(home: Path) -> None:
    refused = run(home, "join", InviteCode.of(b"k" * 32, bytes(INVITE_SECRET_BYTES)).write())
    founded = run(home, "found")

    assert b"the log of this home is of an earlier release, and has events of a time without a mesh" in refused.stderr
    assert founded.returncode == 0, founded.stderr
    assert types(home) == ["milk", "bread", "tea"]
    assert kept_file(home).size
