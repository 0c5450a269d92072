"""LoopLag: how late the loop of a node runs what is due."""

from __future__ import annotations

from mesh.gateway.metrics.histogram import Histogram
from peers.clock import Clock, Undo

LAG_TICK_MS = 1_000.0
LAG_IDLE_MS = 600_000.0
"""So long after it was read last it measures no more."""


class LoopLag:
    """Measures by a timer, from the first `read` on and while it is read. Call `close` at the end."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lateness = Histogram()
        self._read_ms = 0.0
        self._due_ms = 0.0
        self._undo: Undo | None = None

    def read(self) -> Histogram:
        """By how much each tick of LAG_TICK_MS came too late."""
        self._read_ms = self._clock.elapsed_ms()
        if self._undo is None:
            self._tick_later()
        return self._lateness

    def close(self) -> None:
        """Measure no more. Harmless if it does not."""
        if self._undo is not None:
            self._undo()
            self._undo = None

    def _tick_later(self) -> None:
        self._due_ms = self._clock.elapsed_ms() + LAG_TICK_MS
        self._undo = self._clock.call_later(LAG_TICK_MS, self._tick)

    def _tick(self) -> None:
        self._undo = None
        now_ms = self._clock.elapsed_ms()
        self._lateness.note(max(0.0, now_ms - self._due_ms) / 1000)
        if now_ms - self._read_ms < LAG_IDLE_MS:
            self._tick_later()
