"""Who passes on what: in a mesh whose links are slow too, each event comes to each room once, and one way is enough."""

from __future__ import annotations

from collections import Counter
from itertools import combinations
from typing import Any

from mesh.lab import Cluster
from peers.codec.run_messages import Pieces
from peers.events.entry import Entry
from peers.roles.run_peer import RunPeerSync
from peers.roles.run_relaying import SERVED_MS


def test_each_event_comes_to_each_room_once_over_slow_links_too() -> None:
    taken: Counter[tuple[str, Any]] = Counter()

    class Counting(RunPeerSync):
        def dispatch(self, message: Any) -> None:
            if isinstance(message, Pieces):
                items = [item for piece in message.pieces for item in piece.items]
                taken.update((self.node_id, item.created) for item in items if isinstance(item, Entry))
            super().dispatch(message)

    with Cluster(21, traces=False) as house:
        names = ["kitchen", "study", "attic", "cellar"]
        rooms = house.start(*names)
        house.stop(*rooms)
        for room in rooms:
            room.role = Counting
        house.start(*names)
        house.settle("met")
        for one, other in combinations(rooms, 2):
            house.slow(one, other, latency_ms=(300, 800))
        house.run(5)

        for number in range(40):
            for room in rooms:
                room.log.add({"type": f"{room.name}.{number}"})
            house.run(0.1)
        house.settle("all have all")

        house.assert_converged()
        assert taken.total() == len(taken) == 160 * 3


def test_a_room_that_lost_a_link_gets_what_comes_over_the_others_as_soon_as_before() -> None:
    with Cluster(22) as house:
        kitchen, hall, cellar = house.start("kitchen", "hall", "cellar")
        house.settle("met")
        house.partition([kitchen], [cellar])  # the hall sees both
        house.run(60)

        kitchen.log.add({"type": "milk"})
        house.run(0.5)

        assert hall.types == cellar.types == ["milk"]


def test_what_was_lost_with_a_link_comes_over_the_others_when_that_is_noticed() -> None:
    with Cluster(23) as house:
        kitchen, hall, cellar = house.start("kitchen", "hall", "cellar")
        house.settle("met")
        house.hold(kitchen, cellar)
        kitchen.log.add({"type": "milk"})
        house.run(1)
        assert hall.types == ["milk"] and cellar.types == []

        house.reset(kitchen, cellar)
        house.run(0.5)

        assert cellar.types == ["milk"]


def test_what_does_not_come_over_a_link_that_is_stuck_comes_over_the_others_a_little_later() -> None:
    with Cluster(24) as house:
        kitchen, hall, cellar = house.start("kitchen", "hall", "cellar")
        house.settle("met")
        house.hold(kitchen, cellar)

        kitchen.log.add({"type": "milk"})
        house.run(SERVED_MS / 1000 + 0.5)

        assert hall.types == cellar.types == ["milk"]
