"""Checkpointer: moves what is committed from the write-ahead log of a store into its file, while the store commits more."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import Any

from peers.stores.sqlite.file import BUSY_MS, WAL_LIMIT_BYTES, connect_beside
from peers.stores.sqlite.file_place import FilePlace
from peers.stores.store import StoreError

CHECKPOINT_ROWS = 2_000
"""Written rows after which a checkpoint begins."""
COMMIT_ROWS = 50
"""A commit counts as so many rows more, since it writes whole pages: 4 KB each."""
CHECKPOINT_BYTES = 2 * 1024 * 1024
"""Growth of the write-ahead log after which a checkpoint begins sooner; and its length from which it is to begin anew."""
SQLITE_PAGE_BYTES = 4096
"""Of SQLite's pages."""


class Checkpointer:
    """A thread with a connection of its own, from `start` to `stop`; it holds `lock` during each checkpoint.

    The log begins anew, in the same place of the disk, only when all of it was moved: a store that never rests has to help.
    Above WAL_LIMIT_BYTES a commit waits until the log is empty; only a reader that holds an old state lets it grow further.
    A checkpoint that fails is no failure of the store: what is committed is safe in the log, and the next checkpoint moves it.
    None is made while the file or its log is not at its path.
    """

    def __init__(self, path: Path, place: FilePlace, *, synchronous: str, lock: AbstractContextManager[Any]) -> None:
        self._path = path
        self._place = place
        self._synchronous = synchronous
        self._lock = lock
        self._moving = threading.Lock()
        """Held during each checkpoint, also that of `on_commit`, whose thread may hold another lock that waits for `lock`."""
        self._bell = threading.Event()
        self._thread: threading.Thread | None = None
        self._is_ending = False
        self._is_long = False
        """Whether the log had CHECKPOINT_BYTES or more at the end of the last checkpoint: almost all of that is moved."""
        self._rows = self._begun_bytes = 0
        self.was_full = False
        """Whether the last commit failed because the disk is full."""
        self._cap = WAL_LIMIT_BYTES

    def start(self, connection: sqlite3.Connection) -> None:
        """The store has opened its file with this connection, which makes no checkpoints by itself from now on."""
        connection.execute("PRAGMA wal_autocheckpoint = 0")
        self._is_ending = self._is_long = False
        self._rows = self._begun_bytes = 0
        self._cap = WAL_LIMIT_BYTES
        self._bell.clear()
        thread = threading.Thread(target=self._work, name="peermesh-checkpoints", daemon=True)
        thread.start()
        self._thread = thread

    def stop(self) -> None:
        """End the thread and close its connection. Harmless when it did not start."""
        thread, self._thread = self._thread, None
        if thread is not None:
            self._is_ending = True
            self._bell.set()
            thread.join()

    def on_full(self) -> None:
        """A commit failed because the disk is full: before the next one, make room in the log if the file takes it."""
        self.was_full = True

    def before_commit(self, connection: sqlite3.Connection) -> None:
        """The store is about to begin a transaction with its own connection, and `was_full`."""
        self.was_full = False
        with self._moving:
            self._checkpoint(connection, "RESTART")

    def on_commit(self, connection: sqlite3.Connection, rows: int, wal_bytes: int) -> None:
        """The store has committed so many rows with its own connection; the file of its log had so many bytes before.

        A log that is long begins anew, if almost all of it is moved; one above WAL_LIMIT_BYTES is emptied.
        """
        self._rows += COMMIT_ROWS + rows
        if self._rows >= CHECKPOINT_ROWS or wal_bytes - self._begun_bytes >= CHECKPOINT_BYTES:
            self._rows, self._begun_bytes = 0, wal_bytes
            self._bell.set()
        if wal_bytes > self._cap:
            with self._moving:
                is_busy = self._checkpoint(connection, "TRUNCATE")
            self._begun_bytes = wal_bytes if is_busy else 0
            self._cap = max(WAL_LIMIT_BYTES, self._begun_bytes + CHECKPOINT_BYTES)
        elif self._is_long and self._moving.acquire(blocking=False):
            try:
                self._checkpoint(connection, "RESTART")
            finally:
                self._moving.release()

    def _checkpoint(self, connection: sqlite3.Connection, mode: str) -> bool:
        """Move what is left, without waiting for readers. Whether some of it stayed."""
        self._is_long = False
        with suppress(sqlite3.Error, StoreError):
            self._place.check()
            connection.execute("PRAGMA busy_timeout = 0")
            try:
                return bool(connection.execute(f"PRAGMA wal_checkpoint({mode})").fetchone()[0])
            finally:
                connection.execute(f"PRAGMA busy_timeout = {BUSY_MS}")
        return True

    def _connect(self) -> sqlite3.Connection:
        connection = connect_beside(self._path, synchronous=self._synchronous)
        try:
            self._place.check()  # it is open on that very file
        except StoreError:
            connection.close()
            raise
        return connection

    def _work(self) -> None:
        connection: sqlite3.Connection | None = None
        while True:
            self._bell.wait()
            self._bell.clear()
            if self._is_ending:
                break
            with self._lock, self._moving, suppress(sqlite3.Error, StoreError):
                self._place.check()
                if connection is None:
                    connection = self._connect()
                _, pages, _ = connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
                self._is_long = pages * SQLITE_PAGE_BYTES >= CHECKPOINT_BYTES
        if connection is not None:
            with self._lock:
                connection.close()
