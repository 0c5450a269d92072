"""A disk that changes what was written: no wrong piece is sent, and the sentence names the file."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from shutil import copyfile
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from peers.events.dot import Epoch
from peers.stores.runs.memory import MemoryRunStore
from peers.stores.runs.sqlite.layout import LAYOUT_3
from peers.stores.runs.sqlite.store import SqliteRunStore
from peers.stores.sqlite.many import RUN_ROWS
from peers.stores.store import StoreError
from tests.support.run_house import Writer, clean, event, hollowed, pieces_for, put, take, two_that_differ

_INNER = 2**10
"""Added to a number: another one of the same length, nearly always."""


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with all kinds of rows, a run that is read as one, and two whose entries lie apart."""
    path = tmp_path_factory.mktemp("written") / "log.db"
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


def rows(path: Path) -> Iterator[tuple[str, str, int]]:
    """Table, column and number of each value."""
    with closing(sqlite3.connect(path)) as connection:
        for table in LAYOUT_3.tables:
            columns = [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
            (count,) = connection.execute(f"SELECT count(*) FROM {table}").fetchone()
            yield from ((table, column, at) for column in columns for at in range(0, count, max(1, count // 5)))


def flipped(value: Any) -> Any:
    if isinstance(value, int):
        return value ^ 1 if value < _INNER else value ^ _INNER
    if isinstance(value, str):
        return chr(ord(value[0]) ^ 1) + value[1:]
    if value is None:
        return 1
    return bytes([value[0] ^ 1]) + value[1:] if value else b"\1"


def sent(path: Path) -> tuple[Any, ...]:
    """All that others would be told of the epochs in a file."""
    store = SqliteRunStore(path, synchronous="OFF")
    store.open()
    try:
        ends = store.ends()
        heads = [store.head(epoch, seq) for epoch, end in ends.items() for seq in range(end.seq + 1)]
        blocks = [store.blocks(epoch) for epoch in ends]
        dots = [(epoch, seq) for epoch, end in ends.items() for seq in range(1, end.seq + 1)]
        births = [store.birth(epoch) for epoch in ends]
        fills = [(dot, each.created, each.time, each.body, each.extra) for dot, each in store.events_at(dots)]
        return ends, heads, blocks, births, fills, [plain(store, epoch, seq) for epoch, seq in dots]
    finally:
        store.close()


def plain(store: SqliteRunStore, epoch: Epoch, seq: int) -> tuple[Any, ...]:
    """A piece, without what is this store's own."""
    piece = store.piece(epoch, seq)
    assert piece is not None
    return piece.epoch, piece.birth, piece.first, piece.start, piece.kinds, piece.leaves, piece.head, piece.signature


@pytest.fixture(scope="module")
def told(written: Path) -> tuple[Any, ...]:
    return sent(written)


def test_a_value_that_the_disk_changed_is_noticed_or_tells_others_nothing(
    written: Path, told: tuple[Any, ...], tmp_path: Path
) -> None:
    path = tmp_path / "log.db"
    noticed: set[tuple[str, str]] = set()
    for table, column, at in rows(written):
        copyfile(written, path)
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("PRAGMA synchronous = OFF")
            keys = "epoch, first" if table == "runs" else "epoch, seq" if table in ("hollow", "spans") else "1"
            values = connection.execute(f"SELECT {column} FROM {table} ORDER BY {keys}").fetchall()
            where = " AND ".join(
                f"{key} IS ?" for key in [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
            )
            whole = connection.execute(f"SELECT * FROM {table} ORDER BY {keys}").fetchall()[at]
            try:
                connection.execute(f"UPDATE {table} SET {column} = ? WHERE {where}", (flipped(values[at][0]), *whole))
                connection.commit()
            except sqlite3.IntegrityError:
                continue
        try:
            after = sent(path)
        except StoreError as error:
            assert str(path) in str(error)
            assert "put a copy in its place" in str(error)
            noticed.add((table, column))
        else:
            assert after == told, (table, column, at)
    of_events = {("events", column) for column in ("ms", "node", "n", "time", "body", "extra", "epoch", "seq")}
    of_runs = {("runs", column) for column in ("first", "last", "before", "head", "kinds", "signature", "checksum")}
    of_epochs = {("epochs", column) for column in ("name", "birth", "seq", "head", "first", "grown", "checksum")}
    others = {("spans", "places"), ("hollow", "leaf"), ("further", "copy"), ("nodes", "name")}
    assert of_events | of_runs | of_epochs | others <= noticed


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], deadline=None)
@given(place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_any_bit_of_the_file_may_flip(
    written: Path, told: tuple[Any, ...], tmp_path: Path, place: float, bit: int
) -> None:
    path = tmp_path / "log.db"
    data = bytearray(written.read_bytes())
    data[int(place * len(data))] ^= 1 << bit
    path.write_bytes(data)
    for name in (f"{path}-wal", f"{path}-shm"):
        Path(name).unlink(missing_ok=True)

    try:
        after = sent(path)
    except StoreError as error:
        assert str(path) in str(error)
    else:
        assert after == told
