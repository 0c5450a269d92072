"""Applications on the nodes of the lab: made at each life of a room, ended with it, and judged with the run."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mesh import AppNode, MeshError, Node
from mesh.lab import Cluster, Outcome, Room, scenario
from mesh.membership.actions import Notice
from tests.support.story_scripts import run
from tests.support.street import SECONDS


class Clerk:
    """Counts what it hears, and writes an event every five seconds."""

    def __init__(self, node: AppNode) -> None:
        self.node = node
        self.heard: list[str] = []
        self.ticks = 0

    async def tick(self) -> None:
        while True:
            await asyncio.sleep(5)
            await self.node.log.add({"type": "tick", "by": self.node.node_id})
            self.ticks += 1

    async def sell(self, item: str) -> int:
        meta = await self.node.log.add({"type": "sold", "item": item})
        assert meta is not None
        return int(meta["added"])


def clerk(node: AppNode) -> Clerk:
    made = Clerk(node)
    node.log.on("event", lambda event, _meta: made.heard.append(event["type"]))
    made.task = asyncio.create_task(made.tick())  # type: ignore[attr-defined]
    return made


def failing(story: Callable[[Cluster], None]) -> Outcome:
    """How a story with this body ends, which is to fail."""
    outcome = scenario(story).run(7)
    assert outcome.failure is not None
    return outcome


def test_an_application_is_made_at_each_start_of_its_room() -> None:
    made: list[str] = []

    def make(node: AppNode) -> str:
        made.append(node.node_id.partition("~")[0])
        return f"life {len(made)}"

    with Cluster(7) as cluster:
        kitchen, study = cluster.start("kitchen", "study", app=make)
        assert sorted(made) == ["kitchen", "study"]
        assert {kitchen.app, study.app} == {"life 1", "life 2"}
        cluster.crash(kitchen)
        cluster.restart(kitchen)
        assert kitchen.app == "life 3"
        cluster.stop(study)
        cluster.start("study")
        assert study.app == "life 4"


def test_a_room_without_an_application_has_none() -> None:
    with Cluster(7) as cluster:
        (kitchen,) = cluster.start("kitchen")
        assert kitchen.app is None
        cluster.crash(kitchen)

        with pytest.raises(ValueError, match="kitchen does not run: start it first"):
            _ = kitchen.app


def test_an_application_may_be_started_by_a_coroutine() -> None:
    async def make(node: AppNode) -> str:
        await node.log.add({"type": "opened"})
        await node.synchronized(timeout=20)
        return f"{(await node.status())['last_added']} events"

    with Cluster(7) as cluster:
        kitchen, study = cluster.start("kitchen", "study", app=make)

        assert kitchen.app == study.app == "2 events"


def test_an_application_may_be_a_view() -> None:
    def apply(state: Any, event: Any, meta: Any) -> None:
        state["events"] = state.get("events", 0) + 1

    with Cluster(7) as cluster:
        (kitchen,) = cluster.start("kitchen", app=lambda node: node.view("count", apply))
        kitchen.log.add({"type": "milk"})
        cluster.settle("counted")

        assert kitchen.app["events"] == 1


def test_a_story_calls_an_application_and_waits_in_virtual_time() -> None:
    with Cluster(7) as cluster:
        kitchen, study = cluster.start("kitchen", "study", app=clerk)
        cluster.settle("met")

        assert kitchen.app.node.log.add({"type": "milk"}).get()["added"] == 1
        assert kitchen.spawn(kitchen.app.sell("apple")).get() == 2
        assert cluster.seconds < 1
        cluster.settle("both have them")
        assert study.app.heard == ["milk", "sold"]


def test_a_story_that_awaits_a_result_on_a_loop_of_its_own_hears_what_to_do() -> None:
    async def sell(room: Room) -> None:
        await room.log.add({"type": "milk"})

    async def read(room: Room) -> None:
        _ = [event async for event, _ in room.log.each()]

    with Cluster(7) as cluster:
        (kitchen,) = cluster.start("kitchen", app=clerk)
        for work in (kitchen.app.sell("apple"), sell(kitchen), read(kitchen)):
            with pytest.raises(RuntimeError, match=r"wait for ever.*`\.get\(\)`.*`room\.spawn\(coroutine\)\.get\(\)`"):
                asyncio.run(asyncio.wait_for(work, 10))


def test_tasks_and_listeners_end_with_a_crash_and_with_a_stop() -> None:
    with Cluster(7) as cluster:
        kitchen, study = cluster.start("kitchen", "study", app=clerk)
        cluster.run(12)
        before = kitchen.app, study.app
        cluster.crash(kitchen)
        cluster.stop(study)
        cluster.run(30)
        cluster.restart(kitchen, study)
        cluster.run(7)

        assert [one.ticks for one in before] == [2, 2]
        assert [kitchen.app.ticks, study.app.ticks] == [1, 1]
        assert all(one.task.cancelled() for one in before)
        assert len(before[0].heard) <= 4


def test_a_frozen_application_does_nothing_until_it_is_thawed() -> None:
    with Cluster(7) as cluster:
        (kitchen,) = cluster.start("kitchen", app=clerk)
        made = kitchen.app
        cluster.freeze(kitchen)
        cluster.run(20)
        assert made.ticks == 0
        cluster.thaw(kitchen)
        cluster.run(1)
        assert made.ticks == 1


def test_timers_of_an_application_end_with_it() -> None:
    fired: list[float] = []

    def make(node: AppNode) -> None:
        loop = asyncio.get_running_loop()
        loop.call_later(5, lambda: fired.append(loop.time()))

    with Cluster(7) as cluster:
        kitchen, study = cluster.start("kitchen", "study", app=make)
        cluster.crash(kitchen)
        cluster.stop(study)
        cluster.run(10)
        assert fired == []


def test_an_application_hears_that_its_node_is_stopped_and_may_write_a_last_event() -> None:
    heard: list[Notice] = []

    async def work(node: AppNode) -> None:
        try:
            await asyncio.sleep(1_000)
        finally:
            await node.log.add({"type": "closed"})

    def make(node: AppNode) -> asyncio.Task[None]:
        node.on("stop", heard.append)
        return asyncio.create_task(work(node))

    with Cluster(7) as cluster:
        (kitchen,) = cluster.start("kitchen", app=make)
        cluster.stop(kitchen)

        assert [notice.kind for notice in heard] == ["stop"]
        assert kitchen.types == ["closed"]


def test_an_application_hears_which_nodes_come_and_go() -> None:
    heard: list[str] = []

    with Cluster(7) as cluster:
        cluster.start("kitchen", app=lambda node: node.on("change", lambda notice: heard.append(notice.kind)))
        cluster.start("study")
        cluster.settle("met")

        assert heard[:2] == ["connected", "synchronized"]


def test_what_an_application_adds_is_held_by_the_checker() -> None:
    with Cluster(7) as cluster:
        (kitchen,) = cluster.start("kitchen", app=clerk)
        kitchen.spawn(kitchen.app.sell("apple")).get()

        assert len(kitchen.acknowledged) == 1


# Errors


def test_an_error_where_an_application_starts_fails_the_run() -> None:
    def story(house: Cluster) -> None:
        house.start("kitchen", app=lambda _node: {}["apple"])

    outcome = failing(story)

    assert outcome.failure is not None
    assert outcome.failure.startswith("KeyError: 'apple', in the application of kitchen, at 0.0")
    assert "(test_applications.py, line " in outcome.failure


def test_an_error_in_a_task_fails_the_run_with_its_moment_and_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    async def work(node: AppNode) -> None:
        await asyncio.sleep(3)
        raise KeyError("apple")

    @scenario
    def story(house: Cluster) -> None:
        house.start("kitchen", app=lambda node: asyncio.create_task(work(node)))
        house.settle("open")
        house.run(60)

    outcome = story.run(7)
    story.show_failure(outcome, replay="again")

    assert outcome.failure is not None
    assert "KeyError: 'apple', in the application of kitchen, at 3.0" in outcome.failure
    assert "(seed 7, at 3.0" in outcome.failure
    assert "after the beat 'open'" in outcome.failure
    assert 'raise KeyError("apple")' in capsys.readouterr().err


def test_an_error_in_a_listener_fails_the_run() -> None:
    def story(house: Cluster) -> None:
        (kitchen,) = house.start("kitchen", app=lambda node: node.log.on("event", lambda event, _meta: event["price"]))
        kitchen.log.add({"type": "milk"})
        house.run(1)

    assert "KeyError: 'price', in the application of kitchen" in str(failing(story).failure)


def test_an_error_of_a_task_that_is_awaited_goes_to_the_awaiting_code() -> None:
    async def work() -> None:
        await asyncio.sleep(1)
        raise KeyError("apple")

    async def main() -> str:
        found = await asyncio.gather(work(), work(), return_exceptions=True)
        try:
            await asyncio.wait_for(asyncio.sleep(9), 1)
        except TimeoutError:
            return f"{len(found)} errors, and too late"
        return ""

    with Cluster(7) as cluster:
        (kitchen,) = cluster.start("kitchen", app=lambda _node: None)

        assert kitchen.spawn(main()).get() == "2 errors, and too late"


def test_an_error_of_what_a_story_runs_is_raised_by_get_or_at_the_end() -> None:
    async def fail() -> None:
        raise KeyError("apple")

    with Cluster(7) as cluster:
        (kitchen,) = cluster.start("kitchen", app=lambda _node: None)
        with pytest.raises(KeyError):
            kitchen.spawn(fail()).get()

    def story(house: Cluster) -> None:
        (kitchen,) = house.start("kitchen", app=lambda _node: None)
        kitchen.spawn(fail())
        house.run(1)

    assert "KeyError: 'apple', in the application of kitchen" in str(failing(story).failure)


def test_what_a_crash_interrupts_has_an_error_that_says_so() -> None:
    with Cluster(7) as cluster:
        (kitchen,) = cluster.start("kitchen", app=clerk)
        asked = kitchen.spawn(asyncio.sleep(100))
        cluster.crash(kitchen)

        with pytest.raises(RuntimeError, match="its application was ended before this was done"):
            asked.get()


def test_a_task_that_does_not_end_is_named() -> None:
    async def stubborn() -> None:
        while True:
            try:
                await asyncio.sleep(1)
            except asyncio.CancelledError:
                continue

    def story(house: Cluster) -> None:
        (kitchen,) = house.start("kitchen", app=lambda _node: asyncio.create_task(stubborn()))
        house.run(1)
        house.stop(kitchen)

    assert "tasks go on 30 s after they were cancelled: " in str(failing(story).failure)
    assert "stubborn" in str(failing(story).failure)


def test_an_application_that_would_block_its_loop_is_told_so() -> None:
    def story(house: Cluster) -> None:
        house.start("kitchen", app=lambda node: list(node.log.each()))

    assert "get() would block the event loop" in str(failing(story).failure)


def test_a_start_that_waits_for_ever_is_a_failure() -> None:
    def story(house: Cluster) -> None:
        house.start("kitchen", app=lambda _node: asyncio.sleep(1_000))

    assert str(failing(story).failure).startswith("start kitchen: not done within 60 s")


def test_an_old_node_does_not_write_into_the_new_life() -> None:
    with Cluster(7) as cluster:
        (kitchen,) = cluster.start("kitchen", app=clerk)
        old = kitchen.app
        cluster.restart(kitchen)

        late = old.node.log.add({"type": "late"})
        cluster.run(1)

        assert late.exception is not None
        assert kitchen.types == []


# The same seed, and the same application elsewhere

SCRIPT = """
import asyncio
from mesh.lab import Cluster, scenario


def make(node):
    async def work():
        while True:
            await asyncio.sleep(0.7)
            await asyncio.gather(*[node.log.add({"type": "tick", "n": n}) for n in range(3)])

    return asyncio.create_task(work())


@scenario
def example(house):
    one, two, three = house.start("one", "two", "three", app=make)
    house.partition([one], [two, three])
    house.run(house.random.uniform(5, 20))
    house.crash(two)
    house.heal()
    house.restart(two)
    house.run(5)
    house.stop(one)
    house.settle("the others agree")


example.main()
"""


def test_the_same_seed_gives_the_same_trace_with_applications_too(tmp_path: Path) -> None:
    script = tmp_path / "example.py"
    script.write_text(SCRIPT)

    one, other, third = (
        run(script, "--seed", seed, "--trace", hash_seed=hashes)
        for seed, hashes in (("7", "1"), ("7", "77"), ("8", "1"))
    )

    assert (one.returncode, one.stderr) == (0, "")
    assert one.stdout == other.stdout
    assert len(one.stdout.splitlines()) > 100
    assert one.stdout != third.stdout


async def sold_on(node: AppNode) -> Any:
    made = clerk(node)
    await made.sell("apple")
    heard = [event["item"] async for event, _ in node.log.each()]
    made.task.cancel()  # type: ignore[attr-defined]
    return heard


def test_the_same_application_runs_on_a_real_node(tmp_path: Path) -> None:
    async def live() -> Any:
        async with Node("kitchen", home=tmp_path, open=True, mdns=False, listen="127.0.0.1:0") as node:
            return await sold_on(node)

    with Cluster(7) as cluster:
        (kitchen,) = cluster.start("kitchen", app=sold_on)
        in_lab = kitchen.app

    assert asyncio.run(asyncio.wait_for(live(), SECONDS)) == in_lab == ["apple"]


def test_a_node_of_the_lab_refuses_what_a_real_one_refuses(tmp_path: Path) -> None:
    async def listen(*_: Any) -> None: ...

    def check(node: AppNode) -> None:
        with pytest.raises(ValueError, match="there is no event 'stopped' here"):
            node.on("stopped", print)
        for on in (node.on, node.log.on):
            with pytest.raises(TypeError, match="a listener must be a plain function"):
                on("change", listen)
        with pytest.raises(ValueError, match="take 1 or more, and seconds above 0"):
            node.synchronized(peers=0).result()

    with Cluster(7) as cluster:
        cluster.start("kitchen", app=check)
    with Node("kitchen", home=tmp_path, open=True, mdns=False, listen="127.0.0.1:0") as node:
        check(node)
    with pytest.raises(MeshError):
        _ = node.node_id
