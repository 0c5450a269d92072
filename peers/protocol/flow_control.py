"""How fast the other end is: how much may be on its way to it, and how long to wait for what it owes."""

from __future__ import annotations

FIRST_BYTES = 16 * 1024
LEAST_BYTES = 4 * 1024
SOON_MS = 1_000.0
LATE_MS = 3_000.0
PARTS = 4
"""Of what may be on its way, the messages that it is sent in."""
MAX_STRETCH = 4.0


class Pace:
    """A window in bytes, governed by delay: each full message whose answer comes soon doubles it, a late one halves it.

    So a fast link is filled after a few round trips, while before a slow one no queue of minutes builds up, behind which
    signs of life would wait until each end takes the other for dead. After the slow start of TCP (RFC 5681) and the
    delay-based control of TCP Vegas (Brakmo and Peterson, 1995).
    """

    def __init__(self, most_bytes: int, most_page_bytes: int) -> None:
        self.window = FIRST_BYTES
        """Bytes of events that may wait for their acknowledgement. One event may be larger."""
        self._most = most_bytes
        self._most_page = most_page_bytes

    @property
    def page_bytes(self) -> int:
        """Of one message, at most, if it has more than one event."""
        return min(self.window // PARTS, self._most_page)

    def note(self, size: int, answer_ms: float) -> None:
        """A message with `size` bytes of events was acknowledged so long after it was sent."""
        if answer_ms > LATE_MS:
            self.window = max(self.window // 2, LEAST_BYTES)
        elif answer_ms < SOON_MS and size >= self.page_bytes // 2:  # little says nothing about much
            self.window = min(self.window * 2, self._most)


class Patience:
    """How long an answer is waited for, by how long others took.

    As TCP's retransmission timer (RFC 6298), within bounds, and never less than twice what is usual.
    """

    def __init__(self) -> None:
        self.usual_ms = 0.0
        """What an answer takes, smoothed."""
        self._variation_ms = 0.0
        self._is_first = True

    def note(self, answer_ms: float) -> None:
        """An answer took so long."""
        if self._is_first:
            self._is_first = False
            self.usual_ms, self._variation_ms = answer_ms, answer_ms / 2
        else:
            self._variation_ms += (abs(self.usual_ms - answer_ms) - self._variation_ms) / 4
            self.usual_ms += (answer_ms - self.usual_ms) / 8

    def limit_ms(self, least_ms: float) -> float:
        """After so long an answer is missed: at least `least_ms`, and at most MAX_STRETCH times that."""
        enough_ms = self.usual_ms + max(4 * self._variation_ms, self.usual_ms)
        return min(max(least_ms, enough_ms), MAX_STRETCH * least_ms)
