"""Whether all that can talk have met and hold the same; quick enough to be asked in every instant of a large cluster."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mesh.lab.checks.checker import lacks_something
from mesh.lab.checks.epochs import awaits_adoption
from mesh.lab.cluster.client import Client
from mesh.lab.cluster.places import Places
from mesh.lab.cluster.room import Room
from mesh.lab.cluster.topology import groups_of, may_be_linked
from mesh.lab.simulation.network import SimNetwork
from mesh.lab.simulation.storage import LabStore, knows_the_same
from mesh.settings.config import DEFAULT_MESH


class Convergence:
    """Knows which rooms can talk, found again after a change of the links, and begins each look where the last one failed."""

    def __init__(self, places: Places[Room, Client], network: SimNetwork) -> None:
        self._places = places
        self._network = network
        self._running: list[Room] = []
        self._groups: list[list[Room]] | None = None
        """None: to be found again."""
        self._near: dict[Room, dict[Room, None]] = {}
        """The rooms that each room can talk with directly."""
        self._lonely: Room | None = None
        """A room that had not met all others at the last look."""
        self._unlike: tuple[Room, Room] | None = None
        """Two rooms that did not hold the same at the last look."""
        network.on_route_change(self.forget)

    @property
    def running(self) -> list[Room]:
        """The rooms that run, without those that are hostile."""
        return [room for room in self._places.rooms.values() if room.is_running and not room.is_hostile]

    @property
    def members(self) -> list[Room]:
        """Those of them that are in the mesh of the house."""
        return [room for room in self.running if room.circle == DEFAULT_MESH]

    def groups(self) -> list[list[Room]]:
        """The running rooms that can talk, directly or through others, in groups."""
        return self._groups_of(self.running)

    def forget(self) -> None:
        """The links have changed: find the groups again."""
        self._groups = self._lonely = self._unlike = None

    def is_reached(self) -> bool:
        """Whether all that can talk have met, and hold the same on disk; clients and views too."""
        running = self.running
        if any(room.waiting for room in running):
            return False
        groups = self._groups_of(running)
        if self._lonely is not None and not self._has_met(self._lonely):
            return False
        if not (all(map(self._is_alike, groups)) and all(map(self._has_met, self._running))):
            return False
        if any(room.is_behind or room.views_behind for room in self._running):
            return False
        return all(client.is_quiet and client.shows_all_of(room) for client, room in self.talking_clients())

    def missing(self) -> Iterator[str]:
        """A sentence for each room that has not met another one, and for each client that is not synchronized."""
        self.groups()
        for one in self._running:
            strangers = [other.name for other in self._near[one] if other.node_id not in one.peers]
            if strangers:
                yield f"{one} has not met {', '.join(strangers)}"
            if one.views_behind:
                yield f"{one}: {one.views_behind}"
        for client, room in self.talking_clients():
            if not client.is_quiet:
                yield f"{client} is not synchronized with {room}"

    def talking_clients(self) -> list[tuple[Client, Room]]:
        """Each client that can talk to its room, with that room."""
        pairs = [(one, self._places.rooms[one.to]) for one in self._places.clients.values() if one.is_running]
        return [(one, room) for one, room in pairs if room.is_running and self._network.is_open(one.name, room.name)]

    def _groups_of(self, running: list[Room]) -> list[list[Room]]:
        if self._groups is None or self._running != running:
            self.forget()
            self._running = running
            self._near = self._find_near()
            self._groups = groups_of(running, lambda one, other: other in self._near[one])
        return self._groups

    def _find_near(self) -> dict[Room, dict[Room, None]]:
        running, is_open = self._running, self._network.is_open
        by_name = {room.name: room for room in running}
        are_all_linked = all(room.links is not None for room in running)
        dialled_by: dict[str, list[str]] = {}
        for one in running:
            for name in one.links or ():
                dialled_by.setdefault(name, []).append(one.name)
        near: dict[Room, dict[Room, None]] = {}
        for one in running:
            names = dict.fromkeys([*(one.links or ()), *dialled_by.get(one.name, ())])
            linked = [by_name[name] for name in names if name in by_name]
            others = linked if are_all_linked else [other for other in running if may_be_linked(one, other)]
            known = [other for other in others if other is not one and other.circle == one.circle]
            near[one] = {other: None for other in known if is_open(one.name, other.name)}
        return near

    def _has_met(self, one: Room) -> bool:
        near, peers = self._near[one], one.peers
        if len(peers) >= len(near) and all(other.node_id in peers for other in near):
            return True
        self._lonely = one
        return False

    def _is_alike(self, group: Sequence[Room]) -> bool:
        """Whether all have heard the same, and none waits for what a neighbour can still give.

        Each log is cleaned by itself: a room does not pass on what it has cleaned, so others behind it may lack that.
        """
        if not self._is_same(group):
            return False
        if any(lacks_something(other, room) for room in group if room.store.state.hollow for other in self._near[room]):
            return False
        return not any(awaits_adoption(room.store) for room in group if not room.is_revoked)

    def _is_same(self, group: Sequence[Room]) -> bool:
        first = group[0]
        if self._unlike is not None and self._unlike[0] is first and not _hold_the_same(*self._unlike):
            return False
        for other in group[1:]:
            if not _hold_the_same(first, other):
                self._unlike = first, other
                return False
        return True


def _hold_the_same(one: Room, other: Room) -> bool:
    ours, theirs = one.store, other.store
    if ours.state.events != theirs.state.events and _is_whole(ours) and _is_whole(theirs):
        return False
    return ours.ends() == theirs.ends() and knows_the_same(ours, theirs)


def _is_whole(store: LabStore) -> bool:
    """Whether a store shows all that it ever heard of."""
    state = store.state
    return state.events == state.last_added and not state.hollow and not state.refused
