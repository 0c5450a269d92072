"""The simulated network between rooms: latency, loss, walls, one-way cuts, held frames, crashed rooms."""

from __future__ import annotations

import errno
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from mesh.lab.simulation.connection import RoomSide, SimChannel, SimConnection
from mesh.lab.simulation.gate import SimGate, why_not_accepted
from mesh.lab.simulation.virtual_loop import VirtualLoop
from mesh.lab.simulation.wire import ItemKind, SimWire, WireQuality
from peers.clock import Undo
from peers.emitter import Emitter
from peers.later import Later
from peers.transport.port import Connection, Listening
from peers.transport.sockets import EVERY_HOST

FIRST_FREE_PORT = 40_000
LAST_FREE_PORT = 60_000
TRACE_CHARACTERS = 80
"""Characters of a frame that a trace shows."""
OWN_HOSTS = frozenset({"", "0.0.0.0", "::", "127.0.0.1", "::1", "localhost"})
"""Hosts at which a room may listen, besides its own name."""
LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
KEPT_DIALS = 100_000
"""Attempts to open a connection that are kept: the last ones."""

Trace = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class DialAttempt:
    """One attempt to open a connection."""

    seconds: float
    """In virtual time."""
    source: str
    target: str


class SimNetwork:
    """The network of a cluster; `room` gives the `Network` of one room. An address is `room:port`.

    A **wall** separates the groups of a partition; a **cut** is a wall in one direction; a **hold** delays one direction.
    On an open connection all three delay what is in flight until they are gone, as TCP does. A new connection times out at a
    wall; a room that does not run refuses it. Each frame takes a time that `random` draws from the quality of its direction.

    All names are names of rooms or clients. No method checks whether there is such a room: it may come later.

        network.partition([["kitchen"], ["study", "attic"]])
        network.hold("study", "attic")
        network.set_quality("attic", "study", Quality(latency_ms=(50, 200), loss=0.01))
    """

    def __init__(self, loop: VirtualLoop, random: Random, *, on_trace: Trace | None = None) -> None:
        self.loop = loop
        self.random = random
        self.on_trace = on_trace
        """Gets a line for each frame that is read and each connection that opens or ends. Same seeds, same lines."""
        self.dials: deque[DialAttempt] = deque(maxlen=KEPT_DIALS)
        """The attempts to open a connection, in order."""
        self._networks: dict[str, RoomNetwork] = {}
        self._free_ports: dict[str, int] = {}
        self.wires: dict[SimWire, None] = {}
        """The wires that are not dropped."""
        self._groups: dict[str, int] = {}
        self._cuts: set[tuple[str, str]] = set()
        self._holds: set[tuple[str, str]] = set()
        self._frozen: set[str] = set()
        self._qualities: dict[tuple[str, str], WireQuality] = {}
        self._emitter = Emitter()

    def room(self, room: str) -> RoomNetwork:
        """The `Network` of a room; new after a crash. Raises ValueError for a name that cannot be used."""
        if not room or ":" in room or room in OWN_HOSTS:
            raise ValueError(f"{room!r} cannot be the name of a room: it must not be empty, a host's, or contain ':'")
        found = self._networks.get(room)
        if found is None:
            found = self._networks[room] = RoomNetwork(self, room)
            self._routes_changed()
        return found

    def drop_room(self, room: str) -> None:
        """The room crashes: its listening sockets and connections end without a goodbye. Harmless if it has none.

        The other ends notice by their own timeouts, or when the room runs again and answers what they send with a reset.
        """
        found = self._networks.pop(room, None)
        if found is None:
            return
        for wire in tuple(self.wires):
            if wire.source == room:
                wire.drop()
        found.die()

    # Walls

    def partition(self, groups: Sequence[Sequence[str]]) -> None:
        """Separate the groups from each other, instead of an earlier partition. A room in no group reaches all of them."""
        rooms = [room for group in groups for room in group]
        if len(rooms) != len(dict.fromkeys(rooms)):
            raise ValueError(f"a room can be in one group of a partition only: {', '.join(rooms)}")
        self._groups = {room: number for number, group in enumerate(groups) for room in group}
        self._routes_changed()

    def cut(self, source: str, target: str) -> None:
        """Let nothing that `source` sends reach `target`."""
        self._cuts.add((source, target))
        self._routes_changed()

    def heal(self) -> None:
        """Remove the partition and all cuts."""
        self._groups.clear()
        self._cuts.clear()
        self._routes_changed()

    def hold(self, source: str, target: str) -> None:
        """Let what `source` sends to `target` wait for `release`."""
        self._holds.add((source, target))
        self._routes_changed()

    def release(self, source: str, target: str) -> None:
        """Deliver what a `hold` has delayed."""
        self._holds.discard((source, target))
        self._routes_changed()

    def freeze(self, room: str) -> None:
        """Let the room neither read nor write until `thaw`. What is sent to it waits."""
        self._frozen.add(room)
        self._routes_changed()

    def thaw(self, room: str) -> None:
        """Let the room go on."""
        self._frozen.discard(room)
        self._routes_changed()

    def set_quality(self, source: str, target: str, quality: WireQuality) -> None:
        """Set how good one direction is, for what has not arrived yet."""
        self._qualities[source, target] = quality
        for wire in tuple(self.wires):
            if (wire.source, wire.target) == (source, target):
                wire.quality_changed()

    def reset(self, one: str, other: str) -> None:
        """Break the open connections between two rooms. Both ends notice at once."""
        for here, there in ((one, other), (other, one)):
            found = self._networks.get(here)
            for channel in tuple(found.channels) if found is not None else ():
                if channel.connection.room == there:
                    channel.reset("lost: reset")

    # Questions of the wires and of discovery

    def lets_through(self, source: str, target: str) -> bool:
        """Whether no wall and no cut is between them."""
        if source == target:
            return True
        groups = self._groups
        if groups and source in groups and target in groups and groups[source] != groups[target]:
            return False
        return (source, target) not in self._cuts

    def is_held(self, source: str, target: str) -> bool:
        """Whether there was a `hold` without a `release`."""
        return (source, target) in self._holds

    def holds(self, source: str, target: str) -> bool:
        """Whether what is sent now waits."""
        return (source, target) in self._holds or source in self._frozen or target in self._frozen

    def may_pass(self, source: str, target: str) -> bool:
        return self.lets_through(source, target) and not self.holds(source, target)

    def is_open(self, one: str, other: str) -> bool:
        """Whether what each sends reaches the other now."""
        return self.may_pass(one, other) and self.may_pass(other, one)

    def quality(self, source: str, target: str) -> WireQuality:
        """How good one direction is."""
        return self._qualities.get((source, target), _GOOD)

    def forget(self, wire: SimWire) -> None:
        """The wire was dropped."""
        self.wires.pop(wire, None)

    def on_route_change(self, listener: Callable[[], None]) -> Undo:
        """Call `listener` after each change of walls, cuts, holds and rooms. Returns the undo."""
        return self._emitter.on("routes", listener)

    # For room networks and connections

    def find(self, room: str) -> RoomNetwork | None:
        """The network of a room that runs."""
        return self._networks.get(room)

    def wire(self, source: str, target: str, reader: SimChannel | Reception) -> SimWire:
        wire = SimWire(self, source, target, reader)
        self.wires[wire] = None
        return wire

    def free_port(self, room: str) -> int:
        """The next free port of a room. A restarted room goes on counting, so that it does not use the ports of before."""
        port = self._free_ports.get(room, FIRST_FREE_PORT)
        self._free_ports[room] = port + 1 if port < LAST_FREE_PORT else FIRST_FREE_PORT
        return port

    def trace(self, source: str, target: str, text: str) -> None:
        if self.on_trace is not None:
            self.on_trace(f"{self.loop.time():.6f} {source} > {target} {text}")

    def _routes_changed(self) -> None:
        for wire in tuple(self.wires):
            wire.route_changed()
        self._emitter.emit("routes")


class RoomNetwork:
    """Implements `Network` for one life of one room. After a crash nothing that it has made does anything."""

    def __init__(self, network: SimNetwork, room: str) -> None:
        self.loop = network.loop
        self.room = room
        self.is_dead = False
        self.channels: dict[SimChannel, None] = {}
        self.listenings: dict[int, SimListening] = {}
        self._network = network

    def dial(
        self, address: str, *, max_segment: int | None = None, node_id: str = "", gate: SimGate | None = None
    ) -> SimConnection:
        """See Network; `127.0.0.1` and `localhost` are this room. `max_segment` has no effect: all packets fit."""
        room, _, port = address.rpartition(":")
        if not room or not port.isascii() or not port.isdigit() or not 1 <= int(port) <= 65_535:
            raise ValueError(f"{address!r} is not an address: write room:port, with a port from 1 to 65535")
        room = self.room if room in LOOPBACK else room
        return SimConnection(self, address, room=room, port=int(port), dialled=True, expected=node_id, gate=gate)

    def listen(
        self, host: str, port: int, on_connection: Callable[[Connection], None], *, gate: SimGate | None = None
    ) -> Later[Listening]:
        """See Network; resolves on a later turn."""
        if not 0 <= port <= 65_535:
            raise ValueError(f"{port} is not a port: take one from 1 to 65535, or 0 for any free one")
        later: Later[Listening] = Later()
        self.soon(self._listen, later, host, SimListening(self, port, on_connection, gate))
        return later

    def close(self) -> Later[None]:
        """Close all listening sockets and connections, as a program that ends orderly."""
        later: Later[None] = Later()
        for listening in tuple(self.listenings.values()):
            listening.close()
        for channel in tuple(self.channels):
            channel.finish("this end is closing")
        self.soon(later.set)
        return later

    def die(self) -> None:
        """See SimNetwork.drop_room."""
        self.is_dead = True
        self.listenings.clear()
        for channel in tuple(self.channels):
            channel.die()
        self.channels.clear()

    def is_replaced(self) -> bool:
        """Whether the room runs again after the crash."""
        return self._network.find(self.room) is not None

    def channel_to(self, connection: SimConnection) -> SimChannel:
        """A new channel for a connection that is about to be dialled."""
        self._network.dials.append(DialAttempt(self.loop.time(), self.room, connection.room))
        reception = Reception(self._network, lambda: channel)
        out = self._network.wire(self.room, connection.room, reception)
        channel = SimChannel(connection, self, out)
        if self.is_dead:
            out.drop()
        return channel

    def address_of(self, room: str) -> str:
        """An address to show for a connection that `room` has dialled."""
        return f"{room}:{self._network.free_port(room)}"

    def after_a_way(self, other: RoomSide, reaction: Callable[[str], None], reason: str) -> None:
        """Call `reaction(reason)` when a packet from here has reached the room of `other`; never if it cannot pass now."""
        network = self._network
        if not other.is_dead and network.may_pass(self.room, other.room):
            seconds = network.quality(self.room, other.room).travel_seconds(network.random)
            self.loop.call_later(seconds, reaction, reason)

    def trace(self, connection: SimConnection, text: str) -> None:
        self._network.trace(self.room, connection.room, text)

    def trace_frame(self, connection: SimConnection, frame: bytes) -> None:
        """Note that `connection` has read a frame."""
        if self._network.on_trace is not None:
            text = frame[: 4 * TRACE_CHARACTERS].decode("utf-8", "replace")[:TRACE_CHARACTERS]
            self._network.trace(connection.room, self.room, text)

    def _listen(self, later: Later[Listening], host: str, listening: SimListening) -> None:
        port = listening.port
        if host not in OWN_HOSTS and host != self.room:
            later.fail(OSError(errno.EADDRNOTAVAIL, f"{host} is not an address of {self.room}"))
        elif port in self.listenings:
            later.fail(OSError(errno.EADDRINUSE, f"port {port} of {self.room} is taken: choose another, or 0"))
        else:
            while port == 0 or port in self.listenings:
                port = self._network.free_port(self.room)
            listening.port = port
            self.listenings[port] = listening
            later.set(listening)

    def soon(self, reaction: Callable[..., None], *args: Any) -> None:
        """Call `reaction(*args)` on a later turn, unless the room has crashed by then."""

        def react() -> None:
            if not self.is_dead:
                reaction(*args)

        self.loop.call_soon(react)


class SimListening:
    """Implements `Listening`."""

    def __init__(
        self, network: RoomNetwork, port: int, on_connection: Callable[[Connection], None], gate: SimGate | None
    ) -> None:
        self.port = port
        self.hosts = EVERY_HOST
        self._network = network
        self._on_connection = on_connection
        self._gate = gate

    def close(self) -> Later[None]:
        later: Later[None] = Later()
        if self._network.listenings.get(self.port) is self:
            del self._network.listenings[self.port]
        self._network.loop.call_soon(later.set)
        return later

    def accept(self, dialler: SimChannel, wire: SimWire, back: SimWire) -> None:
        """Answer a dial, or refuse it. The connection is handed over once the dialling end has opened it."""
        room, gate = wire.source, self._gate
        address = self._network.address_of(room)
        dialler.other_gate = gate
        why = why_not_accepted(gate, dialler.connection.gate)
        if why:
            if gate is not None:
                gate.on_refused(address, why)
            back.put("refuse", why.encode())
            return
        connection = SimConnection(self._network, address, room=room, port=0, dialled=False, gate=gate)
        channel = SimChannel(connection, self._network, back)
        connection.adopt(channel)
        wire.reader = channel
        channel.accept(dialler, self._hand_over)

    def _hand_over(self, channel: SimChannel) -> None:
        if self._network.listenings.get(self.port) is self:
            self._on_connection(channel.connection)
        else:
            channel.finish("closed by the other end")


class Reception:
    """Reads the first packet of a dial: the listening socket at that port accepts it, or it is refused."""

    def __init__(self, network: SimNetwork, dialler: Callable[[], SimChannel]) -> None:
        self._network = network
        self._dialler = dialler

    def may_read(self, _wire: SimWire) -> bool:
        return True

    def read_part(self, _wire: SimWire) -> None:
        """A dial has no parts."""

    def read(self, wire: SimWire, _kind: ItemKind, payload: bytes) -> None:
        dialler = self._dialler()
        back = self._network.wire(wire.target, wire.source, dialler)
        found = self._network.find(wire.target)
        listening = found.listenings.get(int(payload)) if found is not None else None
        if listening is None:
            back.put("refuse")
        else:
            listening.accept(dialler, wire, back)


_GOOD = WireQuality()
