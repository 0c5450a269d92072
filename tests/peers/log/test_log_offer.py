"""What a log does with events that a Logux client or server sent."""

from __future__ import annotations

import pytest

from peers.clock import ManualClock
from peers.events.created import MAX_DRIFT_MS, Created
from peers.events.entry import Entry
from peers.log.draft import Draft, make_draft
from tests.support.pair import NOW_MS, PairLog, open_log


@pytest.fixture
def log() -> PairLog:
    return open_log("home", ManualClock(NOW_MS))


def draft(type_: str, created: Created, **meta: object) -> Draft:
    return make_draft({"type": type_}, {"created": created, **meta})


def test_stores_offered_events_with_dots_of_its_own(log: PairLog) -> None:
    one, two = log.offer([draft("a", (5, "anna", 0), k=1), draft("b", (6, "anna", 0))]).get()

    assert isinstance(one, Entry) and isinstance(two, Entry)
    assert (one.dot, one.added, one.position) == ((log.state.epoch, 1), 1, 1)
    assert (two.dot, two.added, two.position) == ((log.state.epoch, 2), 2, 2)
    assert one.meta["k"] == 1


def test_an_offered_event_that_is_known_is_none(log: PairLog) -> None:
    log.offer([draft("a", (5, "anna", 0))]).get()

    results = log.offer([draft("a", (5, "anna", 0)), draft("b", (6, "anna", 0)), draft("b", (6, "anna", 0))]).get()

    assert [type(result) for result in results] == [type(None), Entry, type(None)]
    assert log.types == ["a", "b"]


def test_an_offered_event_that_differs_from_the_known_one_keeps_no_other_out(log: PairLog) -> None:
    log.add({"type": "a"}, {"created": (5, "anna", 0)}).get()

    results = log.offer(
        [draft("x", (4, "anna", 0)), draft("b", (5, "anna", 0)), draft("c", (6, "anna", 0)), draft("d", (6, "anna", 0))]
    ).get()

    assert [type(result) for result in results] == [Entry, ValueError, Entry, ValueError]
    assert "known and differs" in str(results[1])
    assert log.types == ["x", "a", "c"]
    assert log.last_added == 3


def test_the_time_of_an_offered_event_is_bounded(log: PairLog) -> None:
    (entry,) = log.offer([draft("a", (NOW_MS, "anna", 0), time=NOW_MS * 2)]).get()

    assert isinstance(entry, Entry)
    assert entry.time == NOW_MS + MAX_DRIFT_MS


def test_a_time_that_others_order_it_by_already_stays(log: PairLog) -> None:
    (entry,) = log.offer([Draft(b'{"type":"a"}', created=(NOW_MS, "anna", 0), time=NOW_MS * 2, is_fixed=True)]).get()

    assert isinstance(entry, Entry)
    assert entry.time == NOW_MS * 2


def test_what_is_written_after_an_offered_event_sorts_after_it(log: PairLog) -> None:
    log.offer([draft("a", (NOW_MS + 100, "anna", 0))]).get()
    log.add({"type": "b"}).get()

    assert log.types == ["a", "b"]
