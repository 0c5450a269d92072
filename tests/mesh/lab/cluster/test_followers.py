"""Applications that follow the logs of rooms, in virtual time."""

from __future__ import annotations

import asyncio
from typing import Any

from mesh.lab import Cluster
from mesh.lab.cluster.room import Room
from mesh.node_log import NodeLog


class Application:
    """Notes the events that it follows, from where it was in the life before; each one takes it some seconds."""

    def __init__(self, room: Room, *, types: list[str] | None = None, seconds: float = 0.0) -> None:
        self.found: list[str] = []
        self.last: dict[str, Any] | int = 0
        self.has_ended = False
        self._room = room
        self._types = types
        self._seconds = seconds
        self.begin()

    def begin(self) -> None:
        assert self._room.kept is not None
        self.task = self._room.runtime.loop.create_task(self._follow(NodeLog(self._room.kept)))

    async def _follow(self, log: NodeLog) -> None:
        async for event, meta in log.follow(since=self.last, types=self._types):
            self.found.append(event["type"])
            self.last = meta
            await asyncio.sleep(self._seconds)
        self.has_ended = True


def test_a_follower_gets_late_events_in_the_order_in_which_they_arrive() -> None:
    with Cluster(3) as house:
        kitchen, study = house.start("kitchen", "study")
        house.settle("met")
        application = Application(kitchen, types=["milk", "ink"])

        house.partition([kitchen], [study])
        study.log.add({"type": "ink"})
        house.run(60)
        kitchen.log.add({"type": "bread"})
        kitchen.log.add({"type": "milk"})
        house.run(1)
        assert application.found == ["milk"]
        house.heal()
        house.settle("healed")

        assert application.found == ["milk", "ink"]
        assert kitchen.types == ["ink", "bread", "milk"]
        house.stop(kitchen)
        assert application.has_ended


def test_an_application_that_crashes_with_its_room_goes_on_after_the_last_event_that_it_had() -> None:
    with Cluster(4) as house:
        kitchen, study = house.start("kitchen", "study")
        house.settle("met")
        application = Application(kitchen, seconds=0.5)

        for number in range(6):
            for _ in range(5):
                study.log.add({"type": f"{number}"})
            house.run(1.7)
            house.crash(kitchen)
            application.task.cancel()
            house.run(1)
            house.restart(kitchen)
            application.begin()
        house.settle("all are there")
        house.run(60)

        assert application.found == kitchen.types
        house.stop(kitchen)


def test_a_slow_follower_does_not_delay_the_others() -> None:
    with Cluster(5) as house:
        kitchen, study = house.start("kitchen", "study")
        house.settle("met")
        slow, quick = Application(kitchen, seconds=3_600), Application(kitchen)

        for _ in range(2_000):
            study.log.add({"type": "a"})
        house.settle("all are there")

        assert (len(slow.found), len(quick.found)) == (1, 2_000)
        house.stop(kitchen)
        house.run(3_600)
        assert slow.has_ended
