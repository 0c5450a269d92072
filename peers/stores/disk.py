"""Disk: the port that runs the blocking work of a store, and the simplest one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeVar

from peers.later import Later
from peers.stores.run_store import RunStore

T = TypeVar("T")


class Disk(Protocol):
    """Runs work on one store, one piece after the other, each in a transaction of its own."""

    @property
    def is_awaited(self) -> bool:
        """Whether more work waits. For long work to ask, in whatever thread does it, so that it may end early."""

    def run(self, work: Callable[[RunStore], T]) -> Later[T]:
        """Run `work(store)` in a transaction; the result comes after the commit, in the thread of the loop.

        The result fails with the exception of `work`, or with StoreError; then nothing of it is stored. `work` may be called
        more than once, each time on what was committed before it, and must not keep the store.
        """

    def close(self) -> Later[None]:
        """Close the store after the work that waits. Harmless when it is closed."""


class InlineDisk:
    """A Disk that works inside the call of `run`: for tests, scripts and stores in memory.

    It opens the store at the first `run`.
    """

    def __init__(self, store: RunStore) -> None:
        self._store = store
        self._is_used = False

    @property
    def is_awaited(self) -> bool:
        return False

    def run(self, work: Callable[[RunStore], T]) -> Later[T]:
        try:
            if not self._is_used:
                self._is_used = True
                self._store.open()
            with self._store.transaction():
                result = work(self._store)
        except Exception as error:  # noqa: BLE001 - raised where the result is waited for
            return Later.failed(error)
        return Later.done(result)

    def close(self) -> Later[None]:
        self._is_used = True
        self._store.close()
        return Later.done(None)
