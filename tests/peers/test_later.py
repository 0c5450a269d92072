"""A result that comes later, and the ways to wait for it."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from peers.later import Later, is_on_loop


def in_thread(work: Any) -> threading.Thread:
    thread = threading.Thread(target=work)
    thread.start()
    return thread


def test_has_no_result_while_it_is_open() -> None:
    later: Later[int] = Later()

    assert not later.is_done and later.exception is None
    with pytest.raises(RuntimeError, match="not resolved yet"):
        later.result()


def test_gives_its_value() -> None:
    later: Later[int] = Later()
    later.set(5)

    assert later.is_done
    assert later.result() == later.get() == 5


def test_raises_its_exception() -> None:
    later: Later[int] = Later.failed(KeyError("milk"))

    assert isinstance(later.exception, KeyError)
    with pytest.raises(KeyError, match="milk"):
        later.get()
    with pytest.raises(KeyError, match="milk"):
        later.result()


def test_is_set_once() -> None:
    later = Later.done(1)

    with pytest.raises(RuntimeError, match="resolved twice"):
        later.set(2)
    with pytest.raises(RuntimeError, match="resolved twice"):
        later.fail(KeyError())
    assert later.result() == 1


def test_reactions_come_in_order_and_once() -> None:
    later: Later[int] = Later()
    seen: list[Any] = []
    later.then(lambda done: seen.append(("first", done.result())))
    later.then(lambda done: seen.append(("second", done.result())))

    later.set(5)

    assert seen == [("first", 5), ("second", 5)]


def test_a_reaction_to_a_resolved_one_comes_at_once() -> None:
    seen: list[int] = []

    Later.done(5).then(lambda done: seen.append(done.result()))

    assert seen == [5]


def test_a_reaction_added_by_a_reaction_comes_too() -> None:
    later: Later[int] = Later()
    seen: list[int] = []
    later.then(lambda done: done.then(lambda again: seen.append(again.result())))

    later.set(5)

    assert seen == [5]


def test_a_reaction_that_fails_does_not_stop_the_others() -> None:
    later: Later[int] = Later()
    seen: list[int] = []

    def fail(_: Any) -> None:
        raise KeyError("mine")

    later.then(fail)
    later.then(lambda done: seen.append(done.result()))

    with pytest.raises(KeyError, match="mine"):
        later.set(5)
    assert seen == [5]
    assert later.result() == 5


def test_follows_another() -> None:
    first: Later[int] = Later()
    second: Later[int] = Later()
    third: Later[int] = Later()
    first.then(second.follow)
    second.then(third.follow)

    first.fail(KeyError("milk"))

    assert isinstance(third.exception, KeyError)


def test_does_not_follow_one_that_is_open() -> None:
    later: Later[int] = Later()

    with pytest.raises(RuntimeError, match="not resolved yet"):
        later.follow(Later())
    assert not later.is_done


def test_transforms_a_value_and_passes_failures_on() -> None:
    def fail(_: int) -> int:
        raise KeyError("mine")

    assert Later.done(5).transform(lambda value: value + 1).result() == 6
    assert isinstance(Later.done(5).transform(fail).exception, KeyError)
    failed: Later[int] = Later.failed(ValueError())
    assert isinstance(failed.transform(fail).exception, ValueError)


# Threads


def test_a_thread_waits_for_another() -> None:
    later: Later[int] = Later()
    seen: list[int] = []
    waiting = in_thread(lambda: seen.append(later.get(timeout=10)))

    later.set(5)
    waiting.join(10)

    assert seen == [5]


def test_the_wait_of_a_thread_ends_in_time() -> None:
    later: Later[int] = Later()

    with pytest.raises(TimeoutError, match=r"no result within 0.01 s"):
        later.get(timeout=0.01)
    later.set(5)
    assert later.get(timeout=0.01) == 5


def test_the_reaction_runs_in_the_thread_that_sets_it() -> None:
    later: Later[int] = Later()
    threads: list[int] = []
    later.then(lambda _: threads.append(threading.get_ident()))

    resolving = in_thread(later.set)
    resolving.join(10)

    assert threads == [resolving.ident]


def test_only_one_of_many_threads_sets_it_and_every_reaction_runs_once() -> None:
    later: Later[int] = Later()
    seen: list[int] = []
    failed: list[RuntimeError] = []
    gate = threading.Barrier(8)

    def race(number: int) -> None:
        gate.wait(10)
        later.then(lambda done: seen.append(done.result()))
        try:
            later.set(number)
        except RuntimeError as error:
            failed.append(error)

    threads = [in_thread(lambda number=number: race(number)) for number in range(8)]
    for thread in threads:
        thread.join(10)

    assert len(failed) == 7
    assert seen == [later.result()] * 8


# Loops


def test_a_coroutine_awaits_it() -> None:
    async def main() -> tuple[int, int]:
        later: Later[int] = Later()
        asyncio.get_running_loop().call_soon(later.set, 5)
        return await later, await later

    assert asyncio.run(main()) == (5, 5)


def test_a_coroutine_awaits_a_thread() -> None:
    async def main() -> int:
        later: Later[int] = Later()
        thread = in_thread(lambda: later.set(5))
        try:
            return await asyncio.wait_for(_value(later), 10)
        finally:
            thread.join(10)

    assert asyncio.run(main()) == 5


async def _value(later: Later[int]) -> int:
    return await later


def test_awaiting_raises_what_it_failed_with() -> None:
    async def main() -> None:
        later: Later[int] = Later()
        asyncio.get_running_loop().call_soon(later.fail, KeyError("milk"))
        await later

    with pytest.raises(KeyError, match="milk"):
        asyncio.run(main())


def test_many_coroutines_await_one() -> None:
    async def main() -> list[int]:
        later: Later[int] = Later()
        asyncio.get_running_loop().call_soon(later.set, 5)
        return await asyncio.gather(*(_value(later) for _ in range(3)))

    assert asyncio.run(main()) == [5, 5, 5]


def test_a_cancelled_wait_does_no_harm() -> None:
    async def main() -> int:
        later: Later[int] = Later()
        task = asyncio.ensure_future(_value(later))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        later.set(5)
        return await later

    assert asyncio.run(main()) == 5


def test_setting_it_after_the_loop_that_waits_is_closed_does_no_harm() -> None:
    later: Later[int] = Later()
    loop = asyncio.new_event_loop()
    waiting = loop.create_task(_value(later))
    loop.run_until_complete(asyncio.sleep(0))
    waiting.cancel()
    loop.run_until_complete(asyncio.gather(waiting, return_exceptions=True))
    loop.close()

    thread = in_thread(lambda: later.set(5))
    thread.join(10)

    assert later.result() == 5


def test_get_on_a_loop_raises_instead_of_blocking() -> None:
    async def main() -> None:
        Later[int]().get(timeout=10)

    with pytest.raises(RuntimeError, match="await it, or do not wait"):
        asyncio.run(main())


def test_get_of_a_resolved_one_is_fine_on_a_loop() -> None:
    async def main() -> int:
        return Later.done(5).get()

    assert asyncio.run(main()) == 5


def test_a_result_of_a_loop_that_stands_still_is_not_awaited_on_another() -> None:
    loop, later = asyncio.new_event_loop(), Later[int]()
    later.loop = loop

    with pytest.raises(RuntimeError, match="would wait for ever"):
        asyncio.run(asyncio.wait_for(_value(later), 10))
    later.set(5)
    assert asyncio.run(_value(later)) == 5
    loop.close()


def test_knows_whether_a_loop_runs_here() -> None:
    async def main() -> bool:
        return is_on_loop()

    assert not is_on_loop()
    assert asyncio.run(main())
