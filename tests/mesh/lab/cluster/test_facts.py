"""Facts of the mesh in a cluster: they reach every room through others, over partitions, crashes and lost logs."""

from __future__ import annotations

import pytest

from mesh.lab import Cluster, line
from mesh.lab.checks.checker import Violation
from mesh.lab.cluster.room import Room
from mesh.lab.cluster.room_parts import make_identity, make_mesh_signer
from mesh.lab.simulation.storage import StoreKind
from peers.events.signature import KeySigner
from peers.facts.fact import Certificate, Fact, Found, Revocation
from peers.facts.roster import Roster


class Facts:
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

    def revoke(self, room: Room, by: KeySigner) -> Fact:
        return Revocation(self.mesh.public, by.public, self._now(), b"", room.key, (), ()).signed(by)

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


@pytest.mark.parametrize("store", ["memory", "sqlite"])
def test_facts_reach_every_room_through_others_and_over_partitions(store: StoreKind) -> None:
    with Cluster(seed=3) as house:
        rooms = house.start("kitchen", "study", "attic", "cellar", links=line, store=store)
        kitchen, study, attic, cellar = rooms
        house.settle("the four have met")
        facts = Facts(house)
        by = signer_of(house, kitchen)

        facts.learn(kitchen, *facts.begin(kitchen), *(facts.node(room, by) for room in rooms[1:]))
        house.settle("the end of the line knows all")
        assert facts.members(cellar) == ["attic", "cellar", "kitchen", "study"]

        house.partition([kitchen, study], [attic, cellar])
        facts.learn(study, facts.revoke(attic, by))
        facts.learn(cellar, facts.revoke(study, by))
        cellar.log.add({"type": "milk"})
        house.settle("each side knows of one revocation")
        assert facts.members(kitchen) == ["cellar", "kitchen", "study"]
        assert facts.members(attic) == ["attic", "cellar", "kitchen"]

        house.heal()
        house.settle("both sides know of both")
        assert {tuple(facts.members(room)) for room in rooms} == {("cellar", "kitchen")}


@pytest.mark.parametrize("store", ["memory", "sqlite"])
def test_facts_survive_crashes_and_come_back_to_a_room_that_lost_its_log(store: StoreKind) -> None:
    with Cluster(seed=4) as house:
        kitchen, study = house.start("kitchen", "study", store=store)
        house.settle("the two have met")
        facts = Facts(house)
        facts.learn(kitchen, *facts.begin(kitchen), facts.node(study, signer_of(house, kitchen)))
        house.settle("both know")

        house.crash(kitchen)
        assert facts.members(kitchen) == ["kitchen", "study"]
        kitchen.lose_log()
        assert facts.members(kitchen) == []
        house.start("kitchen")
        house.settle("it has them again")

        assert facts.members(kitchen) == ["kitchen", "study"]


def test_rooms_that_have_different_facts_at_the_end_are_a_violation() -> None:
    with pytest.raises(Violation, match="study and kitchen have different facts"), Cluster(seed=5) as house:
        kitchen, _ = house.start("kitchen", "study")
        house.settle("the two have met")
        facts = Facts(house)
        with kitchen.store.transaction():
            kitchen.store.learn(facts.begin(kitchen))  # not by its node, which tells nobody
