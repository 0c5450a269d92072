"""EventLog: the live log over one store, and one way in for events."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from itertools import count, repeat
from random import Random
from typing import Any, Unpack, cast

from peers.clock import Clock, Undo
from peers.emitter import Emitter
from peers.events.columns import EventColumns
from peers.events.created import MAX_DRIFT_MS, Created, Timer
from peers.events.entry import Entry, encode_diff
from peers.events.event_error import Cause
from peers.events.reasons import DEFAULT_REASON
from peers.later import Later
from peers.log.draft import BusyError, Draft, Meta, Waiting, add_batch, make_draft, read_created
from peers.log.moments import LogWalk, Moment, read_start, read_walk
from peers.log.port import Announcer
from peers.log.retention import Bounds, Keeper, LogRetention, in_steps
from peers.log.timing import followed
from peers.log.write_batch import Outcomes
from peers.stores.disk import Disk
from peers.stores.run_store import RunState, RunStore
from peers.stores.store import LOOK_EVENTS, PAGE_EVENTS, Cleaning, Looked, Place, WalkOptions


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
    def state(self) -> RunState:
        """That of the store, as of the last commit."""

    @abstractmethod
    def _append(
        self,
        entries: Sequence[Entry],
        keys: Sequence[str] = (),
        *,
        is_joined: bool = False,
        is_each_alone: bool = False,
    ) -> Later[Outcomes]:
        """Append in one transaction. `is_joined`: it may be that of other requests, since none of these can be refused.

        `keys`: of each entry, or "" if it has none; empty if none has one.
        """

    @abstractmethod
    def _end_batch(self) -> None:
        """What is added from now on comes after what is asked now."""

    @abstractmethod
    def _publish_cleaning(self, state: RunState, cleaning: Cleaning) -> None:
        """Some events were cleaned, or have another meta."""

    def on(self, event: str, listener: Callable[..., Any]) -> Undo:
        """Listen to one of the events above; returns the undo."""
        return self._emitter.on(event, listener)

    @property
    def last_added(self) -> int:
        return self.state.last_added

    def add(
        self, event: dict[str, Any], meta: Mapping[str, Any] | None = None, *, key: str | None = None
    ) -> Later[Meta | None]:
        """Add one event; the result is its meta after the commit, or None if its `created` was known already.

        `meta` may give `created`, `time` and the application's own keys. A known `key` adds nothing, and the result is the
        first meta: see `append_once`. Fails with ValueError (not an event, too large, a known `created` or `key` with another
        event), which is a TypeError too for a value that JSON has not and a key that is no str; BusyError or StoreError.
        """
        try:
            draft = make_draft(event, meta, key)
        except ValueError as error:
            return Later.failed(error)
        return self.add_drafts([draft]).transform(_only)

    def add_batch(
        self, items: Sequence[tuple[Any, Mapping[str, Any] | None]], *, keys: Sequence[str | None] | None = None
    ) -> Later[list[Meta | ValueError | None]]:
        """Add (event, meta) pairs in one transaction, in order: for each its meta, None if it was known, or what is wrong.

        `keys` has the key of each, or None, as `add` takes it. A bad one loses no good one. Fails with BusyError or StoreError,
        then none of them is added, and with ValueError for another number of keys.
        """
        return add_batch(items, keys, self.add_drafts)

    def add_drafts(self, drafts: Sequence[Draft]) -> Later[list[Meta | ValueError | None]]:
        """Add drafts in one transaction. Fails as `add` does, then none of them is added.

        The ValueError of one whose key is known for another event is its result, and the others are added.
        """
        count, size = len(drafts), sum([draft.size for draft in drafts])
        try:
            self._waiting.take(count, size)
        except BusyError as error:
            return Later.failed(error)
        added = self.take_drafts(drafts)
        added.then(lambda _: self._waiting.give_back(count, size))
        return added

    def take_drafts(self, drafts: Sequence[Draft]) -> Later[list[Meta | ValueError | None]]:
        """As add_drafts; who adds them bounds their number."""
        entries = self.prepare(drafts)
        if isinstance(entries, EventColumns):
            return self._append(entries, is_joined=True).transform(_metas)
        keys = [draft.key for draft in drafts]
        is_joined = all(draft.created is None for draft in drafts)
        return self._append(entries, keys if any(keys) else (), is_joined=is_joined).transform(_metas)

    def offer(self, drafts: Sequence[Draft]) -> Later[list[Entry | ValueError | None]]:
        """Take what a Logux client or server sent in one transaction; who sends it bounds its number.

        For each draft, in order: the entry as stored, None if it was known already, or the ValueError of a known `created`
        with another event, which keeps no other one out. Fails with StoreError, then none of them is taken.
        """
        return self._append(self.prepare(drafts), is_each_alone=True).transform(list)

    def prepare(self, drafts: Sequence[Draft]) -> Sequence[Entry]:
        """The entries that are offered to the store for drafts."""
        timer, latest = self._timer, self._clock.now_ms() + self._max_drift_ms
        bodies = [
            draft.body
            for draft in drafts
            if not draft.extra and draft.created is None and draft.time is None and not draft.key
        ]
        if bodies and len(bodies) == len(drafts):  # nearly always
            ms, node_id, n = timer.several(len(bodies))
            if ms == timer.time <= latest:
                return EventColumns(node_id, [ms] * len(bodies), range(n, n + len(bodies)), bodies)
            createds = zip(repeat(ms), repeat(node_id), count(n), strict=False)
            return list(map(Entry, createds, repeat(min(timer.time, latest)), bodies))
        entries: list[Entry] = []
        for draft in drafts:
            if draft.created is not None:
                timer.see(draft.created[0])
                created, time = draft.created, draft.created[0]
            else:
                created, time = timer.next(), timer.time
            if draft.time is not None:
                time = draft.time
            if time > latest and not draft.is_fixed:
                time = latest
            entries.append(Entry(created, time, draft.body, draft.extra))
        return entries

    def note_refused(self, causes: Mapping[Cause, int]) -> None:
        """Count events that were sent to us and are not taken, by cause."""
        self.refused_events.update(causes)

    def cursors(self, other_node_id: str) -> Later[tuple[int, int]]:
        """(synced, other_synced) as kept for a Logux client or server, (0, 0) if nothing is."""
        return self._disk.run(lambda store: store.cursors(other_node_id))

    def keep_cursors(self, other_node_id: str, synced: int, other_synced: int) -> Later[None]:
        """Keep both, over a restart too, until MAX_CURSORS others were kept later."""
        return self._disk.run(lambda store: store.keep_cursors(other_node_id, synced, other_synced))

    def each(self, **options: Unpack[LogWalk]) -> Later[tuple[Entry, ...]]:
        """A page of the events, as RunStore.each. Fails with ValueError or StoreError.

        What is left out is looked at step by step, so that others have their turn.
        """
        with_undone = options.pop("undone", True)
        try:
            walk = read_walk(self._clock.now_ms(), **options)
        except ValueError as error:
            return Later.failed(error)
        found: list[Entry] = []
        limit = walk.get("limit", PAGE_EVENTS)

        def look(after: Entry | None) -> Later[Entry | None]:
            step: WalkOptions = {**walk, "limit": limit - len(found)}
            if after is not None:
                step["after"] = after
            return self._disk.run(lambda store: read(store, step)).transform(note)

        def read(store: RunStore, step: WalkOptions) -> Looked:
            entries, rest = store.look(LOOK_EVENTS, **step)
            undone = set() if with_undone else store.undone([entry.created for entry in entries])
            return Looked(
                tuple([entry for entry in entries if entry.created not in undone]) if undone else entries, rest
            )

        def note(looked: Looked) -> Entry | None:
            found.extend(looked.entries)
            return looked.rest if len(found) < limit else None

        return in_steps(look, walk["after"]).transform(lambda _: tuple(found))

    def start_of(self, since: Moment | None) -> tuple[int, Place | None]:
        """Where a walk begins that goes on with what comes: as `read_start`, now. Raises ValueError."""
        after, younger_than = read_start(since, self._clock.now_ms())
        if after > self.last_added:
            raise ValueError(
                f"this log ends at {self.last_added}, so nothing has been read up to {after} here: `since` is of another log, "
                "or of this one before a backup of it was restored"
            )
        return after, younger_than

    def find(self, created: Any) -> Later[Entry | None]:
        """The event with this `created`, None if there is none or it was cleaned. Fails with ValueError or StoreError."""
        return self._life.find(created)

    def undone(self, createds: Collection[Created]) -> Later[set[Created]]:
        """Those of these events that are undone, as RunStore.undone. Fails with StoreError."""
        return self._disk.run(lambda store: store.undone(createds))

    def aside(self) -> Later[tuple[Entry, ...]]:
        """Losing copies of conflicting events, oldest first, as far as their bodies are kept."""
        return self._disk.run(lambda store: tuple([copy for copy in store.aside() if not copy.tombstone]))

    def differing(self, last: int) -> Later[list[tuple[Entry, Entry]]]:
        """The last copies that lost, each after the one that is shown."""

        def read(store: RunStore) -> list[tuple[Entry, Entry]]:
            pairs = [(store.find(copy.created), copy) for copy in store.aside(last)]
            return [(shown, copy) for shown, copy in pairs if shown is not None]

        return self._disk.run(read)

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


def _metas(outcomes: Outcomes) -> list[Meta | ValueError | None]:
    if isinstance(outcomes, EventColumns):
        return list(outcomes.metas())
    return [cast(Meta, outcome.meta) if isinstance(outcome, Entry) else outcome for outcome in outcomes]


def _only(outcomes: list[Meta | ValueError | None]) -> Meta | None:
    """Of one add. Raises the ValueError of one whose key is known for another event."""
    (outcome,) = outcomes
    if isinstance(outcome, ValueError):
        raise outcome
    return outcome
