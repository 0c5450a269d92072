"""A result that comes later: for plain threads, for coroutines, and for reactions."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Coroutine, Generator
from typing import Any, Generic, Protocol, TypeVar

T = TypeVar("T")
R = TypeVar("R")


class Later(Generic[T]):
    """One result, or one exception, that somebody sets once and anybody may wait for.

    Whoever makes one must `set` or `fail` it, from any thread. Whoever gets one picks a way to wait: `then` (a reaction in
    the resolving thread), `get` (blocks a plain thread) or `await` (never blocks the loop).
    """

    def __init__(self) -> None:
        super().__init__()
        self._lock = threading.Lock()
        self._is_done = False
        self._value: Any = None
        self._exception: BaseException | None = None
        self._reactions: list[Callable[[Later[T]], None]] = []
        self.on_abandoned: Callable[[], object] | None = None
        """For whoever makes one: called when nobody waits for it any more, so that the work for it may stop."""
        self._resolved: threading.Event | None = None  # made for the first thread that waits

    @classmethod
    def done(cls, value: T) -> Later[T]:
        """One that is already resolved with `value`."""
        later: Later[T] = cls()
        later.set(value)
        return later

    @classmethod
    def failed(cls, exception: BaseException) -> Later[T]:
        """One that is already resolved with `exception`."""
        later: Later[T] = cls()
        later.fail(exception)
        return later

    @property
    def is_done(self) -> bool:
        return self._is_done

    @property
    def exception(self) -> BaseException | None:
        """What it failed with; None while it is open and when it succeeded."""
        return self._exception

    def abandon(self) -> None:
        """Say that nobody waits for it any more. It may be resolved all the same."""
        if not self._is_done and self.on_abandoned is not None:
            self.on_abandoned()

    def set(self, value: T | None = None) -> None:
        """Resolve with a value. Raises RuntimeError if it is already resolved."""
        self._resolve(value, None)

    def fail(self, exception: BaseException) -> None:
        """Resolve with an exception, which `get` and `await` raise. Raises RuntimeError if it is already resolved."""
        self._resolve(None, exception)

    def follow(self, other: Later[T]) -> None:
        """Resolve as `other` was; fits `other.then(later.follow)`. Raises RuntimeError if `other` is open."""
        if not other._is_done:
            raise RuntimeError("not resolved yet")
        self._resolve(other._value, other._exception)

    def then(self, reaction: Callable[[Later[T]], None]) -> None:
        """Call `reaction(self)` in the resolving thread, or at once if it is already resolved."""
        with self._lock:
            if not self._is_done:
                self._reactions.append(reaction)
                return
        reaction(self)

    def transform(self, function: Callable[[T], R]) -> Later[R]:
        """A Later of `function(value)`; failures, also those of `function`, are passed on."""
        result: Later[R] = Later()

        def react(source: Later[T]) -> None:
            if source._exception is not None:
                result.fail(source._exception)
                return
            try:
                value = function(source._value)
            except Exception as error:  # noqa: BLE001 - it belongs to whoever waits for the result
                result.fail(error)
            else:
                result.set(value)

        self.then(react)
        return result

    def get(self, timeout: float | None = None) -> T:
        """Wait in a plain thread, `timeout` in seconds.

        Raises what it failed with, TimeoutError when the time is up, and RuntimeError instead of blocking a running loop.
        """
        if not self._is_done:
            self._block(timeout)
        return self.result()

    def result(self) -> T:
        """The value of a resolved one, or its exception raised. Raises RuntimeError while it is open."""
        if not self._is_done:
            raise RuntimeError("not resolved yet")
        if self._exception is not None:
            raise self._exception
        value: T = self._value
        return value

    def __await__(self) -> Generator[Any, None, T]:
        if not self._is_done:
            loop = asyncio.get_running_loop()
            woken: asyncio.Future[None] = loop.create_future()
            here = threading.get_ident()

            def wake() -> None:
                if not woken.done():
                    woken.set_result(None)

            def react(_: Later[T]) -> None:
                if threading.get_ident() == here:
                    wake()
                elif not loop.is_closed():
                    loop.call_soon_threadsafe(wake)

            self.then(react)
            yield from woken.__await__()
        return self.result()

    def _block(self, timeout: float | None) -> None:
        if is_on_loop():
            raise RuntimeError("get() would block the event loop that has to resolve this: await it instead")
        with self._lock:
            if self._resolved is None:
                self._resolved = threading.Event()
            resolved = self._resolved
            if self._is_done:
                return
        if not resolved.wait(timeout):
            raise TimeoutError(f"no result within {timeout} s")

    def _resolve(self, value: Any, exception: BaseException | None) -> None:
        with self._lock:
            if self._is_done:
                raise RuntimeError("resolved twice")
            self._value = value
            self._exception = exception
            self._is_done = True
            reactions, self._reactions = self._reactions, []
            if self._resolved is not None:
                self._resolved.set()
        first_error: Exception | None = None
        for reaction in reactions:
            try:
                reaction(self)
            except Exception as error:  # noqa: BLE001 - the others still get theirs; it is raised below
                first_error = first_error or error
        if first_error is not None:
            raise first_error


def is_on_loop() -> bool:
    """Whether this thread runs an asyncio loop right now."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


class Spawn(Protocol):
    """Runs a user's coroutine callback."""

    def __call__(self, work: Coroutine[Any, Any, T], /) -> Later[T]: ...


async def awaited(value: Awaitable[T]) -> T:
    """Anything that can be awaited, as a coroutine."""
    return await value
