"""Flow control: how much may be on its way to the other end, and how long to wait for its answers."""

from __future__ import annotations

from dataclasses import dataclass

FIRST_BYTES = 16 * 1024
"""The window of a new link."""
LEAST_BYTES = 4 * 1024
SOON_ANSWER_MS = 1_000.0
"""An answer within it lets the window grow."""
LATE_ANSWER_MS = 3_000.0
"""An answer after it halves the window."""
PARTS = 4
"""Messages that a full window is sent in."""
MAX_STRETCH = 4.0


@dataclass(slots=True)
class Sent:
    """A message with entries that is not acknowledged yet."""

    number: int
    confirms: int
    """The position up to which all is confirmed once this one is acknowledged."""
    size: int
    """Bytes of its events, or of its pieces on the wire."""
    since_ms: float
    """When it was sent, by `Clock.elapsed_ms`."""


class Pace:
    """A window in bytes, governed by delay: a full message that is acknowledged soon doubles it, a late one halves it.

    A fast link is full after a few round trips. On a slow link no queue of minutes builds up: signs of life would wait
    behind it until each end takes the other for dead. After the slow start of TCP (RFC 5681) and the delay-based control of
    TCP Vegas (Brakmo and Peterson, 1995).
    """

    __slots__ = ("_most", "_most_page", "window")

    def __init__(self, most_bytes: int, most_page_bytes: int) -> None:
        self.window = FIRST_BYTES
        """Bytes of events that may wait for their acknowledgement. A single event may be larger."""
        self._most = most_bytes
        self._most_page = most_page_bytes

    @property
    def page_bytes(self) -> int:
        """Limit of one message with several events."""
        return min(self.window // PARTS, self._most_page)

    def note(self, size: int, answer_ms: float) -> None:
        """A message with `size` bytes of events was acknowledged `answer_ms` after it was sent."""
        if answer_ms > LATE_ANSWER_MS:
            self.window = max(self.window // 2, LEAST_BYTES)
        elif (
            answer_ms < SOON_ANSWER_MS and size >= self.page_bytes // 2
        ):  # a small message says little about a large one
            self.window = min(self.window * 2, self._most)


class Patience:
    """How long to wait for an answer, from how long earlier answers took.

    As TCP's retransmission timer (RFC 6298), within bounds, and at least twice the usual time.
    """

    __slots__ = ("_is_first", "_variation_ms", "usual_ms")

    def __init__(self) -> None:
        self.usual_ms = 0.0
        """How long an answer takes, smoothed."""
        self._variation_ms = 0.0
        self._is_first = True

    def note(self, answer_ms: float) -> None:
        """An answer took `answer_ms`."""
        if self._is_first:
            self._is_first = False
            self.usual_ms, self._variation_ms = answer_ms, answer_ms / 2
        else:
            self._variation_ms += (abs(self.usual_ms - answer_ms) - self._variation_ms) / 4
            self.usual_ms += (answer_ms - self.usual_ms) / 8

    def limit_ms(self, least_ms: float) -> float:
        """After how many ms an answer is missing: at least `least_ms`, at most MAX_STRETCH times that."""
        enough_ms = self.usual_ms + max(4 * self._variation_ms, self.usual_ms)
        return min(max(least_ms, enough_ms), MAX_STRETCH * least_ms)
