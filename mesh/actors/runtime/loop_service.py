"""LoopService: something that runs on the loop of its caller, or on a thread and a loop of its own."""

from __future__ import annotations

from abc import ABC, abstractmethod
from types import TracebackType
from typing import Self

from mesh.actors.runtime.loop_thread import LoopThread


class LoopService(ABC):
    """Start and stop it from threads, by `with`, or on a running loop, by `async with`."""

    _thread: LoopThread | None = None
    """Its own thread, from before `begin` until after `end`; None on the loop of its caller."""

    @abstractmethod
    async def begin(self) -> None:
        """Start on the running loop, as `async with` does; `end` must follow."""

    @abstractmethod
    async def end(self) -> None:
        """Stop what `begin` started. Harmless when it is stopped."""

    @property
    @abstractmethod
    def is_disowned(self) -> bool:
        """Whether this process was forked from the one that it runs in: then leaving a `with` stops nothing."""

    @abstractmethod
    def check(self) -> None:
        """Raises if it is disowned."""

    def start(self) -> Self:
        """Start on a thread and a loop of its own; the calling thread waits, also a loop that runs in it.

        Raises as `begin` does. `stop` must follow.
        """
        thread, before = LoopThread(), self._thread
        self._thread = thread
        try:
            thread.run(self.begin())
        except BaseException:
            self._thread = before
            thread.close()
            raise
        return self

    def stop(self) -> None:
        """Stop it and end the thread. Harmless when it is stopped.

        Raises RuntimeError on its own loop, where it would wait for itself; it then goes on.
        """
        self.check()
        if self._thread is not None:
            self._thread.check_outside()
            thread, self._thread = self._thread, None
            try:
                thread.run(self.end())
            finally:
                thread.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if not self.is_disowned:
            self.stop()

    async def __aenter__(self) -> Self:
        await self.begin()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.end()
