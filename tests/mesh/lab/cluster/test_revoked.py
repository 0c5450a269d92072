"""A room that is revoked, in a cluster: its entries count up to the cut everywhere, and nothing that was shown is lost."""

from __future__ import annotations

import pytest

from mesh.lab import Cluster
from mesh.lab.cluster.room_parts import LabMesh
from mesh.lab.simulation.storage import StoreKind
from mesh.settings.config import DEFAULT_MESH
from peers.stores.store import StoreError


@pytest.mark.parametrize("store", ["memory", "sqlite"])
def test_a_revoked_room_returns_through_a_third_that_missed_it(store: StoreKind) -> None:
    with Cluster(seed=6) as house:
        kitchen, study, attic = house.start("kitchen", "study", "attic", store=store)
        house.settle("the three have met")
        study.log.add({"type": "monday"})
        house.settle("all know")

        house.partition([kitchen], [study, attic])
        house.revoke(study, by=kitchen)
        study.log.add({"type": "tuesday"})
        house.run(1)  # the attic has not heard that the study is revoked
        house.partition([kitchen, attic], [study])
        house.settle("now it has, and vouches for tuesday")
        assert kitchen.types == attic.types == ["monday", "tuesday"]
        assert [entry.vouched for entry in kitchen.entries] == ["", "revoke"]

        study.log.add({"type": "wednesday"})  # it has not heard yet
        house.heal()
        house.run(60)

        assert kitchen.types == attic.types == ["monday", "tuesday"]
        assert kitchen.store.ends() == attic.store.ends()
        assert study.types == ["monday", "tuesday", "wednesday"]
        assert study.peers == {}


@pytest.mark.parametrize("store", ["memory", "sqlite"])
def test_a_revoked_room_that_hears_of_it_writes_nothing_more(store: StoreKind) -> None:
    with Cluster(seed=6) as house:
        kitchen, study = house.start("kitchen", "study", store=store)
        house.settle("the two have met")
        house.revoke(study, by=kitchen)
        house.run(1)

        thursday = study.log.add({"type": "thursday"})
        house.run(1)

        with pytest.raises(StoreError, match=f"not in its mesh any more .revoked by {kitchen.node_id}."):
            thursday.result()
        assert kitchen.types == study.types == []


def test_what_a_home_had_before_its_mesh_was_founded_is_adopted_by_who_founded_it() -> None:
    with Cluster(seed=7) as house:
        rooms = kitchen, study = house.start("kitchen", "study", mesh="")
        study.log.add({"type": "old"})
        house.settle("both have it")
        house.stop(kitchen, study)
        mesh = LabMesh(house.seed, DEFAULT_MESH)
        for room in rooms:
            room.mesh = mesh
            room.store.enter_mesh(mesh.public)
            room.store.open()

        house.start("kitchen")
        house.settle("the kitchen has taken in what it had")
        assert [entry.vouched for entry in kitchen.entries] == ["found"]

        house.start("study")
        house.settle("the study is in the mesh, too")
        house.assert_converged(["old"])
        assert kitchen.store.ends() == study.store.ends()
