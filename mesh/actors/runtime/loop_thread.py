"""LoopThread, a thread with an asyncio loop of its own; and Spawner, which runs the coroutine callbacks of users."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import selectors
import threading
from collections.abc import Coroutine, Iterator
from typing import Any, TypeVar

from peers.failures import failures, own_this_thread
from peers.later import Later

LOG = logging.getLogger(__name__)
T = TypeVar("T")

CANCEL_SECONDS = 1.0
"""How long cancelled callbacks may take to end."""


class Spawner:
    """Runs coroutine callbacks of users as tasks, and keeps them until they are done. See peers.protocol.ports.Spawn."""

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
        """Cancel what still runs, and wait for it up to CANCEL_SECONDS."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CANCEL_SECONDS):
                await asyncio.gather(*tasks, return_exceptions=True)


class LoopThread:
    """A thread that runs one loop, from the start until `close`."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self.loop = asyncio.SelectorEventLoop(self._selector)
        """To be used as asyncio allows it from other threads."""
        self._is_ending = False
        self._thread = threading.Thread(target=self._run, name="peermesh-loop", daemon=True)
        self._thread.start()

    def check_outside(self) -> None:
        """Raise RuntimeError if called in this thread, where a wait for it would never end."""
        if threading.current_thread() is self._thread:
            raise RuntimeError("a node cannot wait for itself: call this from another thread, or await its coroutine")

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine in this thread while the calling thread waits; the result is its result.

        Raises what the coroutine raised, and RuntimeError as `check_outside` does.
        """
        try:
            self.check_outside()
        except RuntimeError:
            work.close()
            raise
        return asyncio.run_coroutine_threadsafe(work, self.loop).result()

    def descriptors(self) -> Iterator[int]:
        """File descriptors of the selector and of all that it watches, connections that are being opened included."""
        if isinstance(self._selector, selectors.EpollSelector):  # a kqueue is not inherited
            yield self._selector.fileno()
        yield from (key.fd for key in tuple(self._selector.get_map().values()))

    def close(self) -> None:
        """Stop the loop and end the thread. Raises RuntimeError as `check_outside` does."""
        self.run(self.loop.shutdown_asyncgens())
        self._is_ending = True
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()

    def _run(self) -> None:
        own_this_thread()
        is_over = False
        while not is_over:
            try:
                self.loop.run_forever()
                is_over = True
            except failures() as error:  # asyncio lets SystemExit and KeyboardInterrupt through
                LOG.error("%s in a callback does not end the thread of a node", type(error).__name__, exc_info=error)
                is_over = self._is_ending
