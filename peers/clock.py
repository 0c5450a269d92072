"""Clock: wall and monotonic time as a port, the real one, and one for tests."""

from __future__ import annotations

import asyncio
import heapq
import sys
import time
from collections.abc import Callable
from typing import Protocol

Undo = Callable[[], None]
"""Takes back what the call that returned it has begun: a timer, a listener. Harmless when it is called again."""


class Clock(Protocol):
    """The port through which roles and connections read the time and set timers; all times are in ms."""

    def now_ms(self) -> int:
        """Wall clock, ms since 1970. It may jump: for `created` and `time` of events only."""

    def elapsed_ms(self) -> float:
        """Monotonic clock, ms since an unknown start: for timeouts and pings. It may stop while the machine sleeps."""

    def uptime_ms(self) -> float:
        """As `elapsed_ms`, but it goes on while the machine sleeps: compared with `now_ms` it shows steps of that clock."""

    def call_later(self, delay_ms: float, reaction: Callable[[], None]) -> Undo:
        """Call `reaction` once, in `delay_ms` (0 or less: soon), unless the returned undo is called before."""


class LoopClock:
    """The real Clock, with the timers of an asyncio loop."""

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
    """A Clock for tests: it stands still until `advance`, which calls the timers that become due, in order.

    `now_ms` is the first reading of the wall clock; `wall_ms` may be set, to let that clock jump.

        clock = ManualClock(1_000)
        clock.call_later(50, lambda: print(clock.now_ms()))
        clock.advance(100)                         # prints 1050
    """

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
        """How many timers are set; a test of teardown expects 0."""
        return sum(number not in self._cancelled for _, number, _ in self._due)

    def advance(self, ms: float) -> None:
        """Let `ms` pass on both clocks, in one thread: timers are called in this call."""
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
