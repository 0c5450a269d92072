"""Layouts of a store's file: the tables, and how those of an older layout are brought up to date."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import msgspec

from peers.events.created import created_from_key
from peers.events.entry import Entry
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

_TABLES_OF_1 = ("facts", "epochs", "changes", "aside")
_TABLES = (*_TABLES_OF_1, "labels", "last_kept", "cursors")

_SCHEMA = """
CREATE TABLE facts (key TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE epochs (
    id INTEGER PRIMARY KEY,
    epoch TEXT NOT NULL UNIQUE,
    highest INTEGER NOT NULL,
    is_cut INTEGER NOT NULL,
    ranges TEXT NOT NULL
);
CREATE TABLE changes (
    position INTEGER PRIMARY KEY,
    epoch INTEGER,
    seq INTEGER,
    added INTEGER,
    created BLOB NOT NULL,
    time INTEGER,
    body BLOB,
    extra BLOB,
    local BLOB,
    tombstone BLOB
);
CREATE UNIQUE INDEX changes_by_dot ON changes (epoch, seq);
CREATE UNIQUE INDEX changes_by_created ON changes (created) WHERE added IS NOT NULL;
CREATE INDEX changes_by_order ON changes (time, created) WHERE body IS NOT NULL;
CREATE INDEX further_by_created ON changes (created) WHERE added IS NULL;
CREATE TABLE aside (
    number INTEGER PRIMARY KEY,
    created BLOB NOT NULL,
    time INTEGER NOT NULL,
    body BLOB NOT NULL,
    extra BLOB NOT NULL,
    epoch INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    tombstone BLOB
);
CREATE INDEX aside_by_created ON aside (created);
"""

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

_UPGRADE_FROM_1 = f"""
ALTER TABLE changes ADD COLUMN local BLOB;
ALTER TABLE changes ADD COLUMN tombstone BLOB;
ALTER TABLE aside ADD COLUMN tombstone BLOB;
DROP INDEX changes_by_order;
CREATE INDEX changes_by_order ON changes (time, created) WHERE body IS NOT NULL;
{LIVES_AND_CURSORS}
PRAGMA user_version = 2
"""

_WITH_EXTRA = "SELECT position, time, created, body, extra FROM changes WHERE body IS NOT NULL AND extra <> x''"


class Upgrade(NamedTuple):
    """How a file of an older layout becomes one of the newest."""

    tables: tuple[str, ...]
    """Those that it has."""
    change: Callable[[Path, sqlite3.Connection], None]
    """Does it, inside a transaction, and sets the version."""


class Layout(NamedTuple):
    """What is in a store's file."""

    version: int
    tables: tuple[str, ...]
    schema: str
    """The statements that make it, each with a semicolon behind it."""
    upgrades: Mapping[int, Upgrade]
    """By the version of the older layout. A file of another one is refused."""


def damaged(path: Path, what: str) -> StoreError:
    fix, brief = PUT_BACK
    return StoreError(f"the log file {path}: {what}; {fix}", brief)


def run_all(connection: sqlite3.Connection, statements: str) -> None:
    """Execute statements with semicolons between them, and in no other place."""
    for statement in statements.split(";"):
        connection.execute(statement)


def _from_1(path: Path, connection: sqlite3.Connection) -> None:
    """The events of layout 1 are found by what their meta says since ever."""
    run_all(connection, _UPGRADE_FROM_1)
    for position, time, key, body, extra in connection.execute(_WITH_EXTRA):
        try:
            labels = Entry(created_from_key(key), time, body, extra).labels
        except msgspec.DecodeError as error:
            raise damaged(path, f"the meta of the change {position} is unreadable ({error})") from error
        LABELS.write(connection, [value for label in labels for value in (*label, position, time, key)])


LAYOUT_2 = Layout(2, _TABLES, _SCHEMA + LIVES_AND_CURSORS, {1: Upgrade(_TABLES_OF_1, _from_1)})
