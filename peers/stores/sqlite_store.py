"""A store in one SQLite file."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from peers.created import Created, created_from_key, created_key
from peers.entry import Entry
from peers.stores.rows import AlreadyKnown, Numbers
from peers.stores.sqlite_file import SYNCHRONOUS, connect, damaged, explain
from peers.stores.sqlite_numbers import load_numbers, save_numbers
from peers.stores.store import PAGE_BYTES, PAGE_EVENTS, PAGE_SCAN, Order, Page, StoreError, StoreState
from peers.stores.taking import Taking
from peers.version_vector import Dot, Epoch, Ranges, VersionVector

LOOKUP = 500
"""Keys asked for in one statement."""
FIRST_LOOK = 1_000
"""Changes looked at one by one for the first lacked, before the index by dot is asked."""

_COLUMNS = "position, epoch, seq, added, created, time, body, extra"
_INSERT = f"INSERT INTO changes ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
_EVENT = f"SELECT {_COLUMNS} FROM changes WHERE created = ? AND added IS NOT NULL"
_DOTS = "SELECT position, epoch, seq FROM changes WHERE created = ? AND epoch IS NOT NULL"
_OTHER = "SELECT 1 FROM changes AS other WHERE other.created = changes.created AND other.epoch <> changes.epoch"
_DOUBLED = f"""
    SELECT created FROM changes WHERE epoch = ?
    AND (EXISTS ({_OTHER} AND other.added IS NULL) OR EXISTS ({_OTHER} AND other.added IS NOT NULL)) ORDER BY position
"""

_Row = tuple[Any, ...]


class SqliteStore(Taking):
    """Keeps everything in the file at `path`, in SQLite's WAL mode.

    `synchronous` is SQLite's: FULL survives a power cut; NORMAL and OFF survive a crash of the process only. It may be
    made on one thread and used on another, but by one at a time.
    """

    def __init__(self, path: str | Path, *, synchronous: str = "FULL") -> None:
        super().__init__()
        if synchronous not in SYNCHRONOUS:
            raise ValueError(f"synchronous is one of {', '.join(SYNCHRONOUS)}, not {synchronous!r}")
        self._path = Path(path)
        self._synchronous = synchronous
        self._connection: sqlite3.Connection | None = None
        self._epochs: list[Epoch] = []
        """The epoch whose id is i + 1."""
        self._epoch_ids: dict[Epoch, int] = {}

    def open(self) -> StoreState:
        if self._connection is None:
            connection = connect(self._path, synchronous=self._synchronous)
            try:
                self._load(connection)
            except BaseException:
                connection.close()
                raise
            self._connection = connection
        return self.state

    def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(sqlite3.Error):  # what is committed is safe in the WAL too
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            connection.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        connection = self._opened()
        if connection.in_transaction:
            raise RuntimeError("a transaction is open already: they do not nest")
        before, epochs = replace(self._numbers), len(self._epochs)
        self._touched.clear()
        with self._explained():
            connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            with self._explained():
                self._save(before)
                connection.execute("COMMIT")
        except BaseException:
            self._restore(before, epochs)
            with suppress(sqlite3.Error):  # SQLite has taken it back itself, or will when the file is opened
                connection.execute("ROLLBACK")
            raise

    def page(
        self, after: int, *, lacking: VersionVector | None = None, limit: int = PAGE_EVENTS, max_bytes: int = PAGE_BYTES
    ) -> Page:
        with self._explained():
            positions, until = self._lacked(after, lacking, max(1, min(limit, PAGE_SCAN)))
            entries: list[Entry] = []
            size = 0
            for entry in self._read(positions):
                size += entry.size
                if entries and size > max_bytes:
                    return Page(tuple(entries), entries[-1].position)
                entries.append(entry)
            return Page(tuple(entries), until)

    def first_lacked(self, vector: VersionVector) -> int:
        with self._explained():
            lacked = list(vector.lacks(self._held()))
            if not lacked:
                return self._numbers.last_position + 1
            for position, epoch, seq in self._execute(
                "SELECT position, epoch, seq FROM changes WHERE epoch NOT NULL ORDER BY position LIMIT ?",
                (FIRST_LOOK,),
            ):
                if not vector.covers((self._epochs[epoch - 1], seq)):
                    return int(position)
            return min(self._first_of(lacked), default=self._numbers.last_position + 1)

    def find(self, created: Created) -> Entry | None:
        with self._explained():
            return self._shown(created)

    def each(
        self, *, order: Order = "created", after: Entry | None = None, since: int = 0, limit: int = PAGE_EVENTS
    ) -> tuple[Entry, ...]:
        with self._explained():
            if order == "added":
                rows = self._execute(
                    f"SELECT {_COLUMNS} FROM changes WHERE position > ? AND added > ? ORDER BY position LIMIT ?",
                    (*self._place_after(since, after), limit),
                )
            else:
                time, key = (after.time, created_key(after.created)) if after else (-1, b"")
                rows = self._execute(
                    f"SELECT {_COLUMNS} FROM changes WHERE added IS NOT NULL AND (time, created) > (?, ?) AND added > ?"
                    " ORDER BY time, created LIMIT ?",
                    (time, key, since, limit),
                )
            return tuple([self._event(row) for row in rows])

    def aside(self) -> tuple[Entry, ...]:
        with self._explained():
            return tuple([self._claim_of(row) for row in self._execute("SELECT * FROM aside ORDER BY number")])

    # Reading

    def _lacked(self, after: int, lacking: VersionVector | None, limit: int) -> tuple[list[int], int]:
        """Positions of the next changes that `lacking` does not cover, and how far this looked."""
        epochs = self._epochs
        positions: list[int] = []
        looked = 0
        rows = self._execute(
            "SELECT position, epoch, seq FROM changes WHERE position > ? ORDER BY position LIMIT ?", (after, PAGE_SCAN)
        )
        position = after
        for position, epoch, seq in rows:
            looked += 1
            if epoch is not None and (lacking is None or not lacking.covers((epochs[epoch - 1], seq))):
                positions.append(position)
                if len(positions) == limit:
                    rows.close()
                    return positions, position
        return positions, position if looked == PAGE_SCAN else max(after, self._numbers.last_position)

    def _read(self, positions: Sequence[int]) -> Iterator[Entry]:
        """The changes at these positions, in order."""
        for start in range(0, len(positions), LOOKUP):
            piece = positions[start : start + LOOKUP]
            first, last = piece[0], piece[-1]
            if last - first + 1 == len(piece):
                rows = self._execute(
                    f"SELECT {_COLUMNS} FROM changes WHERE position BETWEEN ? AND ? ORDER BY position", (first, last)
                )
            else:
                rows = self._execute(
                    f"SELECT {_COLUMNS} FROM changes WHERE position IN (SELECT value FROM json_each(?))"
                    " ORDER BY position",
                    (json.dumps(piece),),
                )
            yield from map(self._entry, rows)

    def _entry(self, row: _Row) -> Entry:
        """A row with a dot, as the change that it is."""
        position, epoch, seq, added, key, time, body, extra = row
        dot = (self._epochs[epoch - 1], seq)
        if added is None:
            event = self._execute(_EVENT, (key,)).fetchone()
            if event is None:
                raise damaged(self._path, f"the change {position} belongs to an event that is missing")
            _, _, _, added, _, time, body, extra = event
        return Entry(created_from_key(key), time, body, extra, dot, added, position)

    def _event(self, row: _Row) -> Entry:
        """An event's own row, with its first dot."""
        position, epoch, seq, added, key, time, body, extra = row
        if epoch is None:
            epoch, seq = self._execute(
                "SELECT epoch, seq FROM changes WHERE created = ? AND added IS NULL ORDER BY position", (key,)
            ).fetchone() or (None, None)
        dot = (self._epochs[epoch - 1], seq) if epoch is not None else None
        return Entry(created_from_key(key), time, body, extra, dot, added, position)

    def _place_after(self, since: int, after: Entry | None) -> tuple[int, int]:
        """A position and an `added` that the next events are beyond: the position never falls behind the `added`."""
        if after is None or after.added <= since:
            return since, since
        row = self._execute("SELECT added FROM changes WHERE position = ?", (after.position,)).fetchone()
        is_own_row = row is not None and row[0] == after.added
        return after.position if is_own_row else after.added, after.added

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
                "SELECT min(position) FROM changes WHERE epoch = ? AND seq BETWEEN ? AND ?",
                (self._epoch_ids[epoch], first, last),
            ).fetchone()
            if position is not None:
                yield position

    # The rows

    def _known_among(self, entries: Sequence[Entry], *, is_second_try: bool) -> dict[Created, Entry | None]:
        known: dict[Created, Entry | None] = {}
        if not is_second_try and not self._numbers.conflicts:
            return known
        keys = [created_key(entry.created) for entry in entries]
        for start in range(0, len(keys), LOOKUP):
            piece = keys[start : start + LOOKUP]
            marks = ", ".join("?" * len(piece))
            if is_second_try:
                rows = self._execute(
                    f"SELECT {_COLUMNS} FROM changes WHERE added IS NOT NULL AND created IN ({marks})", piece
                )
                known |= {event.created: event for event in map(self._event, rows)}
            if self._numbers.conflicts:
                claims = self._execute(f"SELECT created FROM aside WHERE created IN ({marks})", piece)
                known |= dict.fromkeys([created_from_key(key) for (key,) in claims])
        return known

    def _insert(self, changes: list[tuple[Entry, bool]]) -> None:
        rows: list[_Row] = []
        last_epoch, number = "", 0
        for change, is_event in changes:
            assert change.dot is not None
            epoch, seq = change.dot
            if epoch != last_epoch:
                last_epoch, number = epoch, self._epoch_id(epoch)
            key = created_key(change.created)
            if is_event:
                rows.append((change.position, number, seq, change.added, key, change.time, change.body, change.extra))
            else:
                rows.append((change.position, number, seq, None, key, None, None, None))
        try:
            self._opened().executemany(_INSERT, rows)
        except sqlite3.IntegrityError as error:
            raise AlreadyKnown from error

    def _at(self, dot: Dot) -> Entry | None:
        row = self._execute(
            f"SELECT {_COLUMNS} FROM changes WHERE epoch = ? AND seq = ?", (self._epoch_ids.get(dot[0]), dot[1])
        ).fetchone()
        return self._entry(row) if row else None

    def _shown(self, created: Created) -> Entry | None:
        row = self._execute(_EVENT, (created_key(created),)).fetchone()
        return self._event(row) if row else None

    def _replace(self, copy: Entry) -> None:
        self._execute(
            "UPDATE changes SET time = ?, body = ?, extra = ? WHERE created = ? AND added IS NOT NULL",
            (copy.time, copy.body, copy.extra, created_key(copy.created)),
        )

    def _drop_dot(self, dot: Dot) -> None:
        place = self._epoch_ids[dot[0]], dot[1]
        self._execute("DELETE FROM changes WHERE epoch = ? AND seq = ? AND added IS NULL", place)
        self._execute("UPDATE changes SET epoch = NULL, seq = NULL WHERE epoch = ? AND seq = ?", place)

    def _hide(self, created: Created) -> None:
        self._execute("DELETE FROM changes WHERE created = ?", (created_key(created),))

    def _change(self, position: int) -> Entry | None:
        row = self._execute(f"SELECT {_COLUMNS} FROM changes WHERE position = ?", (position,)).fetchone()
        return self._entry(row) if row and row[1] is not None else None

    def _events_in(self, epoch: Epoch) -> list[Entry]:
        rows = self._execute(
            f"SELECT {_COLUMNS} FROM changes WHERE epoch = ? ORDER BY position", (self._epoch_ids.get(epoch),)
        )
        return [self._entry(row) for row in rows]

    def _dots_of(self, created: Created) -> list[Dot]:
        rows = self._execute(
            f"{_DOTS} AND added IS NOT NULL UNION ALL {_DOTS} AND added IS NULL ORDER BY position",
            [created_key(created)] * 2,
        )
        return [(self._epochs[epoch - 1], seq) for _, epoch, seq in rows]

    def _doubled(self, epoch: Epoch) -> list[Created]:
        rows = self._execute(_DOUBLED, (self._epoch_ids.get(epoch),))
        return list(dict.fromkeys([created_from_key(key) for (key,) in rows]))

    def _aside_of(self, created: Created) -> list[Entry]:
        rows = self._execute("SELECT * FROM aside WHERE created = ? ORDER BY number", (created_key(created),))
        return [self._claim_of(row) for row in rows]

    def _insert_aside(self, claim: Entry) -> None:
        assert claim.dot is not None
        epoch, seq = claim.dot
        self._execute(
            "INSERT INTO aside (created, time, body, extra, epoch, seq) VALUES (?, ?, ?, ?, ?, ?)",
            (created_key(claim.created), claim.time, claim.body, claim.extra, self._epoch_id(epoch), seq),
        )

    def _remove_aside(self, claim: Entry) -> None:
        assert claim.dot is not None
        epoch, seq = claim.dot
        self._execute(
            "DELETE FROM aside WHERE created = ? AND time = ? AND body = ? AND extra = ? AND epoch = ? AND seq = ?",
            (created_key(claim.created), claim.time, claim.body, claim.extra, self._epoch_ids[epoch], seq),
        )

    def _claim_of(self, row: _Row) -> Entry:
        _, key, time, body, extra, epoch, seq = row
        return Entry(created_from_key(key), time, body, extra, (self._epochs[epoch - 1], seq))

    # The file

    @contextmanager
    def _piece(self) -> Iterator[None]:
        connection = self._opened()
        if not connection.in_transaction:
            raise RuntimeError("a store is written inside a transaction only")
        before, epochs = replace(self._numbers), len(self._epochs)
        try:
            with self._explained():
                connection.execute("SAVEPOINT piece")
                yield
                connection.execute("RELEASE piece")
        except BaseException:
            self._restore(before, epochs)
            with suppress(sqlite3.Error):  # then SQLite has taken back the whole transaction
                connection.execute("ROLLBACK TO piece")
                connection.execute("RELEASE piece")
            raise

    def _restore(self, numbers: Numbers, epochs: int) -> None:
        self._numbers = numbers
        for epoch in self._epochs[epochs:]:
            del self._epoch_ids[epoch]
        del self._epochs[epochs:]

    def _epoch_id(self, epoch: Epoch) -> int:
        """Its number; a new one gets one, and is saved when the transaction ends."""
        number = self._epoch_ids.get(epoch)
        if number is None:
            self._epochs.append(epoch)
            number = self._epoch_ids[epoch] = len(self._epochs)
        return number

    def _load(self, connection: sqlite3.Connection) -> None:
        """Fill the memory from a file that was just opened."""
        self._numbers, self._epochs = load_numbers(connection, self._path)
        self._epoch_ids = {epoch: number for number, epoch in enumerate(self._epochs, 1)}

    def _save(self, before: Numbers) -> None:
        """Write what changed of the numbers, in the same transaction as the rows."""
        touched = [(self._epoch_id(epoch), epoch) for epoch in sorted(self._touched) if epoch in self._numbers.highest]
        save_numbers(self._opened(), before, self._numbers, touched)

    def _execute(self, statement: str, values: Sequence[Any] = ()) -> sqlite3.Cursor:
        return self._opened().execute(statement, values)

    def _opened(self) -> sqlite3.Connection:
        if self._connection is None:
            raise StoreError(f"the log file {self._path} is closed: open the store first")
        return self._connection

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise explain(self._path, error) from error
