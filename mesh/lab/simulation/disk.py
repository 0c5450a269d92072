"""A simulated disk: commits take time, what waits is committed together, and a crash loses what was not committed."""

from __future__ import annotations

from asyncio import TimerHandle
from collections import deque
from collections.abc import Callable
from random import Random
from typing import Any, TypeVar

from mesh.lab.simulation.storage import FileStore, LabStore, Work
from mesh.lab.simulation.virtual_loop import VirtualLoop
from peers.later import Later
from peers.stores.store import DISK_FULL, Store, StoreError

T = TypeVar("T")

COMMIT_MS = (0.2, 4.0)
RESULT_MS = (0.0, 0.2)
"""From the commit until its results show: a crash in between loses nothing, but nobody was told."""
GROUP_LIMIT = 500
"""Pieces of work committed together."""

_FULL = "the simulated disk is full: free space on it, then try again", DISK_FULL
_BROKEN = "the simulated disk failed (disk I/O error): check it, then try again", "its disk fails"


class SimDisk:
    """Implements `Disk` on the virtual loop, for one life of one room. It opens the store with the first piece of work.

    The store lives on: after a crash it holds what was committed, and the next life gets another SimDisk for it.
    """

    def __init__(
        self,
        loop: VirtualLoop,
        random: Random,
        store: LabStore,
        *,
        commit_ms: tuple[float, float] = COMMIT_MS,
    ) -> None:
        """`commit_ms` is the range from which the time of each commit is drawn; it may be changed later."""
        self.commit_ms = commit_ms
        self._loop = loop
        self._random = random
        self._store = store
        self._waiting: deque[tuple[Work, Later[Any]]] = deque()
        self._timer: TimerHandle | None = None
        self._closed: Later[None] | None = None
        self._is_open = False
        self._is_crashed = False
        self.is_full = False
        """Then whatever writes fails."""
        self.failing = 0
        """So many of the next commits that write something fail."""

    @property
    def waiting(self) -> int:
        """Pieces of work that wait for their commit."""
        return len(self._waiting)

    @property
    def is_busy(self) -> bool:
        """Whether work waits, is being done, or was done and has not shown its results."""
        return self._timer is not None or bool(self._waiting)

    def run(self, work: Callable[[Store], T]) -> Later[T]:
        """As the port says. Fails with StoreError after `close`; never resolves after a crash."""
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

    def crash(self) -> list[Work]:
        """Power is lost: what waits is dropped, and no result shows any more, not even of what was just committed.

        Returns the pieces of work that were dropped and would have been committed next.
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
        self._timer = self._loop.call_later(self._random.uniform(*range_ms) / 1000, step, *args)

    def _commit(self) -> None:
        group = [self._waiting.popleft() for _ in range(min(len(self._waiting), GROUP_LIMIT))]
        try:
            results = self._run([work for work, _ in group])
        except Exception:  # noqa: BLE001 - one of them failed: it must not take the others along
            results = [self._run_alone(work) for work, _ in group]
        self._after(RESULT_MS, self._show, [later for _, later in group], results)

    def _run(self, works: list[Work]) -> list[Later[Any]]:
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
        """Let the commit fail that is under way: a real file by what SQLite would say, when it is its turn."""
        if not self.is_full and not self.failing:
            return
        self.failing = max(0, self.failing - 1) if not self.is_full else self.failing
        if isinstance(self._store, FileStore):
            self._store.failure = "SQLITE_FULL" if self.is_full else "SQLITE_IOERR_WRITE"
        else:
            raise StoreError(*(_FULL if self.is_full else _BROKEN))

    def _run_alone(self, work: Work) -> Later[Any]:
        try:
            return self._run([work])[0]
        except Exception as error:  # noqa: BLE001 - it belongs to whoever waits for the result
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
