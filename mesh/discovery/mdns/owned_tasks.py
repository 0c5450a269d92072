"""OwnedTasks: the asyncio tasks that one object started. None outlives it, and each error is logged."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class OwnedTasks:
    """Keeps each task until it is done, logs its error, and cancels the rest at the end."""

    def __init__(self, loop: asyncio.AbstractEventLoop, log: logging.Logger) -> None:
        self._loop = loop
        self._log = log
        self._tasks: dict[asyncio.Future[Any], str] = {}

    def start(self, work: Coroutine[Any, Any, T], what: str) -> asyncio.Task[T]:
        """Run `work` as a task; `what` names it in the log if it fails."""
        task = self._loop.create_task(work)
        self.adopt(task, what)
        return task

    def adopt(self, task: asyncio.Future[Any], what: str) -> None:
        """Keep a task that other code started for us."""
        self._tasks[task] = what
        task.add_done_callback(self._on_done)

    async def cancel(self) -> None:
        """Cancel all tasks but the caller's own, and wait until they have ended."""
        tasks = [task for task in self._tasks if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _on_done(self, task: asyncio.Future[Any]) -> None:
        what = self._tasks.pop(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._log.error("%s failed: %r", what, error, exc_info=error)
