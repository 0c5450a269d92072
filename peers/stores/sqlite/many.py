"""Writing many rows with few statements."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any

ROWS = (500, 128, 32, 8, 4, 2, 1)
"""Rows of one statement. Few sizes, so that each is prepared once."""
FEW = 8
"""Keys asked for in one statement if they are no more, else LOOKUP."""
LOOKUP = 500
RUN_ROWS = 8
"""Rows from which on a run is written as one."""


class ManyRows:
    """An INSERT of any number of rows. All rows of a statement are written at once, without the lock of the interpreter.

    (`executemany` gives that lock away at each row, and where another thread is busy it waits for it at each row.)
    """

    def __init__(self, insert: str, columns: int, conflict: str = "", sizes: Sequence[int] = ROWS) -> None:
        """`insert` is the statement up to VALUES, and `conflict` what comes after the rows of `columns` values each.

        `sizes` are the numbers of rows for which there are statements, the largest first and 1 last.
        """
        row = f"({', '.join('?' * columns)})"
        self._texts = [(rows * columns, f"{insert} VALUES {', '.join([row] * rows)} {conflict}") for rows in sizes]

    def write(self, connection: sqlite3.Connection, values: Sequence[Any]) -> None:
        """Insert rows in order; `values` are those of all rows, one after the other. Raises sqlite3.Error."""
        most = connection.getlimit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER)
        start, left = 0, len(values)
        for size, text in self._texts:
            if not left:
                return
            while size <= left and size <= most:
                connection.execute(text, values[start : start + size])
                start += size
                left -= size


class ConsecutiveRows:
    """The same for rows that begin with numbers which count up by one from row to row, and with values that stay the same.

    Those are given once a statement: to hand values over takes most of the time of an insert, under that lock.
    """

    def __init__(self, insert: str, counters: int, same: int, columns: int, sizes: Sequence[int] = ROWS) -> None:
        """`insert` is the statement up to VALUES; each row has so many counters, values that stay the same, and others."""
        self._counters = counters
        self._columns = columns
        self._head = counters + same
        self._texts = [(rows, f"{insert} VALUES {', '.join(map(self._row, range(rows)))}") for rows in sizes]

    def _row(self, number: int) -> str:
        counters = [f"?{one}" if number == 0 else f"?{one} + {number}" for one in range(1, self._counters + 1)]
        same = [f"?{one}" for one in range(self._counters + 1, self._head + 1)]
        return f"({', '.join([*counters, *same, *'?' * self._columns])})"

    def write(
        self, connection: sqlite3.Connection, first: Sequence[int], same: Sequence[Any], values: Sequence[Any]
    ) -> None:
        """Insert rows in order; `first` are the counters of the first one, `values` the others of all rows.

        Raises sqlite3.Error.
        """
        most = connection.getlimit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER) - self._head
        done, left = 0, len(values) // self._columns
        for rows, text in self._texts:
            size = rows * self._columns
            while rows <= left and size <= most:
                start = done * self._columns
                head = [number + done for number in first] if done else first
                connection.execute(text, [*head, *same, *values[start : start + size]])
                done += rows
                left -= rows
