"""How far two clocks are apart, from the messages of a link."""

from __future__ import annotations

from peers.clock import ManualClock
from peers.events.created import MAX_DRIFT_MS
from peers.events.entry import Entry
from peers.roles.clock_offset import ClockOffset, Span, difference_ms
from tests.support.neighbour import Neighbour
from tests.support.pair import NOW_MS, Pair

HOUR_MS = 3_600_000
QUARTER_MS = HOUR_MS // 4


def event(time: int) -> Entry:
    return Entry((time, "study", 0), time, b'{"type":"a"}')


def told_by(entry: Entry, *, open_for_ms: int = 0, signs: bool = False) -> Span | None:
    clock = ManualClock(NOW_MS)
    apart = ClockOffset(clock)
    clock.advance(open_for_ms)
    if signs:
        apart.on_sign()
    apart.on_fresh(entry)
    return apart.news()


def test_the_answer_to_the_greeting_gives_the_difference_within_the_round_trip() -> None:
    clock = ManualClock(NOW_MS)
    apart = ClockOffset(clock)
    clock.advance(30_000)

    apart.on_answer(NOW_MS, NOW_MS + HOUR_MS + 15_000, NOW_MS + HOUR_MS + 15_000)

    assert apart.news() == (HOUR_MS - 15_000, HOUR_MS + 15_000)
    assert apart.news() is None


def test_an_event_made_since_the_link_opened_gives_the_difference_too() -> None:
    assert told_by(event(NOW_MS - HOUR_MS)) == (-HOUR_MS - MAX_DRIFT_MS, -HOUR_MS)
    assert told_by(event(NOW_MS + HOUR_MS)) == (HOUR_MS - MAX_DRIFT_MS, HOUR_MS)


def spans_of(stranger: Neighbour) -> list[Span]:
    spans: list[Span] = []
    stranger.role.on("apart", spans.append)
    return spans


def test_an_event_that_the_other_end_had_at_its_greeting_gives_no_difference() -> None:
    stranger = Neighbour()
    spans = spans_of(stranger)
    old = stranger.own.put(event_of(NOW_MS - QUARTER_MS))
    stranger.greet(ends=stranger.own.ends)

    stranger.sends(old)
    assert spans == []
    stranger.sends(stranger.own.put(event_of(NOW_MS - QUARTER_MS, n=1)))

    assert difference_ms(spans[0]) == -QUARTER_MS


def test_an_event_of_a_third_node_gives_no_difference() -> None:
    stranger = Neighbour().greet()
    spans = spans_of(stranger)

    stranger.sends(stranger.attic.write())

    assert spans == []


def event_of(ms: int, n: int = 0) -> Entry:
    """An event of the stranger."""
    return Entry((ms, "stranger", n), ms, b'{"type":"a"}')


def test_an_event_that_may_be_as_old_as_a_long_link_gives_no_difference() -> None:
    span = told_by(event(NOW_MS + HOUR_MS), open_for_ms=2 * HOUR_MS)

    assert span is not None and difference_ms(span) == 0


def test_events_after_a_ping_count_as_recent() -> None:
    span = told_by(event(NOW_MS + HOUR_MS), open_for_ms=2 * HOUR_MS, signs=True)

    assert span is not None and -HOUR_MS <= difference_ms(span) < -HOUR_MS + MAX_DRIFT_MS


def test_the_end_that_dialled_reports_the_difference_at_the_greeting_and_the_other_with_an_event() -> None:
    right_clock = ManualClock(NOW_MS + HOUR_MS)
    pair = Pair(right={"clock": right_clock})
    spans: dict[str, Span] = {}
    pair.left.on("apart", lambda span: spans.update(left=span))
    pair.right.on("apart", lambda span: spans.update(right=span))

    pair.connect()
    assert spans == {"left": (HOUR_MS, HOUR_MS)}
    pair.left.log.add({"type": "a"})

    assert difference_ms(spans["right"]) == -HOUR_MS
