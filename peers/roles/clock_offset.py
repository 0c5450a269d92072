"""How far the wall clocks of two ends are apart, as far as what comes over one link tells."""

from __future__ import annotations

from collections.abc import Sequence

from peers.clock import Clock
from peers.events.created import MAX_DRIFT_MS
from peers.events.entry import Entry
from peers.events.version_vector import VersionVector, lineage

Span = tuple[int, int]
"""By how many ms the other end's clock is ahead of ours, at least and at most; both are negative if it is behind."""

NEWS_MS = 1_000
"""A difference that changes by less is not told again."""
MAX_SEND_DELAY_MS = 30_000
"""An event is sent at most so long after it was made, while the link answers."""


def difference_ms(span: Span) -> int:
    """The difference that is certain: 0 if the clocks may be alike."""
    low, high = span
    return low if low > 0 else min(high, 0)


class ClockOffset:
    """Made when a link opens.

    Spans that agree narrow each other; one that does not fit replaces the others, because a clock stepped.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._since_ms = clock.elapsed_ms()
        """What they had not said by then that they hold was made after it; monotonic."""
        self._span: Span | None = None
        self._told_ms: int | None = None

    def on_answer(self, sent_ms: int, came_at: int, answered_at: int) -> None:
        """The answer to our greeting came now. Ours left at `sent_ms`, by our clock; by theirs it came at `came_at` and was
        answered at `answered_at`. No way takes less than no time, so the difference lies within the round trip.
        """
        self._note((answered_at - self._clock.now_ms(), came_at - sent_ms))

    def on_sign(self) -> None:
        """They sent a `ping` or `pong`: what they send later was hardly made long before."""
        self._since_ms = max(self._since_ms, self._clock.elapsed_ms() - MAX_SEND_DELAY_MS)

    def on_entries(self, entries: Sequence[Entry], known: VersionVector, node_id: str | None) -> None:
        """These came now from `node_id`, which has said before that it holds `known`: the newest of its own that is not
        among it was made since the link opened. Its time is at most MAX_DRIFT_MS ahead of that node's clock, and its
        `created` is not behind that clock.
        """
        for entry in reversed(entries):
            if entry.created[1] != node_id or entry.dot is None or known.covers(entry.dot):
                continue
            if lineage(entry.dot[0])[1] == 0:  # under a renewed epoch old events come back with new dots
                now = self._clock.now_ms()
                since = now - round(self._clock.elapsed_ms() - self._since_ms)
                if self._span is not None and entry.time - now < difference_ms(self._span) - MAX_DRIFT_MS:
                    self._span = None  # their clock was ahead and is not any more; `created` alone does not tell
                self._note((entry.time - MAX_DRIFT_MS - now, entry.created[0] - since))
            return

    def news(self) -> Span | None:
        """What is known, if the difference is another one than at the last call that gave something."""
        if self._span is None:
            return None
        difference = difference_ms(self._span)
        if self._told_ms is not None and abs(difference - self._told_ms) < NEWS_MS:
            return None
        self._told_ms = difference
        return self._span

    def _note(self, span: Span) -> None:
        if span[0] > span[1]:
            return  # our own clock stepped meanwhile
        known = self._span or span
        low, high = max(span[0], known[0]), min(span[1], known[1])
        self._span = (low, high) if low <= high else span
