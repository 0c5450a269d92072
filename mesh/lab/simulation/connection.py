"""One end of a simulated connection: it behaves as a WebSocketConnection does, in virtual time."""

from __future__ import annotations

from asyncio import TimerHandle
from collections.abc import Callable
from typing import Any, Protocol

from mesh.lab.simulation.virtual_loop import VirtualLoop
from mesh.lab.simulation.wire import ItemKind, SimWire
from peers.clock import Undo
from peers.emitter import Emitter
from peers.transport.channel import SEND_BYTES
from peers.transport.port import MAX_FRAME

CONNECT_SECONDS = 3.0
"""An attempt to open that takes longer has failed."""
UNREAD_SECONDS = 2.0
"""An end that does not read, while the other one has closed, gives up after this."""


class RoomSide(Protocol):
    """What a connection needs of the network as its own room has it; see RoomNetwork."""

    loop: VirtualLoop
    room: str
    is_dead: bool
    channels: dict[SimChannel, None]

    def soon(self, reaction: Callable[..., None], *args: Any) -> None: ...
    def is_replaced(self) -> bool: ...
    def channel_to(self, connection: SimConnection) -> SimChannel: ...
    def after_a_way(self, other: RoomSide, reaction: Callable[[str], None], reason: str) -> None: ...
    def trace(self, connection: SimConnection, text: str) -> None: ...
    def trace_frame(self, connection: SimConnection, frame: bytes) -> None: ...


class SimChannel:
    """One attempt to open, the opening that may follow, and its end; a connection dialled again has a new one."""

    other: SimChannel | None = None
    """The end in the other room, as soon as there is one."""
    _on_open: Callable[[SimChannel], None]

    def __init__(self, connection: SimConnection, network: RoomSide, out: SimWire) -> None:
        self.connection = connection
        self.is_over = False
        self.network = network
        self._out = out
        self._is_open = False
        self._is_paused = False
        self._is_deaf = False
        self._timer: TimerHandle | None = None
        network.channels[self] = None

    def dial(self, port: int) -> None:
        """Begin to open it."""
        self.network.soon(self.connection.emit, "connecting")
        self._out.put("dial", str(port).encode())
        self._timer = self.network.loop.call_later(CONNECT_SECONDS, self._on_time)

    def accept(self, dialler: SimChannel, on_open: Callable[[SimChannel], None]) -> None:
        """Answer a dial; `on_open` is called when the dialler has opened it, and never if it does not."""
        self.other, dialler.other = dialler, self
        self._on_open = on_open
        self._out.put("accept")
        self._timer = self.network.loop.call_later(CONNECT_SECONDS, self._on_time)

    def send(self, frame: bytes) -> None:
        """Send one frame, or give up if the other end has not read for too long. Ignored when it is over."""
        if self.is_over:
            return
        if self._out.waiting_bytes + len(frame) > SEND_BYTES:
            self._out.forget_unsent()
            self.finish("too slow")
            return
        self._out.put("frame", frame)

    def pause(self, is_paused: bool) -> None:
        self._is_paused = is_paused
        self.regulate()

    def regulate(self) -> None:
        """The reason not to read may be gone."""
        if self.other is not None:
            self.other.send_on()

    def send_on(self) -> None:
        """The other end may read again: deliver what waits."""
        self._out.wake()

    def may_read(self, _wire: SimWire) -> bool:
        if self.network.is_dead:
            return self.network.is_replaced()  # the next life of the room answers that it knows nothing of this
        return not self._is_open or self._is_deaf or self._is_listening()

    def read_part(self, _wire: SimWire) -> None:
        if self._is_open and not self.is_over and not self.network.is_dead:
            self.connection.emit("activity")

    def read(self, wire: SimWire, kind: ItemKind, payload: bytes) -> None:
        if self.network.is_dead:
            wire.drop()
            self._reset_other()
        elif kind == "close":
            wire.drop()
            self._out.drop()
            self._end(payload.decode() or "closed by the other end")
        elif self.is_over or (self._is_deaf and kind == "frame"):
            self._read_late(wire, kind)
        elif kind == "frame":
            self._read_frame(payload)
        elif kind == "refuse":
            wire.drop()
            self._out.drop()
            self._end("refused")
        elif kind == "accept":
            self._out.put("open")
            self._open()
            self.connection.emit("connect")
        elif kind == "open":
            self._open()
            self._on_open(self)

    def finish(self, reason: str, *, error: Exception | None = None) -> None:
        """Deliver nothing more, say so on the next turn, and tell the other end. Harmless when it is over."""
        if self.is_over or self.network.is_dead:
            return
        if self._is_open:
            self._out.put("close", reason.encode())
        else:
            self._out.drop()
        other = self.other
        self._end(reason, error)
        if other is not None:
            self._timer = self.network.loop.call_later(UNREAD_SECONDS, other.give_up)

    def reset(self, reason: str) -> None:
        """The connection is broken: this end learns of it now."""
        self._out.drop()
        if not self.network.is_dead:
            self._end(reason)

    def give_up(self) -> None:
        """The other end has closed: what was not read by now will not be."""
        if not self._is_listening():
            self._is_deaf = True
            self.regulate()

    def die(self) -> None:
        """The room crashed: nothing more happens at this end, and nobody is told."""
        self._stop_timer()

    def _is_listening(self) -> bool:
        return not self._is_paused and self.connection.has_listeners("message")

    def _read_late(self, wire: SimWire, kind: ItemKind) -> None:
        """Nothing is taken here any more: frames are dropped, so that the other end's close gets through."""
        if kind != "frame":
            wire.drop()
        if kind in ("accept", "open"):
            self._reset_other()

    def _open(self) -> None:
        self._stop_timer()
        self._is_open = self.connection.connected = True

    def _read_frame(self, frame: bytes) -> None:
        self.connection.emit("activity")
        if self.is_over:
            return
        if len(frame) > MAX_FRAME:
            error = ValueError(f"a frame of {len(frame)} bytes, and at most {MAX_FRAME} are taken")
            self.finish(f"it sent what cannot be taken: {error}", error=error)
            return
        self.network.trace_frame(self.connection, frame)
        self.connection.emit("message", frame)

    def _on_time(self) -> None:
        self.finish(f"timed out after {CONNECT_SECONDS:g} s")

    def _end(self, reason: str, error: Exception | None = None) -> None:
        self._stop_timer()
        self.network.channels.pop(self, None)
        if self.is_over:
            return
        self.is_over = self._is_deaf = True
        self.regulate()
        self.network.soon(self.connection.on_end, self, reason, error)

    def _reset_other(self) -> None:
        if self.other is not None:
            self.network.after_a_way(self.other.network, self.other.reset, "lost: reset")

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class SimConnection:
    """Implements `Connection`. Frames that come before somebody listens to `message` are held back."""

    local_host = ""
    """A room keeps its name, wherever it is."""

    def __init__(self, network: RoomSide, address: str, *, room: str, port: int, dialled: bool) -> None:
        self.connected = False
        self.dialled = dialled
        self.address = address
        self.room = room
        """The room at the other end."""
        self._port = port
        self._network = network
        self._emitter = Emitter()
        self._channel: SimChannel | None = None

    def connect(self) -> None:
        if not self.dialled:
            raise RuntimeError(f"{self.address} was accepted: only the end that dialled can open it again")
        if self._channel is not None:
            raise RuntimeError(f"{self.address} is open, or being opened, already")
        self._channel = self._network.channel_to(self)
        self._channel.dial(self._port)

    def disconnect(self, reason: str = "") -> None:
        channel, self._channel = self._channel, None
        self.connected = False
        if channel is not None:
            channel.finish(reason or "closed by this end")

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
        undo = self._emitter.on(event, listener)
        if self._channel is not None:
            self._channel.regulate()
        return undo

    def has_listeners(self, event: str) -> bool:
        return self._emitter.has_listeners(event)

    def emit(self, event: str, *args: Any) -> None:
        if event == "connect":
            self._network.trace(self, "connect")
        self._emitter.emit(event, *args)

    def adopt(self, channel: SimChannel) -> None:
        """Begin with a channel that the other end opened."""
        self._channel = channel

    def on_end(self, channel: SimChannel, reason: str, error: Exception | None) -> None:
        if self._channel is channel:  # not so if it was closed here, and perhaps dialled again since
            self._channel = None
            self.connected = False
        self._network.trace(self, f"disconnect {reason}")
        if error is not None:
            self._emitter.emit("error", error)
        self._emitter.emit("disconnect", reason)
