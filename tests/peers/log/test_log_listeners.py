"""What the listeners and readers of a log get."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any

import pytest

from peers.clock import ManualClock
from peers.events.entry import Entry, encode_event
from peers.events.version_vector import VersionVector
from peers.log.log import Log
from peers.stores.disk import InlineDisk
from peers.stores.memory import MemoryStore
from peers.stores.sqlite.store import SqliteStore
from peers.stores.store import StoreError
from tests.support.pair import NOW_MS, HeldDisk, PairLog, open_log, received


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOW_MS)


@pytest.fixture
def log(clock: ManualClock) -> PairLog:
    return open_log("home", clock)


# Telling


def test_tells_each_new_event_once_in_the_order_of_added(log: PairLog) -> None:
    seen: list[tuple[str, int]] = []
    log.on("event", lambda event, meta: seen.append((event["type"], meta["added"])))

    log.add_batch([({"type": "a"}, None), ({"type": "b"}, None)])
    log.add_entries([received(1)])
    log.add_entries([received(1)])
    log.add_entries([received(1, epoch="f")])  # a further dot is no news

    assert seen == [("a", 1), ("b", 2), ("r", 3)]


def test_a_further_dot_beside_a_cleaned_event_that_returns_is_no_news(log: PairLog) -> None:
    log.add_entries([received(500, "old")])
    log.add_entries([received(5, "late", epoch="f", ms=600)])
    log.change_meta((600, "attic", 0), {"reasons": []})
    log.add_entries([received(5, "rival", epoch="f", ms=400)])  # takes the dot of the cleaned one
    seen: list[str] = []
    log.on("event", lambda event, _: seen.append(event["type"]))

    log.add_entries([received(1, "late", epoch="g", ms=600), received(1, "old", epoch="h", ms=500)])

    assert seen == []


def test_an_event_added_by_a_listener_is_told_after_those_before_it(log: PairLog) -> None:
    seen: list[str] = []

    def answer(event: dict[str, Any], _meta: Any) -> None:
        if event["type"] == "question":
            log.add({"type": "answer"})

    log.on("event", answer)
    log.on("event", lambda event, _meta: seen.append(event["type"]))

    log.add_batch([({"type": "question"}, None), ({"type": "other"}, None)])

    assert seen == ["question", "other", "answer"]


def test_a_listener_that_fails_neither_stops_the_others_nor_the_add(clock: ManualClock) -> None:
    store = MemoryStore()
    disk = HeldDisk(store)
    log = open_log("home", clock, store=store, disk=disk)
    seen: list[str] = []

    def fail(*_: Any) -> None:
        raise KeyError("mine")

    log.on("change", fail)
    log.on("event", fail)
    log.on("event", lambda event, _meta: seen.append(event["type"]))
    added = log.add_batch([({"type": "a"}, None), ({"type": "b"}, None)])

    with pytest.raises(KeyError, match="mine"):
        disk.release()

    assert added.is_done and added.exception is None
    assert seen == ["a", "b"]
    log.add({"type": "c"})
    with pytest.raises(KeyError):
        disk.release()
    assert log.types == ["a", "b", "c"]


def test_tells_one_change_for_a_commit_and_none_for_nothing_new(log: PairLog) -> None:
    changes: list[int] = []
    log.on("change", lambda: changes.append(log.published.state.last_position))

    log.add_batch([({"type": "a"}, None), ({"type": "b"}, None)])
    log.add_entries([])
    log.add_entries([received(1), received(1)])
    log.add_entries([received(1)])

    assert changes == [2, 3]


def test_what_is_published_is_committed_when_it_is_told(log: PairLog) -> None:
    seen: list[int] = []
    log.on("event", lambda _event, meta: seen.append(log.published.state.last_added - meta["added"]))

    log.add({"type": "a"})

    assert seen == [0]


# Walking


def test_a_page_of_the_tail_is_that_of_the_store(log: PairLog) -> None:
    log.add_batch([({"type": str(number)}, None) for number in range(20)])
    log.add_entries([received(1)])

    for after in range(22):
        assert log.page(after, limit=3).get() == log.store.page(after, limit=3)


def test_a_page_from_before_this_run_comes_from_the_store(clock: ManualClock) -> None:
    store = MemoryStore()
    open_log("home", clock, store=store).add({"type": "a"})

    log = open_log("home", clock, store=store, seed=1)
    log.add({"type": "b"})

    assert [entry.event["type"] for entry in log.page(0).get().entries] == ["a", "b"]


def test_finds_the_first_change_that_another_node_lacks(log: PairLog) -> None:
    log.add_batch([({"type": name}, None) for name in "abc"])
    epoch = log.published.epoch

    assert log.first_lacked(VersionVector()).get() == 1
    assert log.first_lacked(VersionVector({epoch: [(1, 1), (3, 3)]})).get() == 2
    assert log.first_lacked(VersionVector({epoch: [(1, 3)]})).get() == 4
    assert log.first_lacked(VersionVector({epoch: [(1, 9)]})).get() == 4


def test_a_conflict_within_one_commit_does_not_stop_the_log(log: PairLog) -> None:
    log.add_entries([received(1, "one", ms=1), received(1, "two", ms=2), received(2, "three")])

    log.add({"type": "own"})

    assert log.page(0).get().until == log.published.state.last_position
    walked = [entry.event["type"] for entry in log.page(0).get().entries]
    assert "own" in walked and "three" in walked


# Epochs


def test_writes_of_one_run_are_numbered_without_gaps(log: PairLog) -> None:
    log.add({"type": "a"})
    log.add({"type": "a"}, {"created": log.entries[0].created})
    log.add({}).exception  # noqa: B018 - it is looked at
    log.add({"type": "b"})

    assert log.published.state.vector == VersionVector({log.published.epoch: [(1, 2)]})


def test_a_renewed_epoch_relabels_what_was_written(log: PairLog) -> None:
    log.add_batch([({"type": name}, None) for name in "ab"])
    old = log.published.epoch

    log.renew_epoch().get()
    log.add({"type": "c"})

    new = log.published.epoch
    assert new != old
    assert log.published.state.vector == VersionVector({new: [(1, 3)]})
    assert log.last_added == 3
    assert [entry.dot for entry in log.page(2).get().entries] == [(new, 1), (new, 2), (new, 3)]


def test_a_write_that_waits_while_the_epoch_is_renewed_is_relabelled_too(clock: ManualClock) -> None:
    store = MemoryStore()
    disk = HeldDisk(store)
    log = open_log("home", clock, store=store, disk=disk)
    log.add({"type": "a"})
    log.renew_epoch()
    log.add({"type": "b"})

    disk.release()

    assert log.published.state.vector.ranges[log.published.epoch] == ((1, 2),)


def test_opens_over_a_disk(clock: ManualClock) -> None:
    log = Log.open(InlineDisk(MemoryStore()), "home", clock=clock, random=Random(1)).get()
    meta = log.add({"type": "a"}).get()

    assert meta is not None and meta["created"] == (NOW_MS, "home", 0)


def test_opening_over_a_bad_disk_fails(clock: ManualClock, tmp_path: Path) -> None:
    (tmp_path / "log.sqlite").write_text("no log" * 100)

    opened = Log.open(InlineDisk(SqliteStore(tmp_path / "log.sqlite")), "home", clock=clock, random=Random(1))

    assert isinstance(opened.exception, StoreError)


def test_close_closes_the_store_and_tells_nothing_more(log: PairLog) -> None:
    seen: list[Any] = []
    log.on("event", seen.append)

    log.close().get()

    assert isinstance(log.add({"type": "a"}).exception, StoreError)
    assert seen == []


def test_each_pages_through_the_events(log: PairLog) -> None:
    log.add_batch([({"type": str(number)}, None) for number in range(5)])

    first = log.each(limit=3).get()
    rest = log.each(after=first[-1], limit=3).get()

    assert [entry.event["type"] for entry in first + rest] == list("01234")


def test_what_lost_is_kept_aside(log: PairLog) -> None:
    body_one, body_two = encode_event({"type": "one"}), encode_event({"type": "two"})
    log.add_entries([Entry((5, "c", 0), 5, body_one, b"", ("e", 1)), Entry((5, "c", 0), 6, body_two, b"", ("f", 1))])

    assert log.types == ["one"]
    assert [entry.event["type"] for entry in log.aside().get()] == ["two"]
    assert log.published.state.conflicts == 1
