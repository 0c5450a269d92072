"""WriteBatch: own events and other writes, of several requests, that one commit takes."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from peers.events.columns import bytes_of
from peers.events.columns import joined as joined_events
from peers.events.dot import Epoch
from peers.events.entry import Entry
from peers.failures import failures
from peers.later import Later
from peers.stores.arrivals import WRITTEN_HERE
from peers.stores.keys import append_once
from peers.stores.run_store import Pen, RunState, RunStore
from peers.stores.store import Cleaning
from peers.stores.taken import Limited, Taken

JOINED_EVENTS = 2_000
"""A batch with so many entries takes no more of them."""
JOINED_BYTES = 4 * 1024 * 1024
JOINED_WORKS = 8
"""Writes of sessions in one batch at most: each takes the pieces of one message."""

Outcomes = Sequence[Entry | ValueError | None]
"""For each entry offered, in order: see `Taken.results`."""
Work = Callable[[RunStore], Sequence[Taken]]
"""A write of the store, and what it did."""


class _Own:
    """Own events of requests that follow each other: the store takes them at once, with one signature."""

    via = WRITTEN_HERE

    def __init__(self, pen: Pen, is_each_alone: bool) -> None:
        self._pen = pen
        self._is_each_alone = is_each_alone
        self._clock_ms = 0
        self._requests: list[Sequence[Entry]] = []
        self._keys: dict[int, Sequence[str]] = {}
        """Of requests that have any, by their number."""
        self._refusals: dict[int, ValueError] = {}
        self._results: list[Later[Outcomes]] = []

    def add(self, entries: Sequence[Entry], clock_ms: int, keys: Sequence[str] = ()) -> Later[Outcomes]:
        result: Later[Outcomes] = Later()
        self._clock_ms = clock_ms
        if keys:
            self._keys[len(self._requests)] = keys
        self._requests.append(entries)
        self._results.append(result)
        return result

    def work(self, store: RunStore) -> Sequence[Taken]:
        """If one request is refused, the others are taken one by one, in their order."""
        self._refusals.clear()
        try:
            return [self._append(store, joined_events(self._requests), self._all_keys() if self._keys else ())]
        except ValueError as error:
            if len(self._requests) == 1:
                return [self._refuse(0, error)]
        takens: list[Taken] = []
        for at, entries in enumerate(self._requests):
            try:
                takens.append(self._append(store, entries, self._keys.get(at, ())))
            except ValueError as error:
                takens.append(self._refuse(at, error))
        return takens

    def _append(self, store: RunStore, entries: Sequence[Entry], keys: Sequence[str]) -> Taken:
        if keys:
            return append_once(store, entries, keys, self._pen, clock_ms=self._clock_ms)
        return store.append(entries, self._pen, clock_ms=self._clock_ms, is_each_alone=self._is_each_alone)

    def _all_keys(self) -> list[str]:
        return [
            key for at, entries in enumerate(self._requests) for key in self._keys.get(at, ()) or [""] * len(entries)
        ]

    def _refuse(self, at: int, error: ValueError) -> Taken:
        self._refusals[at] = error.with_traceback(None)
        return Taken(results=(None,) * len(self._requests[at]))

    def answers(self, takens: Sequence[Taken]) -> Iterable[tuple[Later[Any], Any]]:
        outcomes: Outcomes = takens[0].results if len(takens) == 1 else [each for one in takens for each in one.results]
        start = 0
        for at, (entries, result) in enumerate(zip(self._requests, self._results, strict=True)):
            own = outcomes if len(self._requests) == 1 else outcomes[start : start + len(entries)]
            start += len(entries)
            yield result, self._refusals.get(at, own)

    def failures(self, error: BaseException) -> Iterable[tuple[Later[Any], Any]]:
        return [(result, error) for result in self._results]


class _Other:
    """One other write."""

    def __init__(self, work: Work, via: str) -> None:
        self.work = work
        self.via = via
        self.result: Later[Sequence[Taken]] = Later()

    def answers(self, takens: Sequence[Taken]) -> Iterable[tuple[Later[Any], Any]]:
        return [(self.result, takens)]

    def failures(self, error: BaseException) -> Iterable[tuple[Later[Any], Any]]:
        return [(self.result, error)]


class WriteBatch:
    """Requests join it until the disk begins with it. They are made on one thread, `work` runs on that of the disk."""

    def __init__(self, pen: Pen, *, is_each_alone: bool = False, is_closed: bool = False) -> None:
        """`is_each_alone`: see RunStore.append; `is_closed`: it takes one request only."""
        self._is_each_alone = is_each_alone
        self._pen = pen
        self._is_closed = is_closed
        self._lock = threading.Lock()
        self._parts: list[_Own | _Other] = []
        self.is_awaited = False
        """While `work` does one part: whether there are more."""
        self._count = self._size = 0

    def join(self, entries: Sequence[Entry], clock_ms: int, keys: Sequence[str] = ()) -> Later[Outcomes] | None:
        """Put own events in, with the timer's mark; None: it takes no more. `keys`: see `append_once`; empty if none has one.

        The result has for each, in order, what `Taken.results` says. It fails with the ValueError of one that is refused.
        """
        size = bytes_of(entries)
        with self._lock:
            if not self._has_room(len(entries), size):
                return None
            part = self._parts[-1] if self._parts else None
            if not isinstance(part, _Own):
                part = _Own(self._pen, self._is_each_alone)
                self._parts.append(part)
            return part.add(entries, clock_ms, keys)

    def join_work(self, work: Work, via: str = WRITTEN_HERE) -> Later[Sequence[Taken]] | None:
        """Put another write in, which must not fail but for the disk; None: it takes no more. `via`: see Arrival."""
        with self._lock:
            if not self._has_room(JOINED_EVENTS // JOINED_WORKS, 0):
                return None
            part = _Other(work, via)
            self._parts.append(part)
            return part.result

    def work(self, store: RunStore, now_ms: int) -> tuple[list[Sequence[Taken]], RunState]:
        """The work of the disk: what each part came to. What it brings arrives at `now_ms`."""
        with self._lock:
            self._is_closed = True
        takens: list[Sequence[Taken]] = []
        state = store.state
        for part in self._parts:
            self.is_awaited = len(takens) + 1 < len(self._parts)
            takens.append(part.work(store))
            before, state = state, store.state
            if state.last_position > before.last_position:
                store.arrive(before.last_position + 1, now_ms, part.via)
        return takens, state

    def answer(self, takens: Sequence[Sequence[Taken]]) -> None:
        """Give each request its outcomes. What a reaction to one raises is raised after all have theirs."""
        pairs = zip(self._parts, takens, strict=True)
        resolve_all([answer for part, own in pairs for answer in part.answers(own)])

    def fail(self, error: BaseException) -> None:
        """Nothing was taken: all requests fail. What a reaction to one raises is raised after all have failed."""
        resolve_all([failure for part in self._parts for failure in part.failures(error)])

    def _has_room(self, count: int, size: int) -> bool:
        is_full = self._count >= JOINED_EVENTS or self._size >= JOINED_BYTES
        if self._parts and (self._is_closed or is_full):
            return False
        self._count += count
        self._size += size
        return True


def joined(takens: Sequence[Taken], *, has_events: bool = True) -> Taken:
    """What several writes did: each may have changed the events of one before. With one of them, that very one.

    Without `has_events` it has neither the events that are shown nor the pieces.
    """
    if len(takens) == 1:
        return takens[0]
    cleanings = [taken.cleaning for taken in takens]
    # What one write undid, a later one may have restored.
    undone = Counter([each for taken in takens for each in taken.undone])
    restored = Counter([each for taken in takens for each in taken.restored])
    return Taken(
        shown=joined_events([taken.shown for taken in takens if taken.shown]) if has_events else (),
        waiting=tuple([each for taken in takens for each in taken.waiting]),
        changes=tuple([each for taken in takens for each in taken.changes]),
        pieces=tuple([each for taken in takens for each in taken.pieces]) if has_events else (),
        ends={epoch: end for taken in takens for epoch, end in taken.ends.items()},
        hollow=tuple([each for taken in takens for each in taken.hollow]),
        proven=tuple([each for taken in takens for each in taken.proven]),
        forks={key: count for taken in takens for key, count in taken.forks.items()},
        is_revised=any(taken.is_revised for taken in takens),
        revised=tuple([each for taken in takens for each in taken.revised]),
        undone=tuple(undone - restored),
        restored=tuple(restored - undone),
        facts=tuple([each for taken in takens for each in taken.facts]),
        roster=next((taken.roster for taken in reversed(takens) if taken.roster is not None), None),
        limited=_limited(takens),
        anew=tuple([each for taken in takens for each in taken.anew]),
        over=tuple(dict.fromkeys([each for taken in takens for each in taken.over])),
        cleaning=Cleaning(
            cleaned=tuple([entry for cleaning in cleanings for entry in cleaning.cleaned]),
            altered=tuple([entry for cleaning in cleanings for entry in cleaning.altered]),
            dropped=tuple([position for cleaning in cleanings for position in cleaning.dropped]),
        ),
    )


def _limited(takens: Sequence[Taken]) -> Mapping[Epoch, Limited]:
    found: dict[Epoch, Limited] = {}
    for taken in takens:
        for epoch, now in taken.limited.items():
            counts_more = now.counts_more or (epoch in found and found[epoch].counts_more)
            found[epoch] = Limited(now.key, counts_more, now.waits)
    return found


def resolve_all(answers: Iterable[tuple[Later[Any], Any]]) -> None:
    """Give each result its answer, or its exception. What a reaction to one raises is raised after all have theirs."""
    first_error: BaseException | None = None
    for result, answer in answers:
        try:
            if isinstance(answer, BaseException):
                result.fail(answer)
            else:
                result.set(answer)
        except failures() as error:  # the others are answered first; it is raised below
            first_error = first_error or error
    if first_error is not None:
        raise first_error
