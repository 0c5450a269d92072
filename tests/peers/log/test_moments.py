"""Which events are older and younger than a moment, however it is given."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from peers.events.entry import Entry
from peers.log.moments import MIN_MS, place_at, place_past, read_since

NOW_MS = 1_700_000_000_000
EVENT = Entry((NOW_MS, "kitchen", 0), NOW_MS, b"{}")
LATER = Entry((NOW_MS, "kitchen", 1), NOW_MS, b"{}")
BERLIN = timezone(timedelta(hours=1))


@pytest.mark.parametrize(
    "moment",
    [
        NOW_MS,
        datetime.fromtimestamp(NOW_MS / 1_000, UTC),
        datetime.fromtimestamp(NOW_MS / 1_000, BERLIN),
        datetime.fromtimestamp(NOW_MS / 1_000),
        timedelta(0),
    ],
)
def test_a_moment_means_the_same_however_it_is_given(moment: Any) -> None:
    for event, is_older, is_younger in ((NOW_MS - 1, True, False), (NOW_MS, False, False), (NOW_MS + 1, False, True)):
        place = event, (event, "kitchen", 0)
        assert (place < place_at(moment, NOW_MS), place > place_past(moment, NOW_MS)) == (is_older, is_younger)


@pytest.mark.parametrize("moment", [EVENT, {"created": (NOW_MS, "kitchen", 0), "time": NOW_MS}])
def test_an_event_is_a_moment_of_its_own_place(moment: Any) -> None:
    assert place_at(moment, 0) == place_past(moment, 0) == (NOW_MS, EVENT.created)
    assert (LATER.time, LATER.created) > place_past(moment, 0)


def test_parts_of_a_millisecond_are_not_lost() -> None:
    moment = datetime.fromtimestamp(NOW_MS / 1_000, UTC) + timedelta(microseconds=300)

    assert (NOW_MS, EVENT.created) < place_at(moment, 0)
    assert (NOW_MS + 1, EVENT.created) > place_past(moment, 0)


def test_a_small_number_is_an_added_where_events_are_counted() -> None:
    assert read_since(7, NOW_MS) == (7, None)
    assert read_since(MIN_MS, NOW_MS) == (0, place_at(MIN_MS, NOW_MS))


@pytest.mark.parametrize("moment", [None, "1", 1.5, True, {"time": "1"}, {"time": 1}, timedelta(-1), datetime.min])
def test_what_is_no_moment_is_refused(moment: Any) -> None:
    with pytest.raises(ValueError, match=r"a moment is|negative|calendar|created"):
        place_at(moment, NOW_MS)
