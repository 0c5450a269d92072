"""A connection over one wire after another: its states, its queues and their limits, whatever its bytes look like."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any, Protocol

from peers.clock import Undo
from peers.emitter import Emitter
from peers.transport.port import LARGE_FRAME

SEND_BYTES = 16 * 1024 * 1024
"""Bytes that `send` may queue for an end that does not read; above it the connection is closed as too slow."""
WRITE_BATCH = 64 * 1024
"""Bytes after which queued frames are handed to the socket in one write."""
READ_TURN = 64
"""Frames delivered before the rest of the loop gets its turn."""
CLOSE_SECONDS = 1.0
ACTIVITY_SECONDS = 0.1
REASON_BYTES = 123  # RFC 6455, 5.5: a control frame carries at most 125 bytes, two of them the code

# Close codes of RFC 6455, 7.4.1
NORMAL_CLOSURE = 1000
GOING_AWAY = 1001
POLICY_VIOLATION = 1008
INTERNAL_ERROR = 1011

log = logging.getLogger(__name__)


class WireError(Exception):
    """There is no wire, or none any more: why in a few words, and what could not be taken, if that was why."""

    def __init__(self, reason: str, fault: Exception | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.fault = fault


class Wire(Protocol):
    """An open socket that carries frames, as its channel needs it. It calls `on_bytes` of its channel when bytes come."""

    channel: Channel | None
    """None at first: `Channel.start` sets it."""

    @property
    def local_host(self) -> str:
        """As Connection says."""

    async def recv_frame(self) -> bytes:
        """The next frame. Raises WireError when there will be none."""

    def write_frames(self, frames: list[bytes]) -> None:
        """Write frames in one go; dropped once it is closing."""

    async def drain(self) -> None:
        """Wait until the socket has taken what was written. Raises OSError if it is lost."""

    async def close(self, code: int, reason: str) -> None:
        """Say goodbye, and wait for the answer. `reason` has at most REASON_BYTES, for wires that can carry one."""

    def end_large(self) -> None:
        """The large frame that was received last is dealt with."""

    def abort(self) -> None:
        """Drop it at once, with all that is still to be written. Harmless when it is lost."""

    async def wait_closed(self) -> None:
        """Wait until its socket is gone."""


Reach = Callable[[], Coroutine[Any, Any, Wire]]
"""Dials. Raises WireError, and nothing else, however it fails."""


class Wiring(Protocol):
    """What a connection asks of its network: the loop, and somebody who waits for its tasks."""

    loop: asyncio.AbstractEventLoop
    is_closed: bool
    channels: dict[Channel, None]

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run it as a task, which `close` of the network waits for."""


class Channel:
    """One attempt to open, the opening that may follow, and its end; dialling again makes a new one."""

    def __init__(self, connection: WiredConnection, network: Wiring) -> None:
        self.is_over = False
        self._connection = connection
        self._network = network
        self._opening: asyncio.Task[None] | None = None
        self._writer: asyncio.Task[None] | None = None
        self._wire: Wire | None = None
        self._queue: deque[bytes] = deque()
        self._queued_bytes = 0
        self._wake = asyncio.Event()
        self._flowing = asyncio.Event()
        self._is_paused = False
        self._is_deaf = False
        self._grace: asyncio.TimerHandle | None = None
        self._next_activity = 0.0
        network.channels[self] = None

    @property
    def local_host(self) -> str:
        return self._wire.local_host if self._wire is not None else ""

    def dial(self, reach: Reach) -> None:
        self._opening = self._network.spawn(self._open(reach))

    async def _open(self, reach: Reach) -> None:
        if self.is_over:
            return
        try:
            self._tell("connecting")
            wire = await reach()
        except WireError as failure:
            self.finish(failure.reason, error=failure.fault)
            return
        if self.is_over:
            wire.abort()
            await wire.wait_closed()
            return
        self.start(wire)
        self._tell("connect")

    def start(self, wire: Wire) -> None:
        """Read and write from here on."""
        self._wire = wire
        wire.channel = self
        self._connection.connected = True
        self.regulate()
        self._writer = self._network.spawn(self._write(wire))
        self._network.spawn(self._read(wire))
        self._network.spawn(self._watch(wire))

    def send(self, frame: bytes) -> None:
        if self.is_over:
            return  # `disconnect` is on its way
        self._queued_bytes += len(frame)
        if self._queued_bytes > SEND_BYTES:
            self._queue.clear()
            self.finish("too slow", code=POLICY_VIOLATION)
            return
        self._queue.append(frame)
        self._wake.set()

    async def _write(self, wire: Wire) -> None:
        while True:
            while self._queue:
                frames, size = self._take_batch()
                try:
                    wire.write_frames(frames)
                    await wire.drain()
                except OSError:
                    return  # the reader learns why, and says so
                self._queued_bytes -= size
                if self._queue:
                    await asyncio.sleep(0)
            if self.is_over:
                return
            self._wake.clear()
            await self._wake.wait()

    def _take_batch(self) -> tuple[list[bytes], int]:
        frames = []
        size = 0
        while self._queue and size < WRITE_BATCH:
            frame = self._queue.popleft()
            frames.append(frame)
            size += len(frame)
        return frames, size

    async def _read(self, wire: Wire) -> None:
        try:
            while True:
                for _ in range(READ_TURN):
                    frame = await wire.recv_frame()
                    await self._flow()
                    is_large = len(frame) > LARGE_FRAME and not self._is_deaf
                    if is_large:
                        self.pause(True)
                    if not self._is_deaf:
                        self._tell("message", frame)
                    del frame  # it may be large, and the next one may come late
                    if is_large:
                        await self._flow()
                        wire.end_large()
                await asyncio.sleep(0)
        except WireError as end:
            self.finish(end.reason, error=end.fault)

    async def _flow(self) -> None:
        while not self._flowing.is_set():
            await self._flowing.wait()

    def _tell(self, event: str, *args: Any) -> None:
        """Emit one event; a listener that fails ends the connection, since it may have lost what it was told."""
        try:
            self._connection.emitter.emit(event, *args)
        except Exception as failure:
            log.exception("connection %s: a listener of %s failed", self._connection.address, event)
            self.finish(f"internal error: {type(failure).__name__}", code=INTERNAL_ERROR)

    def pause(self, is_paused: bool) -> None:
        self._is_paused = is_paused
        self.regulate()

    def regulate(self) -> None:
        """Let frames through, or hold them: while it is paused, and until somebody listens to them."""
        if self._is_deaf or (not self._is_paused and self._connection.emitter.has_listeners("message")):
            self._flowing.set()
        else:
            self._flowing.clear()

    def on_bytes(self) -> None:
        now = self._network.loop.time()
        if now >= self._next_activity and not self.is_over:
            self._next_activity = now + ACTIVITY_SECONDS
            self._tell("activity")

    async def _watch(self, wire: Wire) -> None:
        await wire.wait_closed()
        if not self._flowing.is_set():  # what came before the end is still delivered if it is resumed soon
            self._grace = self._network.loop.call_later(CLOSE_SECONDS, self._turn_deaf)

    def _turn_deaf(self) -> None:
        self._is_deaf = True
        self.regulate()

    def finish(self, reason: str, *, code: int = NORMAL_CLOSURE, error: Exception | None = None) -> None:
        """Deliver nothing more, say so on the next turn of the loop, close in the background. Harmless when over."""
        if self.is_over:
            return
        self.is_over = True
        if self._grace is not None:
            self._grace.cancel()
        self._turn_deaf()  # frames that still come are read and dropped, so that the other end's close gets through
        self._wake.set()
        log.debug("connection %s: %s", self._connection.address, reason)
        self._network.loop.call_soon(self._connection.on_end, reason, error)
        self._network.spawn(self._end(code, reason))

    async def _end(self, code: int, reason: str) -> None:
        try:
            if self._opening is not None and self._wire is None:
                self._opening.cancel()
            if self._wire is not None and self._writer is not None:
                await self._close_wire(self._wire, self._writer, code, reason)
        finally:
            del self._network.channels[self]

    async def _close_wire(self, wire: Wire, writer: asyncio.Task[None], code: int, reason: str) -> None:
        try:
            async with asyncio.timeout(CLOSE_SECONDS):  # the library's own timeout does not cover a full send buffer
                await writer
                await wire.close(code, reason.encode("utf-8", "replace")[:REASON_BYTES].decode("utf-8", "ignore"))
        except TimeoutError:
            log.debug("connection %s: cut, it did not close within %g s", self._connection.address, CLOSE_SECONDS)
        finally:
            wire.abort()
        await wire.wait_closed()


class WiredConnection:
    """A `Connection` over one wire after another: `reach` makes the next one; without it, it was accepted.

    Frames that come before somebody listens to `message` are held, so that an accepted connection can be handed on.
    Between `disconnect()` and the event, one turn of the loop later, `send` drops what it is given.
    """

    def __init__(self, network: Wiring, address: str, reach: Reach | None = None) -> None:
        self.connected = False
        self.dialled = reach is not None
        self.address = address
        self._network = network
        self._reach = reach
        self.emitter = Emitter()
        self.on_welcome: Callable[[], None] | None = None
        self._channel: Channel | None = None

    @property
    def local_host(self) -> str:
        return self._channel.local_host if self._channel is not None else ""

    def welcome(self) -> None:
        """The other end is no stranger any more: it may send larger frames, where strangers may not."""
        if self.on_welcome is not None:
            self.on_welcome()

    def connect(self) -> None:
        if self._reach is None:
            raise RuntimeError(f"{self.address} was accepted: only the end that dialled can open it again")
        if self._network.is_closed:
            raise RuntimeError(f"{self.address} cannot be dialled: this network is closed")
        if self._channel is not None:
            raise RuntimeError(f"{self.address} is open or being opened: it can be dialled again after `disconnect`")
        self._channel = Channel(self, self._network)
        self._channel.dial(self._reach)

    def disconnect(self, reason: str = "") -> None:
        if self._channel is not None:
            self._channel.finish(reason or "closed by this end")

    def send(self, frame: bytes) -> None:
        if self._channel is None or not self.connected:
            raise RuntimeError(f"{self.address} is not open: frames can be sent after `connect`")
        self._channel.send(frame)

    def pause(self) -> None:
        if self._channel is not None:
            self._channel.pause(True)

    def resume(self) -> None:
        if self._channel is not None:
            self._channel.pause(False)

    def on(self, event: str, listener: Callable[..., Any]) -> Undo:
        undo = self.emitter.on(event, listener)
        if self._channel is not None:
            self._channel.regulate()
        return undo

    def adopt(self, wire: Wire) -> None:
        """Begin with a channel that the other end opened."""
        self._channel = Channel(self, self._network)
        self._channel.start(wire)

    def on_end(self, reason: str, error: Exception | None) -> None:
        self._channel = None
        self.connected = False
        try:
            if error is not None:
                self.emitter.emit("error", error)
        finally:
            self.emitter.emit("disconnect", reason)
