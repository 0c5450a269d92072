"""A backup of a home while its node runs and while it does not, and the new home from it."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from mesh.errors import MeshError
from mesh.gateway.clients.tokens import Tokens
from mesh.node import Node
from mesh.settings.backup import UNFINISHED, make_backup, restore_home
from mesh.settings.backup_file import BackupFacts, BackupFile, seal
from mesh.settings.home import Home, node_id_in
from mesh.settings.home_lock import release, take
from mesh.settings.kept_peers import KeptPeers
from peers.events.entry import Entry
from peers.stores.sqlite import online_copy
from peers.stores.sqlite.store import SqliteStore
from tests.support.commands import environment
from tests.support.door_house import House, house
from tests.support.street import SECONDS, Street, at, types

__all__ = ["house"]

MADE_MS = 1_795_404_626_661


def back_up(home: Path, file: Path, **options: Any) -> BackupFacts:
    given: Any = {"with_keys": False, "is_forced": False, "now_ms": MADE_MS, "on_step": lambda *_: None, **options}
    return make_backup(home, file, **given)


def add(node: Node, *names: str) -> None:
    for name in names:
        node.log.add({"type": name}).get(SECONDS)


@pytest.fixture
def street(tmp_path: Path) -> Iterator[Street]:
    made = Street(tmp_path)
    yield made
    made.close()


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home with two events, a peer and a token, whose node does not run."""
    path = tmp_path / "kitchen"
    with Node("kitchen", home=path, mesh="garden", listen="127.0.0.1:0", mdns=False) as node:
        add(node, "milk", "bread")
    opened = Home(path)
    opened.keep_port(4321)
    opened.close()
    KeptPeers(path).add("192.168.1.7:4000")
    Tokens(path).add("ada", None, 0)
    return path


def facts_of(file: Path) -> BackupFacts:
    with BackupFile(file) as backup:
        return backup.facts


def look(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def events(home: Path) -> list[tuple[Any, Any]]:
    """The events of a home in which no node runs, in the order of the log, and their labels."""
    store = SqliteStore(home / "log.sqlite")
    store.open()
    try:
        return [(entry.created, entry.meta) for entry in store.each()]
    finally:
        store.close()


def test_a_home_is_restored_as_a_new_node_with_the_same_name_mesh_peers_and_events(tmp_path: Path, home: Path) -> None:
    before = look(home)

    facts = back_up(home, tmp_path / "backup")
    restored, node_id = restore_home(tmp_path / "backup", tmp_path / "new")

    assert look(home) == before
    assert restored == facts
    assert (facts.node_id, facts.events, facts.made_ms) == (node_id_in(home), 2, MADE_MS)
    assert node_id == node_id_in(tmp_path / "new") != facts.node_id
    opened = Home(tmp_path / "new", name="kitchen", mesh="garden")
    opened.close()
    assert opened.facts.port == 0  # the node of the old home may be using the other
    assert KeptPeers(tmp_path / "new").list() == ("192.168.1.7:4000",)
    assert events(tmp_path / "new") == events(home)
    assert sorted(look(tmp_path / "new")) == ["lock", "log.sqlite", "node.json", "node.key", "peers.json"]


def test_a_backup_has_no_key_and_no_tokens_and_only_its_user_may_read_it(tmp_path: Path, home: Path) -> None:
    tokens = json.loads((home / "tokens.json").read_bytes())["tokens"]
    umask = os.umask(0)
    try:
        facts = back_up(home, tmp_path / "backup")
    finally:
        os.umask(umask)

    content = (tmp_path / "backup").read_bytes()
    assert sorted(facts.files) == ["node.json", "peers.json"]
    assert b"PRIVATE KEY" not in content and tokens[0]["hash"].encode() not in content
    assert (tmp_path / "backup").stat().st_mode & 0o777 == 0o600


def test_with_keys_a_home_is_restored_as_the_same_node(tmp_path: Path, home: Path) -> None:
    back_up(home, tmp_path / "backup", with_keys=True)
    facts, node_id = restore_home(tmp_path / "backup", tmp_path / "new")

    assert node_id == facts.node_id == node_id_in(home)
    assert events(tmp_path / "new") == events(home)
    assert {**look(tmp_path / "new"), "tokens.lock": b"", "log.sqlite": b""} == {**look(home), "log.sqlite": b""}
    assert (tmp_path / "new" / "node.key").stat().st_mode & 0o777 == 0o600


def test_a_restored_node_runs_beside_the_first_in_an_epoch_of_its_own_and_both_end_equal(
    tmp_path: Path, street: Street
) -> None:
    first = street.start("kitchen")
    add(first, "milk", "bread")
    back_up(first.home, tmp_path / "backup")
    add(first, "after the backup")
    restore_home(tmp_path / "backup", tmp_path / "second")

    second = street.start("kitchen", home=tmp_path / "second", peers=[at(first)])
    assert types(second)[:2] == ["milk", "bread"]
    add(second, "of the second")
    add(first, "of the first")
    street.converge(first, second, events=5)

    metas = {event["type"]: meta for event, meta in first.log.each()}
    epochs = {name: meta["dot"][0] for name, meta in metas.items()}
    assert epochs["of the second"] not in {epochs[name] for name in ("milk", "bread", "of the first")}
    assert metas["of the second"]["created"][1] == second.node_id != first.node_id
    assert [notice.kind for notice in street.notices["kitchen"] if notice.kind in {"clone", "rolled back"}] == []


def test_a_backup_needs_nothing_of_the_running_node_so_one_of_an_older_release_is_no_trouble(
    tmp_path: Path, home: Path
) -> None:
    lock = take(home)
    store = SqliteStore(home / "log.sqlite")
    store.open()
    try:
        with store.transaction():
            store.append([Entry((9, "study", 0), 9, b'{"type":"salt"}')], epoch="e")
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
    node = Node(home=home, listen="127.0.0.1:0", mdns=False).start()
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


def test_a_client_goes_on_with_a_restored_node_where_it_was_and_gets_what_it_lacks(
    house: House, tmp_path: Path
) -> None:
    first = house.start("kitchen")
    add(first, "milk", "bread")
    for name in ("ada:1", "ada:2"):
        with house.enter(name) as client:
            assert client.take(2)[:2] == ["milk", "bread"]
    house.nodes["kitchen"].stop()
    back_up(first.home, tmp_path / "backup", with_keys=False)
    restore_home(tmp_path / "backup", tmp_path / "second")
    first.start()
    add(first, "lost with the first node", "lost too")
    mark = first.log.last_added
    first.stop()

    second = house.start("kitchen", home=tmp_path / "second")
    add(second, "new")

    assert house.enter("ada:1", synced=2).take(1) == ["new"]  # its mark is of both nodes
    assert house.enter("ada:2", synced=mark).take(1) == ["new"]  # its mark is of the first node alone


def test_the_cursors_of_a_logux_server_are_kept_so_that_it_is_not_sent_the_log_again(
    tmp_path: Path, home: Path
) -> None:
    store = SqliteStore(home / "log.sqlite")
    store.open()
    with store.transaction():
        store.keep_cursors("upstream:wss://logux.example", 2, 9)
    store.close()
    back_up(home, tmp_path / "backup")
    restore_home(tmp_path / "backup", tmp_path / "new")

    restored = SqliteStore(tmp_path / "new" / "log.sqlite")
    restored.open()
    assert list(restored.all_cursors()) == [("upstream:wss://logux.example", (2, 9))]
    restored.close()


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


def test_nothing_is_restored_where_something_is_already(tmp_path: Path, home: Path) -> None:
    back_up(home, tmp_path / "backup")
    (tmp_path / "empty").mkdir()
    (tmp_path / f"new{UNFINISHED}").mkdir()
    before = look(home)

    for name, sentence in [
        ("kitchen", "is the home of a node already: choose a folder that does not exist"),
        ("empty", "exists already: choose a folder that does not exist"),
        ("backup", "exists already"),
        ("new", "is in the way: another `mesh restore` is making it, or left it"),
        ("backup/new", "the home .* cannot be made: File exists"),
    ]:
        with pytest.raises(MeshError, match=sentence):
            restore_home(tmp_path / "backup", tmp_path / name)
    assert look(home) == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["backup", "empty", "kitchen", f"new{UNFINISHED}"]


def resealed(file: Path, target: Path, **changes: Any) -> Path:
    """The same backup with other facts, and a seal that fits."""
    with BackupFile(file) as backup:
        backup.extract_log(target)
    with target.open("r+b") as written:
        seal(written, msgspec.structs.replace(backup.facts, **changes))
    return target


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"events": 3}, "it says 3 events of kitchen~.*, and has 2 of kitchen~"),
        ({"node_id": "study~x"}, "it says 2 events of study~x, and has 2 of kitchen~"),
        ({"files": {}}, r"cannot be restored: it has no node\.json"),
        ({"files": {"node.json": b"{}"}}, r"node\.json is damaged"),
        ({"files": {"node.json": b'{"version":2,"name":"a","mesh":"b"}'}}, "by a newer release"),
        ({"files": {"node.json": b'{"name":"a","mesh":"b"}', "node.key": b"?"}}, "is not an Ed25519 key"),
        ({"files": {"node.json": b'{"name":"a","mesh":"b"}', "peers.json": b"?"}}, r"peers\.json is damaged"),
    ],
)
def test_a_backup_that_contradicts_itself_makes_no_home(
    tmp_path: Path, home: Path, changes: dict[str, Any], sentence: str
) -> None:
    back_up(home, tmp_path / "backup", with_keys=True)
    odd = resealed(tmp_path / "backup", tmp_path / "odd", **changes)

    with pytest.raises(MeshError, match=sentence):
        restore_home(odd, tmp_path / "new")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["backup", "kitchen", "odd"]


def test_a_log_of_a_newer_layout_is_refused_before_there_is_a_home(tmp_path: Path, home: Path) -> None:
    content = bytearray((home / "log.sqlite").read_bytes())
    content[60:64] = (9).to_bytes(4, "big")  # SQLite's user_version
    (tmp_path / "backup").write_bytes(content)
    facts = BackupFacts(
        node_id=node_id_in(home), made_ms=7, events=2, files={"node.json": (home / "node.json").read_bytes()}
    )
    with (tmp_path / "backup").open("r+b") as file:
        seal(file, facts)

    with pytest.raises(MeshError, match=r"backup cannot be restored: .* was written by a newer release .layout 9"):
        restore_home(tmp_path / "backup", tmp_path / "new")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["backup", "kitchen"]


KILLED_AT = """
import os, signal, sys
from pathlib import Path
from mesh.settings.backup import make_backup, restore_home

left = int(sys.argv[1])
fsync, replace = os.fsync, os.replace

def dying(real):
    def call(*args):
        global left
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*args)
    return call

os.fsync = dying(os.fsync)
os.mkdir = dying(os.mkdir)
Path.replace = dying(Path.replace)
source, target = map(Path, sys.argv[3:])
if sys.argv[2] == "restore":
    restore_home(source, target)
else:
    make_backup(source, target, with_keys=False, is_forced=True, now_ms=8, on_step=lambda *_: None)
"""


def killed_at(step: int, *arguments: Path | str) -> bool:
    """Run a command in a process that kills itself at that step of its work with the disk; False if it has fewer."""
    program = [sys.executable, "-c", KILLED_AT, str(step), *map(str, arguments)]
    done = subprocess.run(program, capture_output=True, timeout=60, env=environment(), check=False)
    assert done.returncode in {0, -signal.SIGKILL}, done.stderr
    return done.returncode != 0


def test_a_restore_that_is_killed_at_any_point_leaves_no_home_or_a_whole_one(tmp_path: Path, home: Path) -> None:
    back_up(home, tmp_path / "backup")
    step = 0
    while killed_at(step, "restore", tmp_path / "backup", tmp_path / f"new{step}"):
        new = tmp_path / f"new{step}"
        if new.exists():
            assert events(new) == events(home)
            assert node_id_in(new) != node_id_in(home)
        step += 1

    assert step > 5
    assert events(tmp_path / f"new{step}") == events(home)


def test_a_backup_that_is_killed_at_any_point_leaves_the_one_before_or_a_whole_one(tmp_path: Path, home: Path) -> None:
    back_up(home, tmp_path / "backup")
    step = 0
    while killed_at(step, "backup", home, tmp_path / "backup"):
        assert facts_of(tmp_path / "backup").made_ms in {8, MADE_MS}
        step += 1

    assert step > 1
    assert facts_of(tmp_path / "backup").made_ms == 8
    assert sorted(path.name for path in tmp_path.iterdir()) == ["backup", "kitchen"]
