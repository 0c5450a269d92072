"""The clock for tests, and the real one."""

from __future__ import annotations

import asyncio
from functools import partial

from peers.clock import LoopClock, ManualClock


def test_stands_still_until_it_is_advanced() -> None:
    clock = ManualClock(500)

    assert (clock.now_ms(), clock.elapsed_ms()) == (500, 0)
    clock.advance(20)

    assert (clock.now_ms(), clock.elapsed_ms()) == (520, 20)


def test_calls_what_is_due_in_order_and_at_its_time() -> None:
    clock = ManualClock(0)
    seen: list[tuple[str, int]] = []

    def note(name: str) -> None:
        seen.append((name, clock.now_ms()))

    for name, delay in (("c", 30), ("a", 10), ("b", 10), ("d", 31)):
        clock.call_later(delay, partial(note, name))

    clock.advance(30)

    assert seen == [("a", 10), ("b", 10), ("c", 30)]
    assert clock.waiting == 1


def test_a_timer_that_is_set_by_a_timer_runs_in_the_same_advance() -> None:
    clock = ManualClock(0)
    seen: list[int] = []

    def tick() -> None:
        seen.append(clock.now_ms())
        clock.call_later(10, tick)

    clock.call_later(10, tick)
    clock.advance(35)

    assert seen == [10, 20, 30]
    assert clock.now_ms() == 35


def test_an_undone_timer_is_not_called() -> None:
    clock = ManualClock()
    seen: list[int] = []
    undo = clock.call_later(10, lambda: seen.append(1))

    undo()
    undo()
    assert clock.waiting == 0
    clock.advance(100)

    assert seen == []


def test_undoing_a_timer_that_was_called_is_harmless() -> None:
    clock = ManualClock()
    clock.call_later(10, lambda: None)()
    undo = clock.call_later(10, lambda: None)
    clock.advance(10)
    undo()

    clock.call_later(10, lambda: None)

    assert clock.waiting == 1


def test_a_delay_below_zero_does_not_turn_the_clock_back() -> None:
    clock = ManualClock(100)
    clock.advance(50)
    seen: list[float] = []

    clock.call_later(-20, lambda: seen.append(clock.elapsed_ms()))
    clock.advance(0)

    assert seen == [50]
    assert (clock.now_ms(), clock.elapsed_ms()) == (150, 50)


def test_a_jump_of_the_wall_clock_calls_no_timer() -> None:
    clock = ManualClock(1_000)
    seen: list[int] = []
    clock.call_later(10, lambda: seen.append(1))

    clock.wall_ms += 1_000_000
    clock.advance(5)

    assert seen == []
    assert clock.elapsed_ms() == 5


def test_fractions_of_a_ms_add_up() -> None:
    clock = ManualClock(0)

    for _ in range(10):
        clock.advance(0.5)

    assert (clock.now_ms(), clock.elapsed_ms()) == (5, 5.0)


def test_the_real_clock_keeps_timers_on_the_loop() -> None:
    async def main() -> tuple[list[str], float]:
        loop = asyncio.get_running_loop()
        clock = LoopClock(loop)
        done = loop.create_future()
        seen: list[str] = []
        clock.call_later(1, lambda: seen.append("undone"))()
        before = clock.elapsed_ms()
        clock.call_later(5, lambda: done.set_result(None))
        await asyncio.wait_for(done, 10)
        return seen, clock.elapsed_ms() - before

    seen, passed = asyncio.run(main())

    assert seen == []
    assert 4 <= passed < 10_000


def test_the_real_clock_reads_the_wall_clock() -> None:
    loop = asyncio.new_event_loop()
    try:
        assert LoopClock(loop).now_ms() > 1_700_000_000_000
    finally:
        loop.close()
