"""How rows of a store in SQLite are read, and become entries."""

from __future__ import annotations

import json
import sqlite3
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from peers.events.created import created_from_key
from peers.events.entry import Entry
from peers.events.version_vector import Epoch, VersionVector
from peers.stores.sqlite.layout import damaged
from peers.stores.sqlite.many import LOOKUP

COLUMNS = "position, epoch, seq, added, created, time, body, extra, local, tombstone"
EVENT = f"SELECT {COLUMNS} FROM changes WHERE created = ? AND added IS NOT NULL"
_IN_A_ROW = f"SELECT {COLUMNS} FROM changes WHERE position BETWEEN ? AND ? ORDER BY position"
_AT_POSITIONS = f"""
    SELECT {COLUMNS} FROM changes WHERE position IN (SELECT value FROM json_each(?)) ORDER BY position
"""
_FIRST_DOT = "SELECT epoch, seq FROM changes WHERE created = ? AND added IS NULL ORDER BY position"
_WALK = """
    SELECT position, iif(tombstone IS NULL, epoch, NULL), seq FROM changes WHERE position > ? ORDER BY position LIMIT ?
"""

Row = tuple[Any, ...]


class ChangeReader:
    """Reads changes, and makes entries of rows; see SqliteRows for what is in them."""

    def __init__(self, execute: Callable[..., sqlite3.Cursor], epochs: Sequence[Epoch], path: Path) -> None:
        """`execute` runs a statement on the open connection; the epoch with the id i + 1 is `epochs[i]`."""
        self._execute = execute
        self._epochs = epochs
        self._path = path

    def gather(
        self, rows: Iterable[Row], entries: list[Entry], lacking: VersionVector | None = None, room: int = sys.maxsize
    ) -> tuple[int, int, int | None]:
        """Add to `entries` the changes of these rows that `lacking` does not cover and whose events are not cleaned.

        It stops before a change for which no room, in bytes, is left, but for the first. Returns how many rows it looked at,
        the position of the last one, and the room left: None if it stopped.
        """
        epochs = self._epochs
        vector = lacking or VersionVector()
        looked, position, last_epoch, name, top = 0, 0, 0, "", 0
        for row in rows:
            position, epoch, seq, added, key, time, body, extra, local, tombstone = row
            looked += 1
            if epoch is None or tombstone is not None:
                continue
            if epoch != last_epoch:
                last_epoch, name = epoch, epochs[epoch - 1]
                top = vector.highest(name)
            if seq <= top and vector.covers((name, seq)):
                continue
            if added is None:
                entry = self.entry(row)
            else:
                entry = Entry(created_from_key(key), time, body, extra, (name, seq), added, position, local or b"")
            room -= entry.size
            if room < 0 and entries:
                return looked, position, None
            entries.append(entry)
        return looked, position, room

    def lacked(self, after: int, lacking: VersionVector | None, limit: int, scan: int) -> tuple[list[int], int | None]:
        """Positions of the next changes that `lacking` does not cover, and how far this looked; None: to the end.

        It looks at `scan` changes at most.
        """
        epochs = self._epochs
        vector = lacking or VersionVector()
        positions: list[int] = []
        looked, position, last_epoch, name, first, last, top = 0, after, 0, "", 0, 0, 0
        rows = self._execute(_WALK, (after, scan))
        for position, epoch, seq in rows:
            looked += 1
            if epoch is None:
                continue
            if epoch != last_epoch:
                last_epoch, name = epoch, epochs[epoch - 1]
                first, last = vector.first_range(name)
                top = vector.highest(name)
            if first <= seq <= last or (seq <= top and vector.covers((name, seq))):
                continue
            positions.append(position)
            if len(positions) == limit:
                rows.close()
                return positions, position
        return positions, position if looked == scan else None

    def read(self, positions: Sequence[int]) -> Iterator[Row]:
        """The rows at these positions, in order."""
        for start in range(0, len(positions), LOOKUP):
            piece = positions[start : start + LOOKUP]
            first, last = piece[0], piece[-1]
            if last - first + 1 == len(piece):
                yield from self._execute(_IN_A_ROW, (first, last))
            else:
                yield from self._execute(_AT_POSITIONS, (json.dumps(piece),))

    def entry(self, row: Row) -> Entry:
        """A row with a dot, as the change that it is."""
        position, epoch, seq, added, key, time, body, extra, local, tombstone = row
        if added is None:
            event = self._execute(EVENT, (key,)).fetchone()
            if event is None:
                raise damaged(self._path, f"the change {position} belongs to an event that is missing")
            _, _, _, added, _, time, body, extra, local, tombstone = event
        return self._made((position, epoch, seq, added, key, time, body, extra, local, tombstone))

    def event(self, row: Row) -> Entry:
        """An event's own row, with its first dot."""
        position, epoch, seq, *rest = row
        if epoch is None:
            epoch, seq = self._execute(_FIRST_DOT, (rest[1],)).fetchone() or (None, None)
        return self._made((position, epoch, seq, *rest))

    def events(self, rows: Iterable[Row]) -> list[Entry]:
        """The same of rows that are no tombstones."""
        epochs = self._epochs
        return [
            Entry(created_from_key(row[4]), row[5], row[6], row[7], (epochs[row[1] - 1], row[2]), row[3], row[0])
            if row[8] is None and row[1] is not None
            else self.event(row)
            for row in rows
        ]

    def _made(self, row: Row) -> Entry:
        position, epoch, seq, added, key, time, body, extra, local, tombstone = row
        dot = (self._epochs[epoch - 1], seq) if epoch is not None else None
        created = created_from_key(key)
        return Entry(created, time, body or b"", extra or b"", dot, added, position, local or b"", tombstone or b"")
