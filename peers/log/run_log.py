"""RunLog: an EventLog over a store that keeps epochs as runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from random import Random
from types import MappingProxyType
from typing import Any, TypeVar, cast

from peers.clock import Clock
from peers.events.created import MAX_DRIFT_MS, MAX_MS, Timer
from peers.events.dot import Epoch
from peers.events.ends import Ends
from peers.events.entry import Entry
from peers.events.epoch import KEY_BYTES, NONCE_BYTES, EpochEnd
from peers.events.signature import KeySigner, Signer
from peers.facts.fact import Fact
from peers.facts.roster import Roster
from peers.later import Later
from peers.log.event_log import EventLog
from peers.log.port import Commit, new_among
from peers.log.run_tail import NotRecentError, RecentRuns, RunTail
from peers.log.shown_tail import ShownTail, page_of
from peers.log.timing import last_time, make_timer
from peers.log.write_batch import Outcomes, Work, WriteBatch, joined
from peers.stores.arrivals import WRITTEN_HERE
from peers.stores.disk import Disk
from peers.stores.event_types import EventTypes
from peers.stores.run_store import Pen, RunState, RunStore
from peers.stores.store import PAGE_BYTES, PAGE_EVENTS, Cleaning, Page, Place, StoreError, Walk
from peers.stores.taken import Taken

T = TypeVar("T")

NOTHING_TAKEN = Taken()
_Begin = tuple[RunState, dict[Epoch, EpochEnd], Mapping[bytes, int], Sequence[Fact], Roster | None, int | None]
"""What a log begins with: of its store, and the time of its last event."""


@dataclass(frozen=True, slots=True)
class RunCommit(Commit):
    """What one commit did, as far as others hear of it."""

    taken: Taken = NOTHING_TAKEN
    """All that it wrote."""


class RunLog(EventLog):
    """An EventLog that signs own events, and knows by the ends of epochs what it has.

    `commit` has a RunCommit. Sessions read `state` and `ends` at once, and ask for all else.
    """

    def __init__(
        self,
        disk: Disk,
        state: RunState,
        ends: dict[Epoch, EpochEnd],
        signer: Signer,
        *,
        forks: Mapping[bytes, int] = MappingProxyType({}),
        facts: Sequence[Fact] = (),
        roster: Roster | None = None,
        node_id: str,
        timer: Timer,
        clock: Clock,
        random: Random,
        max_drift_ms: int = MAX_DRIFT_MS,
        max_future_ms: float | None = None,
    ) -> None:
        """What the disk's store has: `state`, `ends`, `forks`, `facts`, `roster`. Most callers use `RunLog.open` instead."""
        super().__init__(disk, timer=timer, clock=clock, random=random, max_drift_ms=max_drift_ms)
        self._state = state
        self._tail = RunTail(state.last_position)
        self._recent = RecentRuns(self._tail, lambda key: self.roster is not None and self.roster.has_left(key))
        self._shown = ShownTail(state.last_added)
        self._batch: WriteBatch | None = None
        """The one that further requests join."""
        self._at_work: WriteBatch | None = None
        """The one that the disk has come to."""
        self.has_room = True
        """Whether sessions take events of other nodes; its owner says so, and emits `room` when it changes."""
        self._max_future_ms = max_future_ms
        self.clock_ahead_ms = 0
        """By how much the median of the clocks of connected nodes is ahead of ours: its owner says so."""
        self.refusal: StoreError | None = None
        """Why own events are not taken, if they are not: its owner says so."""
        self.ends = Ends(ends)
        """The vector, as of the last commit."""
        self.forks = dict(forks)
        """How many epochs of each key are proven to have forked, as of the last commit."""
        self.facts = list(facts)
        """Those of its mesh, as of the last commit: this list only grows."""
        self.roster = roster
        """What follows from these; None while there are none."""
        self.pen = Pen(signer, partial(random.randbytes, NONCE_BYTES), node_id)

    @classmethod
    def open(
        cls,
        disk: Disk,
        node_id: str,
        *,
        clock: Clock,
        random: Random,
        signer: Signer | None = None,
        max_drift_ms: int = MAX_DRIFT_MS,
        max_future_ms: float | None = None,
    ) -> Later[RunLog]:
        """The log over `disk`, once its store could be read. Fails with StoreError.

        Events that are further than `max_future_ms` ahead of the clock are not shown before `show_due` finds their time.
        Without it all are shown, as in the log of a client, which has only the word of a server for the time. `signer` signs
        what is added here; without one a key is made from `random`, for this opening only.
        """
        by = signer or KeySigner.from_seed(random.randbytes(KEY_BYTES))

        def read(store: RunStore) -> _Begin:
            time_ms = last_time(store, clock.now_ms(), max_drift_ms)
            return store.state, store.ends(), store.forks(), store.facts(), store.roster(), time_ms

        def start(found: _Begin) -> RunLog:
            state, ends, forks, facts, roster, time_ms = found
            timer = make_timer(node_id, clock.now_ms, state, time_ms, max_drift_ms)
            return cls(
                disk,
                state,
                ends,
                by,
                forks=forks,
                facts=facts,
                roster=roster,
                node_id=node_id,
                timer=timer,
                clock=clock,
                random=random,
                max_drift_ms=max_drift_ms,
                max_future_ms=max_future_ms,
            )

        return disk.run(read).transform(start)

    @property
    def state(self) -> RunState:
        return self._state

    # What sessions ask for

    def write(self, work: Work, via: str = WRITTEN_HERE) -> Later[Sequence[Taken]]:
        """A write of the store, after what was asked before; what it did, after the commit. Fails with StoreError.

        It may share its commit with others: it must not fail. `via` is the node that sent what it writes.
        """
        if self._batch is not None:
            waiting = self._batch.join_work(work, via)
            if waiting is not None:
                return waiting
        batch = self._batch = WriteBatch(self.pen)
        return self._begin(batch, batch.join_work(work, via))

    def show_due(self) -> Later[Sequence[Taken]]:
        """Show some of the events whose time has come; call it again while a result `is_unfinished`. Fails with StoreError."""
        return self.write(lambda store: [store.show_due()])

    @property
    def is_awaited(self) -> bool:
        """As Disk says; for what `write` does, which may share its commit."""
        return self._disk.is_awaited or (self._at_work is not None and self._at_work.is_awaited)

    def follow(self, entries: Sequence[Entry]) -> int:
        """Follow the times of received events, and report those from too far ahead; the timer's mark then, in ms."""
        self._follow_times(entries)
        return self._timer.ms

    def read(self, work: Callable[[RunStore], T]) -> Later[T]:
        """What `work` reads in the store, as of a commit that is published; at once where memory has it.

        Fails as `work` does, which may be called again.
        """
        try:
            return Later.done(self.recall(work))
        except NotRecentError:
            return self._disk.run(work)

    def recall(self, work: Callable[[RunStore], T]) -> T:
        """The same at once, from memory. Raises NotRecentError where memory does not have it."""
        return work(cast(RunStore, self._recent))

    @property
    def tail_changes(self) -> int:
        """Events that are kept in memory for live sessions: at most TAIL_CHANGES."""
        return len(self._shown)

    def page(
        self,
        after: int,
        *,
        limit: int = PAGE_EVENTS,
        max_bytes: int = PAGE_BYTES,
        types: EventTypes | None = None,
        younger_than: Place | None = None,
    ) -> Later[Page]:
        """Events that are shown whose `added` is larger than `after`, as `page_of`; from memory when they are recent.

        Fails with StoreError.
        """
        page = self.recent(after, limit=limit, max_bytes=max_bytes)
        if page is None:
            return self._disk.run(lambda store: page_of(store, after, limit, max_bytes, types, younger_than))
        if types is not None or younger_than is not None:
            walk = Walk(types=types, younger_than=younger_than)
            page = Page(tuple(filter(walk.fits, page.entries)), page.until)
        return Later.done(page)

    def recent(self, after: int, *, limit: int = PAGE_EVENTS, max_bytes: int = PAGE_BYTES) -> Page | None:
        """As `page`, at once; None if the walk is further back than memory reaches."""
        return self._shown.page(after, limit=limit, max_bytes=max_bytes)

    # The parts of an EventLog

    def _append(
        self,
        entries: Sequence[Entry],
        keys: Sequence[str] = (),
        *,
        is_joined: bool = False,
        is_each_alone: bool = False,
    ) -> Later[Outcomes]:
        if self.refusal is not None:
            return Later.failed(StoreError(str(self.refusal), self.refusal.brief))
        if is_joined and self._batch is not None:
            waiting = self._batch.join(entries, self._timer.ms, keys)
            if waiting is not None:
                return waiting
        batch = WriteBatch(self.pen, is_each_alone=is_each_alone, is_closed=not is_joined)
        self._batch = batch if is_joined else None
        return self._begin(batch, batch.join(entries, self._timer.ms, keys))

    def _begin(self, batch: WriteBatch, result: Later[Any] | None) -> Later[Any]:
        assert result is not None, "a new batch takes any request"
        now_ms, until_ms = self._clock.now_ms(), MAX_MS
        if self._max_future_ms is not None:
            until_ms = now_ms + max(0, self.clock_ahead_ms) + round(self._max_future_ms)
        self._disk.run(partial(self._work, batch, now_ms, until_ms)).then(partial(self._on_written, batch))
        return result

    def _work(
        self, batch: WriteBatch, now_ms: int, until_ms: int, store: RunStore
    ) -> tuple[list[Sequence[Taken]], RunState]:
        self._at_work = batch
        store.until_ms = until_ms
        return batch.work(store, now_ms)

    def _on_written(self, batch: WriteBatch, done: Later[tuple[list[Sequence[Taken]], RunState]]) -> None:
        if self._batch is batch:
            self._batch = None
        if done.exception is not None:
            batch.fail(done.exception)
            return
        takens, state = done.result()
        try:
            self._publish(state, joined([taken for own in takens for taken in own]))
        finally:  # a listener that fails does not undo the commit
            batch.answer(takens)

    def _end_batch(self) -> None:
        self._batch = None

    def _publish_cleaning(self, state: RunState, cleaning: Cleaning) -> None:
        self._publish(state, Taken(cleaning=cleaning))

    def _publish(self, state: RunState, taken: Taken) -> None:
        before, cleaning, cleaned = self._state.last_added, taken.cleaning, taken.cleaning.cleaned
        is_other = taken.ends or taken.is_revised or cleaning.altered or taken.proven or taken.facts or taken.limited
        if state == self._state and not is_other:
            return
        self._state = state
        for epoch, end in taken.ends.items():
            self.ends.set(epoch, end)
        self.forks.update(taken.forks)
        self.facts += taken.facts
        self.roster = taken.roster or self.roster
        is_cut = bool(taken.proven or taken.limited)
        if is_cut or cleaned:
            self._tail.forget_pieces()
        self._tail.add(taken.changes, () if is_cut or cleaned else taken.pieces)
        if taken.anew:
            self._tail.forget()
        if taken.is_revised:
            self._shown = ShownTail(state.last_added)  # it may hold copies that lost: the store knows which are shown
        else:
            self._shown.add(taken.shown, state.last_added)
            self._shown.revise(cleaning.altered, cleaned)
        new = new_among(taken.shown, cleaned, before) if cleaned else taken.shown
        undone, restored, revised = taken.undone, taken.restored, taken.revised
        self._announcer.announce(RunCommit(new, cleaned, undone, restored, revised, taken))
