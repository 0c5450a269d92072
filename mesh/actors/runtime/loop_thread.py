"""What runs a node's coroutines: tasks for users' callbacks, and a thread with a loop of its own."""

from __future__ import annotations

import asyncio
import contextlib
import selectors
import threading
from collections.abc import Coroutine, Iterator
from typing import Any, TypeVar

from peers.later import Later

T = TypeVar("T")

CLOSE_SECONDS = 1.0
"""How long a callback that is cancelled may take to end."""


class Spawner:
    """Runs coroutine callbacks of users as tasks that are kept until they are done. See peers.protocol.ports.Spawn."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._tasks: dict[asyncio.Task[Any], None] = {}

    def __call__(self, work: Coroutine[Any, Any, T], /) -> Later[T]:
        result: Later[T] = Later()
        task = self._loop.create_task(work)
        self._tasks[task] = None

        def on_done(done: asyncio.Task[T]) -> None:
            del self._tasks[done]
            if done.cancelled():
                result.fail(asyncio.CancelledError())
            elif (error := done.exception()) is not None:
                result.fail(error)
            else:
                result.set(done.result())

        task.add_done_callback(on_done)
        result.on_abandoned = task.cancel
        return result

    async def close(self) -> None:
        """Cancel what still runs."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_SECONDS):
                await asyncio.gather(*tasks, return_exceptions=True)


class LoopThread:
    """A thread that runs one loop."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._loop = asyncio.SelectorEventLoop(self._selector)
        self._thread = threading.Thread(target=self._loop.run_forever, name="peermesh-loop", daemon=True)
        self._thread.start()

    def check_outside(self) -> None:
        """Raise RuntimeError in the thread itself: a wait for it would never end there."""
        if threading.current_thread() is self._thread:
            raise RuntimeError("a node cannot wait for itself: call this from another thread, or await its coroutine")

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run `work` in this thread, and wait for it in another one. Raises RuntimeError as `check_outside` does."""
        try:
            self.check_outside()
        except RuntimeError:
            work.close()
            raise
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def descriptors(self) -> Iterator[int]:
        """Of the selector and of all that it watches, connections that are just being opened among them."""
        if isinstance(self._selector, selectors.EpollSelector):  # a kqueue is not inherited
            yield self._selector.fileno()
        yield from (key.fd for key in tuple(self._selector.get_map().values()))

    def close(self) -> None:
        self.run(self._loop.shutdown_asyncgens())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
