"""A look at a store's file that nothing else has open."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Unpack

from peers.events.entry import Entry
from peers.stores.sqlite.file import check_layout
from peers.stores.sqlite.open_file import OpenFile
from peers.stores.sqlite.still_file import StillFile
from peers.stores.sqlite.store import SqliteStore
from peers.stores.store import StoreError, WalkOptions


class FileReader(OpenFile):
    """Reads what a store left, and changes no file: neither the store's own nor one beside it, so the disk may be read-only.

    A base that comes before the store's class, whose `_open`, `close` and `transaction` it replaces. Once a store has opened
    the file meanwhile and has written, `_unwritten` raises StoreError; see StillFile.
    """

    def __init__(self, path: str | Path, **options: Any) -> None:
        super().__init__(path, **options)
        self._still = StillFile(self._path)

    def _open(self) -> None:
        if self._connection is None:
            try:
                connection = self._connection = self._still.open()
                with self._explained():
                    check_layout(self._path, connection, self._layout)
                    self._load(connection)
            except BaseException:
                self.close()
                raise

    def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()
        self._still.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        raise StoreError(f"the log file {self._path} is open to be read only")
        yield

    @contextmanager
    def _unwritten(self) -> Iterator[None]:
        """Raise StoreError if somebody has written: a page that was read meanwhile may be damaged."""
        try:
            yield
        finally:
            self._still.check()


class SqliteReader(FileReader, SqliteStore):
    """A look at the file of a SqliteStore."""

    def each(self, **options: Unpack[WalkOptions]) -> tuple[Entry, ...]:
        with self._unwritten():
            return super().each(**options)
