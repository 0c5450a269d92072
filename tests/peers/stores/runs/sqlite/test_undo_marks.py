"""The marks of undone events in files that a release without marks has written."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from peers.events.created import Created
from peers.stores.runs.sqlite import store as store_module
from peers.stores.runs.sqlite.reader import SqliteRunReader
from peers.stores.runs.sqlite.store import NOTED_POSITIONS, SqliteRunStore
from peers.stores.store import StoreError
from tests.support.run_house import Writer, clean, event, fresh, leaf, put, send, undo

SALE: Created = (1, "kitchen", 0)
OTHER: Created = (2, "kitchen", 0)
BOTH = (SALE, OTHER)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "log.db"


@pytest.fixture
def store(path: Path) -> Iterator[SqliteRunStore]:
    store = opened(path)
    yield store
    store.close()


def opened(path: Path) -> SqliteRunStore:
    store = SqliteRunStore(path, synchronous="OFF")
    store.open()
    return store


def sql(path: Path, *statements: str) -> list[tuple[int | str, ...]]:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        return [row for statement in statements for row in connection.execute(statement).fetchall()]


def as_before_marks(path: Path) -> None:
    """The file as a release without marks would have left it."""
    sql(path, "DROP TABLE undo_marks", "DELETE FROM facts WHERE key = 'marked'", "VACUUM")


def noted(path: Path) -> int:
    (row,) = sql(path, "SELECT ifnull(max(value), 0) FROM facts WHERE key = 'marked'", "VACUUM")
    return int(row[0])


def test_a_home_of_the_release_before_has_marks_once_it_is_opened(path: Path, store: SqliteRunStore) -> None:
    put(store, Writer(1), event(1), undo(3, SALE), *[event(ms) for ms in range(10, 3_000)], undo(4_000, OTHER))
    store.close()
    as_before_marks(path)

    store.open()

    assert store.undone(BOTH) == {SALE, OTHER}
    store.close()
    assert noted(path) == 2_993


def test_what_the_release_before_wrote_meanwhile_is_marked(path: Path, store: SqliteRunStore) -> None:
    put(store, Writer(1), *[event(ms) for ms in range(10, 10 + NOTED_POSITIONS)])
    put(store, Writer(1), undo(5_000, SALE))
    store.close()
    assert noted(path) == NOTED_POSITIONS
    sql(path, "DELETE FROM undo_marks")  # it does not know of the table

    store.open()

    assert store.undone(BOTH) == {SALE}


def test_another_copy_of_an_undo_that_the_release_before_showed_counts(path: Path, store: SqliteRunStore) -> None:
    winner, loser = undo(5, SALE), undo(5, OTHER)
    if leaf(loser) < leaf(winner):
        winner, loser = loser, winner
    put(store, Writer(1), loser)
    lost = store.undone(BOTH)
    kept = sql(path, "SELECT hex(undo), hex(target) FROM undo_marks")
    send(fresh(Writer(2), winner)[0], store)
    won = store.undone(BOTH)
    store.close()
    sql(path, "DELETE FROM undo_marks", *[f"INSERT INTO undo_marks VALUES (x'{a}', x'{b}')" for a, b in kept])

    store.open()

    assert store.undone(BOTH) == won == {*BOTH} - lost


def test_marks_of_an_old_home_are_made_in_steps_that_an_interruption_keeps(
    path: Path, store: SqliteRunStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    targets: list[Created] = [(ms, "bob", 0) for ms in range(1, 5_001)]
    put(store, Writer(1), *[undo(10_000 + target[0], target) for target in targets])
    store.close()
    as_before_marks(path)
    monkeypatch.setattr(store_module, "MARKED_AT_ONCE", 1_500)
    pages = sql(path, "PRAGMA page_count")[0][0]

    with pytest.raises(StoreError, match="disk is full"):
        SmallDisk(path, int(pages) + 50).open()

    found = noted(path)
    assert found in (1_500, 3_000)
    assert [row[0] for row in sql(path, "SELECT count(*) FROM undo_marks")] == [found]
    store.open()
    assert store.undone(targets) == set(targets)


def test_an_opening_with_nothing_new_writes_nothing(path: Path, store: SqliteRunStore) -> None:
    put(store, Writer(1), undo(3, SALE), *[event(ms) for ms in range(10, 500)])
    store.close()
    before = path.read_bytes()
    for _ in range(2):
        store.open()
        assert store.undone(BOTH) == {SALE}
        store.close()
    assert path.read_bytes() == before


def test_a_reader_of_a_file_of_the_release_before_knows_of_no_marks_and_of_a_new_one_of_all(
    path: Path, store: SqliteRunStore
) -> None:
    put(store, Writer(1), event(1), undo(3, SALE))
    clean(store, (3, "kitchen", 0))
    store.close()
    reader = SqliteRunReader(path)
    reader.open()
    assert reader.undone(BOTH) == {SALE}
    reader.close()
    as_before_marks(path)
    reader.open()
    assert reader.undone(BOTH) == set()
    reader.close()


class SmallDisk(SqliteRunStore):
    """Its file cannot become larger than so many pages."""

    def __init__(self, path: Path, pages: int) -> None:
        super().__init__(path, synchronous="OFF")
        self._pages = pages

    def _load(self, connection: sqlite3.Connection) -> None:
        super()._load(connection)
        connection.execute(f"PRAGMA max_page_count = {self._pages}")
