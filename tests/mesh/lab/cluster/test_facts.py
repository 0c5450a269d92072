"""Facts of the mesh in a cluster: they reach every room through others, over partitions, crashes and lost logs."""

from __future__ import annotations

import pytest

from mesh.lab import Cluster, line
from mesh.lab.checks.checker import Violation
from mesh.lab.simulation.storage import StoreKind
from tests.support.facts_of_cluster import FactsOfCluster, signer_of


@pytest.mark.parametrize("store", ["memory", "sqlite"])
def test_facts_reach_every_room_through_others_and_over_partitions(store: StoreKind) -> None:
    with Cluster(seed=3) as house:
        rooms = house.start("kitchen", "study", "attic", "cellar", links=line, store=store)
        kitchen, study, attic, cellar = rooms
        house.settle("the four have met")
        facts = FactsOfCluster(house)
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
        facts = FactsOfCluster(house)
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
        facts = FactsOfCluster(house)
        with kitchen.store.transaction():
            kitchen.store.learn(facts.begin(kitchen))  # not by its node, which tells nobody
