"""Simulated mDNS: which announcements arrive, when, and what a wall, a crash or a goodbye changes."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from random import Random

import pytest

from mesh.discovery.port import Announcement, Discovery, Sighting
from mesh.lab.simulation.discovery import SimAir, SimDiscovery
from mesh.lab.simulation.network import SimNetwork
from mesh.lab.simulation.virtual_loop import VirtualLoop


class House:
    """Rooms that announce themselves, and what each has heard."""

    def __init__(self, seed: int = 1) -> None:
        self.loop = VirtualLoop(seed)
        self.network = SimNetwork(self.loop, Random(seed))
        self.air = SimAir(self.loop, Random(seed), self.network)
        self.heard: dict[str, list[tuple[float, Sighting]]] = {}
        self.instances = 0

    def enter(self, *rooms: str, mesh: str = "home") -> SimDiscovery:
        """Start discovery in each room; returns the last."""
        for room in rooms:
            self.instances += 1
            discovery = self.air.discovery(room)
            announcement = Announcement(room, mesh, f"run-{self.instances}", 40_000 + self.instances)
            self.heard.setdefault(room, [])
            discovery.start(announcement, partial(self._on_sighting, room))
        return discovery

    def _on_sighting(self, room: str, sighting: Sighting) -> None:
        self.heard[room].append((self.loop.time(), sighting))

    def names(self, room: str) -> list[str]:
        return sorted(sighting.node_id for _, sighting in self.heard[room])

    def clear(self) -> None:
        for heard in self.heard.values():
            heard.clear()


@pytest.fixture
def house() -> Iterator[House]:
    house = House()
    yield house
    house.loop.close()


def test_is_a_discovery(house: House) -> None:
    discovery: Discovery = house.air.discovery("kitchen")

    discovery.requery()
    assert discovery.stop().is_done  # harmless when it never started


def test_rooms_hear_each_other_soon_but_not_at_once(house: House) -> None:
    house.enter("kitchen", "attic")
    assert house.heard == {"kitchen": [], "attic": []}

    house.loop.run_for(0.06)

    [(heard_at, sighting)] = house.heard["kitchen"]
    assert sighting == Sighting("attic", "run-2", ("attic:40002",))
    assert house.names("attic") == ["kitchen"]
    assert 0.001 <= heard_at <= 0.05


def test_starting_takes_a_turn_and_happens_once(house: House) -> None:
    discovery = house.air.discovery("kitchen")
    started = discovery.start(Announcement("kitchen", "home", "run", 1), lambda _: None)
    assert not started.is_done

    house.loop.run_for(0)

    assert started.is_done
    with pytest.raises(RuntimeError, match="started before"):
        discovery.start(Announcement("kitchen", "home", "run", 1), lambda _: None)


def test_a_node_that_starts_late_finds_the_others(house: House) -> None:
    house.enter("kitchen", "study")
    house.loop.run_for(100)

    house.enter("attic")
    house.loop.run_for(0.2)

    assert house.names("attic") == ["kitchen", "study"]


def test_nodes_of_another_mesh_are_marked_as_such(house: House) -> None:
    house.enter("kitchen")
    house.enter("attic", mesh="office")

    house.loop.run_for(100)

    assert [(seen.node_id, seen.other_mesh) for _, seen in house.heard["kitchen"]] == [("attic", "office")]
    assert [(seen.node_id, seen.other_mesh) for _, seen in house.heard["attic"]] == [("kitchen", "home")]


def test_nothing_is_said_twice_when_nothing_changes(house: House) -> None:
    house.enter("kitchen", "study", "attic")

    house.loop.run_for(3_600)

    assert all(len(heard) == 2 for heard in house.heard.values())


def test_rooms_that_a_wall_kept_apart_find_each_other_by_a_question_later(house: House) -> None:
    house.network.partition([["kitchen"], ["attic"]])
    house.enter("kitchen", "attic")
    house.loop.run_for(600)
    assert house.heard == {"kitchen": [], "attic": []}

    house.network.heal()
    house.loop.run_for(60)

    assert house.names("kitchen") == ["attic"]
    assert house.names("attic") == ["kitchen"]
    assert house.heard["kitchen"][0][0] > 600.06  # not by itself when the wall came down


def test_a_requery_finds_it_at_once(house: House) -> None:
    house.network.partition([["kitchen"], ["attic"]])
    kitchen = house.enter("attic", "kitchen")
    house.loop.run_for(600)
    house.network.heal()

    kitchen.requery()
    house.loop.run_for(0.2)

    assert house.names("kitchen") == ["attic"]


def test_a_wall_stops_packets_that_are_on_their_way(house: House) -> None:
    house.enter("kitchen", "attic")
    house.loop.run_for(0)

    house.network.partition([["kitchen"], ["attic"]])
    house.loop.run_for(600)

    assert house.heard == {"kitchen": [], "attic": []}


def test_a_cut_hides_one_side(house: House) -> None:
    house.network.cut("kitchen", "attic")
    house.enter("kitchen", "attic")

    house.loop.run_for(600)

    assert house.names("kitchen") == ["attic"]
    assert house.names("attic") == []


def test_a_held_announcement_comes_late(house: House) -> None:
    house.network.hold("kitchen", "attic")
    house.enter("attic", "kitchen")
    house.loop.run_for(600)
    assert house.names("attic") == []

    house.network.release("kitchen", "attic")
    house.loop.run_for(0.06)

    assert house.names("attic") == ["kitchen"]


def test_a_crashed_room_says_no_goodbye_and_hears_nothing(house: House) -> None:
    house.enter("kitchen", "attic")
    house.loop.run_for(10)
    house.clear()

    house.air.drop_room("attic")
    house.enter("study")
    house.loop.run_for(600)

    assert house.names("kitchen") == ["study"]
    assert house.names("study") == ["kitchen"]
    assert house.names("attic") == []


def test_a_restart_shows_as_a_new_instance(house: House) -> None:
    house.enter("kitchen", "attic")
    house.loop.run_for(10)
    house.air.drop_room("attic")
    house.clear()

    house.enter("attic")
    house.loop.run_for(10)

    assert [sighting.instance for _, sighting in house.heard["kitchen"]] == ["run-3"]
    assert house.names("attic") == ["kitchen"]


def test_a_goodbye_is_heard_once_and_a_return_after_it(house: House) -> None:
    attic = house.enter("kitchen", "attic")
    house.loop.run_for(10)
    house.clear()

    stopped = attic.stop()
    house.loop.run_for(600)
    house.enter("attic")
    house.loop.run_for(10)

    assert stopped.is_done
    assert [sighting.is_goodbye for _, sighting in house.heard["kitchen"]] == [True, False]


def test_a_goodbye_behind_a_wall_is_never_heard(house: House) -> None:
    attic = house.enter("kitchen", "attic")
    house.loop.run_for(10)
    house.clear()
    house.network.partition([["kitchen"], ["attic"]])

    attic.stop()
    house.loop.run_for(10)
    house.network.heal()
    house.loop.run_for(600)

    assert house.heard["kitchen"] == []


def test_questions_make_up_for_lost_packets(house: House) -> None:
    house.air.loss = 0.5

    house.enter("kitchen", "study", "attic")
    house.loop.run_for(600)

    assert house.names("kitchen") == ["attic", "study"]


def test_a_forged_announcement_is_received_like_a_true_one(house: House) -> None:
    house.enter("kitchen", "attic")
    house.loop.run_for(10)
    house.clear()
    lie = Sighting("attic", "unknown", ("cellar:1",))

    house.air.forge("kitchen", lie)
    house.loop.run_for(1)

    assert [sighting for _, sighting in house.heard["kitchen"]] == [lie]
    assert house.heard["attic"] == []


def test_many_nodes_do_not_answer_each_question_of_many() -> None:
    house = House()

    house.enter(*[f"room-{number}" for number in range(60)])
    house.loop.run_for(10)

    assert all(len(heard) == 59 for heard in house.heard.values())
    assert house.loop.turns < 60 * 60 * 12
    house.loop.close()


def test_the_seed_decides_when_each_packet_arrives() -> None:
    def heard(seed: int) -> dict[str, list[tuple[float, Sighting]]]:
        house = House(seed)
        house.enter("kitchen", "study", "attic", "cellar")
        house.loop.run_for(100)
        house.loop.close()
        return house.heard

    assert heard(1) == heard(1)
    assert heard(1) != heard(2)
