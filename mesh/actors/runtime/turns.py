"""Turns: the turns of actors that are due on a loop."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

TURNS_AT_ONCE = 32
"""Turns after which the loop serves its sockets and timers too."""
ROUND_SECONDS = 0.010
"""The same, after the turn that is going on then."""


class Turns:
    """The turns that are due on a loop, and the callback that runs them: without a look at the sockets after each one."""

    __slots__ = ("_due", "_is_scheduled", "_loop")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._due: deque[Callable[[], None]] = deque()
        self._is_scheduled = False

    def add(self, turn: Callable[[], None]) -> None:
        """Run `turn` soon, after those before it. To be called on the loop's thread."""
        self._due.append(turn)
        if not self._is_scheduled:
            self._loop.call_soon(self._run)
            self._is_scheduled = True

    def run(self, turn: Callable[[], None]) -> None:
        """Run `turn` now, before those that are due: what another thread has done is waited for, and many turns may be due.

        To be called by the loop itself, and so never within a turn.
        """
        self._due.appendleft(turn)
        if not self._is_scheduled:
            self._is_scheduled = True
            self._run()

    def _run(self) -> None:
        """Run the turns that are due, and those that become due meanwhile, up to TURNS_AT_ONCE, or for ROUND_SECONDS."""
        due, now = self._due, self._loop.time
        until = now() + ROUND_SECONDS
        try:
            for _ in range(TURNS_AT_ONCE):
                if not due:
                    break
                due.popleft()()
                if now() >= until:
                    break
        finally:  # a turn may raise what ends the loop
            self._is_scheduled = False
            if due:
                self._loop.call_soon(self._run)
                self._is_scheduled = True
