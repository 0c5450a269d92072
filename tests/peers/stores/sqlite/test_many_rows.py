"""Rows are written many at a time, and an append is all or nothing whatever its size."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from peers.events.entry import Entry
from peers.stores.sqlite.many import ConsecutiveRows, ManyRows
from peers.stores.store import StoreError
from tests.support.run_house import Writer
from tests.support.sql_store import SqlStore

WRITER = Writer(1)

STOP = """
    CREATE TEMP TRIGGER stop BEFORE INSERT ON events WHEN NEW.ms = {} BEGIN SELECT RAISE({}, 'out of paper'); END
"""


def entries(count: int) -> list[Entry]:
    return [Entry((ms, "kitchen", 0), ms, b'{"type":"a"}') for ms in range(1, count + 1)]


@pytest.mark.parametrize("count", [0, 1, 3, 7, 8, 600, 1131])
def test_any_number_of_rows_is_written_in_order(count: int) -> None:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        connection.execute("CREATE TABLE pairs (one, two)")

        ManyRows("INSERT INTO pairs", 2).write(connection, range(2 * count))

        rows = connection.execute("SELECT one, two FROM pairs ORDER BY rowid").fetchall()
        assert rows == [(number, number + 1) for number in range(0, 2 * count, 2)]


@pytest.mark.parametrize("count", [0, 1, 3, 8, 600, 1131])
@pytest.mark.parametrize("most", [9, 20, 100_000])
def test_rows_that_count_up_are_written_in_order(count: int, most: int) -> None:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        connection.setlimit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER, most)
        connection.execute("CREATE TABLE events (position, seq, epoch, one, two)")
        rows = ConsecutiveRows("INSERT INTO events", counters=2, same=1, columns=2)

        rows.write(connection, (10, 5), ("e",), range(2 * count))

        found = connection.execute("SELECT * FROM events ORDER BY rowid").fetchall()
        assert found == [(10 + n, 5 + n, "e", 2 * n, 2 * n + 1) for n in range(count)]


def test_a_statement_has_no_more_values_than_sqlite_takes() -> None:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        connection.setlimit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER, 20)
        connection.execute("CREATE TABLE pairs (one, two)")

        ManyRows("INSERT INTO pairs", 2).write(connection, range(600))

        assert connection.execute("SELECT count(*) FROM pairs").fetchone() == (300,)


@pytest.mark.parametrize("written_before", [0, 5])
@pytest.mark.parametrize("kind", ["ABORT", "FAIL"])
@pytest.mark.parametrize("last", [300, 550])
def test_an_append_that_fails_in_the_middle_leaves_nothing(
    tmp_path: Path, written_before: int, kind: str, last: int
) -> None:
    """In the middle of a statement, which keeps the rows before the bad one (FAIL) or not, and after a whole one."""
    store = SqlStore(tmp_path / "log.db", synchronous="OFF")
    store.open()
    store.connection.execute(STOP.format(last, kind))
    own = [Entry((ms, "hall", 0), ms, b'{"type":"b"}') for ms in range(10_001, 10_001 + written_before)]

    with store.transaction():
        store.append(own, WRITER.pen)
        before, shown = store.state, store.each()
        with pytest.raises(StoreError, match="twice"):
            store.append(entries(600), WRITER.pen)
        assert (store.state, store.each()) == (before, shown)
        store.append(entries(last - 1), WRITER.pen)

    assert store.state.last_added == store.state.last_position == written_before + last - 1
    store.close()
    store.open()
    assert store.state.events == len(store.each(limit=1000)) == written_before + last - 1
    assert [each.added for each in store.each(order="added", limit=1000)] == [*range(1, written_before + last)]
    store.close()
