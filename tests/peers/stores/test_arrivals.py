"""When entries came into a store, and through whom."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peers.stores.arrivals import SAME_ARRIVAL_MS, WRITTEN_HERE, Arrival, paired
from peers.stores.run_store import RunStore
from peers.stores.runs import memory as memory_store
from peers.stores.runs.memory import MemoryRunStore
from peers.stores.runs.sqlite.reader import SqliteRunReader
from peers.stores.runs.sqlite.store import SqliteRunStore
from peers.stores.sqlite.arrival_rows import ArrivalRows
from tests.support.run_house import Writer, event

WRITER = Writer(1)
PATH = "log.db"


class FewArrivals(SqliteRunStore):
    """Its table of arrivals has so many rows; a test of 100 000 would take long."""

    def limit_arrivals(self, most: int) -> None:
        self._arrivals = ArrivalRows(self._execute, self._nodes.numbered, self._nodes.name, most)


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> RunStore:
    store = MemoryRunStore() if request.param == "memory" else FewArrivals(tmp_path / PATH, synchronous="OFF")
    store.open()
    return store


def come(store: RunStore, ms: int, via: str, *times: int) -> None:
    with store.transaction():
        first = store.state.last_position + 1
        store.append([event(time) for time in times], WRITER.pen)
        store.arrive(first, ms, via)


def test_each_entry_has_the_time_and_the_node_of_its_commit(store: RunStore) -> None:
    come(store, 1_000, "attic~1", 1, 2)
    come(store, 1_000, "study~1", 3)
    come(store, 9_000, WRITTEN_HERE, 4)

    assert store.arrival(1) == store.arrival(2) == Arrival(1, 2, 1_000, 1_000, "attic~1")
    assert store.arrival(3) == Arrival(3, 3, 1_000, 1_000, "study~1")
    assert store.arrival(4) == Arrival(4, 4, 9_000, 9_000, WRITTEN_HERE)
    assert store.arrival(5) is store.arrival(0) is None


def test_what_one_node_brings_within_a_second_is_one_arrival(store: RunStore) -> None:
    come(store, 1_000, "attic~1", 1)
    come(store, 1_999, "attic~1", 2)
    come(store, 1_000 + SAME_ARRIVAL_MS, "attic~1", 3)

    assert store.arrival(1) == store.arrival(2) == Arrival(1, 2, 1_000, 1_999, "attic~1")
    assert store.arrival(3) == Arrival(3, 3, 2_000, 2_000, "attic~1")


def test_a_clock_that_goes_back_begins_another_one(store: RunStore) -> None:
    come(store, 5_000, "attic~1", 1)
    come(store, 4_999, "attic~1", 2)

    assert store.arrival(2) == Arrival(2, 2, 4_999, 4_999, "attic~1")


def test_what_a_failed_transaction_noted_is_gone(store: RunStore) -> None:
    come(store, 1_000, "attic~1", 1)
    with pytest.raises(KeyError), store.transaction():
        store.append([event(2)], WRITER.pen)
        store.arrive(2, 1_500, "attic~1")
        raise KeyError

    come(store, 1_600, "study~1", 3)

    assert store.arrival(1) == Arrival(1, 1, 1_000, 1_000, "attic~1")
    assert store.arrival(2) == Arrival(2, 2, 1_600, 1_600, "study~1")


def test_they_outlast_the_store(store: RunStore) -> None:
    come(store, 1_000, "attic~1", 1)

    store.close()
    store.open()
    come(store, 1_100, "attic~1", 2)

    assert store.arrival(2) == Arrival(1, 2, 1_000, 1_100, "attic~1")


def test_it_counts_what_came_since_a_time(store: RunStore) -> None:
    assert store.came_since(0) is None
    come(store, 1_000, "attic~1", 1, 2)
    come(store, 5_000, "attic~1", 3)
    come(store, 9_000, "attic~1", 4)

    assert store.came_since(6_000) == (1, 6_000)
    assert store.came_since(5_000) == (2, 5_000)
    assert store.came_since(10) == (4, 1_000)


def test_what_a_release_without_arrivals_wrote_has_none_and_moves_no_others(tmp_path: Path) -> None:
    store = SqliteRunStore(tmp_path / PATH, synchronous="OFF")
    store.open()
    come(store, 1_000, "attic~1", 1)
    store.close()
    store.open()
    with store.transaction():
        store.append([event(2)], WRITER.pen)  # as that release does
    come(store, 1_100, "attic~1", 3)

    assert store.arrival(2) is None
    assert store.arrival(3) == Arrival(3, 3, 1_100, 1_100, "attic~1")


def test_a_file_without_the_table_gets_it_when_it_is_opened_and_is_read_without(tmp_path: Path) -> None:
    store = SqliteRunStore(tmp_path / PATH, synchronous="OFF")
    store.open()
    come(store, 1_000, "attic~1", 1)
    store.close()
    connection = sqlite3.connect(tmp_path / PATH)
    connection.execute("DROP TABLE arrivals")
    connection.close()

    reader = SqliteRunReader(tmp_path / PATH)
    reader.open()
    assert (reader.arrival(1), reader.came_since(0)) == (None, None)
    reader.close()
    store.open()
    come(store, 2_000, "attic~1", 2)

    assert store.arrival(1) is None
    assert store.arrival(2) == Arrival(2, 2, 2_000, 2_000, "attic~1")


def test_there_are_not_too_many_and_old_ones_become_coarse(store: RunStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory_store, "MAX_ARRIVALS", 16)
    if isinstance(store, FewArrivals):
        store.limit_arrivals(16)

    for number in range(1, 200):
        come(store, 10_000 * number, f"node{number % 3}~1", number)

    arrivals = {store.arrival(position) for position in range(1, 200)}
    assert None not in arrivals and len(arrivals) <= 16
    for position in range(1, 200):
        arrival = store.arrival(position)
        assert arrival is not None and arrival.ms <= 10_000 * position <= arrival.until_ms
        assert arrival.via in (None, f"node{position % 3}~1")
    assert store.arrival(199) == Arrival(199, 199, 1_990_000, 1_990_000, "node1~1")


@given(st.lists(st.tuples(st.integers(1, 5), st.booleans(), st.integers(0, 9), st.sampled_from("ab")), max_size=30))
def test_pairs_lose_no_entry(steps: list[tuple[int, bool, int, str]]) -> None:
    arrivals: list[Arrival] = []
    position, ms = 1, 0
    for length, has_gap, later, via in steps:
        position += has_gap
        ms += later
        arrivals.append(Arrival(position, position + length - 1, ms, ms + 1, via))
        position += length

    merged = paired(arrivals)

    def covered(rows: list[Arrival]) -> list[int]:
        return [at for row in rows for at in range(row.first, row.last + 1)]

    assert covered(merged) == covered(arrivals)
    assert len(merged) <= len(arrivals)
    for row in arrivals:
        (of,) = [one for one in merged if one.first <= row.first <= one.last]
        assert of.ms <= row.ms and of.until_ms >= row.until_ms and of.via in (None, row.via)
