"""A log is checked against itself: what is whole has no finding, and what the disk changed has one."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from shutil import copyfile

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from peers.events.created import created_key
from peers.events.entry import Entry
from peers.stores.keys import append_once
from peers.stores.runs.sqlite.checks.verifying import verify_log
from peers.stores.runs.sqlite.layout import LAYOUT_3
from peers.stores.runs.sqlite.store import SqliteRunStore
from peers.stores.store import StoreError
from tests.support.flipped_log import change_value, rows, write_log
from tests.support.run_house import Writer, clean, event, fresh, piece_of, put, take, undo

LATER = ("undo_marks", "keys")
UNSIGNED = {
    # What a node keeps for itself, and nothing else in the file says.
    *(("events", "local"), ("cursors", "number"), ("cursors", "other_node_id"), ("cursors", "synced")),
    *(("cursors", "other_synced"), ("last_kept", "reason"), ("last_kept", "time"), ("last_kept", "created")),
    *(("facts", "key"), ("facts", "value"), ("keys", "number"), ("keys", "key"), ("hollow", "is_refused")),
    ("undo_marks", "target"),  # of an undo that was cleaned
}
SAME = {("events", "state"), ("events", "time")}
"""Some other values say the same: whether an event that is shown was exchanged, and NULL or `ms` as its time."""


def findings(path: Path, *, is_deep: bool = True) -> list[str]:
    try:
        return list(verify_log(path, is_in_use=False, is_deep=is_deep, on_entries=lambda *_: None))
    except StoreError as error:
        return [str(error)]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All kinds of rows, keys, marks of undo, events that wait, and the proof of a fork."""
    path = write_log(tmp_path_factory.mktemp("whole") / "log.db")
    store, anna = SqliteRunStore(path, synchronous="OFF"), Writer(1)
    store.open()
    with store.transaction():
        append_once(store, [event(3_000, "sale"), event(3_001, "plain")], ["sale-17", ""], anna.pen)
        store.keep_cursors("ada", 3, 4)
    put(store, anna, undo(3_002, (3_001, "kitchen", 0)), event(3_003, extra=b'{"keep_last":"price"}'))
    clean(store, (3_002, "kitchen", 0))
    put(store, anna, undo(3_004, (2, "kitchen", 0)))
    branches = []
    for last in (event(4_002, "left", node="hall"), event(4_003, "right", node="hall")):
        writer = Writer(9)
        branch, epoch = fresh(writer, event(4_001, node="hall"))
        put(branch, writer, last)
        branches.append(branch)
    take(store, piece_of(branches[0], epoch))
    birth = store.birth(epoch)
    assert birth is not None
    with store.transaction():
        assert store.compare(birth, branches[1].blocks(epoch)).proven == (epoch,)
        store.until_ms = 5_000
    other, epoch = fresh(Writer(8), event(9_000, node="cellar"))
    take(store, piece_of(other, epoch))
    assert store.state.waiting == 1
    store.close()
    return path


def test_a_whole_log_has_no_finding(whole: Path) -> None:
    assert findings(whole) == findings(whole, is_deep=False) == []


def test_each_value_that_others_say_too_is_found_when_the_disk_changes_it(whole: Path, tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    missed = set()
    for table, column, at in rows(whole, (*LAYOUT_3.tables, *LATER)):
        copyfile(whole, path)
        if change_value(path, table, column, at) and not findings(path):
            missed.add((table, column))

    assert missed - UNSIGNED - SAME == set()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], deadline=None)
@given(data=st.data(), bit=st.integers(0, 7))
def test_a_flipped_bit_of_a_body_a_signature_or_a_leaf_is_found(
    whole: Path, tmp_path: Path, data: st.DataObject, bit: int
) -> None:
    with closing(sqlite3.connect(whole)) as connection:
        texts = [
            text
            for select in (
                "SELECT body FROM events",
                "SELECT signature FROM runs WHERE signature != x''",
                "SELECT head FROM runs",
                "SELECT leaf FROM hollow",
                "SELECT proof FROM proofs",
            )
            for (text,) in connection.execute(select)
        ]
    text = data.draw(st.sampled_from(texts))
    content = bytearray(whole.read_bytes())
    at = content.index(text)
    if content.count(text) == 1:  # else it may be in a page that is not used any more
        content[at + data.draw(st.integers(0, len(text) - 1))] ^= 1 << bit
        path = tmp_path / "log.db"
        path.write_bytes(content)

        assert findings(path)


@pytest.mark.parametrize(
    ("statement", "what"),
    [
        ("UPDATE facts SET value = value + 1 WHERE key = 'events'", "`events` is"),
        ("UPDATE facts SET value = value - 1 WHERE key = 'last_added'", "`last_added` is"),
        ("DELETE FROM proofs", "the proof that the epoch"),
        ("DELETE FROM undo_marks WHERE target = :two", "undoes [2, 'kitchen', 0], which is not marked"),
        ("DELETE FROM labels WHERE kind = 'index'", "the index 'two' of the event [2, 'kitchen', 0] is not noted"),
        ("UPDATE keys SET seq = seq + 1", "the key of an add names the event [3000, 'kitchen', 0], and its entry has"),
        ("UPDATE events SET lag = lag - 1 WHERE ms = 3003", "the event with `added`"),
        ("DELETE FROM events WHERE ms = 3003", "is missing"),
    ],
)
def test_a_finding_says_what_is_wrong(whole: Path, tmp_path: Path, statement: str, what: str) -> None:
    path = tmp_path / "log.db"
    copyfile(whole, path)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(statement, {"two": created_key((2, "kitchen", 0))})
        connection.commit()

    assert any(what in found for found in findings(path))


def test_the_quick_check_finds_a_wrong_signature_at_the_end(whole: Path, tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    copyfile(whole, path)
    store = SqliteRunStore(path, synchronous="OFF")
    store.open()
    epoch = next(iter(store.ends()))
    seq, signature = store.signature(epoch)
    store.close()
    content = path.read_bytes()
    path.write_bytes(content.replace(signature, bytes(64)))

    assert any("unreadable" in found or "not what" in found for found in findings(path, is_deep=False))
    assert seq


def test_a_log_that_a_node_writes_is_checked_as_of_one_commit(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    store, anna = SqliteRunStore(path, synchronous="OFF"), Writer(1)
    store.open()
    put(store, anna, *[event(ms) for ms in range(1, 1_200)])
    found: list[str] = []
    written: list[Entry] = []

    def write(_done: int, _total: int) -> None:
        written.append(event(10_000 + len(written)))
        put(store, anna, written[-1])

    found += verify_log(path, is_in_use=True, is_deep=True, on_entries=write)
    store.close()

    assert written
    assert found == findings(path) == []
