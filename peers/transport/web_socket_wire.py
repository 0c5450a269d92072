"""One connection of the library as a wire: signs of life, no binary frames, room for large ones, a bound on its end."""

from __future__ import annotations

import asyncio
from typing import Any
from weakref import WeakSet

from websockets.asyncio.client import ClientConnection
from websockets.asyncio.connection import Connection as LibraryConnection
from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed
from websockets.frames import CloseCode, Frame, Opcode
from websockets.protocol import Event, State

from peers.transport.address import local_host
from peers.transport.channel import CLOSE_SECONDS, Channel, WireError
from peers.transport.large_frames import FrameReading, FrameRoom
from peers.transport.sockets import explain_os_error

ANSWER_BYTES = 4 * 1024 * 1024
"""What the library may have left to be sent beside our own frames, which wait elsewhere."""


class WebSocketWire(LibraryConnection):
    """What is added to a connection of the library: signs of life, no binary frames, a bound on how long it ends."""

    channel: Channel | None = None
    refusal: Exception | None = None
    _is_in_binary = False
    _deadline: asyncio.TimerHandle | None = None

    def __init__(
        self,
        *args: Any,
        ignores_binary: bool,
        wires: WeakSet[WebSocketWire],
        room: FrameRoom,
        max_frame: int,
        too_long: bytes | None,
        **options: Any,
    ) -> None:
        super().__init__(*args, **options)
        self._ignores_binary = ignores_binary  # from the start: a frame may come in one piece with the handshake
        self._wires = wires
        self._max_frame, self._too_long = max_frame, too_long
        self._reading = FrameReading(self.loop, room, self._on_alive)
        self._reading.watch(self.protocol)
        self._fail = self.protocol.fail
        self.protocol.fail = self._on_fail  # type: ignore[method-assign]

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._wires.add(self)
        self._reading.begin(self.transport)
        self.recv_messages.pause, self.recv_messages.resume = self._reading.pause, self._reading.resume

    def _on_fail(self, code: int, reason: str = "") -> None:
        is_welcome = self.protocol.max_message_size == self._max_frame and self.protocol.state is State.OPEN
        if code == CloseCode.MESSAGE_TOO_BIG and is_welcome and self._too_long is not None:
            self.protocol.send_text(self._too_long)
        self._fail(code, reason)

    def _on_alive(self) -> None:
        if self.channel is not None:
            self.channel.on_bytes()

    def end_large(self) -> None:
        self._reading.end_frame()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.transport.get_write_buffer_size() > ANSWER_BYTES:
            self.transport.abort()  # it is asked for answers, by pings above all, that the other end does not read
        self._watch_end()
        self._on_alive()

    def eof_received(self) -> None:
        super().eof_received()
        self._end_within(CLOSE_SECONDS)  # else asyncio waits until the other end has read what is still to be written

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._reading.end()
        if self._deadline is not None:
            self._deadline.cancel()

    def process_event(self, event: Event) -> None:
        if self.refusal is not None:
            return  # nothing counts after what was refused
        if not self._is_binary(event):
            super().process_event(event)
            return
        if self._ignores_binary:
            return
        self.refusal = ValueError("it sent a binary frame, and frames here are text")
        if self.protocol.state is State.OPEN:
            self.protocol.fail(CloseCode.POLICY_VIOLATION, "frames here are text")
            self.send_data()

    def _is_binary(self, event: Event) -> bool:
        if not isinstance(event, Frame):
            return False
        if event.opcode is Opcode.BINARY:
            self._is_in_binary = not event.fin
            return True
        if event.opcode is Opcode.CONT and self._is_in_binary:
            self._is_in_binary = not event.fin
            return True
        return False

    @property
    def local_host(self) -> str:
        return local_host(self.transport.get_extra_info("sockname"))

    async def recv_frame(self) -> bytes:
        try:
            return await self.recv(decode=False)
        except ConnectionClosed as closed:
            raise WireError(*explain_end(closed, self.refusal)) from closed

    def write_frames(self, frames: list[bytes]) -> None:
        if self.protocol.state is not State.OPEN:
            return
        for frame in frames:
            self.protocol.send_text(frame)
        # Not writelines: before Python 3.12.9 and 3.13.2 it ignores the high-water mark (CVE-2024-12254).
        self.transport.write(b"".join(self.protocol.data_to_send()))

    def abort(self) -> None:
        self.transport.abort()

    def _watch_end(self) -> None:
        # The library bounds a close that we begin, not one that the other end, or a fault in what it sent, begins.
        if self.protocol.close_expected():
            is_no_answer = self.protocol.state is State.CONNECTING and isinstance(self, ClientConnection)
            self._end_within(0 if is_no_answer else CLOSE_SECONDS)

    def _end_within(self, seconds: float) -> None:
        if self._deadline is None:
            self._deadline = self.loop.call_later(seconds, self.transport.abort)


class DialledWire(WebSocketWire, ClientConnection):
    pass


class AcceptedWire(WebSocketWire, ServerConnection):
    pass


def explain_end(closed: ConnectionClosed, refusal: Exception | None) -> tuple[str, Exception | None]:
    """Why an open connection ended, and what the channel could not take, if that was why."""
    fault = refusal or closed.__cause__
    if isinstance(fault, Exception) and not isinstance(fault, (OSError, EOFError)):
        return f"it sent what cannot be taken: {fault}", fault
    if closed.rcvd is not None:
        return closed.rcvd.reason or f"closed by the other end (code {closed.rcvd.code})", None
    if isinstance(fault, TimeoutError):
        return "lost: timed out", None
    if isinstance(fault, OSError):
        return f"lost: {explain_os_error(fault)}", None
    return "lost", None
