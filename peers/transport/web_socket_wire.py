"""WebSocketWire: a connection of the websockets library as a Wire."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Generator, Iterable
from typing import Any
from weakref import WeakSet

from websockets.asyncio.client import ClientConnection
from websockets.asyncio.connection import Connection as LibraryConnection
from websockets.exceptions import ConnectionClosed, ProtocolError
from websockets.frames import CloseCode, Frame, Opcode
from websockets.protocol import Event, State

from peers.transport.address import local_host
from peers.transport.channel import CLOSE_SECONDS
from peers.transport.large_frames import FrameMemory, FrameReading, return_memory_soon
from peers.transport.port import LARGE_FRAME
from peers.transport.sockets import explain_os_error
from peers.transport.wire import FrameTaker, WireError

ANSWER_BYTES = 4 * 1024 * 1024
"""Bytes that may wait to be written: answers of the library, beside our own frames, which wait in the channel."""

PART_BYTES = 128
"""What each part of a frame counts besides its bytes, while the other end is a stranger: a frame has three or four, and takes
about as much memory even if it is empty."""
CONTROL_OPCODES = (Opcode.PING, Opcode.PONG)
HEADER_BYTES = 6
"""Of a frame of them."""

LATE_FRAMES = 100
"""Of the other end, after our close frame: each has to be parsed. If it sends more, nothing is read any more, and the socket
is closed CLOSE_SECONDS later: time enough to read our close, which says why."""


class _FewFrames:
    """What the library needs of a deque, for frames that wait to be read: while none waits there is none, it takes 0.7 KiB."""

    __slots__ = ("_frames",)

    def __init__(self) -> None:
        self._frames: deque[Frame] | None = None

    def __len__(self) -> int:
        return 0 if self._frames is None else len(self._frames)

    def append(self, frame: Frame) -> None:
        if self._frames is None:
            self._frames = deque()
        self._frames.append(frame)

    def popleft(self) -> Frame:
        assert self._frames is not None
        frame = self._frames.popleft()
        if not self._frames:
            self._frames = None
        return frame

    def extendleft(self, frames: Iterable[Frame]) -> None:
        found = deque(self._frames or ())
        found.extendleft(frames)
        self._frames = found or None


class WebSocketWire(LibraryConnection):
    """A connection of the library that reports activity, takes no binary frames, and waits for memory for large frames.

    However it ends, its socket is closed CLOSE_SECONDS later. `wires` gets it when its socket is open. `too_long` is sent
    to an authenticated end before a frame above `max_frame` bytes closes the connection.
    """

    # The library has almost as many attributes as fit into a small object; in slots ours are added without a large dict.
    __slots__ = (
        "_control_bytes",
        "_control_frames",
        "_deadline",
        "_end",
        "_fail",
        "_frames",
        "_ignores_binary",
        "_is_in_binary",
        "_late",
        "_left",
        "_max_frame",
        "_reading",
        "_too_long",
        "_wires",
        "channel",
        "proven_key",
        "refusal",
    )

    def __init__(
        self,
        protocol: Any,
        *args: Any,
        ignores_binary: bool,
        wires: WeakSet[WebSocketWire],
        frame_memory: FrameMemory,
        max_frame: int,
        too_long: bytes | None,
        **options: Any,
    ) -> None:
        logger = protocol.logger
        super().__init__(protocol, *args, **options)
        self.logger = protocol.logger = logger  # not the library's adapter around it, of which nothing is shown
        self._end: asyncio.Future[None] | None = None
        self.channel: FrameTaker | None = None
        self.proven_key: bytes | None = None
        self.refusal: Exception | None = None
        self._is_in_binary = False
        self._frames = self._control_frames = self._control_bytes = self._late = 0
        self._deadline: asyncio.TimerHandle | None = None
        self._ignores_binary = ignores_binary  # from the start: a frame may come in one piece with the handshake
        self._wires = wires
        self._max_frame, self._too_long = max_frame, too_long
        self._left: int | None = None
        """Bytes that may still come of a stranger; None: it is known."""
        self._reading = FrameReading(self.loop, frame_memory, self._on_alive)
        self.drain_waiters = []  # type: ignore[assignment]  # one at most, and an empty deque takes 0.7 KiB
        self._announce_frames()
        self._fail = self.protocol.fail
        self.protocol.fail = self._on_fail  # type: ignore[method-assign]

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.recv_messages.frames.queue = _FewFrames()  # type: ignore[assignment]
        self._wires.add(self)
        self._reading.begin(self.transport)
        self.recv_messages.pause, self.recv_messages.resume = self._reading.pause, self._reading.resume

    def _announce_frames(self) -> None:
        """Tell `_reading` of each frame before the library reads it."""
        protocol: Any = self.protocol
        read_exact = protocol.reader.read_exact

        def read(size: int) -> Generator[None, None, bytearray]:
            if self._left is not None:
                self._left -= PART_BYTES
                if self._left < 0:
                    raise ProtocolError(self.on_too_much())
            before = protocol.current_size  # of the frames that this message has had so far
            if before is None:
                self._reading.on_announced(size)
            elif before + size > LARGE_FRAME:  # it is not known how many follow
                self._reading.on_announced(protocol.max_message_size or before + size)
            found: Generator[None, None, bytearray] = read_exact(size)
            return found

        protocol.reader.read_exact = read

    def _on_fail(self, code: int, reason: str = "") -> None:
        if code == CloseCode.MESSAGE_TOO_BIG:
            if self._left is not None:
                self.on_too_long()
            elif self._too_long is not None and self.protocol.state is State.OPEN:
                self.protocol.send_text(self._too_long)
        self._fail(code, reason)

    def on_too_long(self) -> None:
        """A stranger has sent too long a frame."""

    def on_too_much(self) -> str:
        """A stranger has sent too much; the result says so."""
        return "too much of a stranger"

    def _on_alive(self) -> None:
        if self.channel is not None:
            self.channel.on_bytes()

    def forget_handshake(self) -> None:
        """Free the headers of both ends: some KiB of each connection."""
        for message in (self.request, self.response):  # the library needs the messages, but for their headers
            if message is not None:
                message.headers.clear()

    def hold(self, is_held: bool) -> None:
        self._reading.hold(is_held)

    def end_large(self) -> None:
        self._reading.end_frame()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.transport.get_write_buffer_size() > ANSWER_BYTES:
            self.transport.abort()  # the other end asks for answers, mostly by pings, and does not read them
        self._watch_end()
        frames, control, size = self._frames, self._control_frames, self._control_bytes
        self._frames = self._control_frames = self._control_bytes = 0
        self._reading.on_read(len(data), frames)
        if self.protocol.state is not State.OPEN:
            self._late += frames
            if self._late > LATE_FRAMES:
                self._reading.hold(True)
                self._end_within(CLOSE_SECONDS)
        if self.channel is not None:
            self.channel.on_bytes(control, size)

    def eof_received(self) -> None:
        super().eof_received()
        self._end_within(CLOSE_SECONDS)  # asyncio would wait until the other end has read what is not written yet

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._reading.end()
        return_memory_soon(self.loop)
        if self._deadline is not None:
            self._deadline.cancel()
        if self._end is not None and not self._end.done():
            self._end.set_result(None)
        if self.channel is not None:
            self.channel.on_lost()

    def process_event(self, event: Event) -> None:
        self._frames += 1
        if self.refusal is not None:
            return  # what follows a refused frame is ignored
        if isinstance(event, Frame) and event.opcode in CONTROL_OPCODES:
            self._control_frames += 1
            self._control_bytes += HEADER_BYTES + len(event.data)
        if not self._is_binary(event):
            if not self._is_delivered(event):
                super().process_event(event)
                if self.channel is not None and self.recv_messages.frames:
                    self.channel.read()
            return
        if self._ignores_binary:
            return
        self.refusal = ValueError("it sent a binary frame, and frames here are text")
        if self.protocol.state is State.OPEN:
            self.protocol.fail(CloseCode.POLICY_VIOLATION, "frames here are text")
            self.send_data()

    def _is_delivered(self, event: Event) -> bool:
        """Whether a small message was delivered at once, without the task that reads: none before it waits for that one."""
        if self.channel is None or not isinstance(event, Frame) or event.opcode is not Opcode.TEXT or not event.fin:
            return False
        if len(event.data) > LARGE_FRAME or self.recv_messages.frames:
            return False
        return self.channel.deliver(bytes(event.data))

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

    @property
    def is_lost(self) -> bool:
        return self.connection_lost_waiter.done()

    def until_lost(self) -> asyncio.Future[None]:
        """What is done when the socket is closed. It takes less memory than `wait_closed`. Call it once."""
        self._end = self.loop.create_future()
        if self.is_lost:
            self._end.set_result(None)
        return self._end

    async def recv_frame(self) -> bytes | None:
        if not self.recv_messages.frames and not self.is_lost:
            return None
        try:
            return await self.recv(decode=False)
        except ConnectionClosed as closed:
            raise WireError(*explain_end(closed, self.refusal)) from closed

    @property
    def is_clear(self) -> bool:
        return self.transport.get_write_buffer_size() == 0

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
        # The library limits the time of a close that we begin, not of one that the other end begins, or a fault in its frames.
        if self.protocol.close_expected():
            is_no_answer = self.protocol.state is State.CONNECTING and isinstance(self, ClientConnection)
            self._end_within(0 if is_no_answer else CLOSE_SECONDS)

    def _end_within(self, seconds: float) -> None:
        if self._deadline is None:
            self._deadline = self.loop.call_later(seconds, self.transport.abort)


class DialledWire(WebSocketWire, ClientConnection):
    """One that this end dialled. Before it sends, `check` gets its transport, and returns the key or raises WireError."""

    __slots__ = ("_check",)

    def __init__(self, *args: Any, check: Callable[[asyncio.BaseTransport], bytes | None], **options: Any) -> None:
        super().__init__(*args, **options)
        self._check = check

    async def handshake(self, *args: Any, **options: Any) -> None:
        self.proven_key = self._check(self.transport)
        await super().handshake(*args, **options)


def explain_end(closed: ConnectionClosed, refusal: Exception | None) -> tuple[str, Exception | None]:
    """Why an open connection ended, and which fault in its frames was the reason, if one was."""
    fault = refusal or closed.__cause__
    if isinstance(fault, Exception) and not isinstance(fault, (OSError, EOFError)):
        return f"it sent what cannot be taken: {fault}", fault
    if closed.rcvd is not None:
        return closed.rcvd.reason or f"closed by the other end (code {closed.rcvd.code})", None
    if isinstance(fault, TimeoutError):
        return "lost: timed out", None
    if isinstance(fault, OSError):
        return f"lost: {explain_os_error(fault)}", None
    if closed.sent is not None and closed.sent.code == CloseCode.POLICY_VIOLATION:
        return closed.sent.reason, None
    return "lost", None
