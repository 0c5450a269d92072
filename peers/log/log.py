"""A node's log: what was committed, in memory what sessions need of it, and one way in for events."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from random import Random
from typing import Any, Unpack

from peers.clock import Clock, Undo
from peers.emitter import Emitter
from peers.events.created import MAX_DRIFT_MS, Created, Timer
from peers.events.entry import Entry, encode_diff
from peers.events.event_error import Cause
from peers.events.reasons import DEFAULT_REASON
from peers.events.version_vector import Epoch, VersionVector, successor
from peers.later import Later
from peers.log.append_batch import AppendBatch, Outcomes
from peers.log.draft import BusyError, Draft, Waiting, add_batch, make_draft, read_created
from peers.log.draft import Meta as Meta
from peers.log.moments import LogWalk, Moment, read_walk
from peers.log.port import MAX_RENEWALS as MAX_RENEWALS
from peers.log.port import Announcer, Commit, new_among
from peers.log.port import Published as Published
from peers.log.port import SyncLog as SyncLog
from peers.log.retention import Bounds, Keeper, LogRetention
from peers.log.tail import Tail
from peers.log.timing import followed, last_time, make_timer
from peers.stores.disk import Disk
from peers.stores.store import (
    PAGE_BYTES,
    PAGE_EVENTS,
    Appended,
    Cleaning,
    Page,
    Store,
    StoreState,
)

EPOCH_BITS = 80
MARK_BITS = 40


class EventLog(ABC):
    """The live log over one store, whatever that keeps. Everything in it runs on one thread; only `Disk` works elsewhere.

    Events: `commit` (Commit) and `change` () for each commit; then `event` (event, meta) for each new event in the order of
    `added`, and `clean` (event, meta) for each that was cleaned, as it was before. `ahead` (entry) for an event whose time
    is too far ahead of our clock to be followed.
    """

    def __init__(
        self,
        disk: Disk,
        *,
        timer: Timer,
        clock: Clock,
        random: Random,
        max_drift_ms: int = MAX_DRIFT_MS,
    ) -> None:
        self._disk = disk
        self._timer = timer
        self._clock = clock
        self._random = random
        self._max_drift_ms = max_drift_ms
        self._emitter = Emitter()
        self._waiting = Waiting()
        self._announcer = Announcer(self._emitter)
        self.refused_events: Counter[Cause] = Counter()
        """Events from others that were not taken since this log was opened, by cause."""
        self._life = LogRetention(disk, self._publish_cleaning, last_added=lambda: self.last_added, now_ms=clock.now_ms)

    @property
    @abstractmethod
    def state(self) -> StoreState:
        """That of the store, as of the last commit."""

    @abstractmethod
    def _append(
        self, entries: Sequence[Entry], *, is_joined: bool = False, is_each_alone: bool = False
    ) -> Later[Outcomes]:
        """Append in one transaction. `is_joined`: it may be that of other requests, since none of these can be refused."""

    @abstractmethod
    def _end_batch(self) -> None:
        """What is added from now on comes after what is asked now."""

    @abstractmethod
    def _publish_cleaning(self, state: StoreState, cleaning: Cleaning) -> None:
        """Some events were cleaned, or have another meta."""

    def on(self, event: str, listener: Callable[..., Any]) -> Undo:
        """Listen to one of the events above; returns the undo."""
        return self._emitter.on(event, listener)

    @property
    def last_added(self) -> int:
        return self.state.last_added

    def add(self, event: dict[str, Any], meta: Meta | None = None) -> Later[Meta | None]:
        """Add one event; the result is its meta after the commit, or None if its `created` was known already.

        `meta` may give `created`, `time` and the application's own keys. Fails with ValueError (not an event, too large, a
        known `created` with another event), BusyError or StoreError.
        """
        try:
            draft = make_draft(event, meta)
        except ValueError as error:
            return Later.failed(error)
        return self.add_drafts([draft]).transform(lambda metas: metas[0])

    def add_batch(self, items: Sequence[tuple[Any, Meta | None]]) -> Later[list[Meta | ValueError | None]]:
        """Add (event, meta) pairs in one transaction, in order: for each its meta, None if it was known, or what is wrong.

        A bad one loses no good one. Fails with BusyError or StoreError, then none of them is added.
        """
        return add_batch(items, self.add_drafts)

    def add_drafts(self, drafts: Sequence[Draft]) -> Later[list[Meta | None]]:
        """Add drafts in one transaction. Fails as `add` does, then none of them is added."""
        count, size = len(drafts), sum(draft.size for draft in drafts)
        try:
            self._waiting.take(count, size)
        except BusyError as error:
            return Later.failed(error)
        added = self.take_drafts(drafts)
        added.then(lambda _: self._waiting.give_back(count, size))
        return added

    def take_drafts(self, drafts: Sequence[Draft]) -> Later[list[Meta | None]]:
        """As add_drafts; who adds them bounds their number."""
        is_joined = all(draft.created is None for draft in drafts)
        return self._append([self.prepare(draft) for draft in drafts], is_joined=is_joined).transform(_metas)

    def offer(self, drafts: Sequence[Draft]) -> Later[list[Entry | ValueError | None]]:
        """Take what a Logux client or server sent in one transaction; who sends it bounds its number.

        For each draft, in order: the entry as stored, None if it was known already, or the ValueError of a known `created`
        with another event, which keeps no other one out. Fails with StoreError, then none of them is taken.
        """
        return self._append([self.prepare(draft) for draft in drafts], is_each_alone=True).transform(list)

    def prepare(self, draft: Draft) -> Entry:
        """The entry that is offered to the store for a draft."""
        if draft.created is not None:
            self._timer.see(draft.created[0])
            created, time = draft.created, draft.created[0]
        else:
            created, time = self._timer.next(), self._timer.time
        if draft.time is not None:
            time = draft.time
        return Entry(created, time if draft.is_fixed else self._bounded(time), draft.body, draft.extra)

    def note_refused(self, causes: Mapping[Cause, int]) -> None:
        """Somebody sent so many events that are not taken, by cause."""
        self.refused_events.update(causes)

    def cursors(self, other_node_id: str) -> Later[tuple[int, int]]:
        """(synced, other_synced) as kept for a Logux client or server, (0, 0) if nothing is."""
        return self._disk.run(lambda store: store.cursors(other_node_id))

    def keep_cursors(self, other_node_id: str, synced: int, other_synced: int) -> Later[None]:
        """Keep both, over a restart too, until MAX_CURSORS others were kept later."""
        return self._disk.run(lambda store: store.keep_cursors(other_node_id, synced, other_synced))

    def each(self, **options: Unpack[LogWalk]) -> Later[tuple[Entry, ...]]:
        """A page of the events, as Store.each. Fails with ValueError or StoreError."""
        try:
            walk = read_walk(self._clock.now_ms(), **options)
        except ValueError as error:
            return Later.failed(error)
        return self._disk.run(lambda store: store.each(**walk))

    def find(self, created: Any) -> Later[Entry | None]:
        """The event with this `created`, None if there is none or it was cleaned. Fails with ValueError or StoreError."""
        return self._life.find(created)

    def aside(self) -> Later[tuple[Entry, ...]]:
        """Losing copies of conflicting events, oldest first, as far as their bodies are kept."""
        return self._disk.run(lambda store: tuple([copy for copy in store.aside() if not copy.tombstone]))

    def remove_reason(self, reason: str | Sequence[str], **bounds: Unpack[Bounds]) -> Later[int]:
        """Take a reason, or several, from the events that have it and fit all bounds; says how many were cleaned.

        An event without a reason left is cleaned; one that names none has the reason `log`. `min_added` and `max_added` are
        inclusive; `older_than` and `younger_than` (see `Moment`) are not, and go by (time, created); `created` means one
        event, `index` those that have it, `except_index` those that do not. Only this log forgets: nothing of it replicates.
        Fails with ValueError or StoreError.
        """
        self._end_batch()
        return self._life.remove_reason(reason, bounds)

    def add_reason(self, reason: str | Sequence[str], **bounds: Unpack[Bounds]) -> Later[int]:
        """Give a reason, or several, to the events that fit, in this log alone; says how many had not had it."""
        self._end_batch()
        return self._life.add_reason(reason, bounds)

    def change_meta(self, created: Any, diff: Meta) -> Later[bool]:
        """Change keys of an event's meta in this log alone; False if it is not known. An empty `reasons` cleans it.

        `created`, `time`, `added`, `dot`, `indexes` and `subprotocol` are read-only. Fails with ValueError or StoreError.
        """
        try:
            return self.apply_diff(read_created(created), encode_diff(diff))
        except ValueError as error:
            return Later.failed(error)

    def apply_diff(self, created: Created, diff: bytes) -> Later[bool]:
        """As `change_meta`, with what `encode_diff` made."""
        self._end_batch()
        return self._life.apply_diff(created, diff)

    def keep(self, keeper: Keeper) -> Undo:
        """Keep the events for which `keeper(event, meta)` is true from `clean`; returns the undo. It runs on this thread."""
        return self._life.keepers.add(keeper)

    def clean(self, *, reasons: str | Sequence[str] = DEFAULT_REASON, before: Moment | None = None) -> Later[int]:
        """Clean the events that no keeper keeps, and that have no reasons but these; says how many.

        With `before`, only those that are older. Step by step, so that others have their turn. An event of which a keeper
        fails is kept, and the first such error is raised after the rest is done. Fails with ValueError or StoreError.
        """
        self._end_batch()
        return self._life.clean(reasons, before)

    def close(self) -> Later[None]:
        """Close the store after what waits; no more events come."""
        self._emitter.clear()
        return self._disk.close()

    def _follow_times(self, entries: Sequence[Entry]) -> None:
        highest, ahead = followed(entries, self._clock.now_ms() + self._max_drift_ms)
        for entry in ahead:
            self._emitter.emit("ahead", entry)
        if highest:
            self._timer.see(highest)

    def _bounded(self, time: int) -> int:
        return min(time, self._clock.now_ms() + self._max_drift_ms)


class Log(EventLog):
    """An EventLog that labels own events with dots, and knows by a version vector what it has."""

    def __init__(
        self,
        disk: Disk,
        state: StoreState,
        *,
        timer: Timer,
        clock: Clock,
        random: Random,
        max_drift_ms: int = MAX_DRIFT_MS,
    ) -> None:
        """`state` is that of the disk's store; most callers use `Log.open` instead."""
        super().__init__(disk, timer=timer, clock=clock, random=random, max_drift_ms=max_drift_ms)
        self._tail = Tail(state.last_position)
        self._batch: AppendBatch | None = None
        """The one that further requests join."""
        self._renewal: Later[None] = Later.done(None)
        self.published = Published(state, self._new_epoch())

    @classmethod
    def open(
        cls, disk: Disk, node_id: str, *, clock: Clock, random: Random, max_drift_ms: int = MAX_DRIFT_MS
    ) -> Later[Log]:
        """The log over `disk`, once its store could be read. Fails with StoreError."""

        def read(store: Store) -> tuple[StoreState, int | None]:
            return store.state, last_time(store, clock.now_ms(), max_drift_ms)

        def start(found: tuple[StoreState, int | None]) -> Log:
            timer = make_timer(node_id, clock.now_ms, *found, max_drift_ms)
            return cls(disk, found[0], timer=timer, clock=clock, random=random, max_drift_ms=max_drift_ms)

        return disk.run(read).transform(start)

    @property
    def state(self) -> StoreState:
        return self.published.state

    @property
    def tail_changes(self) -> int:
        """Changes that are kept in memory for live sessions: at most TAIL_CHANGES."""
        return len(self._tail)

    def add_entries(self, entries: Sequence[Entry]) -> Later[Outcomes]:
        """Take received entries in one transaction; who sends them bounds their number.

        The result has for each that is taken, in order: the entry as stored, or None if it was known already. Fails with
        ValueError (an entry without a dot that differs from the known one of its `created`) or StoreError.
        """
        offered = entries if self.published.may_renew else self._without_forks(entries)
        self._follow_times(offered)
        return self._append(offered, is_joined=all(entry.dot is not None for entry in offered))

    def _append(
        self, entries: Sequence[Entry], *, is_joined: bool = False, is_each_alone: bool = False
    ) -> Later[Outcomes]:
        if is_joined and self._batch is not None:
            joined = self._batch.join(entries, self._timer.ms)
            if joined is not None:
                return joined
        batch = AppendBatch(self.published.epoch, is_each_alone=is_each_alone, is_closed=not is_joined)
        result = batch.join(entries, self._timer.ms)
        assert result is not None, "a new batch takes any request"
        self._batch = batch if is_joined else None
        self._disk.run(batch.work).then(partial(self._on_appended, batch))
        return result

    def _on_appended(self, batch: AppendBatch, done: Later[tuple[Appended, StoreState]]) -> None:
        if self._batch is batch:
            self._batch = None
        if done.exception is not None:
            batch.fail(done.exception)
            return
        appended, state = done.result()
        try:
            self._publish(state, appended)
        finally:  # a listener that fails does not undo the commit
            if appended.is_forked and batch.epoch == self.published.epoch:
                self.renew_epoch()
            batch.answer(appended.results)

    def page(
        self, after: int, *, lacking: VersionVector | None = None, limit: int = PAGE_EVENTS, max_bytes: int = PAGE_BYTES
    ) -> Later[Page]:
        """Committed changes after a position, as Store.page; from memory when it is recent. Fails with StoreError."""
        page = self.recent(after, lacking=lacking, limit=limit, max_bytes=max_bytes)
        if page is not None:
            return Later.done(page)
        return self._disk.run(lambda store: store.page(after, lacking=lacking, limit=limit, max_bytes=max_bytes))

    def recent(
        self, after: int, *, lacking: VersionVector | None = None, limit: int = PAGE_EVENTS, max_bytes: int = PAGE_BYTES
    ) -> Page | None:
        """As `page`, at once; None if the walk is further back than memory reaches."""
        return self._tail.page(after, lacking=lacking, limit=limit, max_bytes=max_bytes)

    def first_lacked(self, vector: VersionVector) -> Later[int]:
        """The lowest position that `vector` does not cover, as Store.first_lacked."""
        return self._disk.run(lambda store: store.first_lacked(vector))

    def renew_epoch(self) -> Later[None]:
        """Start another epoch: somebody has seen more of ours than we wrote, so this disk was rolled back.

        What we wrote in the old one gets dots of the new, because others may know other events under the old dots; and
        what others hold under the old ones is asked for at the next handshakes. See Store.renew_epoch.
        """
        if not self.published.may_renew:
            return Later.done(None)
        if self._renewal.is_done:  # else the new one is not known to anybody yet
            self._batch = None
            old, new = self.published.epoch, successor(self.published.epoch, self._new_mark())
            self.published = replace(self.published, epoch=new, renewals=self.published.renewals + 1)
            self._renewal = self._disk.run(lambda store: (store.renew_epoch(old, new), store.state)).transform(
                lambda done: self._publish(done[1], replace(done[0], is_revised=True))
            )
        return self._renewal

    def _end_batch(self) -> None:
        self._batch = None

    def _without_forks(self, entries: Sequence[Entry]) -> tuple[Entry, ...]:
        """Leave out what claims to be ours and is not: somebody plays with our epoch, and was given way often enough."""
        epoch, vector = self.published.epoch, self.published.state.vector
        return tuple(e for e in entries if e.dot is None or e.dot[0] != epoch or vector.covers(e.dot))

    def _publish_cleaning(self, state: StoreState, cleaning: Cleaning) -> None:
        self._publish(state, Appended((), (), cleaning=cleaning))

    def _publish(self, state: StoreState, appended: Appended) -> None:
        before, changes, cleaning = self.published.state.last_added, appended.changes, appended.cleaning
        is_same = not changes and not appended.is_revised and not cleaning.altered and state == self.published.state
        if is_same:
            return
        if appended.is_revised:
            self._tail = Tail(state.last_position)  # it may hold copies that lost: the store knows which are shown
        else:
            self._tail.revise(cleaning.altered, cleaning.dropped)
            self._tail.add(changes, state.last_position)
        self.published = Published(state, self.published.epoch, self.published.renewals)
        is_plain = [change.added for change in changes] == list(range(before + 1, state.last_added + 1))
        new = changes if is_plain else new_among(changes, cleaning.cleaned, before)
        self._announcer.announce(Commit(appended.dots, new, cleaning.cleaned))

    def _new_mark(self) -> str:
        """The time too: a machine that is rolled back twice to one moment draws the same random numbers twice."""
        return f"{self._clock.now_ms():x}-{self._random.getrandbits(MARK_BITS):010x}"

    def _new_epoch(self) -> Epoch:
        return f"{self._random.getrandbits(EPOCH_BITS):020x}"


def _metas(outcomes: Outcomes) -> list[Meta | None]:
    return [entry.meta if isinstance(entry, Entry) else None for entry in outcomes]
