"""One end of a simulated connection. It behaves as a WebSocketConnection does, in virtual time."""

from __future__ import annotations

from asyncio import TimerHandle
from collections.abc import Callable
from typing import Any, Protocol

from mesh.lab.simulation.gate import SimGate, why_not_dialled
from mesh.lab.simulation.virtual_loop import VirtualLoop
from mesh.lab.simulation.wire import ItemKind, SimWire
from peers.clock import Undo
from peers.emitter import Emitter
from peers.transport.channel import SEND_BYTES
from peers.transport.port import MAX_FRAME
from peers.transport.tls.gate import NOT_TAKEN

CONNECT_SECONDS = 3.0
"""An attempt to open a connection that takes longer has failed."""
UNREAD_SECONDS = 2.0
"""After the other end has closed, an end that does not read gives up after this."""


class RoomSide(Protocol):
    """The network of the room that a connection belongs to, as the connection needs it; see RoomNetwork."""

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
    """One attempt to open a connection, the open connection, and its end. A connection that is dialled again gets a new one."""

    other: SimChannel | None = None
    """The end in the other room, once there is one."""
    other_gate: SimGate | None = None
    """That of the other end, once one has answered."""
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
        """Begin to open."""
        self.network.soon(self.connection.emit, "connecting")
        self._out.put("dial", str(port).encode())
        self._timer = self.network.loop.call_later(CONNECT_SECONDS, self._on_time)

    def accept(self, dialler: SimChannel, on_open: Callable[[SimChannel], None]) -> None:
        """Answer a dial. `on_open` is called when the dialling end has opened the connection, if it does."""
        self.other, dialler.other = dialler, self
        self.other_gate = dialler.connection.gate
        self._on_open = on_open
        self._out.put("accept")
        self._timer = self.network.loop.call_later(CONNECT_SECONDS, self._on_time)

    def send(self, frame: bytes) -> None:
        """Send one frame; with more than SEND_BYTES unsent, close as too slow. Ignored when the connection is over."""
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
        """Look again whether this end may read."""
        if self.other is not None:
            self.other.send_on()

    def send_on(self) -> None:
        """The other end may read again: deliver what waits."""
        self._out.wake()

    def may_read(self, _wire: SimWire) -> bool:
        if self.network.is_dead:
            return self.network.is_replaced()  # the next life of the room answers with a reset
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
            self._end(self._why_not() or NOT_TAKEN if payload else "refused")
        elif kind == "accept":
            self._on_accept(wire)
        elif kind == "open":
            self._open()
            self._on_open(self)

    def finish(self, reason: str, *, error: Exception | None = None) -> None:
        """Deliver nothing more, emit `disconnect` on the next turn, and tell the other end. Harmless when it is over."""
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
        """The connection is broken: this end notices now."""
        self._out.drop()
        if not self.network.is_dead:
            self._end(reason)

    def give_up(self) -> None:
        """The other end closed long ago: drop what this end has not read."""
        if not self._is_listening():
            self._is_deaf = True
            self.regulate()

    def die(self) -> None:
        """The room crashed: nothing more happens at this end, and the other end is not told."""
        self._stop_timer()

    def _is_listening(self) -> bool:
        return not self._is_paused and self.connection.has_listeners("message")

    def _read_late(self, wire: SimWire, kind: ItemKind) -> None:
        """Drop frames, since this end takes nothing any more, so that the close of the other end arrives."""
        if kind != "frame":
            wire.drop()
        if kind in ("accept", "open"):
            self._reset_other()

    def _on_accept(self, wire: SimWire) -> None:
        why = self._why_not()
        if why:
            wire.drop()
            self._out.put("close")
            self._end(why)
            return
        self._out.put("open")
        self._open()
        self.connection.emit("connect")

    def _why_not(self) -> str:
        """Why this end, which dialled, does not speak to the other one, if that is due to certificates."""
        return why_not_dialled(self.connection.gate, self.other_gate, self.connection.expected)

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
    """Implements `Connection`. Frames wait until there is a listener for `message`."""

    local_host = ""
    """Rooms have no addresses besides their names."""

    def __init__(
        self,
        network: RoomSide,
        address: str,
        *,
        room: str,
        port: int,
        dialled: bool,
        expected: str = "",
        gate: SimGate | None = None,
    ) -> None:
        """`expected` is the node id that the other end has to have, if one is; `gate` that of this end."""
        self.connected = False
        self.dialled = dialled
        self.address = address
        self.room = room
        """The room at the other end."""
        self.expected = expected
        self.gate = gate
        self._port = port
        self._network = network
        self._emitter = Emitter()
        self._channel: SimChannel | None = None

    @property
    def proven_key(self) -> bytes | None:
        gate = self._channel.other_gate if self._channel is not None and self.connected else None
        return gate.certificate.public if gate is not None else None

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
        """Begin with a channel that the other end dialled."""
        self._channel = channel

    def on_end(self, channel: SimChannel, reason: str, error: Exception | None) -> None:
        if self._channel is channel:  # otherwise it was closed here, and perhaps dialled again since
            self._channel = None
            self.connected = False
        self._network.trace(self, f"disconnect {reason}")
        if error is not None:
            self._emitter.emit("error", error)
        self._emitter.emit("disconnect", reason)
