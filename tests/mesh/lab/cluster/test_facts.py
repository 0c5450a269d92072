"""Facts of the mesh in a cluster: they reach every room through others, over partitions, crashes and lost logs."""

from __future__ import annotations

import pytest

from mesh.lab import Cluster, line
from mesh.lab.checks.checker import Violation
from mesh.lab.cluster.room import Room
from mesh.lab.cluster.room_parts import LabMesh, make_identity
from mesh.lab.fuzz.guests import Guests
from mesh.lab.simulation.storage import StoreKind
from peers.facts.roster import Roster


def learn(house: Cluster, room: Room, number: int, *, is_revoked: bool) -> None:
    """The room gets by itself a fact about a guest, a key without a room."""
    assert Guests(house.seed).tell(room, number, is_revoked=is_revoked)
    house.run(0.1)


def members(room: Room) -> list[str]:
    assert room.mesh is not None
    roster = Roster(room.mesh.public, room.store.facts())
    return sorted(node.partition("~")[0] for node in roster.members.values())


@pytest.mark.parametrize("store", ["memory", "sqlite"])
def test_facts_reach_every_room_through_others_and_over_partitions(store: StoreKind) -> None:
    with Cluster(seed=3) as house:
        rooms = house.start("kitchen", "study", "attic", "cellar", links=line, store=store)
        kitchen, study, attic, cellar = rooms
        house.settle("the four have met")
        for number in (1, 2):
            learn(house, kitchen, number, is_revoked=False)
        house.settle("the end of the line knows all")
        assert members(cellar) == ["admin", "attic", "cellar", "guest1", "guest2", "kitchen", "study"]

        house.partition([kitchen, study], [attic, cellar])
        learn(house, study, 1, is_revoked=True)
        learn(house, cellar, 2, is_revoked=True)
        cellar.log.add({"type": "milk"})
        house.settle("each side knows of one revocation")
        assert members(kitchen) == ["admin", "attic", "cellar", "guest2", "kitchen", "study"]
        assert members(attic) == ["admin", "attic", "cellar", "guest1", "kitchen", "study"]

        house.heal()
        house.settle("both sides know of both")
        assert {tuple(members(room)) for room in rooms} == {("admin", "attic", "cellar", "kitchen", "study")}


@pytest.mark.parametrize("store", ["memory", "sqlite"])
def test_facts_survive_crashes_and_come_back_to_a_room_that_lost_its_log(store: StoreKind) -> None:
    with Cluster(seed=4) as house:
        kitchen, study = house.start("kitchen", "study", store=store)
        house.settle("the two have met")
        learn(house, kitchen, 1, is_revoked=False)
        house.settle("both know")

        house.crash(kitchen)
        assert members(kitchen) == ["admin", "guest1", "kitchen", "study"]
        kitchen.lose_log()
        assert members(kitchen) == []
        house.start("kitchen")
        house.settle("it has them again")

        assert members(kitchen) == members(study) == ["admin", "guest1", "kitchen", "study"]


@pytest.mark.parametrize("store", ["memory", "sqlite"])
def test_a_room_that_comes_later_is_known_to_all_once_it_has_met_one(store: StoreKind) -> None:
    with Cluster(seed=6) as house:
        kitchen, _study = house.start("kitchen", "study", links=line, store=store)
        house.settle("the two have met")
        house.start("attic", links=[("study", "attic")], store=store)
        house.settle("the third has come")

        assert members(kitchen) == ["attic", "kitchen", "study"]


def test_rooms_that_have_different_facts_at_the_end_are_a_violation() -> None:
    with pytest.raises(Violation, match="study and kitchen have different facts"), Cluster(seed=5) as house:
        kitchen, _ = house.start("kitchen", "study")
        house.settle("the two have met")
        mesh = LabMesh(5, "home")
        mesh.admit(*kitchen.identity)
        mesh.admit(*make_identity(5, "ghost", 0))
        with kitchen.store.transaction():
            kitchen.store.learn(mesh.facts)  # not by its node, which does not pass them on
