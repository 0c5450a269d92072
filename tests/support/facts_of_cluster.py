"""Facts of the mesh of a cluster of the lab, and rooms that get them by themselves."""

from __future__ import annotations

from mesh.lab import Cluster
from mesh.lab.cluster.room import Room
from mesh.lab.cluster.room_parts import make_identity, make_mesh_signer
from peers.events.signature import KeySigner
from peers.facts.fact import Certificate, Fact, Found, Revocation, Tip
from peers.facts.roster import Roster


class FactsOfCluster:
    """Signs facts of the mesh of a cluster; one key besides is an admin's."""

    def __init__(self, cluster: Cluster) -> None:
        self.loop = cluster.loop
        self.mesh = make_mesh_signer(cluster.seed)
        self.admin = KeySigner.from_seed(b"a" * 32)
        self._time_ms = 0

    def begin(self, admin: Room) -> list[Fact]:
        """The mesh, and the room that is its admin as far as facts say it."""
        found = Found(self.mesh.public, self.mesh.public, self._now(), b"", "home").signed(self.mesh)
        return [found, self._certificate(self.mesh, admin.key, admin.node_id)]

    def node(self, room: Room, by: KeySigner) -> Fact:
        return self._certificate(by, room.key, room.node_id)

    def revoke(self, room: Room, by: KeySigner, cut: tuple[Tip, ...] = ()) -> Fact:
        return Revocation(self.mesh.public, by.public, self._now(), b"", room.key, cut, ()).signed(by)

    def learn(self, room: Room, *facts: Fact) -> None:
        """The room gets these by itself."""
        assert room.kept is not None
        learned = room.kept.write(lambda store: [store.learn(facts)])
        assert self.loop.run_until(lambda: learned.is_done, 10)
        learned.result()

    def members(self, room: Room) -> list[str]:
        roster = Roster(self.mesh.public, room.store.facts())
        return sorted(node.partition("~")[0] for node in roster.members.values())

    def _certificate(self, by: KeySigner, key: bytes, node_id: str) -> Certificate:
        is_admin = by is self.mesh
        fact = Certificate(self.mesh.public, by.public, self._now(), b"", key, node_id, is_admin, "")
        return fact.signed(by)

    def _now(self) -> int:
        self._time_ms += 1_000
        return self._time_ms


def signer_of(cluster: Cluster, room: Room) -> KeySigner:
    return make_identity(cluster.seed, room.name, 0)[1]
