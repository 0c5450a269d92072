"""Wall and monotonic time as a port, and the clock that tests turn by hand."""

from __future__ import annotations

import asyncio
import heapq
import sys
import time
from collections.abc import Callable
from typing import Protocol

Undo = Callable[[], None]


class Clock(Protocol):
    """What a role may know of time."""

    def now_ms(self) -> int:
        """Wall clock in ms since 1970; it may jump: for `created` and `time` only."""

    def elapsed_ms(self) -> float:
        """Monotonic ms from an unknown start: for timeouts and pings."""

    def uptime_ms(self) -> float:
        """As `elapsed_ms`, but it goes on while the machine sleeps: a step of the wall clock shows beside it."""

    def call_later(self, delay_ms: float, reaction: Callable[[], None]) -> Undo:
        """Call `reaction` once, `delay_ms` from now, unless the returned undo is called first."""


class LoopClock:
    """The real clock, its timers kept by an asyncio loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000

    def elapsed_ms(self) -> float:
        return self._loop.time() * 1000

    def uptime_ms(self) -> float:
        clock = time.CLOCK_BOOTTIME if sys.platform == "linux" else time.CLOCK_MONOTONIC
        return time.clock_gettime_ns(clock) / 1_000_000

    def call_later(self, delay_ms: float, reaction: Callable[[], None]) -> Undo:
        return self._loop.call_later(delay_ms / 1000, reaction).cancel


class ManualClock:
    """A clock for tests: it stands still until `advance`, and runs what is due on the way, in order."""

    def __init__(self, now_ms: int = 1_000_000) -> None:
        self.wall_ms = now_ms
        self._elapsed_ms = 0.0
        self._count = 0
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._cancelled: set[int] = set()

    def now_ms(self) -> int:
        return self.wall_ms

    def elapsed_ms(self) -> float:
        return self._elapsed_ms

    def uptime_ms(self) -> float:
        return self._elapsed_ms

    def call_later(self, delay_ms: float, reaction: Callable[[], None]) -> Undo:
        self._count += 1
        number = self._count
        heapq.heappush(self._due, (self._elapsed_ms + max(0, delay_ms), number, reaction))
        return lambda: self._cancelled.add(number)

    @property
    def waiting(self) -> int:
        """How many timers are set: a test of clean teardown wants 0."""
        return sum(number not in self._cancelled for _, number, _ in self._due)

    def advance(self, ms: float) -> None:
        """Let `ms` pass on both clocks."""
        end = self._elapsed_ms + ms
        while self._due and self._due[0][0] <= end:
            due, number, reaction = heapq.heappop(self._due)
            self._move_to(due)
            if number in self._cancelled:
                self._cancelled.discard(number)
            else:
                reaction()
        self._move_to(end)

    def _move_to(self, elapsed_ms: float) -> None:
        self.wall_ms += int(elapsed_ms) - int(self._elapsed_ms)
        self._elapsed_ms = elapsed_ms
