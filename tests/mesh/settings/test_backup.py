"""A backup of a home while its node runs and while it does not."""

from __future__ import annotations

import fcntl
import json
import os
from pathlib import Path

import pytest

from mesh.errors import MeshError
from mesh.node import Node
from mesh.settings.backup import restore_home
from mesh.settings.home_lock import release, take
from mesh.settings.whole_file import UNFINISHED
from peers.events.entry import Entry
from peers.stores.runs.sqlite.store import SqliteRunStore
from peers.stores.sqlite import online_copy
from tests.support.backups import add, back_up, events, facts_of, home, look
from tests.support.run_house import Writer
from tests.support.street import types

__all__ = ["home"]


def test_a_backup_has_no_key_and_no_tokens_and_only_its_user_may_read_it(tmp_path: Path, home: Path) -> None:
    tokens = json.loads((home / "tokens.json").read_bytes())["tokens"]
    umask = os.umask(0)
    try:
        facts = back_up(home, tmp_path / "backup")
    finally:
        os.umask(umask)

    content = (tmp_path / "backup").read_bytes()
    assert sorted(facts.files) == ["peers.json"]
    assert b"PRIVATE KEY" not in content and tokens[0]["hash"].encode() not in content
    assert (tmp_path / "backup").stat().st_mode & 0o777 == 0o600


def test_a_backup_needs_nothing_of_the_running_node_so_one_of_an_older_release_is_no_trouble(
    tmp_path: Path, home: Path
) -> None:
    lock = take(home)
    store = SqliteRunStore(home / "log.sqlite")
    store.open()
    try:
        with store.transaction():
            store.append([Entry((9, "study", 0), 9, b'{"type":"salt"}')], Writer(1).pen)
        facts = back_up(home, tmp_path / "backup")
    finally:
        store.close()
        release(lock)

    restore_home(tmp_path / "backup", tmp_path / "new")
    assert facts.events == 3
    assert events(tmp_path / "new") == events(home)


def test_a_node_that_stops_or_starts_meanwhile_does_not_harm_the_backup(
    tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(online_copy, "COPY_PAGES", 4)
    node = Node(home=home, listen="127.0.0.1:0", open=True, mdns=False).start()
    add(node, "salt")
    steps: list[int] = []

    def on_step(done: int, _total: int) -> None:
        steps.append(done)
        if len(steps) == 1:
            node.stop()
        elif len(steps) == 2:
            node.start()
            add(node, "too late")

    back_up(home, tmp_path / "backup", on_step=on_step)
    assert len(steps) > 2
    assert types(node) == ["milk", "bread", "salt", "too late"]
    node.stop()

    restore_home(tmp_path / "backup", tmp_path / "new")
    assert events(tmp_path / "new") == events(home)[:3]


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("there", "there exists already: name another file, or give --force"),
        (".", "is a folder: name a file in it"),
        ("kitchen/backup", "is in the home itself, and would be lost with it"),
        ("kitchen", "is in the home itself"),
        ("link/backup", "is in the home itself"),
        ("missing/backup", "missing/backup: No such file or directory; name another file"),
        ("there/backup", "there/backup: Not a directory; name another file"),
        ("/dev/null", "/dev/null is no regular file"),
        ("x" * 250, "File name too long"),
    ],
)
@pytest.mark.parametrize("is_forced", [False, True])
def test_a_name_that_cannot_be_written_is_refused_and_nothing_changes(
    tmp_path: Path, home: Path, name: str, sentence: str, *, is_forced: bool
) -> None:
    (tmp_path / "there").write_bytes(b"old")
    (tmp_path / "link").symlink_to(home)
    before, inside = look(tmp_path), look(home)

    if name == "there" and is_forced:
        back_up(home, tmp_path / name, is_forced=True)
        assert facts_of(tmp_path / name).events == 2
        return
    with pytest.raises(MeshError, match=sentence):
        back_up(home, tmp_path / name, is_forced=is_forced)
    assert (look(tmp_path), look(home)) == (before, inside)


def test_where_there_is_no_home_there_is_no_backup(tmp_path: Path) -> None:
    with pytest.raises(MeshError, match=f"there is no home of a node in {tmp_path / 'none'}: correct --home"):
        back_up(tmp_path / "none", tmp_path / "backup")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("is_in_use", [False, True])
def test_a_damaged_log_is_said_and_the_backup_before_stays(tmp_path: Path, home: Path, *, is_in_use: bool) -> None:
    back_up(home, tmp_path / "backup")
    before = (tmp_path / "backup").read_bytes()
    content = (home / "log.sqlite").read_bytes()
    (home / "log.sqlite").write_bytes(content[:8_192] + b"\xff" * 4_096 + content[12_288:])
    lock = take(home)
    if not is_in_use:
        release(lock)

    with pytest.raises(MeshError, match=rf"no backup was made, .*{home}/log\.sqlite: it is damaged"):
        back_up(home, tmp_path / "backup", is_forced=True)

    release(lock)
    assert (tmp_path / "backup").read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["backup", "kitchen"]


def test_a_disk_without_room_is_said_before_anything_is_written(
    tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _path: type("Usage", (), {"free": 4_096}))

    with pytest.raises(MeshError, match=f"the disk of {tmp_path} is too full: it has 4096 bytes left"):
        back_up(home, tmp_path / "backup")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["kitchen"]


def test_ctrl_c_ends_a_backup_and_leaves_nothing(tmp_path: Path, home: Path) -> None:
    def on_step(_done: int, _total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        back_up(home, tmp_path / "backup", on_step=on_step)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["kitchen"]


def test_two_commands_do_not_write_one_file(tmp_path: Path, home: Path) -> None:
    with (tmp_path / f"backup{UNFINISHED}").open("wb") as other:
        other.write(b"half of it")
        other.flush()
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(MeshError, match=f"another command is writing {tmp_path / 'backup'}: wait for it"):
            back_up(home, tmp_path / "backup")
    assert (tmp_path / f"backup{UNFINISHED}").read_bytes() == b"half of it"

    assert back_up(home, tmp_path / "backup").events == 2  # what a killed command left is no obstacle
    assert not (tmp_path / f"backup{UNFINISHED}").exists()
