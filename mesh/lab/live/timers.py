"""Timers in real time, for verbs that act later."""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush
from itertools import count


class LiveTimers:
    """Implements `Timers` in real time: `run_due` calls back what is due."""

    def __init__(self, now_seconds: Callable[[], float]) -> None:
        self._now_seconds = now_seconds
        self._began_seconds = now_seconds()
        self._waiting: list[tuple[float, int, Callable[[], object]]] = []
        self._numbers = count()

    def time(self) -> float:
        """Real seconds since the beginning."""
        return self._now_seconds() - self._began_seconds

    def call_later(self, delay: float, callback: Callable[[], object]) -> None:
        """Let `run_due` call back after `delay` seconds."""
        heappush(self._waiting, (self.time() + delay, next(self._numbers), callback))

    def run_due(self) -> None:
        """Call back what is due by now."""
        while self._waiting and self._waiting[0][0] <= self.time():
            _, _, callback = heappop(self._waiting)
            callback()
