"""AppendBatch: entries of several requests that one commit takes."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from peers.events.entry import Entry
from peers.events.version_vector import Epoch
from peers.later import Later
from peers.stores.store import Appended, Store, StoreState

JOINED_EVENTS = 2_000
"""A batch with so many entries takes no more of them."""
JOINED_BYTES = 4 * 1024 * 1024

Outcomes = Sequence[Entry | ValueError | None]
"""For each entry offered, in order: see Appended.results."""


class AppendBatch:
    """Requests join it until the disk begins with it. They are made on one thread, `work` runs on that of the disk."""

    def __init__(self, epoch: Epoch, *, is_each_alone: bool = False, is_closed: bool = False) -> None:
        self.epoch = epoch
        self._is_each_alone = is_each_alone
        self._is_closed = is_closed
        self._lock = threading.Lock()
        self._entries: list[Entry] = []
        self._clock_ms = 0
        self._size = 0
        self._requests: list[tuple[Sequence[Entry], Later[Outcomes]]] = []

    def join(self, entries: Sequence[Entry], clock_ms: int) -> Later[Outcomes] | None:
        """Put a request in, with the timer's mark; None if the batch takes no more."""
        result: Later[Outcomes] = Later()
        return result if self._put(entries, clock_ms, result) else None

    def _put(self, entries: Sequence[Entry], clock_ms: int, result: Later[Outcomes]) -> bool:
        size = sum([len(entry.body) for entry in entries])
        with self._lock:
            is_full = len(self._entries) >= JOINED_EVENTS or self._size >= JOINED_BYTES
            if self._requests and (self._is_closed or is_full):
                return False
            self._requests.append((entries, result))
            self._entries += entries
            self._clock_ms = clock_ms
            self._size += size
            return True

    def work(self, store: Store) -> tuple[Appended, StoreState]:
        """The work of the disk."""
        with self._lock:
            self._is_closed = True
        appended = store.append(
            self._entries, epoch=self.epoch, clock_ms=self._clock_ms, is_each_alone=self._is_each_alone
        )
        return appended, store.state

    def answer(self, outcomes: Outcomes) -> None:
        """Give each request its outcomes. What a reaction to one raises is raised after all have theirs."""
        first_error: Exception | None = None
        start = 0
        for entries, result in self._requests:
            try:
                result.set(outcomes[start : start + len(entries)])
            except Exception as error:  # noqa: BLE001 - the others are answered first; it is raised below
                first_error = first_error or error
            start += len(entries)
        if first_error is not None:
            raise first_error

    def refuse(self, error: BaseException) -> list[AppendBatch]:
        """The batch failed with `error`: a batch for each request, to try it again; none, and it failed, if it has one."""
        if len(self._requests) == 1:
            self._requests[0][1].fail(error)
            return []
        batches = []
        for entries, result in self._requests:
            alone = AppendBatch(self.epoch, is_each_alone=self._is_each_alone, is_closed=True)
            alone._put(entries, self._clock_ms, result)
            batches.append(alone)
        return batches
