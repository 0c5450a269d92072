"""A look at a store's file, whether a store has it open or not."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, Unpack

from peers.events.dot import Epoch
from peers.stores.runs.rows import EpochRow, RunNumbers, RunRow
from peers.stores.runs.sqlite.copies import Copies
from peers.stores.runs.sqlite.epoch_rows import EpochTables
from peers.stores.runs.sqlite.layout import LAYOUT_3
from peers.stores.runs.sqlite.nodes import Nodes
from peers.stores.runs.sqlite.places import EntryPlaces
from peers.stores.runs.sqlite.store import SqliteRunStore
from peers.stores.runs.sqlite.undo_marks import UndoMarks
from peers.stores.sqlite.file import check_header, check_layout, open_file
from peers.stores.sqlite.still_file import StillFile
from peers.stores.store import Looked, StoreError, WalkOptions


class FileParts(NamedTuple):
    """What an open store has of its file, for checks of its tables: to be read only."""

    execute: Callable[..., sqlite3.Cursor]
    """Runs one statement with its values."""
    has_table: Callable[[str], bool]
    number_of: Callable[[Epoch], int]
    name_of: Callable[[int], Epoch]
    """The epoch with a number. Raises StoreError (damage) if there is none."""
    epochs: Mapping[Epoch, EpochRow]
    numbers: RunNumbers
    nodes: Nodes
    places: EntryPlaces
    tables: EpochTables
    copies: Copies
    undo_marks: UndoMarks


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

    @property
    def parts(self) -> FileParts:
        """Those of the open file."""
        return FileParts(
            self._execute,
            self._has_table,
            self._number_of,
            self._name_of,
            self._epochs,
            self._numbers,
            self._nodes,
            self._places,
            self._tables,
            self._copies,
            self._undo_marks,
        )

    def check_run(self, run: RunRow) -> None:
        """Raise StoreError unless its entries give its head, and their events are those of their rows."""
        with self._reading():
            self._hash_up_to(run, run.last)
            self._read(run.epoch, run.first, run.last)

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
        finally:  # a page that was read during a write may be damaged too
            self.check_still()
