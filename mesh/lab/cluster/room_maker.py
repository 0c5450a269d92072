"""Makes the rooms of a cluster, and the disks in them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from mesh.lab.cluster.client import Client
from mesh.lab.cluster.places import Places
from mesh.lab.cluster.room import Room
from mesh.lab.cluster.room_parts import LabMesh, Surroundings
from mesh.lab.cluster.topology import Pairs, partners_of
from mesh.lab.simulation.storage import Media, StoreKind
from mesh.membership.actions import Notice
from mesh.settings.config import DEFAULT_MESH
from peers.facts.fact import Revocation


class RoomMaker:
    """Adds a room to `places` when its name is started for the first time."""

    def __init__(
        self, lab: Surroundings, places: Places[Room, Client], on_notice: Callable[[Room, Notice], None]
    ) -> None:
        """`on_notice` gets each notice of the nodes in these rooms."""
        self._lab = lab
        self._places = places
        self._on_notice = on_notice
        self._meshes: dict[str, tuple[LabMesh | None, Media]] = {"": (None, Media(b""))}

    def room(self, name: str, pairs: Pairs | None, store: StoreKind | None, mesh: str | None = None) -> Room:
        """The room of this name, which does not run, with the links that `pairs` give it. See Cluster.start."""
        room = self._places.rooms.get(name)
        links = None if pairs is None else partners_of(name, pairs)
        if name in self._places.clients:
            raise ValueError(f"there is a client {name} already: choose another name")
        if room is None:
            lab_mesh, media = self._find_mesh(DEFAULT_MESH if mesh is None else mesh)
            medium = media.find(store or "memory")
            room = Room(name, self._lab, links=links, mesh=lab_mesh, medium=medium, on_notice=self._on_notice)
            self._places.rooms[name] = room
            if lab_mesh is not None:
                lab_mesh.admit(*room.identity)
        elif room.is_running:
            raise ValueError(f"{name} runs already")
        elif mesh not in (None, room.circle):
            raise ValueError(f"{name} has a home already, which is in another mesh than {mesh!r}: choose another name")
        elif store is not None and self._find_mesh(room.circle)[1].find(store) is not room.medium:
            raise ValueError(f"{name} has a disk already, of another kind than {store}: choose another name")
        elif links is not None:
            room.links = links
        return room

    def copy(self, source: Room, name: str) -> Room:
        """A new room with the key of another one. Raises ValueError for a name that is taken."""
        if name in self._places.names:
            raise ValueError(f"there is a {name} already: choose another name")
        links, mesh, medium = source.links, source.mesh, source.medium
        room = Room(name, self._lab, links=links, mesh=mesh, medium=medium, on_notice=self._on_notice)
        self._places.rooms[name] = room
        room.key_of, room.serve, room.dial, room.make_app = source, source.serve, source.dial, source.make_app
        return room

    def revoke(self, room: Room, admin: Room) -> None:
        """State in one room that the key of another one is revoked. See Cluster.revoke."""
        mesh, log, signer = room.mesh, admin.kept, admin.identity[1]
        if mesh is None or mesh is not admin.mesh or mesh.admin is not signer:
            raise ValueError(f"revoke: {admin.name} is no admin of the mesh of {room.name}: its first room is one")
        if log is None or not admin.is_running:
            raise ValueError(f"revoke: {admin.name} does not run: start it first")
        fact = partial(Revocation, mesh.public, signer.public, admin.clock.now_ms(), b"", room.key)
        log.write(lambda store: [store.learn([fact(store.tips(room.key), ()).signed(signer)])])
        room.is_revoked = True

    def close(self) -> None:
        """Delete all disks. What the rooms showed last can still be read."""
        try:
            for room in self._places.rooms.values():
                room.close_disk()
        finally:
            for _, media in self._meshes.values():
                media.close()

    def _find_mesh(self, name: str) -> tuple[LabMesh | None, Media]:
        """A mesh, and what makes the disks of its rooms; a new one if there is none of that name."""
        if name not in self._meshes:
            mesh = LabMesh(self._lab.seed, name)
            self._meshes[name] = mesh, Media(mesh.public)
        return self._meshes[name]
