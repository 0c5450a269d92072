"""AppendBatch: entries of several requests that one commit takes."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from peers.events.entry import Entry
from peers.events.version_vector import Epoch, VersionVector
from peers.later import Later
from peers.stores.store import Appended, Cleaning, Store, StoreState

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
        size = sum([len(entry.body) + len(entry.extra) for entry in entries])
        result: Later[Outcomes] = Later()
        with self._lock:
            is_full = len(self._entries) >= JOINED_EVENTS or self._size >= JOINED_BYTES
            if self._requests and (self._is_closed or is_full):
                return None
            self._requests.append((entries, result))
            self._entries += entries
            self._clock_ms = clock_ms
            self._size += size
            return result

    def work(self, store: Store) -> tuple[Appended, StoreState]:
        """The work of the disk. If one request is refused, the others are taken one by one, in their order."""
        with self._lock:
            self._is_closed = True
        try:
            return self._append(store, self._entries), store.state
        except ValueError:
            if len(self._requests) == 1:
                raise
        pieces = [self._attempt(store, entries) for entries, _ in self._requests]
        return _joined(pieces), store.state

    def answer(self, outcomes: Outcomes) -> None:
        """Give each request its outcomes. What a reaction to one raises is raised after all have theirs."""
        start = 0
        answers: list[Outcomes | BaseException] = []
        for entries, _ in self._requests:
            own = outcomes[start : start + len(entries)]
            start += len(entries)
            errors = [] if self._is_each_alone else [outcome for outcome in own if isinstance(outcome, ValueError)]
            answers.append(errors[0] if errors else own)
        self._resolve(answers)

    def fail(self, error: BaseException) -> None:
        """Nothing was taken: all requests fail. What a reaction to one raises is raised after all have failed."""
        self._resolve([error] * len(self._requests))

    def _append(self, store: Store, entries: Sequence[Entry]) -> Appended:
        return store.append(entries, epoch=self.epoch, clock_ms=self._clock_ms, is_each_alone=self._is_each_alone)

    def _attempt(self, store: Store, entries: Sequence[Entry]) -> Appended:
        try:
            return self._append(store, entries)
        except ValueError as error:
            return Appended((error.with_traceback(None),) * len(entries), ())

    def _resolve(self, answers: Sequence[Outcomes | BaseException]) -> None:
        first_error: Exception | None = None
        for (_, result), answer in zip(self._requests, answers, strict=True):
            try:
                if isinstance(answer, BaseException):
                    result.fail(answer)
                else:
                    result.set(answer)
            except Exception as error:  # noqa: BLE001 - the others are answered first; it is raised below
                first_error = first_error or error
        if first_error is not None:
            raise first_error


def _joined(pieces: Sequence[Appended]) -> Appended:
    """What several appends of one transaction did: as something revised, since a later one may have changed the events of
    one before."""
    cleanings = [piece.cleaning for piece in pieces]
    return Appended(
        tuple([outcome for piece in pieces for outcome in piece.results]),
        tuple([change for piece in pieces for change in piece.changes]),
        dots=VersionVector.union([piece.dots for piece in pieces]),
        is_revised=True,
        cleaning=Cleaning(
            cleaned=tuple([entry for cleaning in cleanings for entry in cleaning.cleaned]),
            altered=tuple([entry for cleaning in cleanings for entry in cleaning.altered]),
            dropped=tuple([position for cleaning in cleanings for position in cleaning.dropped]),
        ),
        is_forked=any(piece.is_forked for piece in pieces),
    )
