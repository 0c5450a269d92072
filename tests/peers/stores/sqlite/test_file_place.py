"""The log's file is moved, deleted or replaced while a store has it open."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from peers.events.entry import Entry
from peers.stores.runs.sqlite.store import SqliteRunStore
from peers.stores.store import StoreError
from tests.support.run_house import Writer

WRITER = Writer(1)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteRunStore]:
    store = SqliteRunStore(tmp_path / "log.sqlite")
    store.open()
    add(store, 1)
    yield store
    store.close()


def add(store: SqliteRunStore, ms: int) -> None:
    with store.transaction():
        store.append([Entry((ms, "a", 0), ms, b'{"type":"a"}')], WRITER.pen)


def held(path: Path) -> list[int]:
    store = SqliteRunStore(path)
    store.open()
    times = [entry.time for entry in store.each()]
    store.close()
    return times


def move(path: Path, to: Path) -> None:
    to.mkdir(exist_ok=True)
    for each in path.parent.glob(f"{path.name}*"):
        each.rename(to / each.name)


def test_what_is_added_after_the_file_was_moved_is_refused_until_that_file_is_back(
    store: SqliteRunStore, tmp_path: Path
) -> None:
    move(tmp_path / "log.sqlite", tmp_path / "away")

    with pytest.raises(StoreError, match="moved or deleted while the node uses it") as refused:
        add(store, 2)
    assert refused.value.brief == "its log file was moved or deleted"
    assert [entry.time for entry in store.each()] == [1]
    assert list(tmp_path.glob("log.sqlite*")) == []
    move(tmp_path / "away" / "log.sqlite", tmp_path)
    add(store, 3)

    store.close()
    assert held(tmp_path / "log.sqlite") == [1, 3]


def test_reads_and_transactions_that_write_nothing_go_on_without_the_file(
    store: SqliteRunStore, tmp_path: Path
) -> None:
    (tmp_path / "log.sqlite").unlink()

    with store.transaction():
        assert [entry.time for entry in store.each()] == [1]


def test_another_file_in_its_place_is_never_written(store: SqliteRunStore, tmp_path: Path) -> None:
    path = tmp_path / "log.sqlite"
    shutil.copy(path, tmp_path / "copy")
    path.unlink()
    (tmp_path / "copy").rename(path)
    before = path.read_bytes(), path.stat().st_mtime_ns

    with pytest.raises(StoreError, match="another file stands at"):
        add(store, 2)
    store.close()

    assert (path.read_bytes(), path.stat().st_mtime_ns) == before


@pytest.mark.parametrize("is_replaced", [False, True])
def test_a_write_ahead_log_that_is_gone_is_noticed_and_nothing_acknowledged_is_lost(
    store: SqliteRunStore, tmp_path: Path, is_replaced: bool
) -> None:
    wal = tmp_path / "log.sqlite-wal"
    wal.rename(tmp_path / "away")
    if is_replaced:
        wal.touch()

    with pytest.raises(StoreError, match="nothing more is written"):
        add(store, 2)
    (tmp_path / "away").rename(wal)
    add(store, 3)

    store.close()
    assert held(tmp_path / "log.sqlite") == [1, 3]


def test_a_store_that_is_opened_again_takes_no_other_file(store: SqliteRunStore, tmp_path: Path) -> None:
    store.close()
    move(tmp_path / "log.sqlite", tmp_path / "away")

    with pytest.raises(StoreError, match="moved or deleted"):
        store.open()

    assert list(tmp_path.glob("log.sqlite*")) == []


def test_a_new_store_begins_with_what_is_at_its_path(store: SqliteRunStore, tmp_path: Path) -> None:
    move(tmp_path / "log.sqlite", tmp_path / "away")

    assert held(tmp_path / "log.sqlite") == []


def test_a_write_ahead_log_without_its_file_is_left_alone(store: SqliteRunStore, tmp_path: Path) -> None:
    wal = tmp_path / "log.sqlite-wal"
    (tmp_path / "killed").mkdir()
    shutil.copy(wal, tmp_path / "killed")
    before = wal.read_bytes()

    with pytest.raises(StoreError, match="put the file back"):
        SqliteRunStore(tmp_path / "killed" / "log.sqlite").open()

    assert before
    assert (tmp_path / "killed" / "log.sqlite-wal").read_bytes() == before
