"""A look at a store's file that nothing else has open."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Unpack

from peers.stores.runs.sqlite.layout import LAYOUT_3
from peers.stores.runs.sqlite.store import SqliteRunStore
from peers.stores.sqlite.file import check_layout
from peers.stores.sqlite.still_file import StillFile
from peers.stores.store import Looked, StoreError, WalkOptions


class SqliteRunReader(SqliteRunStore):
    """Reads what a store left, and changes no file: neither the store's own nor one beside it, so the disk may be read-only.

    Once a store has opened the file meanwhile and has written, `each` and `look` raise StoreError; see StillFile.
    """

    def __init__(self, path: str | Path) -> None:
        super().__init__(path)
        self._still = StillFile(self._path)

    def _open(self) -> None:
        """Raises StoreError for a file of an older layout too, which says how it is brought up to date."""
        if self._connection is None:
            try:
                connection = self._connection = self._still.open()
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
        self._still.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        raise StoreError(f"the log file {self._path} is open to be read only")
        yield

    def look(self, most: int | None, **options: Unpack[WalkOptions]) -> Looked:
        try:
            return super().look(most, **options)
        finally:  # a page that was read while somebody wrote may be damaged too
            self._still.check()
