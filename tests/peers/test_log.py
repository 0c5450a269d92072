"""The live log: what it takes, gives and tells."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
from pair import NOW_MS, HeldDisk, PairLog, open_log

from peers import log as log_module
from peers.clock import ManualClock
from peers.disk import InlineDisk
from peers.entry import MAX_EVENT_BYTES, Entry, encode_event
from peers.log import BusyError, Log
from peers.stores.memory_store import MemoryStore
from peers.stores.store import StoreError
from peers.version_vector import VersionVector


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOW_MS)


@pytest.fixture
def log(clock: ManualClock) -> PairLog:
    return open_log("home", clock)


def received(seq: int, type_: str = "r", *, epoch: str = "e", ms: int = 0, time: int = 0) -> Entry:
    ms = ms or seq
    return Entry((ms, "attic", 0), time or ms, encode_event({"type": type_}), b"", (epoch, seq))


# Adding


def test_gives_an_event_its_meta(log: PairLog) -> None:
    epoch = log.published.epoch

    meta = log.add({"type": "a"}, {"reason": "test"}).get()

    assert meta == {"created": (NOW_MS, "home", 0), "time": NOW_MS, "added": 1, "dot": (epoch, 1), "reason": "test"}


def test_takes_a_created_and_a_time_that_are_given(log: PairLog) -> None:
    meta = log.add({"type": "a"}, {"created": [5, "client", 2], "time": 7}).get()

    assert meta is not None
    assert (meta["created"], meta["time"]) == ((5, "client", 2), 7)


def test_a_second_copy_is_known_already_and_takes_no_number(log: PairLog) -> None:
    log.add({"type": "a"}, {"created": (5, "client", 0)})

    assert log.add({"type": "a"}, {"created": (5, "client", 0)}).get() is None
    log.add({"type": "b"})

    assert log.last_added == 2
    assert [entry.dot[1] for entry in log.entries if entry.dot] == [1, 2]


def test_another_event_under_a_known_created_is_refused(log: PairLog) -> None:
    log.add({"type": "a"}, {"created": (5, "client", 0)})

    with pytest.raises(ValueError, match="known and differs"):
        log.add({"type": "b"}, {"created": (5, "client", 0)}).get()

    assert log.types == ["a"]


@pytest.mark.parametrize(
    ("event", "meta", "sentence"),
    [
        ({}, None, "needs a `type`"),
        ({"type": 1}, None, "needs a `type`"),
        ([], None, "must be an object"),
        (None, None, "must be an object"),
        ({"type": "a", "x": object()}, None, "cannot be written as JSON"),
        ({"type": "a", "x": "\ud800"}, None, "cannot be written as JSON"),
        ({"type": "a", "x": "y" * MAX_EVENT_BYTES}, None, "at most"),
        ({"type": "a"}, {"created": 5}, "created must be"),
        ({"type": "a"}, {"created": (5, "client")}, "created must be"),
        ({"type": "a"}, {"created": (True, "client", 0)}, "created must be"),
        ({"type": "a"}, {"created": (-1, "client", 0)}, "must be from 0"),
        ({"type": "a"}, {"created": (1, "", 0)}, "printable characters"),
        ({"type": "a"}, {"created": (1, "a\nb", 0)}, "printable characters"),
        ({"type": "a"}, {"time": "now"}, "time must be"),
        ({"type": "a"}, {"time": -1}, "time must be"),
        ({"type": "a"}, {"time": True}, "time must be"),
        ({"type": "a"}, {"added": 5}, "added"),
        ({"type": "a"}, {"dot": ("e", 1)}, "dot"),
        ({"type": "a"}, {"x": object()}, "cannot be written as JSON"),
        ({"type": "a"}, {"x": "y" * 20_000}, "at most"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_refuses_with_a_sentence_what_it_cannot_take(log: PairLog, event: Any, meta: Any, sentence: str) -> None:
    failed = log.add(event, meta)

    assert isinstance(failed.exception, ValueError)
    assert sentence in str(failed.exception)
    assert log.last_added == 0


def test_nesting_beyond_the_limit_is_refused_however_deep(log: PairLog) -> None:
    for depth in (40, 500, 5_000):
        nested: Any = []
        for _ in range(depth):
            nested = [nested]

        with pytest.raises(ValueError, match="nested"):
            log.add({"type": "a", "x": nested}).get()


def test_an_event_changed_after_it_was_added_is_kept_as_it_was(log: PairLog) -> None:
    event = {"type": "a"}
    log.add(event)
    event["type"] = "b"

    assert log.types == ["a"]


def test_a_bad_event_of_a_batch_loses_no_good_one(log: PairLog) -> None:
    known = (5, "client", 0)
    log.add({"type": "known"}, {"created": known})

    outcomes = log.add_batch(
        [({"type": "a"}, None), ({}, None), ({"type": "known"}, {"created": known}), ({"type": "b"}, None)]
    ).get()

    first, bad, again, last = outcomes
    assert isinstance(first, dict) and isinstance(last, dict)
    assert isinstance(bad, ValueError) and again is None
    assert (first["added"], last["added"]) == (2, 3)
    assert log.types == ["known", "a", "b"]


def test_an_empty_batch_is_nothing(log: PairLog) -> None:
    assert log.add_batch([]).get() == []
    assert log.published.state.last_position == 0


def test_acknowledges_after_the_commit_only(clock: ManualClock) -> None:
    store = MemoryStore()
    disk = HeldDisk(store)
    log = open_log("home", clock, store=store, disk=disk)
    seen: list[Any] = []
    log.on("event", lambda event, meta: seen.append(event))

    added = log.add({"type": "a"})
    assert not added.is_done and seen == [] and log.last_added == 0
    disk.release()

    assert added.is_done and seen == [{"type": "a"}] and log.last_added == 1


def test_says_when_too_many_wait_for_the_disk(clock: ManualClock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_module, "MAX_WAITING", 3)
    store = MemoryStore()
    disk = HeldDisk(store)
    log = open_log("home", clock, store=store, disk=disk)
    for name in "abc":
        log.add({"type": name})

    assert isinstance(log.add({"type": "d"}).exception, BusyError)
    disk.release()

    assert log.add({"type": "e"}).exception is None


def test_a_failing_disk_fails_the_add_and_changes_nothing(log: PairLog) -> None:
    log.add({"type": "a"})
    log.store.close()

    assert isinstance(log.add({"type": "b"}).exception, StoreError)
    log.store.open()

    assert log.add({"type": "c"}).exception is None
    assert log.types == ["a", "c"]
    assert [entry.dot[1] for entry in log.entries if entry.dot] == [1, 2]


# Time


def test_two_events_of_one_ms_keep_their_order(log: PairLog) -> None:
    for name in "abc":
        log.add({"type": name})

    assert [entry.created for entry in log.entries] == [(NOW_MS, "home", n) for n in range(3)]


def test_a_clock_that_steps_back_gives_no_smaller_created(log: PairLog, clock: ManualClock) -> None:
    log.add({"type": "a"})
    clock.wall_ms -= 10_000
    log.add({"type": "b"})

    assert log.types == ["a", "b"]


def test_a_new_start_gives_no_smaller_created_either(clock: ManualClock) -> None:
    store = MemoryStore()
    open_log("home", clock, store=store).add({"type": "a"})
    clock.wall_ms -= 10_000

    again = open_log("home", clock, store=store, seed=1)
    again.add({"type": "b"})

    assert again.types == ["a", "b"]
    assert again.published.epoch != store.each()[0].dot[0]  # type: ignore[index]


def test_what_is_written_after_something_came_sorts_after_it(log: PairLog) -> None:
    log.add_entries([received(1, ms=NOW_MS + 30_000)])

    log.add({"type": "own"})

    assert log.types == ["r", "own"]


def test_an_event_from_too_far_ahead_is_reported_and_not_followed(log: PairLog) -> None:
    ahead: list[Entry] = []
    log.on("ahead", ahead.append)

    log.add_entries([received(1, ms=NOW_MS + 60_001)])
    meta = log.add({"type": "own"}).get()

    assert [entry.created[0] for entry in ahead] == [NOW_MS + 60_001]
    assert meta is not None and meta["created"][0] == NOW_MS


def test_a_given_time_is_at_most_a_little_ahead(log: PairLog) -> None:
    meta = log.add({"type": "a"}, {"time": NOW_MS * 10}).get()

    assert meta is not None and meta["time"] == NOW_MS + 60_000


def test_a_given_created_from_the_far_future_does_not_move_the_clock(log: PairLog) -> None:
    log.add({"type": "a"}, {"created": (NOW_MS * 10, "client", 0)})

    meta = log.add({"type": "b"}).get()

    assert meta is not None and meta["created"] == (NOW_MS, "home", 0)


# Telling


def test_tells_each_new_event_once_in_the_order_of_added(log: PairLog) -> None:
    seen: list[tuple[str, int]] = []
    log.on("event", lambda event, meta: seen.append((event["type"], meta["added"])))

    log.add_batch([({"type": "a"}, None), ({"type": "b"}, None)])
    log.add_entries([received(1)])
    log.add_entries([received(1)])
    log.add_entries([received(1, epoch="f")])  # a further dot is no news

    assert seen == [("a", 1), ("b", 2), ("r", 3)]


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


def test_finds_the_first_change_that_somebody_lacks(log: PairLog) -> None:
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
    assert log.published.state.vector == VersionVector({old: [(1, 2)], new: [(1, 3)]})
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
    store = MemoryStore()
    store.open()

    log = Log.open(InlineDisk(store), "home", clock=clock, random=Random(1)).get()
    meta = log.add({"type": "a"}).get()

    assert meta is not None and meta["created"] == (NOW_MS, "home", 0)


def test_opening_over_a_bad_disk_fails(clock: ManualClock) -> None:
    opened = Log.open(InlineDisk(MemoryStore()), "home", clock=clock, random=Random(1))

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
