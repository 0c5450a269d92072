"""LoopFuture: a pykka.Future for threads, awaited without blocking the loop."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from typing import Any

import pykka
import pytest

from mesh.actors.runtime.loop_future import LoopFuture
from peers.later import Later

DEADLINE_SECONDS = 10


@pytest.fixture(params=[LoopFuture, pykka.ThreadingFuture])
def future(request: pytest.FixtureRequest) -> Any:
    return request.param()


def failing() -> Any:
    raise ValueError("no")


def run(work: Callable[[], Any]) -> Any:
    async def main() -> Any:
        return await asyncio.wait_for(work(), DEADLINE_SECONDS)

    return asyncio.run(main())


def test_gives_the_value_as_often_as_it_is_asked_for(future: Any) -> None:
    future.set("value")

    assert [future.get(), future.get(timeout=0)] == ["value", "value"]


def test_set_without_a_value_is_none(future: Any) -> None:
    future.set()

    assert future.get() is None


def test_raises_the_exception_that_is_being_handled(future: Any) -> None:
    try:
        failing()
    except ValueError:
        future.set_exception()

    with pytest.raises(ValueError, match="no"):
        future.get()


@pytest.mark.parametrize("info", [(ValueError, ValueError("no"), None), (ValueError, None, None)])
def test_raises_the_exception_of_an_exc_info(future: Any, info: Any) -> None:
    future.set_exception(info)

    with pytest.raises(ValueError):
        future.get()


def test_keeps_the_traceback_and_does_not_let_it_grow(future: Any) -> None:
    try:
        failing()
    except ValueError:
        future.set_exception()

    depths = [depth_of(future) for _ in range(3)]

    assert depths == depths[:1] * 3
    assert depths[0] >= 3  # get, this test, failing


def depth_of(future: Any) -> int:
    with pytest.raises(ValueError, match="no") as caught:
        future.get()
    return len(caught.traceback)


SETTERS = ("set", "set_exception", "set_get_hook")
TWICE = [
    (first, second) for first in SETTERS for second in SETTERS if (first, second) != ("set_get_hook", "set_get_hook")
]


@pytest.mark.parametrize(("first", "second"), TWICE)
def test_is_resolved_once_only(future: Any, first: str, second: str) -> None:
    arguments = {"set": 1, "set_exception": (ValueError, ValueError(), None), "set_get_hook": lambda timeout: timeout}
    getattr(future, first)(arguments[first])

    with pytest.raises(Exception):  # noqa: B017 - Pykka documents no more than "an exception"
        getattr(future, second)(arguments[second])


def test_times_out(future: Any) -> None:
    with pytest.raises(pykka.Timeout):
        future.get(timeout=0.001)


def test_times_out_with_an_error_that_users_of_later_know() -> None:
    with pytest.raises(TimeoutError):
        LoopFuture[int]().get(0.001)


def test_wakes_a_thread_that_waits(future: Any) -> None:
    threading.Timer(0.01, future.set, ("value",)).start()

    assert future.get(timeout=DEADLINE_SECONDS) == "value"


def test_polling_does_not_pile_up_reactions() -> None:
    future: LoopFuture[int] = LoopFuture()

    for _ in range(5):
        with pytest.raises(pykka.Timeout):
            future.get(timeout=0)

    assert len(future._reactions) == 1


def test_a_get_hook_gets_the_timeout_and_is_called_once(future: Any) -> None:
    calls = []

    def hook(timeout: float | None) -> str:
        calls.append(timeout)
        return "hooked"

    future.set_get_hook(hook)

    assert [future.get(timeout=3), future.get(timeout=4)] == ["hooked", "hooked"]
    assert calls == [3]


def test_a_get_hook_that_failed_is_called_again(future: Any) -> None:
    results = iter([None, "second"])

    def hook(timeout: float | None) -> str:
        return next(results) or failing()

    future.set_get_hook(hook)

    with pytest.raises(ValueError, match="no"):
        future.get()
    assert future.get() == "second"


def test_transformations_run_in_the_thread_that_gets(future: Any) -> None:
    where: list[int] = []

    def note(value: int) -> int:
        where.append(threading.get_ident())
        return value

    mapped = future.map(note)

    thread = threading.Thread(target=future.set, args=(1,))
    thread.start()
    thread.join()

    assert where == []
    assert mapped.get() == 1
    assert where == [threading.get_ident()]


def test_transforming_something_that_is_no_iterable_raises_at_get(future: Any) -> None:
    future.set(1)

    for changed in (future.filter(bool), future.reduce(max)):
        with pytest.raises(TypeError):
            changed.get()


def test_a_failure_passes_through_transformations(future: Any) -> None:
    future.set_exception((ValueError, ValueError("no"), None))

    for changed in (future.map(str), future.filter(bool), future.reduce(max), future.join(future)):
        with pytest.raises(ValueError, match="no"):
            changed.get()


def test_join_gives_the_timeout_to_its_sources(future: Any) -> None:
    with pytest.raises(pykka.Timeout):
        future.join(type(future)()).get(timeout=0.001)


def test_get_raises_at_once_on_a_thread_that_runs_a_loop() -> None:
    async def work() -> None:
        with pytest.raises(RuntimeError, match="await it"):
            LoopFuture[int]().get(timeout=60)
        with pytest.raises(RuntimeError, match="await it"):
            LoopFuture[int]().map(str).get(timeout=60)

    run(work)


def test_get_on_the_loop_gives_what_is_there() -> None:
    async def work() -> list[Any]:
        future: LoopFuture[int] = LoopFuture()
        mapped = future.map(str)
        future.set(1)
        return [future.get(), mapped.map(len).get()]

    assert run(work) == [1, 1]


@pytest.mark.parametrize("change", ["itself", "map", "filter", "reduce", "join"])
def test_awaiting_leaves_the_loop_free(change: str) -> None:
    async def work() -> Any:
        future: LoopFuture[Any] = LoopFuture()
        changes: dict[str, Any] = {
            "itself": lambda future: future,
            "map": lambda future: future.map(list),
            "filter": lambda future: future.filter(bool),
            "reduce": lambda future: future.reduce(lambda left, right: [*left, right], []),
            "join": lambda future: future.join(future).map(lambda both: both[0]),
        }
        asyncio.get_running_loop().call_later(0.01, future.set, [1, 2])
        return await changes[change](future)

    assert run(work) == [1, 2]


def test_can_be_awaited_by_several_and_again() -> None:
    async def work() -> list[int]:
        future: LoopFuture[int] = LoopFuture()
        waiting = [asyncio.ensure_future(one(future.map(abs))) for _ in range(3)]
        await asyncio.sleep(0)
        future.set(-1)
        return [await waiter for waiter in waiting] + [await future, await future]

    async def one(future: LoopFuture[int]) -> int:
        return await future

    assert run(work) == [1, 1, 1, -1, -1]


def test_an_awaited_failure_is_raised() -> None:
    async def work() -> None:
        future: LoopFuture[int] = LoopFuture()
        mapped = future.map(lambda value: failing())
        asyncio.get_running_loop().call_soon(future.set, 1)
        with pytest.raises(ValueError, match="no"):
            await mapped
        with pytest.raises(ValueError, match="no"):
            await mapped.map(str)

    run(work)


def test_awaiting_a_hook_that_blocks_leaves_the_loop_free() -> None:
    async def work() -> list[str]:
        order: list[str] = []
        source: pykka.Future[str] = pykka.ThreadingFuture()
        future: LoopFuture[str] = LoopFuture()
        future.set_get_hook(lambda timeout: source.get(timeout=DEADLINE_SECONDS))
        asyncio.get_running_loop().call_later(0.01, order.append, "loop")
        asyncio.get_running_loop().call_later(0.02, source.set, "hook")
        order.append(await future)
        return order

    assert run(work) == ["loop", "hook"]


def test_awaiting_a_join_with_a_stock_future_leaves_the_loop_free() -> None:
    async def work() -> Any:
        first: LoopFuture[int] = LoopFuture()
        second: pykka.Future[int] = pykka.ThreadingFuture()
        asyncio.get_running_loop().call_later(0.01, first.set, 1)
        asyncio.get_running_loop().call_later(0.02, second.set, 2)
        return await first.join(second)

    assert run(work) == [1, 2]


def test_a_thousand_sources_can_be_joined() -> None:
    async def work() -> Any:
        sources = [LoopFuture[int]() for _ in range(3000)]
        joined = sources[0].join(*sources[1:])
        for source in sources:
            asyncio.get_running_loop().call_soon(source.set, 1)
        return await joined.map(sum)

    assert run(work) == 3000


def test_a_join_fails_with_the_first_of_its_sources_that_fails() -> None:
    async def work() -> None:
        done, failed, never = LoopFuture[int](), LoopFuture[int](), LoopFuture[int]()
        done.set(1)
        failed.fail(ValueError("no"))
        with pytest.raises(ValueError, match="no"):
            await done.join(failed, never)

    run(work)


def test_reacts_to_a_transformed_result() -> None:
    future: LoopFuture[int] = LoopFuture()
    seen: list[Any] = []
    future.map(str).then(lambda later: seen.append(later.result()))

    future.set(1)

    assert seen == ["1"]


def test_is_a_later_and_a_future() -> None:
    done = LoopFuture.done(1)

    assert isinstance(done, Later)
    assert isinstance(done, pykka.Future)
    assert done.transform(str).get() == "1"
    assert repr(done) == "<pykka.Future>"


def test_set_exception_outside_an_except_block_says_so() -> None:
    with pytest.raises(ValueError, match="except block"):
        LoopFuture[int]().set_exception()


def test_an_awaiting_task_that_is_cancelled_leaves_nothing_behind() -> None:
    async def work() -> None:
        future: LoopFuture[int] = LoopFuture()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(future, 0.001)
        future.set(1)
        assert await future == 1

    run(work)


def test_is_resolved_by_one_of_two_threads_that_race() -> None:
    for _ in range(200):
        future: LoopFuture[int] = LoopFuture()
        results: list[Any] = []

        def offer(number: int, future: LoopFuture[int] = future, results: list[Any] = results) -> None:
            try:
                future.set(number)
            except RuntimeError:
                results.append("refused")

        threads = [threading.Thread(target=offer, args=(number,)) for number in range(2)]
        for thread in threads:
            thread.start()
        deadline = time.monotonic() + DEADLINE_SECONDS
        for thread in threads:
            thread.join(max(0, deadline - time.monotonic()))

        assert results == ["refused"]
        assert future.get() in (0, 1)
