"""A store in one SQLite file."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from pathlib import Path
from typing import Any, Unpack

from peers.events.created import Created, created_from_key, created_key
from peers.events.entry import Entry
from peers.events.version_vector import Epoch, Ranges, VersionVector
from peers.stores.rows import Numbers
from peers.stores.sqlite.checkpointer import Checkpointer
from peers.stores.sqlite.counters import load_numbers, save_numbers
from peers.stores.sqlite.file import SYNCHRONOUS, check_room, connect, explain
from peers.stores.sqlite.file_place import FilePlace
from peers.stores.sqlite.reading import COLUMNS
from peers.stores.sqlite.rows import CLAIM, MAX_CONFLICTING, SqliteRows
from peers.stores.sqlite.walk import walk_statement
from peers.stores.store import (
    DISK_FULL,
    MAX_CURSORS,
    PAGE_BYTES,
    PAGE_EVENTS,
    PAGE_SCAN,
    Page,
    StoreError,
    StoreState,
    Walk,
    WalkOptions,
)

FIRST_LOOK = 1_000
"""Changes looked at one by one for the first lacked, before the index by dot is asked."""

_POSITION = "SELECT position FROM changes WHERE created = ? AND added IS NOT NULL AND added = ?"
_PAGE = f"SELECT {COLUMNS} FROM changes WHERE position > ? ORDER BY position LIMIT ?"
_PROBE = "INSERT INTO facts VALUES ('probe', 1) ON CONFLICT (key) DO UPDATE SET value = excluded.value"
_BEGIN_AGAIN = ("ROLLBACK", "BEGIN IMMEDIATE")
_UNDO_PIECE = ("ROLLBACK TO piece", "RELEASE piece")
_CURSORS = "SELECT synced, other_synced FROM cursors WHERE other_node_id = ?"
_KEEP_CURSORS = "INSERT INTO cursors (other_node_id, synced, other_synced) VALUES (?, ?, ?)"
_FORGET_CURSORS = (
    "DELETE FROM cursors WHERE number IN (SELECT number FROM cursors ORDER BY number DESC LIMIT -1 OFFSET ?)"
)


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
        super().__init__(Path(path))
        if synchronous not in SYNCHRONOUS:
            raise ValueError(f"synchronous is one of {', '.join(SYNCHRONOUS)}, not {synchronous!r}")
        self._synchronous = synchronous
        self._place = FilePlace(self._path)
        self._checkpointer: Checkpointer | None = None
        if checkpoint_lock is not None:
            self._checkpointer = Checkpointer(self._path, self._place, synchronous=synchronous, lock=checkpoint_lock)
        self._writes_before = 0
        """`writes()` when the transaction began."""

    def open(self) -> StoreState:
        if self._connection is None:
            self._place.check_return()
            connection = connect(self._path, synchronous=self._synchronous)
            try:
                self._place.hold()
                self._load(connection)
                if self._checkpointer is not None:
                    self._checkpointer.start(connection)
            except BaseException:
                connection.close()
                raise
            self._connection = connection
        return self.state

    def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            if self._checkpointer is not None:
                self._checkpointer.stop()
            with suppress(sqlite3.Error):  # what is committed is safe in the WAL too
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                connection.execute("PRAGMA busy_timeout = 0")  # wait for no reader
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            connection.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        connection = self._opened()
        if connection.in_transaction:
            raise RuntimeError("a transaction is open already: they do not nest")
        before, epochs, self._writes_before = self._numbers.copy(), len(self._epochs), connection.total_changes
        self._touched.clear()
        if self._checkpointer is not None and self._checkpointer.was_full:
            self._checkpointer.before_commit(connection)
        with self._explained():
            connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            with self._explained():
                self._save(before)
                rows = connection.total_changes - self._writes_before
                wal_bytes = self._place.check() if rows else 0  # reads go on from the open file, wherever it is
                connection.execute("COMMIT")
        except BaseException as error:
            self._restore(before, epochs)
            with suppress(sqlite3.Error):  # SQLite has taken it back itself, or will when the file is opened
                connection.execute("ROLLBACK")
            if self._checkpointer is not None and isinstance(error, StoreError) and error.brief == DISK_FULL:
                self._checkpointer.on_full()
            raise
        if rows and self._checkpointer is not None:
            self._checkpointer.on_commit(connection, rows, wal_bytes)

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

    def probe(self) -> None:
        with self._piece():
            self._execute(_PROBE)
        check_room(self._path)

    def cursors(self, other_node_id: str) -> tuple[int, int]:
        with self._explained():
            row = self._execute(_CURSORS, (other_node_id,)).fetchone()
            return (row[0], row[1]) if row else (0, 0)

    def keep_cursors(self, other_node_id: str, synced: int, other_synced: int) -> None:
        with self._piece():
            self._execute("DELETE FROM cursors WHERE other_node_id = ?", (other_node_id,))
            self._execute(_KEEP_CURSORS, (other_node_id, synced, other_synced))
            self._execute(_FORGET_CURSORS, (MAX_CURSORS,))

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

    # The file

    @contextmanager
    def _piece(self) -> Iterator[None]:
        connection = self._opened()
        if not connection.in_transaction:
            raise RuntimeError("a store is written inside a transaction only")
        before, epochs = self._numbers.copy(), len(self._epochs)
        # Then the transaction has nothing else to take back, and no savepoint is needed, for which SQLite would copy pages.
        is_first = connection.total_changes == self._writes_before
        try:
            if not is_first:
                connection.execute("SAVEPOINT piece")
            yield
            if not is_first:
                connection.execute("RELEASE piece")
        except BaseException as error:
            self._restore(before, epochs)
            if is_first and connection.in_transaction:
                with self._explained():
                    for statement in _BEGIN_AGAIN:
                        connection.execute(statement)
            elif not is_first:
                with suppress(sqlite3.Error):  # then SQLite has taken back the whole transaction
                    for statement in _UNDO_PIECE:
                        connection.execute(statement)
            if isinstance(error, sqlite3.Error):
                raise explain(self._path, error) from error
            raise

    def _restore(self, numbers: Numbers, epochs: int) -> None:
        self._numbers = numbers
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

    def _save(self, before: Numbers) -> None:
        """Write what changed of the numbers, in the same transaction as the rows."""
        touched = [(self._epoch_id(epoch), epoch) for epoch in sorted(self._touched) if epoch in self._numbers.highest]
        save_numbers(self._opened(), before, self._numbers, touched)
