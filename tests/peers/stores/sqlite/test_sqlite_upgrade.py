"""Files that an earlier release wrote."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from peers.events.created import created_key
from peers.events.entry import Entry
from peers.stores.sqlite.file import APPLICATION_ID
from peers.stores.sqlite.layout import LAYOUT_2
from peers.stores.sqlite.online_copy import copy_log, count_events
from peers.stores.sqlite.store import SqliteStore
from peers.stores.store import Criteria, StoreError

LAYOUT_1 = f"""
PRAGMA journal_mode = WAL;
CREATE TABLE facts (key TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE epochs (
    id INTEGER PRIMARY KEY, epoch TEXT NOT NULL UNIQUE, highest INTEGER NOT NULL, is_cut INTEGER NOT NULL, ranges TEXT NOT NULL
);
CREATE TABLE changes (
    position INTEGER PRIMARY KEY, epoch INTEGER, seq INTEGER, added INTEGER, created BLOB NOT NULL, time INTEGER, body BLOB,
    extra BLOB
);
CREATE UNIQUE INDEX changes_by_dot ON changes (epoch, seq);
CREATE UNIQUE INDEX changes_by_created ON changes (created) WHERE added IS NOT NULL;
CREATE INDEX changes_by_order ON changes (time, created) WHERE added IS NOT NULL;
CREATE INDEX further_by_created ON changes (created) WHERE added IS NULL;
CREATE TABLE aside (
    number INTEGER PRIMARY KEY, created BLOB NOT NULL, time INTEGER NOT NULL, body BLOB NOT NULL, extra BLOB NOT NULL,
    epoch INTEGER NOT NULL, seq INTEGER NOT NULL
);
CREATE INDEX aside_by_created ON aside (created);
INSERT INTO facts VALUES ('last_added', 2), ('last_position', 3), ('events', 2), ('clock_ms', 9), ('conflicts', 1);
INSERT INTO epochs VALUES (1, 'own', 3, 0, '[[1, 3]]');
PRAGMA application_id = {APPLICATION_ID};
PRAGMA user_version = 1;
"""

KEYS = [created_key((ms, "kitchen", 0)) for ms in (5, 3)]
CHANGES = [
    (1, 1, 1, 1, KEYS[0], 5, b'{"type":"a"}', b""),
    (2, 1, 2, 2, KEYS[1], 3, b'{"type":"b"}', b'{"reasons":["r"],"indexes":["i"]}'),
    (3, 1, 3, None, KEYS[0], None, None, None),
]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    with closing(sqlite3.connect(tmp_path / "log.db")) as connection:
        connection.executescript(LAYOUT_1)
        connection.executemany("INSERT INTO changes VALUES (?, ?, ?, ?, ?, ?, ?, ?)", CHANGES)
        connection.execute("INSERT INTO aside VALUES (1, ?, 7, '{\"type\":\"c\"}', '', 1, 1)", (KEYS[0],))
        connection.commit()
    return tmp_path / "log.db"


def opened(path: Path) -> SqliteStore:
    store = SqliteStore(path, synchronous="OFF")
    store.open()
    return store


@pytest.mark.parametrize("is_in_use", [False, True])
def test_a_file_of_layout_1_is_copied_as_it_is_and_upgraded_when_a_store_opens_the_copy(
    path: Path, tmp_path: Path, *, is_in_use: bool
) -> None:
    copy = tmp_path / "copy.db"
    copy.write_bytes(b"")

    copy_log(path, copy, is_in_use=is_in_use, on_step=lambda _done, _total: None)

    assert count_events(copy) == 2
    with closing(sqlite3.connect(copy)) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (1,)
    assert [each.event["type"] for each in opened(copy).each()] == ["b", "a"]


def test_a_file_of_layout_1_keeps_its_events(path: Path) -> None:
    store = opened(path)

    assert [each.event["type"] for each in store.each()] == ["b", "a"]
    assert [each.dot for each in store.page(0).entries] == [("own", 1), ("own", 2), ("own", 3)]
    assert (store.state.last_added, store.state.events, store.state.clock_ms) == (2, 2, 9)
    assert [each.time for each in store.aside()] == [7]
    store.close()


def test_a_file_of_layout_1_takes_events_and_cursors_and_is_of_the_new_layout_then(path: Path) -> None:
    store = opened(path)
    with store.transaction():
        store.append([Entry((9, "kitchen", 0), 9, b'{"type":"d"}')], epoch="later")
        store.keep_cursors("anna:1", 1, 2)
    store.close()

    again = opened(path)

    assert [each.added for each in again.each()] == [2, 1, 3]
    assert again.cursors("anna:1") == (1, 2)
    again.close()
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (LAYOUT_2.version,)


def test_events_of_layout_1_are_found_by_their_reasons_and_indexes(path: Path) -> None:
    store = opened(path)

    assert [each.added for each in store.each(index="i")] == [2]
    with store.transaction():
        assert [each.added for each in store.remove_reason("r", Criteria()).cleaned] == [2]
    store.close()


def test_an_upgrade_refuses_a_meta_that_is_damaged(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE changes SET extra = ? WHERE position = 2", (b'{"reasons":[',))
        connection.commit()

    with pytest.raises(StoreError, match=r"the change 2 is unreadable.*it is damaged: put a copy"):
        opened(path)


def test_an_upgrade_that_fails_leaves_the_file_as_it_was(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("DROP INDEX changes_by_order")
        connection.commit()

    with pytest.raises(StoreError, match="changes_by_order"):
        opened(path)

    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (1,)
        assert "tombstone" not in str(connection.execute("SELECT sql FROM sqlite_schema").fetchall())
