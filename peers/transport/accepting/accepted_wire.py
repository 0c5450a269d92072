"""AcceptedWire: a WebSocketWire that the other end dialled."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any

from websockets.asyncio.server import ServerConnection
from websockets.frames import DATA_OPCODES, CloseCode, Frame
from websockets.protocol import Event

from peers.limits import Limits
from peers.transport.accepting.door import Visit
from peers.transport.accepting.handshakes import is_tls
from peers.transport.accepting.listening_socket import ListeningSocket
from peers.transport.address import show_address
from peers.transport.channel import CLOSE_SECONDS
from peers.transport.tls.gate import ALERT, TLS_AT_OPEN
from peers.transport.web_socket_wire import WebSocketWire


class AcceptedWire(WebSocketWire, ServerConnection):
    """One that the other end dialled: a stranger until `welcome`, and until then with the limits of strangers."""

    __slots__ = ("_first", "_has_message", "_limits", "_listening", "_on_refused", "_visit")

    def __init__(
        self,
        *args: Any,
        listening: ListeningSocket,
        limits: Limits,
        on_refused: Callable[[str, str], None],
        **options: Any,
    ) -> None:
        super().__init__(*args, **options)
        self._listening = listening
        self._limits = limits
        self._on_refused = on_refused
        self._visit: Visit | None = None
        self._first: asyncio.Future[None] | None = None
        self._has_message = False
        self._left = limits.stranger_bytes
        self.protocol.max_message_size = min(limits.stranger_frame_bytes, self._max_frame)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._visit = self._listening.visit_of(transport)
        if self._visit is not None:
            self._visit.end = partial(self.end_stranger, "no greeting in time")

    def welcome(self) -> None:
        """The other end is known."""
        self._left = None
        self.protocol.max_message_size = self._max_frame
        if not self.is_lost:
            self._listening.let_in(self.transport)

    async def until_message(self) -> None:
        """Wait until a whole message has come, or the socket is closed."""
        if not self._has_message and not self.is_lost:
            self._first = self.loop.create_future()
            self.recv_messages.high = None  # all parts of the message have to come; the bytes of a stranger are limited
            await self._first
            self.recv_messages.high = self.max_queue_high

    def end_stranger(self, reason: str) -> None:
        """Close the connection, in whatever state it is; the other end may learn why."""
        self.protocol.fail(CloseCode.POLICY_VIOLATION, reason)
        self.send_data()
        self._hang_up()
        self._end_within(CLOSE_SECONDS)

    def _hang_up(self) -> None:
        if not self.transport.is_closing():  # a second close of asyncio's TLS transport makes all its later calls fail
            self.transport.close()

    def data_received(self, data: bytes) -> None:
        if self._left is not None:
            if self._left < 0:
                self._hang_up()  # it sends on, while this end waits for its close
                return
            if self._left == self._limits.stranger_bytes and is_tls(data):
                self._refuse_tls()
                return
            self._left -= len(data)
            if self._left < 0:
                self.end_stranger(self.on_too_much())
                return
        super().data_received(data)

    def _refuse_tls(self) -> None:
        self._left = -1
        self._on_refused(show_address(self.remote_address), TLS_AT_OPEN)
        self.transport.write(ALERT)
        self._hang_up()

    def process_event(self, event: Event) -> None:
        super().process_event(event)
        if not self._has_message and isinstance(event, Frame) and event.opcode in DATA_OPCODES and event.fin:
            self._has_message = True
            self._end_waiting()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._end_waiting()

    def on_too_long(self) -> None:
        self._note("stranger_frame_bytes")

    def on_too_much(self) -> str:
        self._note("stranger_bytes")
        return f"more than {self._limits.stranger_bytes} bytes before its greeting"

    def _note(self, limit: str) -> None:
        if self._visit is not None:
            self._visit.note(limit)

    def _end_waiting(self) -> None:
        if self._first is not None and not self._first.done():
            self._first.set_result(None)
