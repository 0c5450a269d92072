"""A store in one SQLite file."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, closing
from pathlib import Path
from typing import Any, Unpack

from peers.events.created import Created, created_from_key, created_key
from peers.events.entry import Entry
from peers.events.version_vector import Epoch, Ranges, VersionVector
from peers.stores.rows import Numbers
from peers.stores.sqlite.counters import load_numbers, save_numbers
from peers.stores.sqlite.reading import COLUMNS
from peers.stores.sqlite.rows import CLAIM, MAX_CONFLICTING, SqliteRows
from peers.stores.sqlite.walk import walk_statement
from peers.stores.store import (
    PAGE_BYTES,
    PAGE_EVENTS,
    PAGE_SCAN,
    Page,
    StoreState,
    Walk,
    WalkOptions,
)

FIRST_LOOK = 1_000
"""Changes looked at one by one for the first lacked, before the index by dot is asked."""

_POSITION = "SELECT position FROM changes WHERE created = ? AND added IS NOT NULL AND added = ?"
_PAGE = f"SELECT {COLUMNS} FROM changes WHERE position > ? ORDER BY position LIMIT ?"


class SqliteStore(SqliteRows):
    """Keeps everything in the file at `path`, in SQLite's WAL mode.

    `synchronous` is SQLite's: FULL survives a power cut; NORMAL and OFF survive a crash of the process only. It may be
    made on one thread and used on another, but by one at a time.

    Once it was open, only that very file is written: a commit that writes fails with StoreError while the file, or its
    write-ahead log, is not at its path.

    With `checkpoint_lock`, checkpoints run on a thread of their own while the store is open, and hold it meanwhile; without,
    some commits wait for them. Above WAL_LIMIT_BYTES of its write-ahead log a commit waits all the same.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        synchronous: str = "FULL",
        checkpoint_lock: AbstractContextManager[Any] | None = None,
    ) -> None:
        super().__init__(path, synchronous=synchronous, checkpoint_lock=checkpoint_lock)

    def open(self) -> StoreState:
        self._open()
        return self.state

    def page(
        self, after: int, *, lacking: VersionVector | None = None, limit: int = PAGE_EVENTS, max_bytes: int = PAGE_BYTES
    ) -> Page:
        limit = max(1, min(limit, PAGE_SCAN))
        entries: list[Entry] = []
        with self._explained():
            with closing(self._execute(_PAGE, (after, limit))) as rows:
                looked, until, room = self._reader.gather(rows, entries, lacking, max_bytes)
            if looked < limit and room is not None:
                until = max(after, self._numbers.last_position)
            elif len(entries) < limit and room is not None:
                # `lacking` may cover most of what follows: look at that before bodies are read.
                positions, end = self._reader.lacked(until, lacking, limit - len(entries), PAGE_SCAN - looked)
                until = max(until, self._numbers.last_position) if end is None else end
                _, _, room = self._reader.gather(self._reader.read(positions), entries, None, room)
        return Page(tuple(entries), entries[-1].position if room is None else until)

    def first_lacked(self, vector: VersionVector) -> int:
        with self._explained():
            lacked = list(vector.lacks(self._held()))
            if not lacked:
                return self._numbers.last_position + 1
            for position, epoch, seq in self._execute(
                "SELECT position, epoch, seq FROM changes WHERE epoch NOT NULL AND tombstone IS NULL ORDER BY position LIMIT ?",
                (FIRST_LOOK,),
            ):
                if not vector.covers((self._epochs[epoch - 1], seq)):
                    return int(position)
            return min(self._first_of(lacked), default=self._numbers.last_position + 1)

    def find(self, created: Created) -> Entry | None:
        with self._explained():
            event = self._shown(created)
            return None if event is None or event.tombstone else event

    def each(self, **options: Unpack[WalkOptions]) -> tuple[Entry, ...]:
        walk = Walk(**options)
        with self._explained():
            after = 0 if walk.after is None or walk.order == "created" else self._position_of(walk.after)
            return tuple(self._reader.events(self._execute(*walk_statement(walk, after)).fetchall()))

    def aside(self) -> tuple[Entry, ...]:
        with self._explained():
            return tuple([self._claim_of(row) for row in self._execute(f"SELECT {CLAIM} FROM aside ORDER BY number")])

    # Reading

    def _position_of(self, event: Entry) -> int:
        """Of its own row; 0 if it has none any more."""
        row = self._execute(_POSITION, (created_key(event.created), event.added)).fetchone()
        return int(row[0]) if row else 0

    def _held(self) -> VersionVector:
        """The vector, and of cut epochs everything up to the highest: rows decide what of that is held."""
        highest = self._numbers.highest
        cut: dict[Epoch, Ranges] = {
            epoch: ((1, highest[epoch]),) for epoch in sorted(self._numbers.cut) if highest[epoch]
        }
        return VersionVector(self._numbers.vector.ranges | cut)

    def _first_of(self, lacked: Iterable[tuple[Epoch, int, int]]) -> Iterator[int]:
        for epoch, first, last in lacked:
            (position,) = self._execute(
                "SELECT min(position) FROM changes WHERE epoch = ? AND seq BETWEEN ? AND ? AND tombstone IS NULL",
                (self._epoch_ids[epoch], first, last),
            ).fetchone()
            if position is not None:
                yield position

    # What is in memory

    def _snapshot(self) -> tuple[Numbers, int]:
        return self._numbers.copy(), len(self._epochs)

    def _restore(self, snapshot: tuple[Numbers, int]) -> None:
        self._numbers, epochs = snapshot
        for epoch in self._epochs[epochs:]:
            del self._epoch_ids[epoch]
        del self._epochs[epochs:]

    def _load(self, connection: sqlite3.Connection) -> None:
        """Fill the memory from a file that was just opened."""
        self._numbers, self._epochs[:] = load_numbers(connection, self._path)
        self._epoch_ids = {epoch: number for number, epoch in enumerate(self._epochs, 1)}
        self._conflicting = set()
        with self._explained():
            for (key,) in connection.execute("SELECT DISTINCT created FROM aside LIMIT ?", (MAX_CONFLICTING + 1,)):
                self._note_conflicting(created_from_key(key))

    def _save(self, snapshot: tuple[Numbers, int]) -> None:
        """Write what changed of the numbers, in the same transaction as the rows."""
        touched = [(self._epoch_id(epoch), epoch) for epoch in sorted(self._touched) if epoch in self._numbers.highest]
        save_numbers(self._opened(), snapshot[0], self._numbers, touched)
        self._touched.clear()
