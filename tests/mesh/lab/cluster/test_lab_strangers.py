"""Rooms without certificates, of another mesh, and revoked: the same judge as on a LAN lets none of them in."""

from __future__ import annotations

import pytest

from mesh.lab import Cluster, line
from mesh.lab.simulation.storage import StoreKind
from peers.transport.tls.gate import NOT_TAKEN, OTHER_IS_CLOSED, OTHER_IS_OPEN, OTHER_MESH
from tests.support.lab_house import sentences, start_two


def dialled(house: Cluster, room: str) -> set[str]:
    """Why connections of a room with the kitchen ended."""
    begin = f" {room} > kitchen disconnect "
    return {line.partition(begin)[2] for line in house.trace if begin in line}


@pytest.mark.parametrize(
    ("mesh", "its_own", "ours"), [("", OTHER_IS_CLOSED, OTHER_IS_OPEN), ("other", OTHER_MESH, OTHER_MESH)]
)
def test_a_stranger_gets_no_event_and_both_ends_say_why(mesh: str, its_own: str, ours: str) -> None:
    with Cluster(seed=1) as house:
        kitchen, _ = start_two(house)
        kitchen.log.add({"type": "milk"})
        (stranger,) = house.start("stranger", mesh=mesh)
        stranger.log.add({"type": "crowbar"})

        house.run(60)

        assert (kitchen.types, stranger.types) == (["milk"], ["crowbar"])
        assert dialled(house, "stranger") == {its_own}
        assert any(ours in sentence for sentence in sentences(house, kitchen, "refused"))
        assert stranger.node_id not in kitchen.peers
        house.assert_converged(["milk"])


def test_strangers_of_one_other_mesh_speak_with_each_other() -> None:
    with Cluster(seed=2) as house:
        house.start("kitchen")
        cabin, shed = house.start("cabin", "shed", mesh="other")
        cabin.log.add({"type": "wood"})

        house.settle("each mesh agrees with itself")

        assert shed.types == ["wood"]
        assert shed.peers.keys() == {cabin.node_id}


@pytest.mark.parametrize("store", ["memory", "sqlite"])
def test_a_revoked_room_is_refused_by_all_and_says_that_it_is_not_taken(store: StoreKind) -> None:
    with Cluster(seed=3) as house:
        kitchen, study, attic = house.start("kitchen", "study", "attic", store=store)
        attic.log.add({"type": "lamp"})
        house.settle("the lamp is everywhere")

        house.revoke(attic, by=kitchen)
        house.settle("the attic is out")
        kitchen.log.add({"type": "milk"})
        house.run(30)

        house.assert_converged(["lamp", "milk"])
        assert attic.types == ["lamp"]
        assert attic.node_id not in {**kitchen.peers, **study.peers}
        assert NOT_TAKEN in dialled(house, "attic")


def test_a_revoked_room_that_loses_its_home_comes_back_as_a_new_node() -> None:
    with Cluster(seed=4) as house:
        kitchen, attic = house.start("kitchen", "attic")
        house.settle("met")
        house.revoke(attic, by=kitchen)
        house.settle("the attic is out")
        house.crash(attic)
        house.wipe(attic)
        house.start("attic")
        kitchen.log.add({"type": "milk"})

        house.settle("the attic is back")

        house.assert_converged(["milk"])
        assert attic.types == ["milk"]


def test_a_revocation_reaches_a_room_that_was_walled_off_and_closes_its_door() -> None:
    with Cluster(seed=5) as house:
        kitchen, study, attic = house.start("kitchen", "study", "attic", links=line)
        house.settle("met")
        house.partition([kitchen], [study, attic])
        house.revoke(attic, by=kitchen)
        house.run(5)
        assert attic.node_id in study.peers

        house.heal()
        house.settle("the study has heard of it", limit_seconds=120)
        house.run(1)

        assert study.peers.keys() == {kitchen.node_id}


def test_an_event_of_a_stranger_in_the_house_is_a_violation() -> None:
    with pytest.raises(AssertionError, match="stranger has events of kitchen"), Cluster(seed=6) as house:
        kitchen, _ = start_two(house)
        kitchen.log.add({"type": "milk"})
        house.start("stranger", mesh="")
        house.settle("written")
        house.stop("stranger")
        house.rooms["stranger"].restore(kitchen.snapshot())


def test_only_an_admin_that_runs_revokes() -> None:
    with Cluster(seed=7) as house:
        kitchen, study = start_two(house)

        with pytest.raises(ValueError, match="study is no admin of the mesh of kitchen"):
            house.revoke(kitchen, by=study)
        house.stop(kitchen)
        with pytest.raises(ValueError, match="kitchen does not run"):
            house.revoke(study, by=kitchen)


def test_a_room_keeps_its_mesh() -> None:
    with Cluster(seed=8) as house:
        kitchen, _ = start_two(house)
        house.stop(kitchen)

        with pytest.raises(ValueError, match="kitchen has a home already, which is in another mesh than ''"):
            house.start("kitchen", mesh="")
