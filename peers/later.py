"""Later: a result that comes later, for threads, coroutines and callbacks."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Generator
from functools import partial
from typing import Any, Generic, TypeVar

from peers.failures import failures

T = TypeVar("T")
R = TypeVar("R")


class SteppedLoop:
    """A loop that runs only while its thread waits for a result, as that of the lab does: `Later.get` lets it run."""

    elsewhere = "it runs only in get()"
    """What a coroutine on another loop does in place of awaiting one of its results, as a sentence."""

    def wait_until(self, is_done: Callable[[], bool], timeout: float | None) -> None:
        """Run until `is_done()`. Raises TimeoutError after `timeout` seconds of its time (None: a limit of its own)."""
        raise NotImplementedError


class Later(Generic[T]):
    """One result, or one exception, that is set once, from any thread.

    The code that makes one has to `set` or `fail` it. There are three ways to wait: `then` calls a function in the thread
    that sets it, `get` blocks the calling thread, `await` suspends a coroutine.

        later = log.add({"type": "note"})
        meta = await later                         # in a coroutine
        meta = later.get(timeout=5.0)              # in a thread
        later.then(lambda done: print(done.exception or done.result()))
    """

    loop: asyncio.AbstractEventLoop | None = None
    """The loop that sets it, if the code that makes it knows one: `get` refuses to block this loop, and `await` on another
    loop is refused unless this one runs in another thread. None: any loop."""

    on_abandoned: Callable[[], object] | None = None
    """Called by `abandon`; the code that makes it may set this, to stop its work for the result."""
    _is_done = False
    _value: Any = None
    _exception: BaseException | None = None
    _resolved: threading.Event | None = None  # made for the first thread that waits

    def __init__(self) -> None:
        super().__init__()
        self._lock = threading.Lock()
        self._reactions: list[Callable[[Later[T]], None]] = []

    @classmethod
    def done(cls, value: T) -> Later[T]:
        """One whose result is `value` already."""
        later: Later[T] = cls()
        later.set(value)
        return later

    @classmethod
    def failed(cls, exception: BaseException) -> Later[T]:
        """One that has failed with `exception` already."""
        later: Later[T] = cls()
        later.fail(exception)
        return later

    @property
    def is_done(self) -> bool:
        """Whether the result or the exception is set."""
        return self._is_done

    @property
    def exception(self) -> BaseException | None:
        """The exception that was set; None if there is none, or not yet."""
        return self._exception

    def abandon(self) -> None:
        """The result is not needed any more. It may be set all the same."""
        if not self._is_done and self.on_abandoned is not None:
            self.on_abandoned()

    def set(self, value: T | None = None) -> None:
        """Set the result. Raises RuntimeError if it is set already."""
        self._resolve(value, None)

    def fail(self, exception: BaseException) -> None:
        """Set the exception, which `get`, `result` and `await` raise. Raises RuntimeError if it is set already."""
        self._resolve(None, exception)

    def follow(self, other: Later[T]) -> None:
        """Set what `other` has, as in `other.then(later.follow)`. Raises RuntimeError if `other` is not set."""
        if not other._is_done:
            raise RuntimeError("not resolved yet")
        self._resolve(other._value, other._exception)

    def then(self, reaction: Callable[[Later[T]], None]) -> None:
        """Call `reaction(self)` in the thread that sets it, or now if it is set already."""
        with self._lock:
            if not self._is_done:
                self._reactions.append(reaction)
                return
        reaction(self)

    def transform(self, function: Callable[[T], R]) -> Later[R]:
        """A Later of `function(value)`. An exception, also one of `function`, is passed on."""
        result: Later[R] = Later()
        result.loop = self.loop

        def react(source: Later[T]) -> None:
            if source._exception is not None:
                result.fail(source._exception)
                return
            try:
                value = function(source._value)
            except failures() as error:  # raised where the result is waited for
                result.fail(error)
            else:
                result.set(value)

        self.then(react)
        return result

    def get(self, timeout: float | None = None) -> T:
        """Block this thread until it is set, at most `timeout` seconds (None: no limit), and return the result.

        Raises the exception that was set, TimeoutError after `timeout`, and RuntimeError in the loop that has to set it,
        which would wait for ever.
        """
        if not self._is_done:
            self._block(timeout)
        return self.result()

    def result(self) -> T:
        """The result, without waiting. Raises the exception that was set, and RuntimeError if nothing is set yet."""
        if not self._is_done:
            raise RuntimeError("not resolved yet")
        if self._exception is not None:
            raise self._exception
        value: T = self._value
        return value

    def __await__(self) -> Generator[Any, None, T]:
        if not self._is_done:
            loop = asyncio.get_running_loop()
            if self.loop is not None and self.loop is not loop and not self.loop.is_running():
                raise stranded(self.loop)
            woken: asyncio.Future[None] = loop.create_future()
            self.then(partial(_wake, loop, woken, threading.get_ident()))
            yield from woken
        return self.result()

    def _block(self, timeout: float | None) -> None:
        if is_on_loop(self.loop):
            raise blocked()
        if isinstance(self.loop, SteppedLoop):
            self.loop.wait_until(lambda: self._is_done, timeout)
            return
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
        first_error: BaseException | None = None
        for reaction in reactions:
            try:
                reaction(self)
            except failures() as error:  # the other reactions are called first; it is raised below
                first_error = first_error or error
        if first_error is not None:
            raise first_error


def _wake(loop: asyncio.AbstractEventLoop, woken: asyncio.Future[None], thread: int, _: object) -> None:
    """Wake the coroutine that waits for `woken` on `loop`, which runs in `thread`."""
    if threading.get_ident() != thread:
        if not loop.is_closed():
            loop.call_soon_threadsafe(_wake, loop, woken, thread, _)
    elif not woken.done():
        woken.set_result(None)


def is_on_loop(loop: asyncio.AbstractEventLoop | None = None) -> bool:
    """Whether this thread runs `loop` right now; None: any asyncio loop."""
    try:
        return asyncio.get_running_loop() is loop or loop is None
    except RuntimeError:
        return False


def blocked() -> RuntimeError:
    """The error for a wait that would never end."""
    return RuntimeError(
        "get() would block the event loop that has to resolve this. What was asked for is done all the same, "
        "an added event is stored all the same: await it, or do not wait"
    )


def stranded(loop: asyncio.AbstractEventLoop) -> RuntimeError:
    """The error for a coroutine that awaits a result of `loop`, which does not run, on another loop."""
    advice = loop.elsewhere if isinstance(loop, SteppedLoop) else "await it on its own loop, or run that in a thread"
    return RuntimeError(f"this would wait for ever: the loop that has to set this result does not run; {advice}")
