"""WiredConnection and Channel: states, queues and limits of a connection; its wires know how bytes become frames."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any, Protocol

from peers.clock import Undo
from peers.emitter import Emitter
from peers.transport.port import LARGE_FRAME
from peers.transport.wire import OpenWire, Wire, WireError

SEND_BYTES = 16 * 1024 * 1024
"""Bytes that `send` queues while the other end does not read; above it the connection is closed as too slow."""
WRITE_BATCH = 64 * 1024
"""Bytes after which queued frames are handed to the socket in one write."""
READ_TURN = 16
"""Frames delivered before the rest of the loop gets its turn."""
CLOSE_SECONDS = 1.0
"""A connection that is closed by this end, or lost while it is paused, is cut after this."""
ACTIVITY_SECONDS = 0.1
"""Between two `activity` events, at least."""
REASON_BYTES = 123  # RFC 6455, 5.5: a control frame carries at most 125 bytes, two of them the code

# Close codes of RFC 6455, 7.4.1
NORMAL_CLOSURE = 1000
GOING_AWAY = 1001
POLICY_VIOLATION = 1008
INTERNAL_ERROR = 1011

log = logging.getLogger(__name__)


class ChannelNetwork(Protocol):
    """The port of what a connection needs of its network; WiredNetwork has it."""

    loop: asyncio.AbstractEventLoop
    is_closed: bool
    channels: dict[Channel, None]
    """Those that are not over: a channel adds and removes itself."""
    sent_bytes: int
    """Of all frames that were given to `send`."""
    received_bytes: int
    """Of all frames that came."""

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run `work` as a task, which `close` of the network waits for."""


class Channel:
    """One opening of a connection, from its dial or its acceptance to its end; dialling again makes a new one."""

    def __init__(self, connection: WiredConnection, network: ChannelNetwork) -> None:
        self.connection = connection
        self.is_over = False
        """Whether its end is announced or about to be; its wire may still be closing."""
        self.wire: Wire | None = None
        """None until it is open."""
        self.queued_bytes = 0
        """Bytes that were sent and are not written to the socket yet."""
        self._written_bytes = 0
        """Of these, what `send` gave to the wire, and the socket did not take at once."""
        self._network = network
        self._opening: asyncio.Task[None] | None = None
        self._writer: asyncio.Task[None] | None = None
        """While frames wait in the queue or in the wire."""
        self._queue: list[bytes] = []
        self._may_deliver = False
        self._resumed: asyncio.Future[None] | None = None
        """What the reader waits for until it may deliver."""
        self._is_paused = False
        self._is_reading = False
        self._is_holding = False
        """Whether the reader has a frame that waits to be delivered."""
        self._delivered = 0
        """Frames of the last bytes that did not go through the reader: at most READ_TURN."""
        self._drops_frames = False
        self._drop_timer: asyncio.TimerHandle | None = None
        self._next_activity = 0.0
        network.channels[self] = None

    @property
    def local_host(self) -> str:
        return self.wire.local_host if self.wire is not None else ""

    @property
    def proven_key(self) -> bytes | None:
        return self.wire.proven_key if self.wire is not None else None

    def dial(self, open_wire: OpenWire) -> None:
        """Begin to open it."""
        self._opening = self._network.spawn(self._open(open_wire))

    async def _open(self, open_wire: OpenWire) -> None:
        if self.is_over:
            return
        try:
            self._emit("connecting")
            wire = await open_wire()
        except WireError as failure:
            self.finish(failure.reason, error=failure.fault)
            return
        if self.is_over:
            wire.abort()
            await wire.wait_closed()
            return
        self.start(wire)
        self._emit("connect")

    def start(self, wire: Wire) -> None:
        """It is open: read and write from here on."""
        self.wire = wire
        wire.channel = self
        self.connection.connected = True
        self.update_delivery()
        self.read()
        if wire.is_lost:
            self.on_lost()

    def send(self, frame: bytes) -> None:
        """Queue a frame. With more than SEND_BYTES in the queue the connection ends as too slow."""
        if self.is_over:
            return  # `disconnect` follows on the next turn of the loop
        self.queued_bytes += len(frame)
        self._network.sent_bytes += len(frame)
        if self.queued_bytes > SEND_BYTES:
            self._queue.clear()
            self.finish("too slow", code=POLICY_VIOLATION)
            return
        assert self.wire is not None
        if self.wire.is_clear and not self._queue:
            self.wire.write_frames([frame])
            self._written_bytes += len(frame)
            if self.wire.is_clear:
                self.queued_bytes -= self._written_bytes
                self._written_bytes = 0
                return
        else:
            self._queue.append(frame)
        if self._writer is None:
            self._writer = self._network.spawn(self._write(self.wire))

    async def _write(self, wire: Wire) -> None:
        try:
            while self._queue or self._written_bytes:
                frames, size = self._take_batch()
                size += self._written_bytes
                self._written_bytes = 0
                wire.write_frames(frames)
                await wire.drain()
                self.queued_bytes -= size
                if self._queue:
                    await asyncio.sleep(0)
        except OSError:
            pass  # the reader gets the reason too, and ends the channel
        finally:
            self._writer = None

    def _take_batch(self) -> tuple[list[bytes], int]:
        count = size = 0
        while count < len(self._queue) and size < WRITE_BATCH:
            size += len(self._queue[count])
            count += 1
        frames = self._queue[:count]
        del self._queue[:count]
        return frames, size

    def read(self) -> None:
        """Frames wait in the wire, or its end: take them, in a task of their own. Harmless while one does."""
        if not self._is_reading and self.wire is not None:
            self._is_reading = True
            self._network.spawn(self._read(self.wire))

    async def _read(self, wire: Wire) -> None:
        try:
            while True:
                for _ in range(READ_TURN):
                    frame = await wire.recv_frame()
                    if frame is None:
                        self._is_reading = False
                        return
                    self._network.received_bytes += len(frame)
                    self._is_holding = True
                    await self._wait_to_deliver()
                    self._is_holding = False
                    is_large = len(frame) > LARGE_FRAME and not self._drops_frames
                    if is_large:
                        self.pause(True)
                    if not self._drops_frames:
                        self._emit("message", frame)
                    del frame  # it may be large, and the next one may come late
                    if is_large:
                        await self._wait_to_deliver()
                        wire.end_large()
                await asyncio.sleep(0)
        except WireError as end:
            self.finish(end.reason, error=end.fault)

    def deliver(self, frame: bytes) -> bool:
        """Emit a frame that the wire has read; False, and nothing happened, if it has to wait for those before it."""
        if not self._may_deliver or self._is_holding or self._delivered >= READ_TURN:
            return False
        self._delivered += 1
        self._network.received_bytes += len(frame)
        if not self._drops_frames:
            self._emit("message", frame)
        return True

    async def _wait_to_deliver(self) -> None:
        while not self._may_deliver:
            self._resumed = self._network.loop.create_future()
            await self._resumed

    def _emit(self, event: str, *args: Any) -> None:
        """Emit one event. A listener that fails ends the connection: it may have missed a frame."""
        try:
            self.connection.emitter.emit(event, *args)
        except Exception as failure:
            log.exception("connection %s: a listener of %s failed", self.connection.address, event)
            self.finish(f"internal error: {type(failure).__name__}", code=INTERNAL_ERROR)

    def pause(self, is_paused: bool) -> None:
        """Stop delivering frames, or go on."""
        self._is_paused = is_paused
        if self.wire is not None and not is_paused:
            self.wire.hold(False)
        self.update_delivery()

    def update_delivery(self) -> None:
        """Deliver frames, or hold them while it is paused or has no listener to `message`."""
        self._may_deliver = self._drops_frames or (
            not self._is_paused and self.connection.emitter.has_listeners("message")
        )
        if self._may_deliver and self._resumed is not None:
            if not self._resumed.done():
                self._resumed.set_result(None)
            self._resumed = None

    def on_bytes(self, control_frames: int = 0, control_bytes: int = 0) -> None:
        """As FrameTaker says."""
        self._delivered = 0
        if control_frames and not self.is_over:
            if self._is_paused and self.wire is not None:
                self.wire.hold(True)  # while nothing comes, it is read, so that its end is seen
            self._emit("control", control_frames, control_bytes)
        now = self._network.loop.time()
        if now >= self._next_activity and not self.is_over:
            self._next_activity = now + ACTIVITY_SECONDS
            self._emit("activity")

    def on_lost(self) -> None:
        """The socket of the wire is closed."""
        if self.is_over:
            return
        self.read()
        if not self._may_deliver:  # frames that came before the end are still delivered if it is resumed soon
            self._drop_timer = self._network.loop.call_later(CLOSE_SECONDS, self._drop_frames)

    def _drop_frames(self) -> None:
        self._drops_frames = True
        if self.wire is not None:
            self.wire.hold(False)
        self.update_delivery()

    def finish(self, reason: str, *, code: int = NORMAL_CLOSURE, error: Exception | None = None) -> None:
        """Deliver nothing more, emit `disconnect` on the next turn of the loop, and close the wire in the background.

        `error` is emitted before it. Harmless when it is over.
        """
        if self.is_over:
            return
        self.is_over = True
        if self._drop_timer is not None:
            self._drop_timer.cancel()
        self._drop_frames()  # the wire is read on, so that the end of the other side's stream is seen
        log.debug("connection %s: %r", self.connection.address, reason)
        self._network.loop.call_soon(self.connection.on_end, reason, error)
        self._network.spawn(self._end(code, reason))

    async def _end(self, code: int, reason: str) -> None:
        try:
            if self._opening is not None and self.wire is None:
                self._opening.cancel()
            if self.wire is not None:
                await self._close_wire(self.wire, code, reason)
        finally:
            del self._network.channels[self]

    async def _close_wire(self, wire: Wire, code: int, reason: str) -> None:
        try:
            async with asyncio.timeout(CLOSE_SECONDS):  # the library's own timeout does not cover a full send buffer
                if self._writer is not None:
                    await self._writer
                await wire.close(code, reason.encode("utf-8", "replace")[:REASON_BYTES].decode("utf-8", "ignore"))
        except TimeoutError:
            log.debug("connection %s: cut, it did not close within %g s", self.connection.address, CLOSE_SECONDS)
        finally:
            wire.abort()
        await wire.wait_closed()


class WiredConnection:
    """A Connection over wires, one after the other: `open_wire` dials the next one; without it, it was accepted.

    Frames are held until there is a listener to `message`, so an accepted connection can be given to another part of a
    program. Between `disconnect()` and the event, one turn of the loop later, `send` drops its frames.
    """

    def __init__(self, network: ChannelNetwork, address: str, open_wire: OpenWire | None = None) -> None:
        self.connected = False
        self.dialled = open_wire is not None
        self.address = address
        self.emitter = Emitter()
        self.on_welcome: Callable[[], None] | None = None
        """Called by `welcome`; the network that accepted it sets it."""
        self.channel: Channel | None = None
        """None while it is closed."""
        self._network = network
        self._open_wire = open_wire

    @property
    def local_host(self) -> str:
        return self.channel.local_host if self.channel is not None else ""

    @property
    def proven_key(self) -> bytes | None:
        return self.channel.proven_key if self.channel is not None else None

    def welcome(self) -> None:
        """The other end is known: from now on it may send frames of the full size, and has no deadline."""
        if self.on_welcome is not None:
            self.on_welcome()

    def connect(self) -> None:
        if self._open_wire is None:
            raise RuntimeError(f"{self.address} was accepted: only the end that dialled can open it again")
        if self._network.is_closed:
            raise RuntimeError(f"{self.address} cannot be dialled: this network is closed")
        if self.channel is not None:
            raise RuntimeError(f"{self.address} is open or being opened: it can be dialled again after `disconnect`")
        self.channel = Channel(self, self._network)
        self.channel.dial(self._open_wire)

    def disconnect(self, reason: str = "") -> None:
        if self.channel is not None:
            self.channel.finish(reason or "closed by this end")

    def send(self, frame: bytes) -> None:
        if self.channel is None or not self.connected:
            raise RuntimeError(f"{self.address} is not open: frames can be sent after `connect`")
        self.channel.send(frame)

    def pause(self) -> None:
        if self.channel is not None:
            self.channel.pause(True)

    def resume(self) -> None:
        if self.channel is not None:
            self.channel.pause(False)

    def on(self, event: str, listener: Callable[..., Any]) -> Undo:
        undo = self.emitter.on(event, listener)
        if self.channel is not None:
            self.channel.update_delivery()
        return undo

    def open_accepted(self, wire: Wire) -> None:
        """Begin with a wire that the other end dialled."""
        self.channel = Channel(self, self._network)
        self.channel.start(wire)

    def on_end(self, reason: str, error: Exception | None) -> None:
        """Its channel is over."""
        self.channel = None
        self.connected = False
        try:
            if error is not None:
                self.emitter.emit("error", error)
        finally:
            self.emitter.emit("disconnect", reason)
