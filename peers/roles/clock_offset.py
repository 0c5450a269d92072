"""ClockOffset: how far the wall clocks of two ends are apart, by the messages of one link."""

from __future__ import annotations

from peers.clock import Clock
from peers.events.created import MAX_DRIFT_MS
from peers.events.entry import Entry

Span = tuple[int, int]
"""By how many ms the other end's clock is ahead of ours, at least and at most; negative if it is behind."""

NEWS_MS = 1_000
"""A change of the difference by less than this is not reported."""
MAX_SEND_DELAY_MS = 30_000
"""An event is sent at most this long after it was made, while the link answers."""


def difference_ms(span: Span) -> int:
    """The smallest difference that the span allows: 0 if the clocks may be alike."""
    low, high = span
    return low if low > 0 else min(high, 0)


class ClockOffset:
    """Made when a link opens.

    Spans that overlap are joined to a narrower one. A span that does not overlap replaces them: a clock was set anew.
    """

    __slots__ = ("_clock", "_since_ms", "_span", "_told_ms")

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._since_ms = clock.elapsed_ms()
        """Monotonic; an event that they did not claim to hold at this time was made after it."""
        self._span: Span | None = None
        self._told_ms: int | None = None

    def on_answer(self, sent_ms: int, came_at: int, answered_at: int) -> None:
        """The answer to our greeting has arrived. The greeting left at `sent_ms` by our clock; by theirs it arrived at
        `came_at` and was answered at `answered_at`. The difference of the clocks lies within the round trip.
        """
        self._note((answered_at - self._clock.now_ms(), came_at - sent_ms))

    def on_sign(self) -> None:
        """They sent a `ping` or `pong`: events that they send later were made at most MAX_SEND_DELAY_MS before it."""
        self._since_ms = max(self._since_ms, self._clock.elapsed_ms() - MAX_SEND_DELAY_MS)

    def on_fresh(self, entry: Entry) -> None:
        """An event has arrived that its sender made since the link opened. Its time is at most MAX_DRIFT_MS ahead of that
        node's clock, and its `created` is not behind that clock.
        """
        now = self._clock.now_ms()
        since = now - round(self._clock.elapsed_ms() - self._since_ms)
        if self._span is not None and entry.time - now < difference_ms(self._span) - MAX_DRIFT_MS:
            self._span = None  # their clock was set back; `created` alone does not show that
        self._note((entry.time - MAX_DRIFT_MS - now, entry.created[0] - since))

    def news(self) -> Span | None:
        """The span, if its difference has changed by NEWS_MS or more since the last call that returned one."""
        if self._span is None:
            return None
        difference = difference_ms(self._span)
        if self._told_ms is not None and abs(difference - self._told_ms) < NEWS_MS:
            return None
        self._told_ms = difference
        return self._span

    def _note(self, span: Span) -> None:
        if span[0] > span[1]:
            return  # our own clock was set meanwhile
        known = self._span or span
        low, high = max(span[0], known[0]), min(span[1], known[1])
        self._span = (low, high) if low <= high else span
