"""Writing many rows with few statements."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any

ROWS = (500, 128, 32, 8, 4, 2, 1)
"""Rows of one statement. Few sizes, so that each is prepared once."""


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
