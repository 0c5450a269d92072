"""The file of views: who may read it, and what becomes of files that are none, newer or damaged."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from mesh.views.store import DROPPED_ROWS, VIEWS_LAYOUT, Flush, ViewProgress, ViewStore
from mesh.views.values import Text, weight
from peers.events.entry import Entry
from peers.stores.store import StoreError


def flush(store: ViewStore, news: dict[str, Text], before: dict[str, Text], **more: object) -> ViewProgress:
    with store.transaction():
        return store.flush(Flush(1, ViewProgress(), news, before, **more))  # type: ignore[arg-type]


@pytest.fixture
def store(tmp_path: Path) -> ViewStore:
    made = ViewStore(tmp_path / "views.sqlite")
    made.open()
    with made.transaction():
        made.make(1, "stock", ViewProgress())
    return made


def test_only_their_user_may_read_views(store: ViewStore) -> None:
    assert store.path is not None
    assert store.path.stat().st_mode & 0o777 == 0o600
    store.close()


def test_what_is_committed_is_read(store: ViewStore) -> None:
    flush(store, {"a": b"1", "b": b"2"}, {"a": None, "b": None})
    flush(store, {"a": None, "c": b"3"}, {"a": b"1", "c": None})

    assert (store.read(1, "a"), store.read(1, "b")) == (None, b"2")
    assert store.page(1, "", None, 10) == [("b", b"2"), ("c", b"3")]
    assert store.page(1, "b!", "c", 10) == []
    store.close()
    with pytest.raises(StoreError, match="is closed: the node does not run"):
        store.read(1, "b")


def test_a_digest_is_that_of_the_keys_and_values(store: ViewStore) -> None:
    flush(store, {"a": b"1", "b": b"2"}, {"a": None, "b": None})
    progress = flush(store, {"a": None}, {"a": b"1"})

    assert int(progress.digest, 16) != weight("b", b"2")  # this flush began with no digest
    assert int(progress.digest, 16) == -weight("a", b"1") % 2**256


def test_a_transaction_that_fails_changes_nothing(store: ViewStore) -> None:
    def fail() -> None:
        with store.transaction():
            store.flush(Flush(1, ViewProgress(), {"a": b"1"}, {"a": None}))
            raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        fail()
    assert store.read(1, "a") is None
    store.close()


def test_a_state_takes_the_place_of_the_one_before_which_is_deleted_in_parts(store: ViewStore) -> None:
    keys: dict[str, Text] = {f"k{n}": b"1" for n in range(DROPPED_ROWS + 1)}
    flush(store, keys, dict.fromkeys(keys), is_complete=True)
    with store.transaction():
        store.make(2, "stock", ViewProgress(version=2))
        assert {role: number for role, (number, _) in store.find("stock")[0].items()} == {"current": 1, "building": 2}
        store.flush(Flush(2, ViewProgress(version=2), {}, {}, is_complete=True))

    steps = 0
    while True:
        with store.transaction():
            if not store.clear_some():
                break
        steps += 1
    with store.transaction():
        assert list(store.find("stock")[0]) == ["current"]
    assert (steps, store.read(1, "k0")) == (3, None)
    store.close()


def test_cleaned_events_are_kept_and_forgotten(store: ViewStore) -> None:
    entries = [Entry((n, "user", 0), n, b"{}", added=n, position=n) for n in range(3)]
    flush(store, {}, {}, cleaned=entries)
    flush(store, {}, {}, forgotten=[1])
    with store.transaction():
        store.note(1, [entries[1]], [(5, "user", 0)])

    with store.transaction():
        assert store.cleaned(1) == entries
        assert store.find("stock")[0]["building"][1].changed == [(5, "user", 0)]
    store.close()


def test_a_file_of_a_newer_release_is_left_alone(store: ViewStore) -> None:
    assert store.path is not None
    store.close()
    with sqlite3.connect(store.path) as connection:
        connection.execute(f"PRAGMA user_version = {VIEWS_LAYOUT + 1}")

    with pytest.raises(StoreError, match=r"views\.sqlite was written by a newer release .* install that release again"):
        ViewStore(store.path).open()


def test_a_file_of_another_program_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "views.sqlite"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE theirs (a)")

    with pytest.raises(StoreError, match="belongs to another program: move it away"):
        ViewStore(path).open()


def test_a_damaged_file_is_said(tmp_path: Path) -> None:
    path = tmp_path / "views.sqlite"
    path.write_bytes(b"no database at all" * 100)

    with pytest.raises(
        StoreError, match="it is damaged: move it away, then views are folded anew from what the log has"
    ):
        ViewStore(path).open()


def test_a_row_that_is_damaged_is_said(store: ViewStore) -> None:
    assert store.path is not None
    store.close()
    with sqlite3.connect(store.path) as connection:
        connection.execute("UPDATE views SET progress = x'c1'")
    store.open()

    with pytest.raises(StoreError, match="is damaged"), store.transaction():
        store.find("stock")
    store.close()
