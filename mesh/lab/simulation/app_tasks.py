"""The tasks and timers of one life of an application in the lab: they end with it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextvars import Context, ContextVar, copy_context
from functools import partial
from inspect import iscoroutine
from typing import Any, ParamSpec, TypeVar

from peers.later import Later

P = ParamSpec("P")
T = TypeVar("T")

END_SECONDS = 30.0
"""Virtual seconds within which the tasks of an application must end when its node is stopped."""

_OWNER: ContextVar[AppTasks | None] = ContextVar("owner", default=None)
"""Whose code runs: tasks and timers that it starts are its own. Both inherit it, as all of a context."""


class OwnedTask(asyncio.Task[Any]):
    """A task that knows whether anybody waits for it, who then gets its error."""

    is_watched = False

    def add_done_callback(self, callback: Callable[[Any], object], /, *, context: Context | None = None) -> None:
        self.is_watched = True
        super().add_done_callback(callback, context=context)


class AppCall(Later[T]):
    """The result of a coroutine that a story runs; knows whether anybody has looked at it."""

    is_taken = False

    def result(self) -> T:
        self.is_taken = self.is_done
        return super().result()

    def then(self, reaction: Callable[[Later[T]], None]) -> None:
        self.is_taken = True
        super().then(reaction)


class AppTasks:
    """What the code of an application starts, directly or not: by `asyncio.create_task`, `call_later`, or a listener.

    `on_error` gets the error of a listener, that of a task that no code awaits, and at the end those of `start` that were
    not looked at. While it is frozen no timer fires.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, on_error: Callable[[BaseException], None]) -> None:
        self._loop = loop
        self._on_error = on_error
        self._context = copy_context()
        self._context.run(_OWNER.set, self)
        self._tasks: dict[asyncio.Task[Any], None] = {}
        self._failed_calls: list[AppCall[Any]] = []
        self._late: list[Callable[[], object]] | None = None
        """While it is frozen: the timers that were due."""
        self._ended: Later[None] | None = None
        self._limit: asyncio.TimerHandle | None = None
        self._is_over = False

    def start(self, work: Coroutine[Any, Any, T]) -> Later[T]:
        """Run a coroutine of the application; its error is in the result, which fails with RuntimeError if this ends first."""
        task = self._context.copy().run(self._loop.create_task, work)
        result: AppCall[T] = AppCall()
        result.loop = self._loop
        task.add_done_callback(partial(self._on_call_done, result))
        return result

    def guard(self, function: Callable[..., Any]) -> Callable[..., None]:
        """`function` as code of the application: after the end it is not called, and `on_error` gets its error."""

        def call(*args: Any) -> None:
            if self._is_over:
                return
            try:
                self._context.copy().run(function, *args)
            except Exception as error:  # noqa: BLE001 - it is the application's
                self._on_error(error)

        return call

    def watch(self, function: Callable[P, Any]) -> Callable[P, Any]:
        """`function`, or coroutine function, of the application: `on_error` gets its error too."""

        async def wait(work: Coroutine[Any, Any, T]) -> T:
            try:
                return await work
            except Exception as error:
                self._on_error(error)
                raise

        def call(*args: P.args, **options: P.kwargs) -> Any:
            try:
                found = function(*args, **options)
            except Exception as error:
                self._on_error(error)
                raise
            return wait(found) if iscoroutine(found) else found

        return call if callable(function) else function

    def adopt(self, task: asyncio.Task[Any]) -> None:
        """Called for each OwnedTask that its code starts."""
        assert isinstance(task, OwnedTask)
        self._tasks[task] = None
        task.add_done_callback(self._on_done)
        task.is_watched = False
        if self._is_over:
            task.cancel()

    def timer(self, callback: Callable[..., object]) -> Callable[..., object]:
        """What a timer of its code calls in place of `callback`."""

        def fire(*args: Any) -> None:
            if self._late is not None:
                self._late.append(partial(fire, *args))
            elif not self._is_over:
                callback(*args)

        return fire

    def freeze(self) -> None:
        """Let no timer fire until `thaw`."""
        self._late = []

    def thaw(self) -> None:
        """Fire the timers that were due meanwhile, in order."""
        late, self._late = self._late or [], None
        for fire in late:
            self._loop.call_soon(fire, context=self._context.copy())

    def end(self) -> Later[None]:
        """Cancel the tasks. Resolves once they have ended; fails with RuntimeError if one goes on after END_SECONDS."""
        self._tell_failed_calls()
        ended = self._ended = Later[None]()
        for task in tuple(self._tasks):
            task.cancel()
        if self._tasks:
            self._limit = self._loop.call_later(END_SECONDS, self._on_late_end, context=Context())
        else:
            self._finish()
        return ended

    def drop(self) -> None:
        """The power is cut: cancel the tasks, and let nothing of the application count from now on."""
        self._tell_failed_calls()
        self._is_over = True
        self._late = None
        for task in tuple(self._tasks):
            task.cancel()

    def _on_call_done(self, result: AppCall[Any], task: asyncio.Future[Any]) -> None:
        if task.cancelled():
            result.fail(RuntimeError("its application was ended before this was done"))
        elif (error := task.exception()) is not None:
            self._failed_calls.append(result)
            result.fail(error)
        else:
            result.set(task.result())

    def _tell_failed_calls(self) -> None:
        failed, self._failed_calls = self._failed_calls, []
        for call in failed:
            if not call.is_taken and call.exception is not None:
                self._on_error(call.exception)

    def _on_done(self, task: asyncio.Future[Any]) -> None:
        assert isinstance(task, OwnedTask)
        self._tasks.pop(task, None)
        error = None if task.cancelled() else task.exception()
        if error is not None and not task.is_watched and not self._is_over:
            self._on_error(error)
        if not self._tasks and self._ended is not None:
            self._finish()

    def _finish(self) -> None:
        self._is_over = True
        if self._limit is not None:
            self._limit.cancel()
        if self._ended is not None and not self._ended.is_done:
            self._ended.set()

    def _on_late_end(self) -> None:
        self._is_over = True
        if self._ended is not None:
            names = ", ".join(map(work_of, self._tasks))
            self._ended.fail(RuntimeError(f"tasks go on {END_SECONDS:g} s after they were cancelled: {names}"))


def owner_of(context: Context | None) -> AppTasks | None:
    """Whose code runs in this context; None: in the present one."""
    return _OWNER.get() if context is None else context.get(_OWNER)


def owned_timer(callback: Callable[..., Any], context: Context | None) -> Callable[..., Any]:
    """`callback`, or what stands for it if the code of an application sets the timer."""
    owner = owner_of(context)
    return callback if owner is None else owner.timer(callback)


def work_of(task: asyncio.Future[Any]) -> str:
    """The name of the coroutine that a task runs."""
    work = task.get_coro() if isinstance(task, asyncio.Task) else None
    return str(getattr(work, "__qualname__", "a future"))
