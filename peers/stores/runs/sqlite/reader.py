"""A look at a store's file, whether a store has it open or not."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Unpack

from peers.stores.runs.sqlite.layout import LAYOUT_3
from peers.stores.runs.sqlite.store import SqliteRunStore
from peers.stores.sqlite.file import check_header, check_layout, open_file
from peers.stores.sqlite.still_file import StillFile
from peers.stores.store import Looked, StoreError, WalkOptions


class SqliteRunReader(SqliteRunStore):
    """Reads what a store left, and changes no file: neither the store's own nor one beside it, so the disk may be read-only.

    Once a store has opened the file meanwhile and has written, `each`, `look` and `check_still` raise StoreError; see
    StillFile.

    With `is_in_use` a store of another process has the file open, and goes on writing: what is read is as of one commit, the
    last one at the opening. Until it is closed the write-ahead log of that store cannot begin anew, and grows.
    """

    def __init__(self, path: str | Path, *, is_in_use: bool = False) -> None:
        super().__init__(path)
        self._still = None if is_in_use else StillFile(self._path)

    def _open(self) -> None:
        """Raises StoreError for a file of an older layout too, which says how it is brought up to date."""
        if self._connection is None:
            try:
                connection = self._connection = self._connected()
                with self._explained():
                    check_layout(self._path, connection, LAYOUT_3)
                    self._load(connection)
            except BaseException:
                self.close()
                raise

    def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()
        if self._still is not None:
            self._still.close()

    def check_still(self) -> None:
        """Raise StoreError if what was read may be damaged, because a store has written meanwhile."""
        if self._still is not None:
            self._still.check()

    def _connected(self) -> sqlite3.Connection:
        if self._still is not None:
            return self._still.open()
        check_header(self._path)
        connection = open_file(self._path, "ro")
        connection.execute("BEGIN")  # the first read, of the layout, says as of which commit
        return connection

    @contextmanager
    def transaction(self) -> Iterator[None]:
        raise StoreError(f"the log file {self._path} is open to be read only")
        yield

    def look(self, most: int | None, **options: Unpack[WalkOptions]) -> Looked:
        try:
            return super().look(most, **options)
        finally:  # a page that was read while somebody wrote may be damaged too
            self.check_still()
