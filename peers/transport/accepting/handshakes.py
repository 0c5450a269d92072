"""Handshakes: the TLS handshakes of accepted connections, each only once it has begun to speak and a place is free."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Coroutine, Iterator
from functools import partial
from typing import Any

from peers.limits import Limits
from peers.transport.accepting.door import Visit
from peers.transport.accepting.listening_socket import AcceptedSocket

RECORD_HEADER_BYTES = 5
"""Of a connection: the header of a TLS record. Before them, it takes no more memory here than its socket."""
_RECORD = b"\x16\x03"
"""What the first record of TLS begins with: a handshake, and the version (RFC 8446, 5.1)."""


def is_tls(data: bytes) -> bool:
    """Whether the first bytes of a connection are those of TLS."""
    return data.startswith(_RECORD)


class Handshakes:
    """Give it each accepted connection with `add`; `begin` makes its handshake, and `on_plain` gets one without TLS.

    At most `Limits.handshakes` run at the same time; of those that wait, known addresses come first. While others wait, the
    oldest handshake has to leave after half of `greeting_seconds`. The deadline, with the time of waiting, is that of the door.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        limits: Limits,
        *,
        begin: Callable[[AcceptedSocket], Coroutine[Any, Any, None]],
        on_plain: Callable[[AcceptedSocket], None],
        spawn: Callable[[Coroutine[Any, Any, None]], object],
    ) -> None:
        self._loop = loop
        self._limits = limits
        self._begin = begin
        self._on_plain = on_plain
        self._spawn = spawn
        self._silent: dict[AcceptedSocket, Visit] = {}
        """Of which no first bytes came yet."""
        self._waiting: dict[AcceptedSocket, Visit] = {}
        self._running: dict[AcceptedSocket, tuple[Visit, float]] = {}
        """Each with the time of the loop from which on it has to leave for another one."""
        self._timer: asyncio.TimerHandle | None = None

    def add(self, accepted: AcceptedSocket) -> None:
        """Wait for its first bytes."""
        assert accepted.visit is not None, "the ports of a network have doors"
        accepted.setblocking(False)
        # It is readable once it has so many, or at its end.
        accepted.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, RECORD_HEADER_BYTES)
        accepted.visit.end = partial(self._drop, accepted)
        self._silent[accepted] = accepted.visit
        self._loop.add_reader(accepted, self._on_readable, accepted)

    def descriptors(self) -> Iterator[int]:
        """The numbers of all sockets that are here."""
        for accepted in (*self._silent, *self._waiting, *self._running):
            yield accepted.fileno()

    def _on_readable(self, accepted: AcceptedSocket) -> None:
        try:
            first = accepted.recv(RECORD_HEADER_BYTES, socket.MSG_PEEK)
        except BlockingIOError:
            return
        except OSError:
            first = b""
        self._loop.remove_reader(accepted)
        visit = self._silent.pop(accepted)
        if len(first) < RECORD_HEADER_BYTES:
            accepted.close()
        elif is_tls(first):
            accepted.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, 1)
            self._waiting[accepted] = visit
            self._advance()
        else:
            self._on_plain(accepted)
            accepted.close()

    def _drop(self, accepted: AcceptedSocket) -> None:
        """It has to leave before its handshake."""
        self._silent.pop(accepted, None)
        self._waiting.pop(accepted, None)
        self._loop.remove_reader(accepted)
        accepted.close()
        self._advance()

    def _advance(self) -> None:
        """Run those that wait, as far as there is room."""
        while self._waiting and (len(self._running) < self._limits.handshakes or self._end_oldest()):
            known = (one for one, visit in self._waiting.items() if visit.is_known)
            accepted = next(known, next(iter(self._waiting)))
            visit = self._waiting.pop(accepted)
            visit.end = accepted.cut
            self._running[accepted] = visit, self._loop.time() + self._limits.greeting_seconds / 2
            self._spawn(self._run(accepted))
        if not self._waiting and self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _end_oldest(self) -> bool:
        """End the oldest handshake; False if its time is not over, and then this is tried again."""
        accepted, (oldest, until) = next(iter(self._running.items()))
        is_over = self._loop.time() >= until
        if is_over:
            del self._running[accepted]
            oldest.note("handshakes")
            oldest.expel()
        elif self._timer is None:
            self._timer = self._loop.call_at(until, self._on_time)
        return is_over

    def _on_time(self) -> None:
        self._timer = None
        self._advance()

    async def _run(self, accepted: AcceptedSocket) -> None:
        try:
            await self._begin(accepted)
        finally:
            self._running.pop(accepted, None)
            self._advance()
