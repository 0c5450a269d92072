"""Reconnect: a connection that opens itself again after a loss, with a longer delay after each failure."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

from peers.clock import Clock, Undo
from peers.transport.port import Connection

KEEPS_TRYING = frozenset({"timeout", "error", "freeze"})
"""Reasons of `disconnect` after which it is opened again; any other one stops that."""


def retry_delay(attempt: int, *, min_delay: float, max_delay: float, random: Random) -> float:
    """The delay before the next attempt, in the unit of `min_delay` and `max_delay`; `attempt` counts failures, from 0.

    `min_delay` is doubled `attempt` times, up to `max_delay`; the result is a random part of that, from a half to all.
    Unlike Logux 0.1, the random part is taken after the cap, so that thirty machines behind one router do not redial at the
    same time. (Libraries for back-off use the global random generator, which would end the lab's determinism.)
    """
    capped = min(max_delay, min_delay * 2.0 ** min(attempt, 32))
    return capped * random.uniform(0.5, 1.0)


class Reconnect:
    """A Connection that wraps a dialled one and opens it again after each loss, from `connect()` to `disconnect()`.

    - `clock` and `random` (a `random.Random`) decide when
    - `min_delay`, `max_delay`: of the first delay and of the longest one, in ms; see retry_delay
    - `attempts`: attempts in a row without success after which it gives up; None: no limit
    - `resets_on_connect`: whether an open connection is a success. False: only `reset()` is, for a role whose greeting may
      be refused each time on a connection that opens

    Unlike Logux 0.1, frames are not read here: a role that receives a fatal error disconnects with its type as the reason,
    and that stops this too.

        connection = Reconnect(network.dial("attic.local:44321"), clock=LoopClock(loop), random=Random())
        ClientSync("anna", log, connection, clock=LoopClock(loop))
        connection.connect()
    """

    def __init__(
        self,
        connection: Connection,
        *,
        clock: Clock,
        random: Random,
        min_delay: float = 1_000,
        max_delay: float = 5_000,
        attempts: int | None = None,
        resets_on_connect: bool = True,
    ) -> None:
        self.inner = connection
        self.dialled = True
        self.reconnecting = connection.connected
        """Whether it is opened again after the next loss."""
        self.connecting = False
        """Whether an attempt is under way."""
        self.failures = 0
        """Losses and failed attempts in a row."""
        self._clock = clock
        self._random = random
        self._min_delay = min_delay
        self._max_delay = max_delay
        self._attempts = attempts
        self._resets_on_connect = resets_on_connect
        self._is_open = connection.connected
        self._is_opening = False
        self._connects = 0
        """Since the last success."""
        self._undo_timer: Undo | None = None
        self._undos = [
            connection.on("connecting", self._on_connecting),
            connection.on("connect", self._on_connect),
            connection.on("disconnect", self._on_disconnect),
        ]

    @property
    def connected(self) -> bool:
        return self.inner.connected

    @property
    def address(self) -> str:
        return self.inner.address

    @property
    def local_host(self) -> str:
        return self.inner.local_host

    @property
    def proven_key(self) -> bytes | None:
        return self.inner.proven_key

    def on(self, event: str, listener: Callable[..., Any]) -> Undo:
        return self.inner.on(event, listener)

    def send(self, frame: bytes) -> None:
        self.inner.send(frame)

    def pause(self) -> None:
        self.inner.pause()

    def resume(self) -> None:
        self.inner.resume()

    def connect(self) -> None:
        """Open it now, and again after every loss. If it waits for its next attempt, that attempt begins now."""
        self.reconnecting = True
        self._cancel()
        if not self._is_open and not self._is_opening:  # one that is closing is opened again when it is closed
            self._is_opening = True
            self._connects += 1
            self.inner.connect()

    def disconnect(self, reason: str = "") -> None:
        """Close it. It stays closed, unless the reason is one of KEEPS_TRYING: timeout, error, freeze."""
        if reason not in KEEPS_TRYING:
            self.reconnecting = False
            self._cancel()
        self.inner.disconnect(reason)

    def reset(self) -> None:
        """The connection has succeeded: after the next loss the shortest delay is used."""
        self.failures = self._connects = 0

    def destroy(self, reason: str = "") -> None:
        """Close it with any reason, and end its timer and listeners. Harmless when it is closed or destroyed.

        Unlike Logux 0.1, which raises "already finished" over a LocalPair that is not open.
        """
        self.reconnecting = False
        self._cancel()
        self.inner.disconnect(reason)
        for undo in self._undos:
            undo()
        self._undos.clear()
        self.connecting = self._is_open = self._is_opening = False

    def _on_connecting(self) -> None:
        self.connecting = True

    def _on_connect(self) -> None:
        self._is_open, self._is_opening, self.connecting = True, False, False
        if self._resets_on_connect:
            self.reset()

    def _on_disconnect(self, _reason: str) -> None:
        self._is_open = self._is_opening = self.connecting = False
        if not self.reconnecting:
            return
        self.failures += 1
        if self._attempts is not None and self._connects >= self._attempts:
            self.reconnecting = False
            self.reset()
            return
        self._cancel()
        delay = retry_delay(
            self.failures - 1, min_delay=self._min_delay, max_delay=self._max_delay, random=self._random
        )
        self._undo_timer = self._clock.call_later(delay, self._try)

    def _try(self) -> None:
        self._undo_timer = None
        if self.reconnecting:
            self.connect()

    def _cancel(self) -> None:
        if self._undo_timer is not None:
            self._undo_timer()
            self._undo_timer = None
