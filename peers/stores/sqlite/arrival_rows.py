"""The table of arrivals in a store's file."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from typing import Any

from peers.stores.arrivals import MAX_ARRIVALS, WRITTEN_HERE, Arrival, counted, extended, paired
from peers.stores.sqlite.many import ManyRows

MERGED_AT_ONCE = 1_000
"""Rows that are merged at once."""

_COLUMNS = "first, last, ms, until, node"
_SELECT = f"SELECT {_COLUMNS} FROM arrivals"
_ROWS = ManyRows(f"INSERT OR REPLACE INTO arrivals ({_COLUMNS})", 5)
_OWN = 0
"""`node` of what was written here."""


class ArrivalRows:
    """The table `arrivals`. `node` is a number of the table `nodes`, NULL for several."""

    def __init__(
        self,
        execute: Callable[..., sqlite3.Cursor],
        number_of: Callable[[str], int],
        name_of: Callable[[int], str],
        most: int = MAX_ARRIVALS,
    ) -> None:
        """`number_of` gives the number of a node, `name_of` that node. There are `most` rows."""
        self._execute = execute
        self._number_of, self._name_of = number_of, name_of
        self._most = most
        self.forget()

    def forget(self) -> None:
        """The file is another one, or what was written last was taken back."""
        self._last: Arrival | None = None
        self._count: int | None = None
        self._merge_from = 0
        """The position from which on rows are merged next."""
        self._merged = 0
        """Rows before it that were merged in this round."""

    def put(self, connection: sqlite3.Connection, first: int, until: int, ms: int, via: str) -> None:
        """Entries from one position to another came."""
        last = self._last if self._last is not None else self._one(f"{_SELECT} ORDER BY first DESC LIMIT 1")
        self._last = arrival = extended(last, first, until, ms, via)
        _ROWS.write(connection, self._values(arrival))
        if last is not None and arrival.first == last.first:
            return
        if self._count is None:
            (self._count,) = self._execute("SELECT count(*) FROM arrivals").fetchone()
        else:
            self._count += 1
        if self._count > self._most:
            self._merge(connection)

    def at(self, position: int) -> Arrival | None:
        """As KeepsArrivals.arrival."""
        found = self._one(f"{_SELECT} WHERE first <= ? ORDER BY first DESC LIMIT 1", position)
        return found if found is not None and position <= found.last else None

    def since(self, last_position: int, ms: int) -> tuple[int, int] | None:
        """As KeepsArrivals.came_since."""
        before = self._one(f"{_SELECT} WHERE until < ? ORDER BY first DESC LIMIT 1", ms)
        return counted(before, self._one(f"{_SELECT} ORDER BY first LIMIT 1"), last_position, ms)

    def _merge(self, connection: sqlite3.Connection) -> None:
        select = f"{_SELECT} WHERE first >= ? ORDER BY first LIMIT ?"
        rows = self._execute(select, (self._merge_from, min(MERGED_AT_ONCE, self._most // 2))).fetchall()
        merged = paired([self._read(row) for row in rows])
        self._execute("DELETE FROM arrivals WHERE first >= ? AND first <= ?", (rows[0][0], rows[-1][0]))
        _ROWS.write(connection, [value for arrival in merged for value in self._values(arrival)])
        self._count = (self._count or 0) - len(rows) + len(merged)
        self._merge_from, self._merged = rows[-1][0] + 1, self._merged + len(merged)
        if self._merged >= self._most // 4:  # half of the rows, which are half as many now
            self._merge_from = self._merged = 0

    def _one(self, select: str, *values: Any) -> Arrival | None:
        row = self._execute(select, values).fetchone()
        return None if row is None else self._read(row)

    def _read(self, row: Sequence[Any]) -> Arrival:
        first, last, ms, until_ms, node = row
        return Arrival(
            first, last, ms, until_ms, None if node is None else WRITTEN_HERE if node == _OWN else self._name_of(node)
        )

    def _values(self, arrival: Arrival) -> list[Any]:
        via = arrival.via
        return [*arrival[:-1], None if via is None else _OWN if via == WRITTEN_HERE else self._number_of(via)]
