"""What a log accepts, and when it acknowledges it."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from peers.clock import ManualClock
from peers.events.entry import MAX_EVENT_BYTES, Entry
from peers.log import draft as draft_module
from peers.log.draft import BusyError
from peers.log.run_log import RunLog
from peers.stores.disk import InlineDisk
from peers.stores.runs.memory import MemoryRunStore
from peers.stores.store import StoreError
from tests.support.elsewhere import Elsewhere
from tests.support.pair import NOW_MS, HeldDisk, PairLog, open_log
from tests.support.run_house import event as written

TEN_YEARS_MS = 87_600 * 3_600_000


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOW_MS)


@pytest.fixture
def log(clock: ManualClock) -> PairLog:
    return open_log("home", clock)


# Adding


def test_gives_an_event_its_meta(log: PairLog) -> None:
    meta = log.add({"type": "a"}, {"reason": "test"}).get()

    dot = log.state.epoch, 1
    given = {"created": (NOW_MS, "home", 0), "time": NOW_MS, "added": 1, "dot": dot, "origin": "home"}
    assert meta == {**given, "reason": "test"}


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
        ({"type": "a", "x": object()}, None, 'event["x"] is an object: give'),
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
        ({"type": "a"}, {"x": print}, 'meta["x"] is a builtin_function'),
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
    assert log.state.last_position == 0


def test_acknowledges_after_the_commit_only(clock: ManualClock) -> None:
    store = MemoryRunStore()
    disk = HeldDisk(store)
    log = open_log("home", clock, store=store, disk=disk)
    seen: list[Any] = []
    log.on("event", lambda event, meta: seen.append(event))

    added = log.add({"type": "a"})
    assert not added.is_done and seen == [] and log.last_added == 0
    disk.release()

    assert added.is_done and seen == [{"type": "a"}] and log.last_added == 1


def test_says_when_too_many_wait_for_the_disk(clock: ManualClock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(draft_module, "MAX_WAITING", 3)
    store = MemoryRunStore()
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
    assert [entry.added for entry in log.entries] == [1, 2]


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
    store = MemoryRunStore()
    open_log("home", clock, store=store).add({"type": "a"})
    clock.wall_ms -= 10_000

    again = open_log("home", clock, store=store, seed=1)
    again.add({"type": "b"})

    assert again.types == ["a", "b"]
    assert again.state.epoch != store.each()[0].dot[0]  # type: ignore[index]


def test_what_is_written_after_something_came_sorts_after_it(log: PairLog) -> None:
    Elsewhere().bring(log, written(NOW_MS + 30_000, "r", node="attic"))

    log.add({"type": "own"})

    assert log.types == ["r", "own"]


def test_an_event_from_too_far_ahead_is_reported_and_not_followed(log: PairLog) -> None:
    ahead: list[Entry] = []
    log.on("ahead", ahead.append)

    Elsewhere().bring(log, written(NOW_MS + 60_001, "r", node="attic"))
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


def test_a_log_opened_with_a_mark_from_ten_years_ahead_goes_on_after_its_last_time_near_our_clock() -> None:
    clock, store = ManualClock(NOW_MS), MemoryRunStore()
    log = RunLog.open(InlineDisk(store), "home", clock=clock, random=Random(1)).get()
    clock.wall_ms += TEN_YEARS_MS
    log.add({"type": "ahead"}).get()
    clock.wall_ms -= TEN_YEARS_MS
    for second in (1, 2, 3):
        log.add({"type": "near"}, {"time": NOW_MS + second * 1_000}).get()

    log.close().get()

    reopened = RunLog.open(InlineDisk(store), "home", clock=clock, random=Random(2)).get()
    meta = reopened.add({"type": "next"}).get()

    assert meta is not None and meta["time"] == NOW_MS + 3_000


@pytest.mark.parametrize(("step_ms", "next_time"), [(-50_000, NOW_MS + 1), (-90_000, NOW_MS - 90_000)])
def test_a_log_opened_after_a_step_back_goes_on_past_what_it_holds_unless_the_step_was_large(
    step_ms: int, next_time: int
) -> None:
    clock, store = ManualClock(NOW_MS), MemoryRunStore()
    log = RunLog.open(InlineDisk(store), "home", clock=clock, random=Random(1)).get()
    log.add({"type": "before"}).get()
    clock.wall_ms += step_ms

    log.close().get()

    reopened = RunLog.open(InlineDisk(store), "home", clock=clock, random=Random(2)).get()
    meta = reopened.add({"type": "after"}).get()

    assert meta is not None and meta["time"] == next_time
