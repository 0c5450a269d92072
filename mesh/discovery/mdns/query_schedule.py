"""QuerySchedule: when to query the LAN: several times soon after a reason to query, then steadily."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from random import Random
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # the command line imports the times below: at its start it does without `peers`
    from peers.clock import Clock, Undo

QUICK_SECONDS = (0.0, 1.0, 3.0, 9.0, 27.0)
"""Times of the first queries after a reason to query."""
REQUERY_SECONDS = 45.0
"""The usual steady pause."""
MIN_REQUERY_SECONDS = 0.5
"""The shortest steady pause that may be chosen."""
MIN_PAUSE_SECONDS = 1.0
"""Shortest pause between two queries (RFC 6762, 5.2)."""
JITTER = 0.2
"""The jitter of a steady pause, as a share of it, so that the nodes of a mesh do not query at the same moment."""


def requery_pauses(requery_seconds: float, random: Random) -> Iterator[float]:
    """The pause before each query in seconds, without end. No pause of the first queries exceeds `requery_seconds`."""
    before = 0.0
    for at in QUICK_SECONDS:
        yield min(at - before, requery_seconds)
        before = at
    while True:
        yield requery_seconds * random.uniform(1 - JITTER, 1 + JITTER)


class QuerySchedule:
    """Calls `ask` after each pause of `requery_pauses`, which begin again at each `restart`."""

    def __init__(self, clock: Clock, random: Random, ask: Callable[[], None], *, requery_seconds: float) -> None:
        self._clock = clock
        self._random = random
        self._ask = ask
        self._requery_seconds = requery_seconds
        self._pauses: Iterator[float] = iter(())
        self._asked_ms: float | None = None
        self._undo: Undo | None = None

    def restart(self) -> None:
        """Query now, or MIN_PAUSE_SECONDS after the last query if that is later; then soon, then steadily."""
        self.stop()
        self._pauses = requery_pauses(self._requery_seconds, self._random)
        self._wait()

    def stop(self) -> None:
        """Stop querying until the next `restart`."""
        if self._undo is not None:
            self._undo()
            self._undo = None

    def _wait(self) -> None:
        pause_ms = next(self._pauses) * 1000
        if self._asked_ms is not None:
            least = min(MIN_PAUSE_SECONDS, self._requery_seconds) * 1000
            pause_ms = max(pause_ms, self._asked_ms + least - self._clock.elapsed_ms())
        self._undo = self._clock.call_later(pause_ms, self._on_time)

    def _on_time(self) -> None:
        self._asked_ms = self._clock.elapsed_ms()
        self._wait()
        self._ask()
