"""A new home from a backup."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from mesh.errors import MeshError
from mesh.settings.backup import restore_home
from mesh.settings.backup_file import BackupFacts, BackupFile, seal
from mesh.settings.home import Home
from mesh.settings.kept_peers import KeptPeers
from mesh.settings.whole_file import UNFINISHED
from peers.events.epoch import MARK_CHARACTERS, MIN_MARK_CHARACTERS
from peers.stores.runs.sqlite.store import SqliteRunStore
from tests.support.backups import MADE_MS, add, back_up, events, facts_of, home, look, node_id_in
from tests.support.door_house import House, house
from tests.support.forks import Done, Forks, forks
from tests.support.street import Street, at, types

__all__ = ["home", "house"]


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
    assert len(node_id.partition("~")[2]) == MARK_CHARACTERS
    assert opened.facts.port == 0  # the node of the old home may be using the other
    assert KeptPeers(tmp_path / "new").list() == ("192.168.1.7:4000",)
    assert events(tmp_path / "new") == events(home)
    assert sorted(look(tmp_path / "new")) == ["lock", "log.sqlite", "node.json", "node.key", "peers.json"]


def test_with_keys_a_home_is_restored_as_the_same_node(tmp_path: Path, home: Path) -> None:
    back_up(home, tmp_path / "backup", with_keys=True)
    facts, node_id = restore_home(tmp_path / "backup", tmp_path / "new")

    assert node_id == facts.node_id == node_id_in(home)
    assert events(tmp_path / "new") == events(home)
    assert {**look(tmp_path / "new"), "tokens.lock": b"", "log.sqlite": b""} == {**look(home), "log.sqlite": b""}
    assert {(tmp_path / "new" / name).stat().st_mode & 0o777 for name in ("node.key", "log.sqlite")} == {0o600}


def test_an_old_home_keeps_its_short_id_with_keys_and_gives_a_long_one_to_a_new_node(
    tmp_path: Path, home: Path
) -> None:
    (home / "node.json").write_bytes(b'{"version":1,"name":"kitchen","mesh":"garden","port":4321}')
    assert len(node_id_in(home).partition("~")[2]) == MIN_MARK_CHARACTERS

    for with_keys, characters in ((True, MIN_MARK_CHARACTERS), (False, MARK_CHARACTERS)):
        back_up(home, tmp_path / f"backup {with_keys}", with_keys=with_keys)
        facts, node_id = restore_home(tmp_path / f"backup {with_keys}", tmp_path / f"new {with_keys}")
        assert facts.node_id == node_id_in(home)
        assert (node_id == node_id_in(home)) == with_keys
        assert len(node_id.partition("~")[2]) == characters


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
    store = SqliteRunStore(home / "log.sqlite")
    store.open()
    with store.transaction():
        store.keep_cursors("upstream:wss://logux.example", 2, 9)
    store.close()
    back_up(home, tmp_path / "backup")
    restore_home(tmp_path / "backup", tmp_path / "new")

    restored = SqliteRunStore(tmp_path / "new" / "log.sqlite")
    restored.open()
    assert list(restored.all_cursors()) == [("upstream:wss://logux.example", (2, 9))]
    restored.close()


def test_the_keys_of_adds_are_kept_so_that_repeating_one_is_still_safe(tmp_path: Path, street: Street) -> None:
    first = street.start("kitchen")
    meta = first.log.add({"type": "sale"}, key="sale-17").get(10)
    back_up(first.home, tmp_path / "backup")
    restore_home(tmp_path / "backup", tmp_path / "second")

    second = street.start("kitchen", home=tmp_path / "second")

    assert second.log.add({"type": "sale"}, key="sale-17").get(10) == meta
    assert types(second) == ["sale"]


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
        ({"name": "a b"}, "this home's name is kitchen for good, not a b"),
        ({"name": "a b", "files": {}}, "the name 'a b' cannot be used"),
        ({"files": {"node.json": b"{}"}}, r"node\.json is damaged"),
        ({"files": {"node.json": b'{"version":2,"name":"a","mesh":"b"}'}}, "by a newer release"),
        ({"files": {"node.json": b'{"name":"a","mesh":"b"}', "node.key": b"?"}}, "is not an Ed25519 key"),
        ({"files": {"peers.json": b"?"}}, r"peers\.json is damaged"),
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
    facts = BackupFacts(node_id=node_id_in(home), name="kitchen", mesh="garden", made_ms=7, events=2, files={})
    with (tmp_path / "backup").open("r+b") as file:
        seal(file, facts)

    with pytest.raises(MeshError, match=r"backup cannot be restored: .* was written by a newer release .layout 9"):
        restore_home(tmp_path / "backup", tmp_path / "new")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["backup", "kitchen"]


KILLED_AT = """
import os, signal, sys
from pathlib import Path
from mesh.settings.backup import make_backup, restore_home
from mesh.settings.whole_file import UNFINISHED

# fork
left = int(sys.argv[1])

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


@pytest.fixture
def children(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forks]:
    with forks(KILLED_AT, tmp_path_factory.mktemp("children")) as found:
        yield found


def is_killed(done: Done) -> bool:
    assert done.code in {0, -signal.SIGKILL}, done.errors
    return done.code != 0


def test_a_restore_that_is_killed_at_any_point_leaves_no_home_or_a_whole_one(
    tmp_path: Path, home: Path, children: Forks
) -> None:
    back_up(home, tmp_path / "backup")
    step = 0
    while is_killed(children.run(step, "restore", tmp_path / "backup", tmp_path / f"new{step}")):
        new = tmp_path / f"new{step}"
        if new.exists():
            assert events(new) == events(home)
            assert node_id_in(new) != node_id_in(home)
        step += 1

    assert step > 5
    assert events(tmp_path / f"new{step}") == events(home)


def test_a_backup_that_is_killed_at_any_point_leaves_the_one_before_or_a_whole_one(
    tmp_path: Path, home: Path, children: Forks
) -> None:
    back_up(home, tmp_path / "backup")
    step = 0
    while is_killed(children.run(step, "backup", home, tmp_path / "backup")):
        assert facts_of(tmp_path / "backup").made_ms in {8, MADE_MS}
        step += 1

    assert step > 1
    assert facts_of(tmp_path / "backup").made_ms == 8
    assert sorted(path.name for path in tmp_path.iterdir()) == ["backup", "kitchen"]
