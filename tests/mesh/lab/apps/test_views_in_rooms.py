"""Views of applications in the lab: they fold what their node has, live on its disk, and their errors fail the run."""

from __future__ import annotations

import pytest

from mesh import AppNode
from mesh.lab import Cluster


def test_an_error_where_a_view_folds_fails_the_run() -> None:
    def divide(_state: object, event: dict[str, int], _meta: object) -> None:
        assert 1 / event["change"] > 0

    with pytest.raises(ZeroDivisionError) as raised, Cluster(7) as cluster:
        (door,) = cluster.start("door", app=lambda node: node.view("stock", divide))
        door.log.add({"type": "shop/sold", "change": 0})
        cluster.run(1)

    assert raised.value.__notes__[0].startswith("in the application of door, at ")


def test_what_a_view_cannot_keep_is_said_where_the_story_settles() -> None:
    def put(state: dict[str, object], event: dict[str, int], _meta: object) -> None:
        state["sales"] = {event["change"]}

    async def make(node: AppNode) -> None:
        await node.view("stock", put)

    with pytest.raises(AssertionError, match="door: the view 'stock' has stopped: TypeError"), Cluster(7) as cluster:
        (door,) = cluster.start("door", app=make)
        door.log.add({"type": "shop/sold", "change": 1})
        cluster.settle("counted")


def test_a_view_goes_on_after_a_crash_from_what_its_disk_has() -> None:
    folded: list[str] = []

    async def make(node: AppNode) -> object:
        return await node.view(
            "types", lambda state, event, _meta: (folded.append(event["type"]), state.update({event["type"]: 1}))[0]
        )

    with Cluster(7) as cluster:
        (door,) = cluster.start("door", app=make)
        door.log.add({"type": "early"}).get()
        cluster.run(5)
        cluster.crash(door)
        cluster.restart(door)
        assert (folded, door.app["early"]) == (["early"], 1)
        cluster.stop(door)
        cluster.wipe(door)
        cluster.start("door")
        assert len(door.app) == 0


def test_a_story_settles_once_the_views_have_what_their_logs_have() -> None:
    def add_up(state: dict[str, int], event: dict[str, int], _meta: object) -> None:
        state["sum"] = state.get("sum", 0) + event["change"]

    async def make(node: AppNode) -> object:
        return await node.view("sums", add_up)

    with Cluster(7) as cluster:
        rooms = cluster.start("door", "yard", "cellar", app=make)
        cluster.partition([rooms[0]], rooms[1:])
        for number in range(50):
            for room in rooms:
                room.log.add({"type": "shop/received", "change": number})
            cluster.run(0.1)
        cluster.restart(rooms[1])
        cluster.heal()
        cluster.settle("all have all")

        assert [room.app["sum"] for room in rooms] == [3 * sum(range(50))] * 3
        assert [row["behind"] for row in rooms[0].status()["views"]] == [0]


def test_a_view_of_a_full_disk_says_so_and_goes_on_when_there_is_room() -> None:
    async def make(node: AppNode) -> object:
        return await node.view("types", lambda state, event, _meta: state.update({event["type"]: 1}))

    with Cluster(7) as cluster:
        (door,) = cluster.start("door", app=make)
        door.log.add({"type": "early"}).get()
        cluster.disk_full(door)
        cluster.run(5)
        assert "full" in door.status()["views"][0]["store_error"]
        cluster.disk_full(door, is_full=False)
        cluster.run(120)
        assert door.status()["views"][0]["store_error"] is None
        cluster.restart(door)
        assert door.app["early"] == 1


def test_a_listener_of_a_view_that_fails_fails_the_run() -> None:
    async def make(node: AppNode) -> None:
        view = await node.view("types", lambda state, event, _meta: state.update({event["type"]: 1}))
        view.on("change", lambda keys: keys.index("milk"))

    with pytest.raises(ValueError, match="'milk' is not in list"), Cluster(7) as cluster:
        (door,) = cluster.start("door", app=make)
        door.log.add({"type": "bread"})
        cluster.run(1)


def test_a_view_says_how_many_events_were_cleaned_elsewhere_before_they_came_here() -> None:
    def note(state: dict[str, int], event: dict[str, int], _meta: object) -> None:
        state["max"] = max(state.get("max", 0), event["degrees"])

    async def make(node: AppNode) -> object:
        return await node.view("sensors", note)

    with Cluster(7) as cluster:
        attic, cellar = cluster.start("attic", "cellar", app=make)
        cluster.partition([attic], [cellar])
        for degrees in (30, 20, 19):
            attic.log.add({"type": "reading", "degrees": degrees}, {"keep_last": "sensor"}).get()
        cluster.heal()
        cluster.settle("met")
        (newcomer,) = cluster.start("newcomer", app=make)
        cluster.settle("the newcomer too")

        rooms = (attic, cellar, newcomer)
        assert [room.app["max"] for room in rooms] == [30, 19, 19]
        assert [room.status()["views"][0]["folded_without"] for room in rooms] == [0, 2, 2]
