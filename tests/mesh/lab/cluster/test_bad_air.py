"""The verbs that let discovery forge, lose and delay packets: the rooms find each other all the same."""

from __future__ import annotations

from mesh.lab import Cluster, line
from peers.events.epoch import key_mark
from tests.support.lab_house import sentences, start_two


def test_a_forged_sighting_is_heard_and_does_no_harm() -> None:
    with Cluster(20) as house:
        kitchen, study, attic = house.start("kitchen", "study", "attic")
        house.settle("met")

        house.forge_sighting(kitchen, study.node_id, at=attic)
        house.forge_sighting(kitchen, "ghost~aaaaaaaa", at=attic)
        house.run(60)
        study.log.add({"type": "ink"})
        house.settle("still well")

        (notice,) = [line for line in sentences(house, kitchen, "unreachable") if "ghost" in line]
        assert f"its key is that of another node, ~{key_mark(attic.key)}" in notice
        assert not any("ghost" in line for line in house.trace if " study: " in line)
        assert kitchen.peers.keys() == {study.node_id, attic.node_id}
        assert kitchen.types == ["ink"]


def test_with_bad_discovery_rooms_find_each_other_late() -> None:
    with Cluster(26) as house:
        house.bad_air(late_seconds=30)
        kitchen, study = house.start("kitchen", "study")
        house.run(1)
        early = {**kitchen.peers, **study.peers}
        house.bad_air()
        house.settle("found")

        assert early == {}


def test_rooms_whose_discovery_loses_everything_find_each_other_once_it_is_good() -> None:
    with Cluster(27) as house:
        house.bad_air(loss=1.0)
        kitchen, study = house.start("kitchen", "study")
        house.run(200)
        before = dict(kitchen.peers)
        house.bad_air()
        house.settle("found")

        assert before == {}
        assert kitchen.peers == {study.node_id: None}


def test_an_announcement_of_an_earlier_life_is_repeated_and_does_no_harm() -> None:
    with Cluster(28) as house:
        kitchen, study = start_two(house)
        before = study.node_id
        house.crash(study)
        house.wipe(study)
        house.restart(study)
        house.settle("a new study")

        assert all(house.repeat_sighting(kitchen, about=study) for _ in range(10))
        house.run(60)
        study.log.add({"type": "ink"})
        house.settle("still well")

        assert any(before in line for line in house.trace if "repeat a sighting" in line)
        assert kitchen.types == ["ink"]


def test_nothing_is_repeated_of_a_room_that_announced_nothing() -> None:
    with Cluster(29) as house:
        kitchen, _ = house.start("kitchen", "study", links=line)

        assert not house.repeat_sighting(kitchen, about="study")
