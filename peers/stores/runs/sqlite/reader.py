"""A look at the file of a store of runs that nothing else has open."""

from __future__ import annotations

from typing import Unpack

from peers.events.entry import Entry
from peers.stores.runs.sqlite.store import SqliteRunStore
from peers.stores.sqlite.reader import FileReader
from peers.stores.store import WalkOptions


class SqliteRunReader(FileReader, SqliteRunStore):
    """A look at the file of a SqliteRunStore."""

    def each(self, **options: Unpack[WalkOptions]) -> tuple[Entry, ...]:
        with self._unwritten():
            return super().each(**options)
