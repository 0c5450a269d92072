"""The answer of a LoopActor: a Later that is a pykka.Future too."""

from __future__ import annotations

import functools
import sys
import threading
from collections.abc import Callable, Generator, Iterable
from types import TracebackType
from typing import Any, TypeAlias, TypeVar

from pykka import Future, Timeout

from peers.later import Later, SteppedLoop, blocked, is_on_loop

T = TypeVar("T")
J = TypeVar("J")  # one item, where T is an iterable of them
M = TypeVar("M")
R = TypeVar("R")

GetHook: TypeAlias = Callable[[float | None], T]
ExceptionInfo: TypeAlias = tuple[type[BaseException] | None, BaseException | None, TracebackType | None]


class GetTimeout(Timeout, TimeoutError):
    """No result in time: a pykka.Timeout for users of Pykka, and a TimeoutError for users of Later."""


class LoopFuture(Later[T], Future[T]):
    """One result: `get` blocks the thread, `await` never blocks the loop, `then` reacts in the resolving thread.

    peermesh itself uses these three, `set`, `fail` and `transform`. `set_exception`, `set_get_hook`, `map`, `filter`, `join`
    and `reduce` are here because Pykka documents them for each Future; actors of applications may use them.

    What `map`, `filter`, `join` and `reduce` return computes its value at the first use: `get` in its own thread, `await`
    and `then` where the last of its sources resolves. A hook given to `set_get_hook` may block, so `await` and `then` run
    it in a thread of its own; the lab, which has one thread, must not use it.
    """

    sources: tuple[Future[Any], ...] | None = None
    """The futures that the hook waits for; None if they are not known."""
    _hook: GetHook[T] | None = None
    _is_started = False  # whether `then` has started the hook
    _is_kept = False  # whether the hook gave a result that stays
    _woken: threading.Event | None = None
    _traceback: TracebackType | None = None

    def set_exception(self, exc_info: ExceptionInfo | None = None) -> None:
        """Resolve with the exception of `exc_info`, or with the one that is being handled.

        Raises RuntimeError if it is already resolved, ValueError if there is no exception.
        """
        kind, error, traceback = sys.exc_info() if exc_info is None else exc_info
        if error is None:
            if kind is None:
                raise ValueError("set_exception() needs an exception: pass exc_info, or call it in an except block")
            error = kind()
        self.fail(error if error.__traceback__ is traceback else error.with_traceback(traceback))

    def set_get_hook(self, func: GetHook[T]) -> None:
        """Let `func(timeout)` give the value at the first `get`. Raises RuntimeError if it is already resolved."""
        with self._lock:
            if self._is_done:
                raise RuntimeError("resolved already: a get hook comes too late")
            self._hook = func
            self.sources = None
            is_awaited = bool(self._reactions)
        if is_awaited:
            self._start()

    def get(self, timeout: float | None = None) -> T:
        """Wait in a thread, up to `timeout` seconds (None: without limit).

        Raises what it failed with, GetTimeout (a pykka.Timeout) when the time is up, and RuntimeError instead of blocking
        the loop that resolves it.
        """
        if not self._is_done:
            if self.would_block():
                raise blocked()
            if self._hook is not None:
                value = self._hook(timeout)
                self._keep(value, None)
                return value
            self._block(timeout)
        return self.result()

    def result(self) -> T:
        if self._exception is not None:
            raise self._exception.with_traceback(self._traceback)  # else the traceback would grow with each reader
        return super().result()

    def then(self, reaction: Callable[[Later[T]], None]) -> None:
        super().then(reaction)
        if self._hook is not None and not self._is_done:
            self._start()

    def __await__(self) -> Generator[Any, None, T]:
        return super().__await__()

    __iter__ = __await__

    def filter(self: LoopFuture[Iterable[J]], func: Callable[[J], bool]) -> LoopFuture[Iterable[J]]:
        return derived(Future.filter(self, func), self)

    def join(self: LoopFuture[Any], *futures: Future[Any]) -> LoopFuture[Iterable[Any]]:
        return derived(Future.join(self, *futures), self, *futures)

    def map(self, func: Callable[[T], M]) -> LoopFuture[M]:
        return derived(Future.map(self, func), self)

    def reduce(self: LoopFuture[Iterable[J]], func: Callable[[R, J], R], *args: R) -> LoopFuture[R]:
        return derived(Future.reduce(self, func, *args), self)

    def _resolve(self, value: Any, exception: BaseException | None) -> None:
        if self._hook is not None:
            raise RuntimeError("resolved twice: it has a get hook")
        self._settle(value, exception)

    def _settle(self, value: Any, exception: BaseException | None) -> None:
        if exception is not None and not self._is_done:
            self._traceback = exception.__traceback__
        super()._resolve(value, exception)

    def _block(self, timeout: float | None) -> None:
        if isinstance(self.loop, SteppedLoop):
            self.loop.wait_until(lambda: self._is_done, timeout)
            return
        woken = self._woken
        if woken is None:
            woken = threading.Event()
            self.then(lambda _: woken.set())
            self._woken = woken  # kept, so that polling adds one reaction, not one a call
        if not woken.wait(timeout):
            raise GetTimeout(f"{timeout} seconds")

    def would_block(self) -> bool:
        """Whether `get` would block the loop that it waits for."""
        if self._is_done:
            return False
        if self.sources is None:
            return is_on_loop(self.loop)
        return any(map(would_block, self.sources))

    def _keep(self, value: Any, exception: BaseException | None) -> None:
        """Resolve with what the hook gave; if two threads ran it at once, the first result counts."""
        with self._lock:
            if self._is_kept:
                return
            self._is_kept = True
        self._settle(value, exception)

    def _start(self) -> None:
        with self._lock:
            if self._is_started:
                return
            self._is_started = True
        sources = self.sources
        if sources is not None and all(isinstance(source, Later) for source in sources):
            self._advance(sources, 0)
        else:
            threading.Thread(target=self._evaluate, name="get-hook", daemon=True).start()

    def _advance(self, sources: tuple[Any, ...], index: int) -> None:
        """Evaluate once all sources are resolved, or one failed and all before it are resolved."""
        while index < len(sources):
            source = sources[index]
            if not source.is_done:  # a loop, so that a thousand resolved sources need no deeper stack than two
                source.then(functools.partial(self._advance_past, sources, index))
                return
            if source.exception is not None:
                break
            index += 1
        self._evaluate()

    def _advance_past(self, sources: tuple[Any, ...], index: int, _: Later[Any]) -> None:
        self._advance(sources, index)

    def _evaluate(self) -> None:
        if self._is_done or self._hook is None:
            return
        try:
            value = self._hook(None)
        except Exception as error:  # noqa: BLE001 - raised where the result is read
            self._keep(None, error)
        else:
            self._keep(value, None)


def derived(future: Future[T], *sources: Future[Any]) -> LoopFuture[T]:
    """`future`, whose get hook is Pykka's, with a note of what that hook waits for."""
    assert isinstance(future, LoopFuture)
    future.sources = sources
    return future


def would_block(future: Future[Any]) -> bool:
    return future.would_block() if isinstance(future, LoopFuture) else is_on_loop()
