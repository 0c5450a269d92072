"""The cursors that a store keeps for Logux clients and servers."""

from __future__ import annotations

from pathlib import Path

import pytest

from peers.clock import ManualClock
from peers.stores import memory_events as memory_store
from peers.stores.run_store import RunStore
from peers.stores.runs.memory import MemoryRunStore
from peers.stores.runs.sqlite.store import SqliteRunStore
from peers.stores.sqlite import open_file
from tests.support.pair import NOW_MS, open_log


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> RunStore:
    return MemoryRunStore() if request.param == "memory" else SqliteRunStore(tmp_path / "log.db", synchronous="OFF")


def keep(store: RunStore, other_node_id: str, synced: int, other_synced: int) -> None:
    with store.transaction():
        store.keep_cursors(other_node_id, synced, other_synced)


def test_an_unknown_node_has_zero_cursors(store: RunStore) -> None:
    store.open()

    assert store.cursors("anna:1") == (0, 0)


def test_updates_both_synced_values_and_keeps_them_when_it_is_opened_again(store: RunStore) -> None:
    store.open()
    keep(store, "anna:1", 1, 2)
    keep(store, "anna:1", 3, 2)

    store.close()
    store.open()

    assert store.cursors("anna:1") == (3, 2)
    assert store.cursors("anna:2") == (0, 0)


def test_what_a_failed_transaction_kept_is_gone(store: RunStore) -> None:
    store.open()
    keep(store, "anna:1", 1, 2)

    with pytest.raises(KeyError), store.transaction():
        store.keep_cursors("anna:1", 5, 5)
        store.keep_cursors("bert:1", 5, 5)
        raise KeyError

    assert (store.cursors("anna:1"), store.cursors("bert:1")) == ((1, 2), (0, 0))


def test_forgets_those_that_were_kept_longest_ago(store: RunStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory_store, "MAX_CURSORS", 2)
    monkeypatch.setattr(open_file, "MAX_CURSORS", 2)
    store.open()
    for name, synced in (("anna", 1), ("bert", 2), ("anna", 3), ("carl", 4)):
        keep(store, name, synced, 0)

    assert [store.cursors(name)[0] for name in ("anna", "bert", "carl")] == [3, 0, 4]


def test_a_log_keeps_cursors() -> None:
    log = open_log("home", ManualClock(NOW_MS))

    log.keep_cursors("anna:1", 7, 9).get()

    assert log.cursors("anna:1").get() == (7, 9)
