"""A store whose own connection a test may use: no other one sees its triggers, settings and statements."""

from __future__ import annotations

import sqlite3

from peers.stores.runs.sqlite.store import SqliteRunStore


class SqlStore(SqliteRunStore):
    """Open it before `connection` is read."""

    @property
    def connection(self) -> sqlite3.Connection:
        return self._opened()
