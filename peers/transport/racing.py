"""RacingConnection: dials several addresses of one end; the first that answers is used."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from peers.clock import Clock, Undo
from peers.emitter import Emitter
from peers.transport.port import Connection

STAGGER_MS = 250
"""Between the start of one attempt and the next; a failed attempt starts the next one at once."""
MAX_CANDIDATES = 6
"""Addresses of one `connect` that are dialled; the rest is ignored."""


class RacingConnection:
    """A dialled Connection over the addresses that `candidates` returns, which is called at each `connect()`.

    `dial` makes the connection to one of them. Attempts start STAGGER_MS after each other (RFC 8305, Happy Eyeballs). The
    other attempts are closed before a frame is sent on them.
    """

    def __init__(
        self, candidates: Callable[[], Sequence[str]], dial: Callable[[str], Connection], *, clock: Clock
    ) -> None:
        self.dialled = True
        self.address = ""
        self._candidates = candidates
        self._dial = dial
        self._clock = clock
        self._emitter = Emitter()
        self._winner: Connection | None = None
        self._running: dict[str, tuple[Connection, list[Undo]]] = {}
        self._left: list[str] = []
        self._undo_timer: Undo | None = None
        self._is_opening = False
        self._reason = ""

    @property
    def connected(self) -> bool:
        return self._winner is not None and self._winner.connected

    @property
    def local_host(self) -> str:
        return self._winner.local_host if self._winner is not None else ""

    @property
    def proven_key(self) -> bytes | None:
        return self._winner.proven_key if self._winner is not None else None

    def on(self, event: str, listener: Callable[..., Any]) -> Undo:
        return self._emitter.on(event, listener)

    def connect(self) -> None:
        if self._winner is not None or self._is_opening:
            raise RuntimeError("the connection is already established")
        self._is_opening = True
        self._reason = "no address is known"
        self._left = list(dict.fromkeys(self._candidates()))[:MAX_CANDIDATES]
        self._undo_timer = self._clock.call_later(0, self._begin)

    def disconnect(self, reason: str = "") -> None:
        if self._winner is not None:
            self._winner.disconnect(reason)
        elif self._is_opening:
            self._left = []
            self._reason = reason
            self._stop_timer()
            self._drop_losers()
            self._undo_timer = self._clock.call_later(0, self._give_up)

    def send(self, frame: bytes) -> None:
        if self._winner is None:
            raise RuntimeError("the connection must be open before sending")
        self._winner.send(frame)

    def pause(self) -> None:
        if self._winner is not None:
            self._winner.pause()

    def resume(self) -> None:
        if self._winner is not None:
            self._winner.resume()

    def _begin(self) -> None:
        self._emitter.emit("connecting")
        self._next()

    def _next(self) -> None:
        """Start one more attempt, and the timer for the one after it."""
        self._stop_timer()
        if not self._left:
            if not self._running and self._winner is None:
                self._give_up()
            return
        address = self._left.pop(0)
        try:
            connection = self._dial(address)
        except ValueError as error:
            self._reason = str(error)
            self._next()
            return
        self._running[address] = (
            connection,
            [
                connection.on("connect", lambda: self._on_won(address)),
                connection.on("disconnect", lambda reason: self._on_failed(address, reason)),
            ],
        )
        self._undo_timer = self._clock.call_later(STAGGER_MS, self._next)
        try:
            connection.connect()
        except RuntimeError as error:  # the network was closed
            self._on_failed(address, str(error))

    def _on_failed(self, address: str, reason: str) -> None:
        self._reason = f"{address}: {reason}"
        for undo in self._running.pop(address)[1]:
            undo()
        if self._is_opening:
            self._next()

    def _on_won(self, address: str) -> None:
        connection, undos = self._running.pop(address)
        for undo in undos:
            undo()
        self._is_opening = False
        self._stop_timer()
        self._drop_losers()
        self._winner = connection
        self.address = connection.address
        for event in ("activity", "message", "error"):
            connection.on(event, lambda *args, name=event: self._emitter.emit(name, *args))
        connection.on("disconnect", self._on_lost)
        self._emitter.emit("connect")

    def _on_lost(self, reason: str) -> None:
        self._winner = None
        self._emitter.emit("disconnect", reason)

    def _give_up(self) -> None:
        self._stop_timer()
        self._is_opening = False
        self._emitter.emit("disconnect", self._reason)

    def _drop_losers(self) -> None:
        running, self._running = self._running, {}
        for connection, undos in running.values():
            for undo in undos:
                undo()
            connection.disconnect("another address answered first")

    def _stop_timer(self) -> None:
        if self._undo_timer is not None:
            self._undo_timer()
            self._undo_timer = None
