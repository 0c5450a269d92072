"""Makes the rooms of a cluster, and the disks in them."""

from __future__ import annotations

from collections.abc import Callable

from mesh.lab.cluster.client import Client
from mesh.lab.cluster.places import Places
from mesh.lab.cluster.room import Room
from mesh.lab.cluster.room_parts import make_mesh_signer
from mesh.lab.cluster.topology import Pairs, partners_of
from mesh.lab.simulation.discovery import SimAir
from mesh.lab.simulation.network import SimNetwork
from mesh.lab.simulation.storage import Media, StoreKind
from mesh.lab.simulation.virtual_loop import VirtualLoop
from mesh.membership.actions import Notice


class RoomMaker:
    """Adds a room to `places` when its name is started for the first time."""

    def __init__(
        self,
        seed: int,
        loop: VirtualLoop,
        network: SimNetwork,
        air: SimAir,
        places: Places[Room, Client],
        on_notice: Callable[[Room, Notice], None],
    ) -> None:
        """`on_notice` gets each notice of the nodes in these rooms."""
        self._seed = seed
        self._simulated = loop, network, air
        self._places = places
        self._on_notice = on_notice
        self._media = Media(make_mesh_signer(seed).public)

    def room(self, name: str, pairs: Pairs | None, store: StoreKind | None) -> Room:
        """The room of this name, which does not run, with the links that `pairs` give it. See Cluster.start."""
        room = self._places.rooms.get(name)
        links = None if pairs is None else partners_of(name, pairs)
        if name in self._places.clients:
            raise ValueError(f"there is a client {name} already: choose another name")
        if room is None:
            medium = self._media.find(store or "memory")
            room = Room(name, self._seed, *self._simulated, links=links, medium=medium, on_notice=self._on_notice)
            self._places.rooms[name] = room
        elif room.is_running:
            raise ValueError(f"{name} runs already")
        elif store is not None and self._media.find(store) is not room.medium:
            raise ValueError(f"{name} has a disk already, of another kind than {store}: choose another name")
        elif links is not None:
            room.links = links
        return room

    def copy(self, source: Room, name: str) -> Room:
        """A new room with the key of another one. Raises ValueError for a name that is taken."""
        if name in self._places.names:
            raise ValueError(f"there is a {name} already: choose another name")
        room = self._places.rooms[name] = Room(
            name, self._seed, *self._simulated, links=source.links, medium=source.medium, on_notice=self._on_notice
        )
        room.key_of, room.serve, room.dial = source, source.serve, source.dial
        return room

    def close(self) -> None:
        """Delete all disks. What the rooms showed last can still be read."""
        try:
            for room in self._places.rooms.values():
                room.close_disk()
        finally:
            self._media.close()
