"""ThreadDisk: a thread that does the blocking work of a node's store, many pieces in one transaction."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from functools import partial
from queue import Empty, SimpleQueue
from time import perf_counter
from typing import Any, Generic, Protocol, TypeVar

from mesh.forking import work_lock
from peers.later import Later
from peers.stores.store import StoreError


class BlockingStore(Protocol):
    """What a ThreadDisk needs of a store, of whatever kind."""

    def open(self) -> object: ...

    def close(self) -> None: ...

    def transaction(self) -> AbstractContextManager[None]: ...


T = TypeVar("T")
S = TypeVar("S", bound=BlockingStore)

_Piece = tuple[Callable[[S], Any], Later[Any]]

GROUP_PIECES = 2_000
"""The most pieces of work in one transaction."""


class ThreadDisk(Generic[S]):
    """A Disk (see peers.stores.disk) with a thread of its own.

    Results are resolved on `loop`, or with `answers_on_loop=False` in that thread: for reactions that only put something
    into a mailbox, which wakes the loop itself.

    The thread opens the store with the first piece of work, so that a bad file fails that work. Group commit: all work that
    waits goes into one transaction, and its results wake the loop once. While one group commits, the next gathers. If a
    group fails, each of its pieces is tried in a transaction of its own.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        store: S,
        *,
        answers_on_loop: bool = True,
        note_seconds: Callable[[float], None] | None = None,
    ) -> None:
        """`note_seconds` is called in the thread with the length of each transaction."""
        self._loop = loop
        self._answers_on_loop = answers_on_loop
        self._note_seconds = note_seconds
        self._store = store
        self._waiting: SimpleQueue[_Piece[S] | None] = SimpleQueue()
        self._left = 0
        """Of the group that is being done, how many pieces come after the one that is."""
        """None after the last piece."""
        self._is_closing = self._has_ended = False
        self._closed: Later[None] = Later()
        self._is_open = False
        self._at_work = work_lock()
        self._thread = threading.Thread(target=self._work, name="peermesh-disk", daemon=True)
        self._thread.start()

    @property
    def is_awaited(self) -> bool:
        return self._left > 0 or not self._waiting.empty()

    def run(self, work: Callable[[S], T]) -> Later[T]:
        later: Later[T] = Later()
        if self._is_closing:
            later.fail(StoreError("the store is closed"))
            return later
        self._waiting.put((work, later))
        if self._has_ended:  # it was closed meanwhile
            self._refuse()
        return later

    def close(self) -> Later[None]:
        self._is_closing = True
        self._waiting.put(None)
        return self._closed

    def _work(self) -> None:
        while group := self._next_group():
            with self._at_work:
                results = self._run_group(group)
            self._resolve(results)
        error: Exception | None = None
        try:
            with self._at_work:
                self._store.close()
        except Exception as failure:  # noqa: BLE001 - raised where the end is awaited
            error = failure
        self._wake(lambda: self._finish(error))

    def _next_group(self) -> list[_Piece[S]]:
        """Wait for work, and take what waits then; nothing at the end."""
        group: list[_Piece[S]] = []
        while not group or (len(group) < GROUP_PIECES and not self._waiting.empty()):
            piece = self._waiting.get()
            if piece is None:
                self._waiting.put(None)  # the next call finds it
                break
            group.append(piece)
        return group

    def _run_group(self, group: list[_Piece[S]]) -> list[tuple[Later[Any], Any, Exception | None]]:
        try:
            if not self._is_open:
                self._store.open()
                self._is_open = True
            begun = perf_counter()
            with self._store.transaction():
                results: list[tuple[Later[Any], Any, Exception | None]] = []
                for work, later in group:
                    self._left = len(group) - len(results) - 1
                    results.append((later, work(self._store), None))
            if self._note_seconds is not None:
                self._note_seconds(perf_counter() - begun)
            return results
        except Exception as error:  # noqa: BLE001 - raised where the result is read
            if len(group) == 1:
                return [(group[0][1], None, error)]
        return [result for piece in group for result in self._run_group([piece])]  # one bad piece fails alone

    def _resolve(self, results: list[tuple[Later[Any], Any, Exception | None]]) -> None:
        def resolve() -> None:
            for later, value, error in results:
                try:
                    if error is None:
                        later.set(value)
                    else:
                        later.fail(error)
                except Exception as failure:  # noqa: BLE001 - of a reaction; the other pieces get their results
                    context = {"message": "a reaction to a result of the disk failed", "exception": failure}
                    self._wake(partial(self._loop.call_exception_handler, context))

        if self._answers_on_loop:
            self._wake(resolve)
        else:
            resolve()

    def _wake(self, reaction: Callable[[], None]) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(reaction)

    def _finish(self, error: Exception | None) -> None:
        self._thread.join()  # it ends right after it asked for this
        self._has_ended = True
        self._refuse()
        if error is None:
            self._closed.set(None)
        else:
            self._closed.fail(error)

    def _refuse(self) -> None:
        """Fail what came after the end: another thread called `run` while this one was being closed."""
        while not self._waiting.empty():
            with suppress(Empty):
                piece = self._waiting.get_nowait()
                if piece is not None:
                    piece[1].fail(StoreError("the store is closed"))
