"""A simulated disk: a commit takes time and commits all that waits; a crash loses what was not committed."""

from __future__ import annotations

from asyncio import TimerHandle
from collections import deque
from collections.abc import Callable
from contextlib import AbstractContextManager
from random import Random
from typing import Any, Generic, Protocol, TypeVar

from mesh.lab.simulation.storage import FileStore
from mesh.lab.simulation.virtual_loop import VirtualLoop
from peers.later import Later
from peers.stores.store import DISK_FULL, StoreError

T = TypeVar("T")

COMMIT_MS = (0.2, 4.0)
RESULT_MS = (0.0, 0.2)
"""Time from a commit until its results are out. A crash in between loses no data, but those who wait get no result."""
GROUP_LIMIT = 500
"""Pieces of work committed together."""

_FULL = "the simulated disk is full: free space on it, then try again", DISK_FULL
_BROKEN = "the simulated disk failed (disk I/O error): check it, then try again", "its disk fails"


class WorkStore(Protocol):
    """What a disk works on: the store of a log, or of views."""

    def open(self) -> object: ...
    def close(self) -> object: ...
    def transaction(self) -> AbstractContextManager[None]: ...
    def writes(self) -> int: ...


S = TypeVar("S", bound=WorkStore)


class SimDisk(Generic[S]):
    """Implements `RunDisk` and `ViewDisk` on the virtual loop, for one life of a room. The first piece of work opens the store.

    After a crash the store holds what was committed; the next life of the room gets another SimDisk for it.
    """

    def __init__(
        self,
        loop: VirtualLoop,
        random: Random,
        store: S,
        *,
        commit_ms: tuple[float, float] = COMMIT_MS,
    ) -> None:
        """`commit_ms` is the range from which the time of each commit is drawn. It may be changed at any time."""
        self.commit_ms = commit_ms
        self._loop = loop
        self._random = random
        self._store = store
        self._waiting: deque[tuple[Callable[[S], Any], Later[Any]]] = deque()
        self._timer: TimerHandle | None = None
        self._closed: Later[None] | None = None
        self._is_open = False
        self._is_crashed = False
        self.is_full = False
        """Whether all commits that write fail."""
        self.failing = 0
        """How many of the next commits that write fail."""

    @property
    def waiting(self) -> int:
        """Pieces of work that wait for their commit."""
        return len(self._waiting)

    @property
    def is_busy(self) -> bool:
        """Whether work waits, is being done, or was done and its results are not out yet."""
        return self._timer is not None or bool(self._waiting)

    @property
    def is_awaited(self) -> bool:
        """Whether work waits beside what is being done."""
        return bool(self._waiting)

    def run(self, work: Callable[[S], T]) -> Later[T]:
        """See RunDisk. Fails with StoreError after `close`; never resolves after a crash."""
        if self._closed is not None:
            return Later.failed(StoreError("the store is closed"))
        later: Later[T] = Later()
        self._waiting.append((work, later))
        self._start()
        return later

    def close(self) -> Later[None]:
        if self._closed is None:
            self._closed = Later()
            self._start()
        return self._closed

    def crash(self) -> list[Callable[[S], Any]]:
        """The power fails: drop all work that waits, and give no more results, not even of the last commit.

        Returns the dropped pieces of work that the next commit would have contained.
        """
        self._is_crashed = True
        dropped = [work for work, _ in self._waiting] if self._is_open and not (self.is_full or self.failing) else []
        self._waiting.clear()
        if self._timer is not None:
            self._timer.cancel()
        return dropped[:GROUP_LIMIT]

    def _start(self) -> None:
        if self._timer is None and not self._is_crashed:
            self._after(self.commit_ms, self._commit)

    def _after(self, range_ms: tuple[float, float], step: Callable[..., None], *args: Any) -> None:
        seconds = self._random.uniform(*range_ms) / 1000
        self._timer = self._loop.call_later(seconds, step, *args, context=self._loop.context)

    def _commit(self) -> None:
        group = [self._waiting.popleft() for _ in range(min(len(self._waiting), GROUP_LIMIT))]
        try:
            results = self._run([work for work, _ in group])
        except Exception:  # noqa: BLE001 - one piece failed: the others are done without it
            results = [self._run_alone(work) for work, _ in group]
        self._after(RESULT_MS, self._show, [later for _, later in group], results)

    def _run(self, works: list[Callable[[S], Any]]) -> list[Later[Any]]:
        if not works:
            return []
        if not self._is_open:
            self._store.open()
            self._is_open = True
        with self._store.transaction():
            before = self._store.writes()
            results = [Later.done(work(self._store)) for work in works]
            if self._store.writes() != before:
                self._fail_if_it_has_to()
            return results

    def _fail_if_it_has_to(self) -> None:
        """Let this commit fail if the disk is full or failing; a file fails at its commit, with the error of SQLite."""
        if not self.is_full and not self.failing:
            return
        self.failing = max(0, self.failing - 1) if not self.is_full else self.failing
        if isinstance(self._store, FileStore):
            self._store.failure = "SQLITE_FULL" if self.is_full else "SQLITE_IOERR_WRITE"
        else:
            raise StoreError(*(_FULL if self.is_full else _BROKEN))

    def _run_alone(self, work: Callable[[S], Any]) -> Later[Any]:
        try:
            return self._run([work])[0]
        except Exception as error:  # noqa: BLE001 - it is the result of this piece
            return Later.failed(error)

    def _show(self, laters: list[Later[Any]], results: list[Later[Any]]) -> None:
        self._timer = None
        for later, result in zip(laters, results, strict=True):
            later.follow(result)
            if self._is_crashed:
                return
        if self._waiting:
            self._start()
        elif self._closed is not None and not self._closed.is_done:
            self._store.close()
            self._closed.set()
