"""Rooms whose disks are real files: what a power cut, a failing commit and a backup do to them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

import pytest

from mesh.lab import Cluster, Room
from mesh.lab.simulation.storage import Files, FileStore, LabStore, StoreKind, holds, torn
from mesh.node_log import NodeLog
from peers.events.entry import Entry, encode_event
from peers.stores.run_store import RunStore
from peers.stores.store import StoreError
from tests.support.lab_house import PEN

KINDS: tuple[StoreKind, ...] = ("memory", "sqlite")


@pytest.fixture
def files() -> Iterator[Files]:
    files = Files(bytes(32))
    yield files
    files.close()


def append(name: str, size: int = 0) -> Callable[[RunStore], None]:
    """Work that stores an event of type `name`."""

    def work(store: RunStore) -> None:
        store.append([Entry((1, name, 0), 1, encode_event({"type": name, "text": "x" * size}))], PEN)

    return work


def commit(store: LabStore, *names: str, size: int = 0) -> None:
    for name in names:
        with store.transaction():
            append(name, size)(store)


def types(store: LabStore) -> list[str]:
    return [entry.event["type"] for entry in store.each(order="added")]


def write(room: Room, *names: str) -> None:
    for name in names:
        room.log.add({"type": name})


def test_a_first_commit_that_fails_leaves_a_file_as_it_was(files: Files) -> None:
    store = files.blank()
    assert isinstance(store, FileStore)
    before = store.state
    store.failure = "SQLITE_FULL"

    with pytest.raises(StoreError, match="full"):
        commit(store, "milk")

    assert store.state == before
    commit(store, "milk")
    assert types(store) == ["milk"]


# Power cuts


def test_a_power_cut_in_the_middle_of_a_commit_loses_nothing_that_was_committed(files: Files) -> None:
    found = []
    for seed in range(40):
        store = files.blank()
        commit(store, "milk", "bread")

        store = files.after_crash(store, [append("salt", size=20_000)], Random(seed))

        found.append(types(store))
        commit(store, "ink")
        assert types(store) == [*found[-1], "ink"]
    assert set(map(tuple, found)) == {("milk", "bread"), ("milk", "bread", "salt")}


def test_a_power_cut_just_after_a_restart_of_the_write_ahead_log_loses_nothing(files: Files) -> None:
    found = []
    for seed in range(40):
        store = files.blank()
        commit(store, "milk", "bread", size=50_000)
        assert isinstance(store, FileStore)
        store._opened().execute("PRAGMA wal_checkpoint(RESTART)")  # no log asks for it: SQLite does it by itself

        store = files.after_crash(store, [append("salt")], Random(seed))

        found.append(types(store))
    assert set(map(tuple, found)) == {("milk", "bread"), ("milk", "bread", "salt")}


def test_garbage_behind_the_last_commit_is_no_damage(files: Files) -> None:
    for seed in range(20):
        store = files.blank()
        commit(store, "milk")

        store = files.after_crash(store, [], Random(seed))

        assert types(store) == ["milk"]


def test_a_log_that_would_not_grow_is_followed_by_garbage() -> None:
    before = bytes(100)

    assert torn(before, before, Random(1)).startswith(before)
    assert len(torn(before, before, Random(1))) > len(before)


def test_a_disk_that_lost_what_was_committed_is_noticed(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    store = files.blank()
    commit(store, "milk", "bread")
    monkeypatch.setattr("mesh.lab.simulation.storage.torn", lambda before, after, random: before[: len(before) - 1])

    with pytest.raises(AssertionError, match="a power cut lost what was committed"):
        files.after_crash(store, [], Random(1))


def test_events_that_a_room_with_a_file_confirmed_survive_every_power_cut() -> None:
    with Cluster(1) as house:
        kitchen, study = house.start("kitchen", "study", store="sqlite")
        for number in range(12):
            write(kitchen, *[f"note {number} {letter}" for letter in "abc"])
            house.run(0.002)
            house.restart(kitchen)

        house.settle("after twelve power cuts")
        assert 0 < len(kitchen.acknowledged) <= len(study.types) < 36


# Failing commits


@pytest.mark.parametrize("store", KINDS)
def test_a_commit_that_fails_fails_its_write_and_the_next_one_works(store: StoreKind) -> None:
    with Cluster(2) as house:
        kitchen, study = house.start("kitchen", "study", store=store)
        house.settle("met")

        house.failing_commits(kitchen, commits=2)  # a group, and then each of it alone
        refused = kitchen.log.add({"type": "milk"})
        house.run(1)
        write(kitchen, "bread")
        house.settle("well again")

        assert isinstance(refused.exception, StoreError)
        assert "disk I/O error" in str(refused.exception)
        assert "check" in str(refused.exception)
        assert study.types == ["bread"]


@pytest.mark.parametrize("store", KINDS)
def test_commits_that_fail_at_the_other_end_cost_a_repeat(store: StoreKind) -> None:
    with Cluster(3) as house:
        kitchen, study = house.start("kitchen", "study", store=store)
        house.settle("met")

        house.failing_commits(study, commits=5)
        write(kitchen, "milk")
        house.settle("it came after all")

        assert study.types == ["milk"]


def test_a_full_file_fails_with_the_words_of_sqlite_and_without_its_folder() -> None:
    with Cluster(4) as house:
        (kitchen,) = house.start("kitchen", store="sqlite")

        house.disk_full(kitchen)
        refused = kitchen.log.add({"type": "milk"})
        house.run(1)
        house.disk_full(kitchen, is_full=False)

        assert str(refused.exception) == (
            "the log file disk-1.sqlite: database or disk is full; free space on the disk, then try again"
        )


# Disks


def test_a_wiped_file_is_a_new_one() -> None:
    with Cluster(6) as house:
        kitchen, _ = house.start("kitchen", "study", store="sqlite")
        write(kitchen, "milk")
        house.settle("both have it")

        house.crash(kitchen)
        house.wipe(kitchen)
        assert kitchen.types == []
        house.restart(kitchen)
        house.settle("it came back")

        assert kitchen.types == ["milk"]


def test_a_backup_of_another_kind_of_disk_is_refused() -> None:
    with Cluster(7) as house:
        house.start("kitchen", store="sqlite")
        house.start("study")
        house.stop("kitchen", "study")

        with pytest.raises(ValueError, match="a backup of another kind of disk does not fit"):
            house.restore("kitchen", house.snapshot("study"))
        with pytest.raises(ValueError, match="a backup of another kind of disk does not fit"):
            house.restore("study", house.snapshot("kitchen"))


def test_an_unknown_kind_of_store_is_refused() -> None:
    with (
        Cluster(8) as house,
        pytest.raises(ValueError, match="there is no store 'paper': choose one of memory, sqlite"),
    ):
        house.start("kitchen", store="paper")  # type: ignore[arg-type]


def test_the_files_are_gone_after_the_story_and_what_they_held_can_be_looked_at() -> None:
    with Cluster(9) as house:
        (kitchen,) = house.start("kitchen", store="sqlite")
        write(kitchen, "milk")
        house.run(1)
        assert isinstance(kitchen.store, FileStore)
        folder = Path(kitchen.store.path).parent
        assert folder.exists()

    assert not folder.exists()
    assert kitchen.types == ["milk"]


def test_the_files_are_gone_too_when_the_story_failed() -> None:
    house = Cluster(11)
    with pytest.raises(ZeroDivisionError), house:
        (kitchen,) = house.start("kitchen", store="sqlite")
        write(kitchen, "milk")
        house.run(1)
        assert isinstance(kitchen.store, FileStore)
        folder = Path(kitchen.store.path).parent
        raise ZeroDivisionError

    assert not folder.exists()
    assert house.what_each_saw() == ["kitchen saw ['milk']"]


def test_the_lab_sees_the_same_on_disks_of_both_kinds() -> None:
    seen = []
    for kind in KINDS:
        with Cluster(10) as house:
            kitchen, _ = house.start("kitchen", "study", store=kind)
            write(kitchen, "milk", "bread")
            kitchen.log.add({"type": "one"}, {"created": (1, "ann", 0), "time": 1})
            house.settle("written")
            assert kitchen.kept is not None
            NodeLog(kitchen.kept).remove_reason("log", max_added=1)
            kitchen.kept.keep_cursors("client:ann", 1, 2)
            house.run(1)
            store = kitchen.store
            known = [holds(store, (1, "ann", 0)), holds(store, (1, "bob", 0)), store.state.last_added]
            copies = sorted((copy.created, copy.added, copy.tombstone) for copy in store.copies())
            seen.append([copies, store.ends(), *store.all_cursors(), *known])

    assert seen[0] == seen[1]
    assert seen[0][2:] == [("client:ann", (1, 2)), True, False, 3]
