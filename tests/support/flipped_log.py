"""The file of a log with all kinds of rows, and values of it as a disk may change them."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from peers.stores.runs.memory import MemoryRunStore
from peers.stores.runs.sqlite.layout import LAYOUT_3
from peers.stores.runs.sqlite.store import SqliteRunStore
from peers.stores.sqlite.many import RUN_ROWS
from tests.support.run_house import Writer, clean, event, hollowed, pieces_for, put, take, two_that_differ

_INNER = 2**10
"""Added to a number: another one of the same length, nearly always."""


def write_log(path: Path) -> Path:
    """A store with all kinds of rows, a run that is read as one, and two whose entries lie apart."""
    store = SqliteRunStore(path, synchronous="OFF")
    store.open()
    other, third, anna, bert, carl = MemoryRunStore(), MemoryRunStore(), Writer(1), Writer(2), Writer(3)
    other.open()
    third.open()
    extra = json.dumps({"reasons": ["one"], "indexes": ["two"]}).encode()
    better, worse = two_that_differ(9)
    put(other, bert, *[event(ms, node="attic") for ms in range(20, 26)], better, event(30, time=4, node="attic"))
    put(store, anna, event(1), event(2, "b", extra=extra), worse, event(5, time=3), event(6), event(20, node="attic"))
    take(store, *[hollowed(piece, 3, 5) for piece in pieces_for(other, {})])
    put(store, anna, *[event(ms) for ms in range(40, 40 + 2 * RUN_ROWS)])
    for ms in range(60, 60 + RUN_ROWS + 2):
        put(other, bert, event(ms, node="attic"))
        put(third, carl, event(ms, node="study"))
        take(store, *pieces_for(other, store.ends()), *pieces_for(third, store.ends()))
    with store.transaction():
        store.offer_further([(6, "kitchen", 0), (21, "attic", 0)], anna.pen)
        store.change_meta((1, "kitchen", 0), b'{"x":1}')
    clean(store, (5, "kitchen", 0), (24, "attic", 0))
    store.close()
    return path


def rows(path: Path, tables: Sequence[str] = LAYOUT_3.tables) -> Iterator[tuple[str, str, int]]:
    """Table, column and number of each value, or of five of a column with more."""
    with closing(sqlite3.connect(path)) as connection:
        for table in tables:
            columns = [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
            (count,) = connection.execute(f"SELECT count(*) FROM {table}").fetchone()
            yield from ((table, column, at) for column in columns for at in range(0, count, max(1, count // 5)))


def _flipped(value: Any) -> Any:
    if isinstance(value, int):
        return value ^ 1 if value < _INNER else value ^ _INNER
    if isinstance(value, str):
        return chr(ord(value[0]) ^ 1) + value[1:]
    if value is None:
        return 1
    return bytes([value[0] ^ 1]) + value[1:] if value else b"\1"


def change_value(path: Path, table: str, column: str, at: int) -> bool:
    """Write another value in place of one of `rows`. False if SQLite does not take it, or the file says the same."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA synchronous = OFF")
        keys = "epoch, first" if table == "runs" else "epoch, seq" if table in ("hollow", "spans") else "1"
        values = connection.execute(f"SELECT {column} FROM {table} ORDER BY {keys}").fetchall()
        where = " AND ".join(
            f"{key} IS ?" for key in [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
        )
        whole = connection.execute(f"SELECT * FROM {table} ORDER BY {keys}").fetchall()[at]
        try:
            before = list(connection.iterdump())
            connection.execute(f"UPDATE {table} SET {column} = ? WHERE {where}", (_flipped(values[at][0]), *whole))
            connection.commit()
        except sqlite3.IntegrityError:
            return False
        return before != list(connection.iterdump())
