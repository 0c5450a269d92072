"""What layouts of a store's file have in common."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import NamedTuple

from peers.stores.sqlite.many import ManyRows
from peers.stores.store import StoreError

NEWEST_LAYOUT = 3
"""That of a store of runs."""
LABELS = ManyRows("INSERT INTO labels (kind, name, position, time, created)", 5)
PUT_BACK = (
    "it is damaged: put a copy in its place, or move it away and let the neighbours fill a new one",
    "its log file is damaged",
)
"""What would fix a damaged file, and what other nodes are told of it."""

LIVES_AND_CURSORS = """
CREATE TABLE labels (
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    position INTEGER NOT NULL,
    time INTEGER NOT NULL,
    created BLOB NOT NULL,
    PRIMARY KEY (kind, name, position)
) WITHOUT ROWID;
CREATE INDEX labels_by_order ON labels (kind, name, time, created);
CREATE TABLE last_kept (
    reason TEXT PRIMARY KEY,
    time INTEGER NOT NULL,
    created BLOB NOT NULL
) WITHOUT ROWID;
CREATE TABLE cursors (
    number INTEGER PRIMARY KEY,
    other_node_id TEXT NOT NULL UNIQUE,
    synced INTEGER NOT NULL,
    other_synced INTEGER NOT NULL
);
"""
"""What events are found by, what was kept last, cursors: the tables of all layouts since 2."""


class Layout(NamedTuple):
    """What is in a store's file."""

    version: int
    tables: tuple[str, ...]
    schema: str
    """The statements that make it, each with a semicolon behind it."""
    later: str = ""
    """The statements that make, where it is missing, what later releases of this layout have besides."""


def damaged(path: Path, what: str) -> StoreError:
    fix, brief = PUT_BACK
    return StoreError(f"the log file {path}: {what}; {fix}", brief)


def run_all(connection: sqlite3.Connection, statements: str) -> None:
    """Execute statements with semicolons between them, and in no other place."""
    for statement in statements.split(";"):
        connection.execute(statement)
