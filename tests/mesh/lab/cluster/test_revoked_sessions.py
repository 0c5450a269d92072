"""The sessions of a room that is revoked end on every room that hears of it."""

from __future__ import annotations

import pytest

from mesh.lab import Cluster, Room
from mesh.lab.cluster.topology import Links, full, line

END_SECONDS = 1.0
"""Virtual seconds within which they end on rooms that are connected with the admin, directly or through others."""


def until_no_node_speaks_to(phone: Room, cluster: Cluster, *others: Room) -> float:
    """Virtual seconds until these rooms have no session with the phone."""
    began = cluster.seconds
    assert cluster.loop.run_until(
        lambda: not phone.peers and all(phone.node_id not in room.peers for room in others), 60
    )
    return cluster.seconds - began


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("links", [None, full], ids=["discovery", "addresses"])
def test_sessions_with_a_revoked_room_end_within_a_second_on_all_rooms_that_are_connected(
    seed: int, links: Links | None
) -> None:
    with Cluster(seed) as house:
        kitchen, study, attic, phone = house.start("kitchen", "study", "attic", "phone", links=links)
        house.settle("the four have met")

        house.revoke(phone, by=kitchen)

        assert until_no_node_speaks_to(phone, house, kitchen, study, attic) <= END_SECONDS
        house.run(60)
        assert phone.peers == {}


def test_a_session_with_a_revoked_room_that_answers_nothing_ends_too() -> None:
    with Cluster(seed=3) as house:
        kitchen, study, phone = house.start("kitchen", "study", "phone")
        house.settle("the three have met")
        house.freeze(phone)

        house.revoke(phone, by=kitchen)
        house.run(END_SECONDS)

        assert phone.node_id not in {*kitchen.peers, *study.peers}


def test_a_session_with_a_revoked_room_ends_within_a_second_where_the_fact_comes_through_others() -> None:
    with Cluster(seed=3) as house:
        kitchen, _, _, cellar, phone = house.start("kitchen", "study", "attic", "cellar", "phone", links=line)
        house.settle("the five have met")
        assert phone.peers == {cellar.node_id: None}

        house.revoke(phone, by=kitchen)

        assert until_no_node_speaks_to(phone, house, cellar) <= END_SECONDS
