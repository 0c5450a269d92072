"""The virtual loop: asyncio works on it, time costs nothing, and a seed decides every free choice."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest

from mesh.actors.runtime.loop_actor import LoopActor, LoopActorRef, Runtime
from mesh.lab.simulation.clock import EPOCH_MS, RoomClock
from mesh.lab.simulation.virtual_loop import LabAlarm, VirtualLoop
from peers.later import Later


@pytest.fixture
def loop() -> Iterator[VirtualLoop]:
    loop = VirtualLoop(1)
    yield loop
    loop.close()


def run_elsewhere(script: str, *, hash_seed: int, junk: int) -> str:
    """What `script` prints in a process of its own, with another hash seed and a heap that was used before."""
    code = f"junk = [bytes(i % 700) for i in range({junk})]; del junk[::3]\n{script}"
    environment = {**os.environ, "PYTHONHASHSEED": str(hash_seed), "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environment,
        cwd=Path(__file__).parent,
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def story(seed: int) -> list[str]:
    """Timers due at one instant, drains, tasks and a Later, all mixed; returns the order in which they ran."""
    loop = VirtualLoop(seed)
    trace: list[str] = []

    def drains(name: str) -> Callable[[], None]:
        left = iter(range(5))

        def drain() -> None:
            for step in left:
                trace.append(f"{loop.time():.3f} {name} {step}")
                loop.schedule_drain(drain)
                return

        return drain

    async def walk(name: str, gate: Later[int]) -> None:
        await asyncio.sleep(0.5)
        trace.append(f"{loop.time():.3f} {name} {await gate}")

    gate: Later[int] = Later()
    for number in range(5):
        loop.schedule_drain(drains(f"drain-{number}"))
        loop.create_task(walk(f"task-{number}", gate))
        loop.call_later(1, trace.append, f"timer-{number}")
    loop.call_later(1, gate.set, 7)
    loop.run_for(2)
    loop.close()
    return trace


def test_a_day_passes_at_once_when_nothing_happens(loop: VirtualLoop) -> None:
    began = time.process_time()

    loop.run_for(86_400)

    assert loop.time() == 86_400
    assert time.process_time() - began < 0.5


def test_a_day_of_ticks_passes_in_a_moment(loop: VirtualLoop) -> None:
    began = time.process_time()
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while loop.time() < 86_400:
            await asyncio.sleep(60)
            ticks += 1

    loop.run_until_complete(tick())

    assert ticks == 1_440
    assert time.process_time() - began < 0.5


def test_runs_what_is_due_at_the_very_end(loop: VirtualLoop) -> None:
    seen: list[float] = []
    loop.call_later(2, lambda: seen.append(loop.time()))

    loop.run_for(1.5)
    assert seen == []
    loop.run_for(0.5)

    assert seen == [2.0]


def test_sleeps_timeouts_and_tasks_work(loop: VirtualLoop) -> None:
    async def main() -> str:
        task = asyncio.create_task(asyncio.sleep(3, "slept"))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1):
                await asyncio.sleep(5)
        assert loop.time() == 1
        return await asyncio.wait_for(task, 10)

    assert loop.run_until_complete(main()) == "slept"
    assert loop.time() == 3


def test_is_the_running_loop_while_it_runs(loop: VirtualLoop) -> None:
    seen: list[object] = []
    loop.schedule_drain(lambda: seen.append(asyncio.get_running_loop()))
    loop.call_soon(lambda: seen.append(asyncio.get_running_loop()))

    loop.run_for(0)

    assert seen == [loop, loop]
    with pytest.raises(RuntimeError):
        asyncio.get_running_loop()


def test_a_later_can_be_awaited(loop: VirtualLoop) -> None:
    later: Later[int] = Later()
    loop.call_later(4, later.set, 42)

    async def wait() -> int:
        return await later

    assert loop.run_until_complete(wait()) == 42
    assert loop.time() == 4


def test_a_later_refuses_to_block_it(loop: VirtualLoop) -> None:
    later: Later[int] = Later()

    loop.schedule_drain(lambda: print(later.get()))

    with pytest.raises(RuntimeError, match="would block the event loop"):
        loop.run_for(0)


def test_runs_until_something_is_true(loop: VirtualLoop) -> None:
    seen: list[int] = []
    loop.call_later(3, seen.append, 1)

    assert loop.run_until(lambda: bool(seen), 10)
    assert loop.time() == 3


def test_says_when_something_does_not_become_true(loop: VirtualLoop) -> None:
    assert not loop.run_until(lambda: False, 10)

    assert loop.time() == 10


def test_callbacks_run_first_in_first_out(loop: VirtualLoop) -> None:
    seen: list[int] = []
    for number in range(50):
        loop.call_soon(seen.append, number)

    loop.run_for(0)

    assert seen == list(range(50))


def test_every_drain_gets_its_turn(loop: VirtualLoop) -> None:
    counts = [0] * 20

    def drain(number: int) -> None:
        counts[number] += 1
        if counts[number] < 100:
            loop.schedule_drain(lambda: drain(number))

    for number in range(20):
        loop.schedule_drain(lambda number=number: drain(number))  # type: ignore[misc]
    loop.run_for(0)

    assert counts == [100] * 20


def test_the_same_seed_gives_the_same_order() -> None:
    assert story(7) == story(7)


def test_other_seeds_give_other_orders() -> None:
    assert len({tuple(story(seed)) for seed in range(20)}) == 20


def test_the_same_seed_gives_the_same_order_in_other_processes() -> None:
    script = f"from {__name__} import story; print(story(7))"

    first = run_elsewhere(script, hash_seed=1, junk=0)
    second = run_elsewhere(script, hash_seed=77, junk=50_000)

    assert first == second == f"{story(7)}\n"


def test_the_seed_picks_among_timers_of_one_instant() -> None:
    def order(seed: int) -> tuple[int, ...]:
        loop = VirtualLoop(seed)
        seen: list[int] = []
        for number in range(3):
            loop.call_later(1, seen.append, number)
        loop.run_for(1)
        loop.close()
        return tuple(seen)

    assert len({order(seed) for seed in range(100)}) == 6  # every permutation of three


def test_cancelled_timers_do_not_pile_up(loop: VirtualLoop) -> None:
    kept = loop.call_later(5, lambda: None)
    for _ in range(10_000):
        loop.call_later(60, lambda: None).cancel()

    assert len(loop._timers) < 600  # which the loop has no reason to show
    assert not kept.cancelled()
    loop.run_for(100)
    assert loop.turns == 1


def test_a_failing_callback_ends_the_run(loop: VirtualLoop) -> None:
    seen: list[str] = []

    def fail() -> None:
        raise ValueError("broken")

    loop.call_soon(fail)
    loop.call_soon(seen.append, "the turn after")

    with pytest.raises(ValueError, match="broken"):
        loop.run_for(1)
    assert seen == []
    loop.run_for(1)
    assert seen == ["the turn after"]


def test_a_failing_drain_ends_the_run(loop: VirtualLoop) -> None:
    def fail() -> None:
        raise ValueError("broken")

    loop.schedule_drain(fail)

    with pytest.raises(ValueError, match="broken"):
        loop.run_for(1)


def test_a_failed_task_that_is_not_awaited_ends_the_run(loop: VirtualLoop) -> None:
    async def fail() -> None:
        raise ValueError("broken")

    loop.create_task(fail())

    with pytest.raises(ValueError, match="broken"):
        loop.run_for(1)


def test_an_error_in_the_hook_of_a_lost_generator_ends_the_run(
    loop: VirtualLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def numbers() -> AsyncIterator[int]:
        yield 1

    async def take_one() -> None:
        monkeypatch.setattr(loop, "call_soon_threadsafe", fail)
        async for _ in numbers():
            break
        await asyncio.sleep(1)

    def fail(*_: object) -> None:
        raise LabAlarm("in the hook")

    with pytest.raises(LabAlarm, match="in the hook"):
        loop.run_until_complete(take_one())
    loop.run_for(1)


def test_a_lost_generator_is_closed(loop: VirtualLoop) -> None:
    steps: list[str] = []

    async def numbers() -> AsyncIterator[int]:
        try:
            yield 1
        finally:
            await asyncio.sleep(1)
            steps.append("closed")

    async def take_one() -> None:
        async for _ in numbers():
            break

    loop.run_until_complete(take_one())
    loop.close()

    assert steps == ["closed"]


def test_close_closes_generators_that_are_open() -> None:
    loop = VirtualLoop(1)
    steps: list[int] = []

    async def numbers(number: int) -> AsyncIterator[int]:
        try:
            yield number
        finally:
            steps.append(number)

    async def begin() -> list[AsyncIterator[int]]:
        opened = [numbers(number) for number in range(20)]
        for one in opened:
            await anext(one)
        return opened

    opened = loop.run_until_complete(begin())
    loop.close()

    assert steps == list(range(20))
    assert len(opened) == 20


def test_no_handler_of_the_product_catches_an_alarm(loop: VirtualLoop) -> None:
    async def careless() -> None:
        try:
            loop.record(LabAlarm("the checker found something"))
            await asyncio.sleep(0)
        except Exception:  # noqa: BLE001 - the carelessness that is tested
            pass

    task = loop.create_task(careless())

    with pytest.raises(LabAlarm, match="the checker found something"):
        loop.run_for(1)
    loop.run_for(0)
    assert task.done()


def test_finds_a_livelock() -> None:
    loop = VirtualLoop(1, turns_per_instant=1_000)

    def spin() -> None:
        loop.schedule_drain(spin)

    loop.call_later(2.5, spin)

    with pytest.raises(LabAlarm, match=r"livelock: 1000 turns at 2\.500000 s"):
        loop.run_for(10)
    loop.close()


def test_finds_a_livelock_of_timers_that_hardly_move_time() -> None:
    loop = VirtualLoop(1, turns_per_instant=1_000)

    def spin() -> None:
        loop.call_later(1e-12, spin)

    loop.call_later(2.5, spin)

    with pytest.raises(LabAlarm, match="livelock"):
        loop.run_for(10)
    loop.close()


def test_many_turns_over_time_are_no_livelock() -> None:
    loop = VirtualLoop(1, turns_per_instant=100)

    async def tick() -> None:
        for _ in range(1_000):
            await asyncio.sleep(0.001)

    loop.run_until_complete(tick())
    loop.close()


def test_finds_that_nothing_can_happen_any_more(loop: VirtualLoop) -> None:
    later: Later[None] = Later()

    async def wait() -> None:
        await later

    with pytest.raises(LabAlarm, match="nothing is left that could happen"):
        loop.run_until_complete(wait())
    assert len(loop.finish()) == 1


def test_refuses_another_thread(loop: VirtualLoop) -> None:
    errors: list[RuntimeError] = []

    def call() -> None:
        try:
            loop.call_soon_threadsafe(print)
        except RuntimeError as error:
            errors.append(error)

    thread = threading.Thread(target=call)
    thread.start()
    thread.join(10)

    assert "from another thread" in str(errors)


def test_refuses_threads_and_sockets(loop: VirtualLoop) -> None:
    async def call() -> None:
        with pytest.raises(RuntimeError, match="no threads"):
            await asyncio.to_thread(print)
        with pytest.raises(RuntimeError, match="no sockets"):
            await asyncio.open_connection("127.0.0.1", 1)

    loop.run_until_complete(call())


def test_refuses_to_run_inside_itself(loop: VirtualLoop) -> None:
    loop.call_soon(loop.run_for, 1)

    with pytest.raises(RuntimeError, match="cannot be called from inside"):
        loop.run_for(1)


def test_close_says_what_was_pending() -> None:
    loop = VirtualLoop(1)
    steps: list[str] = []

    async def patient() -> None:
        try:
            await asyncio.sleep(100)
        finally:
            await asyncio.sleep(1)
            steps.append("cleaned up")

    loop.create_task(patient())
    loop.run_for(2)

    with pytest.warns(ResourceWarning, match=r"closed at 3\.0.* s with 1 tasks pending: .*patient"):
        loop.close()
    assert steps == ["cleaned up"]


def test_finish_cancels_tasks_in_the_order_in_which_they_came() -> None:
    loop = VirtualLoop(1)
    ended: list[int] = []

    async def patient(number: int) -> None:
        try:
            await asyncio.sleep(100)
        except asyncio.CancelledError:
            ended.append(number)
            raise

    for number in range(50):
        loop.create_task(patient(number))
    loop.run_for(1)

    assert len(loop.finish()) == 50
    assert ended == list(range(50))
    loop.close()


def test_close_finds_a_task_that_does_not_end() -> None:
    loop = VirtualLoop(1)

    async def stubborn() -> None:
        while loop.time() < 1_000:
            try:
                await asyncio.sleep(10)
            except asyncio.CancelledError:
                continue

    task = loop.create_task(stubborn())
    loop.run_for(1)

    with pytest.raises(LabAlarm, match=r"cancelled tasks go on after 60 s: .*stubborn"):
        loop.close()
    assert loop.is_closed()
    del task


def test_close_raises_an_error_that_came_last() -> None:
    loop = VirtualLoop(1)

    async def clumsy() -> None:
        try:
            await asyncio.sleep(100)
        finally:
            loop.record(ValueError("broken while it was cancelled"))

    loop.create_task(clumsy())
    loop.run_for(1)

    with pytest.raises(ValueError, match="broken while it was cancelled"):
        loop.close()
    assert loop.is_closed()


def test_nothing_can_be_scheduled_after_close() -> None:
    loop = VirtualLoop(1)
    loop.close()

    for schedule in (loop.call_soon, loop.call_soon_threadsafe, loop.schedule_drain):
        with pytest.raises(RuntimeError, match="closed"):
            schedule(print)


def test_a_clock_may_start_off_and_jump(loop: VirtualLoop) -> None:
    clock = RoomClock(loop, offset_ms=-500)
    assert clock.now_ms() == EPOCH_MS - 500

    loop.run_for(10)
    clock.skew(3_000)

    assert clock.now_ms() == EPOCH_MS + 12_500
    assert clock.elapsed_ms() == 10_000


def test_a_clock_may_run_fast_and_be_set_right(loop: VirtualLoop) -> None:
    clock = RoomClock(loop, drift=0.01)

    loop.run_for(100)
    assert clock.now_ms() == EPOCH_MS + 101_000
    clock.set_drift(0)
    loop.run_for(100)

    assert clock.now_ms() == EPOCH_MS + 201_000


def test_a_clock_s_timers_fire_once_unless_undone_or_stopped(loop: VirtualLoop) -> None:
    clock, crashed = RoomClock(loop), RoomClock(loop)
    seen: list[str] = []
    clock.call_later(1_500, lambda: seen.append("due"))
    clock.call_later(1_500, lambda: seen.append("undone"))()
    crashed.call_later(1_500, lambda: seen.append("crashed"))
    loop.run_for(1)

    crashed.stop()
    loop.run_for(10)

    assert seen == ["due"]


class Gossip(LoopActor):
    """Passes each message on to two others, chosen by chance, until it has come far enough."""

    def __init__(self, runtime: Runtime, name: int, random: Random, trace: list[str]) -> None:
        super().__init__(runtime)
        self._name = name
        self._random = random
        self._trace = trace
        self.others: list[LoopActorRef[Gossip]] = []

    def on_receive(self, message: Any) -> Any:
        match message:
            case int(hops):
                self._trace.append(f"{self._name}:{hops}")
                if hops:
                    for other in self._random.sample(self.others, 2):
                        other.tell(hops - 1)
            case list(others):
                self.others = others
            case "nap":
                return self._nap()
        return None

    async def _nap(self) -> int:
        async with asyncio.timeout(20):
            await asyncio.sleep(self._name)
        return self._name


def gossip(seed: int, *, hops: int = 7) -> list[str]:
    """A hundred actors on one loop; returns which actor got which message, in order."""
    loop = VirtualLoop(seed)
    runtime = Runtime(loop, schedule=loop.schedule_drain, messages_per_turn=1)
    random, trace = Random(seed), list[str]()
    actors = [Gossip.start(runtime, name, random, trace) for name in range(100)]
    for actor in actors:
        actor.tell(actors)
    actors[0].tell(hops)
    nap = actors[9].ask("nap", block=False)
    nap.then(lambda done: trace.append(f"{loop.time()} {done.result()}"))
    assert loop.run_until(lambda: nap.is_done, 60)
    stopped = [actor.stop(block=False) for actor in actors]
    assert loop.run_until(lambda: all(future.is_done for future in stopped), 60)
    loop.close()
    return trace


def test_runs_a_hundred_actors_with_the_order_chosen_by_the_seed() -> None:
    trace = gossip(5)

    assert len(trace) == 2**8 - 1 + 1
    assert trace[-1] == "9.0 9"
    assert gossip(5) == trace
    assert gossip(6) != trace


def test_a_hundred_actors_do_the_same_in_other_processes() -> None:
    script = f"from {__name__} import gossip; print(gossip(5))"

    first = run_elsewhere(script, hash_seed=1, junk=0)
    second = run_elsewhere(script, hash_seed=77, junk=50_000)

    assert first == second == f"{gossip(5)}\n"
