"""The port behind which a store's blocking work runs, and the plainest one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeVar

from peers.later import Later
from peers.stores.store import Store

T = TypeVar("T")


class Disk(Protocol):
    """Runs work on one store: in order, one at a time, each piece all or nothing, and committed before its result shows."""

    def run(self, work: Callable[[Store], T]) -> Later[T]:
        """Run `work` in a transaction; the result comes after the commit, on the thread of the loop.

        `work` may run more than once (each time on what was committed before it) and must not keep the store.
        """

    def close(self) -> Later[None]:
        """Close the store after all work that waits. Harmless when it is closed."""


class InlineDisk:
    """Runs work at once where it is called: for tests, scripts and stores in memory. It opens the store when first used."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._is_used = False

    def run(self, work: Callable[[Store], T]) -> Later[T]:
        try:
            if not self._is_used:
                self._is_used = True
                self._store.open()
            with self._store.transaction():
                result = work(self._store)
        except Exception as error:  # noqa: BLE001 - it belongs to whoever waits for the result
            return Later.failed(error)
        return Later.done(result)

    def close(self) -> Later[None]:
        self._is_used = True
        self._store.close()
        return Later.done(None)
