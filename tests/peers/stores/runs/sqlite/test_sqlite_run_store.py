"""The file of a store of runs: what it refuses, what it survives, what an event takes of it."""

from __future__ import annotations

import resource
import shutil
import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing
from itertools import product
from pathlib import Path

import pytest
from msgspec import structs

from peers.events.columns import EventColumns, TextColumns
from peers.events.entry import Entry
from peers.stores.run_store import RunState
from peers.stores.runs.memory import MemoryRunStore
from peers.stores.runs.sqlite.layout import LAYOUT_3
from peers.stores.runs.sqlite.store import SqliteRunStore
from peers.stores.sqlite.file import WAL_LIMIT_BYTES
from peers.stores.store import StoreError
from tests.peers.stores.runs.test_hostile_pieces import signed
from tests.support.old_logs import OldLogFile
from tests.support.run_house import Writer, check, event, own_epoch, piece_of, pieces_for, put, take

BODY = b'{"type":"a","text":"%s"}' % (b"x" * 127)
"""150 bytes."""


def opened(path: Path) -> SqliteRunStore:
    store = SqliteRunStore(path, synchronous="OFF")
    store.open()
    return store


def run(path: Path, statement: str) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(statement)
        connection.commit()


def make_older(path: Path) -> None:
    OldLogFile().write(path)


def changed(statement: str) -> Callable[[Path], None]:
    """Makes a file in which this was executed."""

    def make(path: Path) -> None:
        store = opened(path)
        put(store, Writer(1), event(1), event(2))
        store.close()
        run(path, statement)

    return make


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (make_older, "older release .layout 2, this one knows 3.; start its node, or run `mesh upgrade`"),
        (changed(f"PRAGMA user_version = {LAYOUT_3.version + 1}"), "newer release .layout 4, this one knows 3."),
        (changed("DROP TABLE spans"), "no such table.*it is damaged: put a copy"),
        (changed("UPDATE facts SET value = 'x'"), "its numbers are unreadable.*it is damaged"),
        (changed("UPDATE epochs SET seq = 3"), "unreadable .it is not what was written.*it is damaged"),
        (changed("UPDATE epochs SET number = 2"), "the epoch with the number 1 is missing.*it is damaged"),
    ],
)
def test_refuses_such_a_file(tmp_path: Path, make: Callable[[Path], object], sentence: str) -> None:
    path = tmp_path / "log.db"
    make(path)
    before = path.read_bytes()
    store = SqliteRunStore(path)

    for _ in range(2):
        with pytest.raises(StoreError, match=sentence) as refusal:
            store.open()

    assert str(path) in str(refusal.value)
    store.close()
    assert path.read_bytes() == before


def test_a_closed_store_says_so(tmp_path: Path) -> None:
    store = SqliteRunStore(tmp_path / "log.db")

    with pytest.raises(StoreError, match="is closed: open the store first"):
        store.each()
    with pytest.raises(StoreError, match="is closed: open the store first"), store.transaction():
        pass
    assert store.state == RunState()


def test_what_a_crash_left_in_the_wal_is_found(tmp_path: Path) -> None:
    store = opened(tmp_path / "log.db")
    put(store, Writer(1), event(1), event(2))
    for end in ("", "-wal"):
        shutil.copy(tmp_path / f"log.db{end}", tmp_path / f"copy.db{end}")
    store.close()

    copy = opened(tmp_path / "copy.db")

    assert [entry.created[0] for entry in copy.each()] == [1, 2]
    check(copy)
    copy.close()


def test_a_full_disk_is_a_sentence_and_loses_nothing(tmp_path: Path) -> None:
    store, writer = opened(tmp_path / "log.db"), Writer(1)
    put(store, writer, event(1))
    before, ends = store.state, store.ends()

    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (256 * 1024, limits[1]))
    try:
        with pytest.raises(StoreError, match=r"free space|check the disk"):
            put(store, writer, *[event(ms, node=f"node-{ms}") for ms in range(2, 6000)])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)

    assert (store.state, store.ends()) == (before, ends)
    put(store, writer, event(2, node="another"), event(3))
    assert [each.created[0] for each in store.each()] == [1, 2, 3]
    check(store)
    store.close()


def test_nothing_is_committed_while_the_file_is_not_at_its_path(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    store, writer = opened(path), Writer(1)
    put(store, writer, event(1))
    path.rename(tmp_path / "away.db")

    with pytest.raises(StoreError, match="was moved or deleted while the node uses it"):
        put(store, writer, event(2))

    (tmp_path / "away.db").rename(path)
    put(store, writer, event(3))
    assert [entry.created[0] for entry in store.each()] == [1, 3]
    check(store)
    store.close()


def test_with_a_thread_for_checkpoints_the_wal_stays_short(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    store = SqliteRunStore(path, synchronous="OFF", checkpoint_lock=threading.Lock())
    store.open()
    writer = Writer(1)

    for start in range(0, 20_000, 500):
        put(store, writer, *[event(ms) for ms in range(start + 1, start + 501)])
        assert Path(f"{path}-wal").stat().st_size < WAL_LIMIT_BYTES / 2

    store.close()
    assert [each.name for each in tmp_path.iterdir()] == ["log.db"]


def bytes_an_event(path: Path, before: int, count: int) -> float:
    """Of a closed file that has so many events more than it had with so many bytes."""
    return (path.stat().st_size - before) / count


def test_an_event_of_150_bytes_takes_at_most_215_when_it_is_added_alone(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    store, writer = opened(path), Writer(1)
    put(store, writer, Entry((1_700_000_000_000, "kitchen", 0), 1_700_000_000_000, BODY))
    store.close()
    before = path.stat().st_size
    store.open()

    for ms in range(1_700_000_000_001, 1_700_000_001_001):
        put(store, writer, Entry((ms, "kitchen", 0), ms, BODY))

    store.close()
    assert bytes_an_event(path, before, 1_000) <= 215


def test_an_event_of_150_bytes_takes_at_most_215_when_five_writers_take_turns(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    sources = [MemoryRunStore() for _ in range(5)]
    writers = [Writer(number) for number in range(2, 7)]
    store = opened(path)
    before = 0
    for turn in range(301):
        for at, (source, writer) in enumerate(zip(sources, writers, strict=True)):
            source.open()
            ms = 1_700_000_000_000 + 5 * turn + at
            put(source, writer, Entry((ms, f"node-{at}", 0), ms, BODY))
            take(store, piece_of(source, own_epoch(source), turn + 1))
        if turn == 0:
            store.close()
            before = path.stat().st_size
            store.open()

    store.close()
    assert bytes_an_event(path, before, 1_500) <= 215


def test_two_copies_that_come_in_one_piece_are_one_event_though_only_one_has_its_ms_as_time(tmp_path: Path) -> None:
    store = opened(tmp_path / "log.db")
    (piece,) = signed(Writer(2), [[(0, event(5), True), (0, event(5, time=4), True)]], is_one_run=True)

    take(store, piece)

    assert [entry.time for entry in store.each()] == [4]
    assert [entry.time for entry in store.aside()] == [5]
    check(store)
    store.close()


@pytest.mark.parametrize("turn", [1, 3])
def test_the_runs_of_writers_who_take_turns_are_read_in_columns_as_they_were_written(tmp_path: Path, turn: int) -> None:
    store, others = opened(tmp_path / "log.db"), [MemoryRunStore() for _ in range(10)]
    for other in others:
        other.open()
    for ms in range(0, 30, turn):
        for number, other in enumerate(others):
            put(other, Writer(number), *[event(ms + at, node=f"n{number}") for at in range(turn)])
            take(store, *pieces_for(other, store.ends()))

    for other, start in product(others, (1, 12)):
        piece, written = piece_of(store, own_epoch(other), start), piece_of(other, own_epoch(other), start)
        assert isinstance(piece.items, EventColumns)
        assert piece == structs.replace(written, items=piece.items)
        assert piece.leaves == written.leaves
    store.close()


@pytest.mark.parametrize("statement", ["DELETE FROM contents", "UPDATE contents SET bodies = 0", "DROP TABLE contents"])
def test_a_run_whose_content_is_not_noted_is_sent_after_a_look_at_its_leaves(tmp_path: Path, statement: str) -> None:
    path = tmp_path / "log.db"
    store = opened(path)
    with store.transaction():
        store.append(EventColumns("kitchen", list(range(12)), [0] * 12, [BODY] * 12), Writer(1).pen)
    epoch = own_epoch(store)
    written = piece_of(store, epoch, 1)
    store.close()
    run(path, statement)

    store = opened(path)
    assert piece_of(store, epoch, 1) == written
    store.close()

    run(path, "UPDATE events SET n = n + 1 WHERE position = 7")
    store = opened(path)
    with pytest.raises(StoreError, match="is not what was signed"):
        store.piece(epoch, 1)
    store.close()


@pytest.mark.parametrize("change", ["body = body || x'00'", "ms = 6.5", "ms = 'x'"])
def test_a_run_that_the_disk_has_changed_does_not_grow(tmp_path: Path, change: str) -> None:
    path = tmp_path / "log.db"
    source, target, writer = opened(tmp_path / "source.db"), opened(path), Writer(1)
    for first in (0, 12):
        with source.transaction():
            source.append(EventColumns("kitchen", list(range(first, first + 12)), [0] * 12, [BODY] * 12), writer.pen)
        if not first:
            take(target, *pieces_for(source, {}))
            target.close()
    run(path, f"UPDATE events SET {change} WHERE position = 7")

    target = opened(path)
    with pytest.raises(StoreError, match="it is damaged"):
        take(target, *pieces_for(source, target.ends()))
    target.close()
    source.close()


def test_a_run_whose_content_is_as_noted_is_sent_without_a_look_at_its_leaves(tmp_path: Path) -> None:
    store = opened(tmp_path / "log.db")
    with store.transaction():
        for first in (0, 12):
            stamps = list(range(first, first + 12))
            store.append(EventColumns("kitchen", stamps, [0] * 12, [BODY] * 12), Writer(1).pen)

    items = piece_of(store, own_epoch(store), 1).items
    assert isinstance(items, TextColumns)
    assert not items.is_read
    assert [each.created[0] for each in items] == list(range(24))
    assert items.is_read
    store.close()
