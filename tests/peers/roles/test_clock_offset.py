"""How far two clocks are apart, from the messages of a link."""

from __future__ import annotations

from peers.clock import ManualClock
from peers.events.created import MAX_DRIFT_MS
from peers.events.entry import Entry
from peers.events.version_vector import VersionVector
from peers.roles.clock_offset import ClockOffset, Span, difference_ms
from tests.support.pair import NOW_MS, Pair

HOUR_MS = 3_600_000
NOTHING = VersionVector()


def event(time: int, *, created: int | None = None, epoch: str = "e", seq: int = 1) -> Entry:
    return Entry((time if created is None else created, "study", 0), time, b'{"type":"a"}', dot=(epoch, seq))


def told_by(*entries: Entry, known: VersionVector = NOTHING, open_for_ms: int = 0, signs: bool = False) -> Span | None:
    clock = ManualClock(NOW_MS)
    apart = ClockOffset(clock)
    clock.advance(open_for_ms)
    if signs:
        apart.on_sign()
    apart.on_entries(entries, known, "study")
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


def test_an_older_event_gives_no_difference() -> None:
    assert told_by(event(NOW_MS - HOUR_MS), known=NOTHING.adds([("e", 1)])) is None
    assert told_by(event(NOW_MS - HOUR_MS, epoch="e.1.mark")) is None


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
