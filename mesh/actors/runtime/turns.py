"""Turns: the turns of actors that are due on a loop."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Hashable

TURNS_AT_ONCE = 32
"""Turns after which the loop serves its sockets and timers too."""
ROUND_SECONDS = 0.003
"""The same, after the turn that is going on then."""

Turn = Callable[[], None]


class Turns:
    """The turns that are due on a loop, and the callback that runs them: without a look at the sockets after each one.

    Each turn has a share, and the shares that have turns take one each in order (round robin): many turns of one share delay
    a turn of another one by one turn, not by all of them.
    """

    __slots__ = ("_due", "_is_scheduled", "_loop", "_woken")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._due: dict[Hashable, deque[Turn]] = {}
        """By share; the share whose turn was run last is the last."""
        self._woken: deque[Turn] = deque()
        """Those of `wake`, which other threads add."""
        self._is_scheduled = False

    def add(self, turn: Turn, share: Hashable) -> None:
        """Run `turn` soon, after those of its share that are due. To be called on the loop's thread."""
        waiting = self._due.get(share)
        if waiting is None:
            self._due[share] = deque((turn,))
        else:
            waiting.append(turn)
        if not self._is_scheduled:
            self._loop.call_soon(self._run)
            self._is_scheduled = True

    def wake(self, turn: Turn) -> None:
        """Run `turn` before those that are due: what another thread has done is waited for, and many turns may be due.

        To be called in another thread. Raises RuntimeError if the loop is closed.
        """
        self._woken.append(turn)
        self._loop.call_soon_threadsafe(self._on_woken)

    def _on_woken(self) -> None:
        if self._woken and not self._is_scheduled:  # else it was run already, or will be
            self._is_scheduled = True
            self._run()

    def _run(self) -> None:
        """Run the turns that are due, and those that become due meanwhile, up to TURNS_AT_ONCE, or for ROUND_SECONDS."""
        due, woken, now = self._due, self._woken, self._loop.time
        until = now() + ROUND_SECONDS
        try:
            for _ in range(TURNS_AT_ONCE):
                if woken:
                    woken.popleft()()
                elif due:
                    self._next()()
                else:
                    break
                if now() >= until:
                    break
        finally:  # a turn may raise what ends the loop
            self._is_scheduled = False
            if due or woken:
                self._loop.call_soon(self._run_later)
                self._is_scheduled = True

    def _run_later(self) -> None:
        """Run what is left after the loop has read what came during this round: else that would wait for the next one too."""
        self._loop.call_soon(self._run)

    def _next(self) -> Turn:
        share = next(iter(self._due))
        waiting = self._due.pop(share)
        turn = waiting.popleft()
        if waiting:
            self._due[share] = waiting
        return turn
