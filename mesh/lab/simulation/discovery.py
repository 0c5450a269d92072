"""Simulated mDNS: announcements and questions reach all rooms that no wall separates, after a random delay."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import replace
from random import Random

from mesh.discovery.mdns.query_schedule import REQUERY_SECONDS, QuerySchedule
from mesh.discovery.port import Announcement, DiscoveryState, Sighting, ignore_state
from mesh.lab.simulation.clock import RoomClock
from mesh.lab.simulation.network import SimNetwork
from mesh.lab.simulation.virtual_loop import VirtualLoop
from peers.later import Later

AIR_MS = (1.0, 50.0)
"""How long a packet takes, shortest and longest."""
SAY_GOODBYE_SECONDS = 0.25
"""How long `stop` takes."""
ANSWER_PAUSE_SECONDS = 1.0
"""A node answers at most this often, so that one answer serves many who ask (RFC 6762, 6)."""
REMEMBERED_SIGHTINGS = 200
"""Announcements that are kept for `repeat`: the last ones."""
HELD_PACKETS = 1_000
"""Packets that wait for the end of a hold; further ones are lost."""


class SimAir:
    """The multicast of all rooms. Walls, cuts and holds of `network` hold for it too.

    As with real mDNS nothing is repeated by itself: a node that missed an announcement finds the other by a question, or at
    its next announcement.
    """

    def __init__(self, loop: VirtualLoop, random: Random, network: SimNetwork, *, loss: float = 0.0) -> None:
        """`loss` is the share of packets that are lost. It and `late_seconds` may be changed at any time."""
        self.loop = loop
        self.random = random
        self.loss = loss
        self.late_seconds = 0.0
        """The largest additional delay of a packet, so that one may overtake another."""
        self._announced: deque[tuple[str, Sighting]] = deque(maxlen=REMEMBERED_SIGHTINGS)
        self._network = network
        self._discoveries: list[SimDiscovery] = []
        self._held: list[tuple[SimDiscovery, str, Callable[[], None]]] = []
        network.on_route_change(self._on_route_change)

    def discovery(self, room: str, *, requery_seconds: float = REQUERY_SECONDS) -> SimDiscovery:
        """The `Discovery` of one life of one node in `room`."""
        return SimDiscovery(self, room, requery_seconds)

    def drop_room(self, room: str) -> None:
        """The room crashes: it sends nothing more, not even a goodbye. What others know of it stays."""
        for discovery in [discovery for discovery in self._discoveries if discovery.room == room]:
            discovery.die()

    def forge(self, room: str, sighting: Sighting) -> None:
        """Send a forged announcement to the nodes in `room`."""
        for discovery in self._in_room(room):
            self._send(discovery, room, lambda discovery=discovery: discovery.hear_sighting(sighting))  # type: ignore[misc]

    def repeat(self, room: str, about: str) -> Sighting | None:
        """Send the nodes in `room` one of the last announcements from the room `about` again. None if there was none."""
        known = [sighting for source, sighting in self._announced if source == about]
        if not known:
            return None
        sighting = self.random.choice(known)
        self.forge(room, sighting)
        return sighting

    def remember(self, room: str, sighting: Sighting) -> None:
        """Keep an announcement from that room for `repeat`."""
        if (room, sighting) not in self._announced:
            self._announced.append((room, sighting))

    def add(self, discovery: SimDiscovery) -> None:
        self._discoveries.append(discovery)

    def remove(self, discovery: SimDiscovery) -> None:
        if discovery in self._discoveries:
            self._discoveries.remove(discovery)

    def multicast(self, source: SimDiscovery, hear: Callable[[SimDiscovery], None]) -> None:
        """Call `hear` for each other node that the packet reaches, after a delay for each."""
        for discovery in tuple(self._discoveries):
            if discovery is not source:
                self._send(discovery, source.room, lambda discovery=discovery: hear(discovery))  # type: ignore[misc]

    def _in_room(self, room: str) -> list[SimDiscovery]:
        return [discovery for discovery in self._discoveries if discovery.room == room]

    def _send(self, target: SimDiscovery, source: str, hear: Callable[[], None]) -> None:
        if not self._network.lets_through(source, target.room) or self.random.random() < self.loss:
            return
        if self._network.holds(source, target.room):
            if len(self._held) < HELD_PACKETS:
                self._held.append((target, source, hear))
            return
        late_seconds = self.random.uniform(0, self.late_seconds) if self.late_seconds else 0.0
        seconds = self.random.uniform(*AIR_MS) / 1000 + late_seconds
        self.loop.call_later(seconds, self._arrive, target, source, hear)

    def _arrive(self, target: SimDiscovery, source: str, hear: Callable[[], None]) -> None:
        if target in self._discoveries and self._network.lets_through(source, target.room):
            hear()

    def _on_route_change(self) -> None:
        held, self._held = self._held, []
        for target, source, hear in held:
            self._send(target, source, hear)


class SimDiscovery:
    """Implements `Discovery` in one room. It keeps each sighting until a goodbye, even if it is out of date."""

    def __init__(self, air: SimAir, room: str, requery_seconds: float) -> None:
        self.room = room
        self._air = air
        self._clock = RoomClock(air.loop)
        self._requery = QuerySchedule(self._clock, air.random, self._ask, requery_seconds=requery_seconds)
        self._announcement: Announcement | None = None
        self._on_sighting: Callable[[Sighting], None] | None = None
        self._known: dict[str, Sighting] = {}
        self._answered_ms = 0.0
        self._is_answering = False
        self._is_dead = False

    def start(
        self,
        announcement: Announcement,
        on_sighting: Callable[[Sighting], None],
        on_state: Callable[[DiscoveryState], None] = ignore_state,
    ) -> Later[None]:
        """See Discovery; it is on at once. Raises RuntimeError if it was started before."""
        if self._announcement is not None:
            raise RuntimeError(f"the discovery of {self.room} was started before: each start needs a new one")
        self._announcement, self._on_sighting = announcement, on_sighting
        on_state(DiscoveryState(is_on=True))
        started: Later[None] = Later()
        if not self._is_dead:
            self._air.add(self)
            self._air.loop.call_soon(self._begin, started)
        return started

    def requery(self) -> None:
        if self._is_running():
            self._requery.restart()

    def stop(self) -> Later[None]:
        if not self._is_running():
            return Later.done(None) if not self._is_dead else Later()
        stopped: Later[None] = Later()
        self._requery.stop()
        sighting = self._own_sighting(is_goodbye=True)
        self._announce(sighting)
        self._on_sighting = None
        self._air.remove(self)
        self._air.loop.call_later(SAY_GOODBYE_SECONDS, self._end, stopped)
        return stopped

    def die(self) -> None:
        """See SimAir.drop_room."""
        self._is_dead = True
        self._clock.stop()
        self._air.remove(self)

    def hear(self, mesh: str, sighting: Sighting) -> None:
        """A node of `mesh` announced itself, answered or said goodbye."""
        if self._announcement is not None:
            self.hear_sighting(sighting if self._announcement.mesh == mesh else replace(sighting, other_mesh=mesh))

    def hear_sighting(self, sighting: Sighting) -> None:
        """An announcement, an answer or a goodbye has arrived."""
        announcement = self._announcement
        if self._on_sighting is None or announcement is None or self._is_own(sighting, announcement):
            return
        known = self._known.get(sighting.node_id)
        if sighting.is_goodbye:
            if known is None:
                return
            del self._known[sighting.node_id]
        elif sighting == known:
            return
        else:
            self._known[sighting.node_id] = sighting
        self._on_sighting(sighting)

    def hear_question(self, known: dict[str, Sighting]) -> None:
        """Another node asks which nodes there are. Those in `known` do not answer (RFC 6762, 7.1)."""
        if self._announcement is None:
            return
        sighting = self._own_sighting()
        if known.get(sighting.node_id) != sighting and not self._is_answering:
            self._is_answering = True
            wait_ms = self._answered_ms + ANSWER_PAUSE_SECONDS * 1000 - self._clock.elapsed_ms()
            self._clock.call_later(max(0, wait_ms), self._answer)

    def _answer(self) -> None:
        self._is_answering = False
        if self._is_running():
            self._announce(self._own_sighting())

    def _begin(self, started: Later[None]) -> None:
        if not self._is_running():
            return
        self._announce(self._own_sighting())
        self._requery.restart()
        started.set()

    def _end(self, stopped: Later[None]) -> None:
        if not self._is_dead:
            stopped.set()

    def _ask(self) -> None:
        if self._announcement is not None:
            known = dict(self._known)
            self._air.multicast(self, lambda other: other.hear_question(known))

    def _announce(self, sighting: Sighting) -> None:
        self._answered_ms = self._clock.elapsed_ms()
        self._air.remember(self.room, sighting)
        mesh = self._announcement.mesh if self._announcement is not None else ""
        self._air.multicast(self, lambda other: other.hear(mesh, sighting))

    def _is_own(self, sighting: Sighting, announcement: Announcement) -> bool:
        """Whether a sighting is of this node, or of an earlier run of it at this address."""
        own = f"{self.room}:{announcement.port}"
        return sighting.node_id == announcement.node_id and own in sighting.addresses

    def _own_sighting(self, *, is_goodbye: bool = False) -> Sighting:
        assert self._announcement is not None
        address = f"{self.room}:{self._announcement.port}"
        return Sighting(self._announcement.node_id, self._announcement.instance, (address,), is_goodbye)

    def _is_running(self) -> bool:
        return self._on_sighting is not None and not self._is_dead
