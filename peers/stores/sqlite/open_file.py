"""A store's file while the store is open: transactions, their pieces, checkpoints, and what is kept there beside events."""

from __future__ import annotations

import sqlite3
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any

from peers.stores.sqlite.checkpointer import Checkpointer
from peers.stores.sqlite.file import SYNCHRONOUS, connect, explain
from peers.stores.sqlite.file_place import FilePlace
from peers.stores.sqlite.layout import Layout
from peers.stores.store import DISK_FULL, MAX_CURSORS, StoreError

_PROBE = "INSERT INTO facts VALUES ('probe', 1) ON CONFLICT (key) DO UPDATE SET value = excluded.value"
_BEGIN_AGAIN = ("ROLLBACK", "BEGIN IMMEDIATE")
_CURSORS = "SELECT synced, other_synced FROM cursors WHERE other_node_id = ?"
_KEEP_CURSORS = "INSERT INTO cursors (other_node_id, synced, other_synced) VALUES (?, ?, ?)"
_FORGET_CURSORS = (
    "DELETE FROM cursors WHERE number IN (SELECT number FROM cursors ORDER BY number DESC LIMIT -1 OFFSET ?)"
)


class OpenFile(ABC):
    """The file of a store, whose tables are those of a layout; what the store has in memory of it goes back with it.

    `synchronous` and `checkpoint_lock` as SqliteRunStore.
    """

    def __init__(
        self,
        path: str | Path,
        layout: Layout,
        *,
        synchronous: str = "FULL",
        checkpoint_lock: AbstractContextManager[Any] | None = None,
    ) -> None:
        super().__init__()
        if synchronous not in SYNCHRONOUS:
            raise ValueError(f"synchronous is one of {', '.join(SYNCHRONOUS)}, not {synchronous!r}")
        self._path = Path(path)
        self._layout = layout
        self._connection: sqlite3.Connection | None = None
        self._synchronous = synchronous
        self._place = FilePlace(self._path)
        self._checkpointer: Checkpointer | None = None
        if checkpoint_lock is not None:
            self._checkpointer = Checkpointer(self._path, self._place, synchronous=synchronous, lock=checkpoint_lock)
        self._writes_before = 0
        """`writes()` when the transaction, or the last savepoint that is open, began."""
        self._savepoints = 0
        """That are open."""

    # What a store has in memory

    @abstractmethod
    def _load(self, connection: sqlite3.Connection) -> None:
        """Fill the memory from a file that was just opened."""

    @abstractmethod
    def _snapshot(self) -> Any:
        """What `_restore` needs to make the memory as it is now."""

    @abstractmethod
    def _restore(self, snapshot: Any) -> None:
        """Make the memory as it was."""

    @abstractmethod
    def _save(self, snapshot: Any) -> None:
        """Write what changed of it since the transaction began, before the commit."""

    # The file

    def _open(self) -> None:
        if self._connection is None:
            self._place.check_return()
            connection = self._connection = connect(self._path, self._layout, synchronous=self._synchronous)
            try:
                self._place.hold()
                self._load(connection)
                if self._checkpointer is not None:
                    self._checkpointer.start(connection)
            except BaseException:
                self._connection = None
                connection.close()
                raise

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
        snapshot, writes_before = self._snapshot(), connection.total_changes
        self._writes_before, self._savepoints = writes_before, 0
        if self._checkpointer is not None and self._checkpointer.was_full:
            self._checkpointer.before_commit(connection)
        with self._explained():
            connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            with self._explained():
                self._save(snapshot)
                rows = connection.total_changes - writes_before
                wal_bytes = self._place.check() if rows else 0  # reads go on from the open file, wherever it is
                connection.execute("COMMIT")
        except BaseException as error:
            self._restore(snapshot)
            with suppress(sqlite3.Error):  # SQLite has taken it back itself, or will when the file is opened
                connection.execute("ROLLBACK")
            if self._checkpointer is not None and isinstance(error, StoreError) and error.brief == DISK_FULL:
                self._checkpointer.on_full()
            raise
        if rows and self._checkpointer is not None:
            self._checkpointer.on_commit(connection, rows, wal_bytes)

    @contextmanager
    def _piece(self) -> Iterator[None]:
        connection = self._opened()
        if not connection.in_transaction:
            raise RuntimeError("a store is written inside a transaction only")
        snapshot, before = self._snapshot(), (self._writes_before, self._savepoints)
        # Else the transaction, or the last savepoint, has nothing but this to take back: one more is not needed, for which
        # SQLite would copy pages.
        is_own = connection.total_changes != self._writes_before
        try:
            if is_own:
                self._writes_before, self._savepoints = connection.total_changes, self._savepoints + 1
                connection.execute("SAVEPOINT piece")
            yield
            if is_own:
                connection.execute("RELEASE piece")
        except BaseException as error:
            self._restore(snapshot)
            if self._savepoints:
                with suppress(sqlite3.Error):  # then SQLite has taken back the whole transaction
                    connection.execute("ROLLBACK TO piece")
                    if is_own:
                        connection.execute("RELEASE piece")
            elif connection.in_transaction:
                with self._explained():
                    for statement in _BEGIN_AGAIN:
                        connection.execute(statement)
            if isinstance(error, sqlite3.Error):
                raise explain(self._path, error) from error
            raise
        finally:
            self._writes_before, self._savepoints = before

    def writes(self) -> int:
        """A number that changes with each write of the open transaction."""
        return self._opened().total_changes

    def probe(self) -> None:
        with self._piece():
            self._execute(_PROBE)

    def cursors(self, other_node_id: str) -> tuple[int, int]:
        with self._explained():
            row = self._execute(_CURSORS, (other_node_id,)).fetchone()
            return (row[0], row[1]) if row else (0, 0)

    def keep_cursors(self, other_node_id: str, synced: int, other_synced: int) -> None:
        with self._piece():
            self._execute("DELETE FROM cursors WHERE other_node_id = ?", (other_node_id,))
            self._execute(_KEEP_CURSORS, (other_node_id, synced, other_synced))
            self._execute(_FORGET_CURSORS, (MAX_CURSORS,))

    def all_cursors(self) -> Iterator[tuple[str, tuple[int, int]]]:
        rows = self._execute("SELECT other_node_id, synced, other_synced FROM cursors ORDER BY number")
        return ((name, (synced, other_synced)) for name, synced, other_synced in rows)

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
