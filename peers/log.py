"""A node's log: what was committed, in memory what sessions need of it, and one way in for events."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, Protocol

from peers.clock import Clock, Undo
from peers.created import MAX_DRIFT_MS, Created, HybridTimer, Timer, check_created
from peers.disk import Disk
from peers.emitter import Emitter
from peers.entry import Entry, encode_event, encode_extra
from peers.later import Later
from peers.stores.lineage import successor
from peers.stores.store import PAGE_BYTES, PAGE_EVENTS, Appended, Order, Page, StoreState
from peers.tail import Tail
from peers.version_vector import Epoch, VersionVector

EPOCH_BITS = 80
MARK_BITS = 40
MAX_WAITING = 50_000
"""Own events that may wait for the disk; beyond it `add` fails with BusyError: whoever adds should wait for earlier ones."""

Meta = dict[str, Any]


class BusyError(Exception):
    """More events wait for the disk than the log takes: wait for the earlier results, then try again."""


@dataclass(frozen=True, slots=True)
class Published:
    """What anybody may know of a log, as of its last commit."""

    state: StoreState
    epoch: Epoch
    """Where the log's own writes get their dots."""


class SyncLog(Protocol):
    """What a role needs of a log. A Log is one; an actor's view of it is another."""

    @property
    def published(self) -> Published: ...

    def add_entries(self, entries: Sequence[Entry]) -> Later[Appended]: ...

    def page(
        self, after: int, *, lacking: VersionVector | None = None, limit: int = PAGE_EVENTS, max_bytes: int = PAGE_BYTES
    ) -> Later[Page]: ...

    def first_lacked(self, vector: VersionVector) -> Later[int]: ...

    def renew_epoch(self) -> Later[None]: ...

    def on(self, event: str, listener: Callable[..., Any]) -> Undo: ...


class Log:
    """The live log over one store. Everything in it runs on one thread; only `Disk` works elsewhere.

    Events: `event` (event, meta) for each new event in the order of `added`, and `entry` (entry) for the same undecoded;
    `fresh` (vector) with the dots of each commit, then `change` (); `ahead` (entry) for an event whose time is too far ahead
    of our clock to be followed.
    """

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
        self._disk = disk
        self._timer = timer
        self._clock = clock
        self._random = random
        self._max_drift_ms = max_drift_ms
        self._tail = Tail(state.last_position)
        self._emitter = Emitter()
        self._waiting = 0
        self._news: deque[Entry | VersionVector] = deque()
        """What listeners were not told yet: an entry, or the dots of a commit. Empty between two commits."""
        self._is_announcing = False
        self._renewal: Later[None] = Later.done(None)
        self.published = Published(state, self._new_epoch())

    @classmethod
    def open(
        cls, disk: Disk, node_id: str, *, clock: Clock, random: Random, max_drift_ms: int = MAX_DRIFT_MS
    ) -> Later[Log]:
        """The log over `disk`, once its store could be read. Fails with StoreError."""

        def start(state: StoreState) -> Log:
            timer = HybridTimer(node_id, clock.now_ms, after_ms=state.clock_ms, max_drift_ms=max_drift_ms)
            return cls(disk, state, timer=timer, clock=clock, random=random, max_drift_ms=max_drift_ms)

        return disk.run(lambda store: store.state).transform(start)

    def on(self, event: str, listener: Callable[..., Any]) -> Undo:
        """Listen to one of the events above; returns the undo."""
        return self._emitter.on(event, listener)

    @property
    def last_added(self) -> int:
        return self.published.state.last_added

    def add(self, event: dict[str, Any], meta: Meta | None = None) -> Later[Meta | None]:
        """Add one event; the result is its meta after the commit, or None if its `created` was known already.

        `meta` may give `created`, `time` and the application's own keys. Fails with ValueError (not an event, too large, a
        known `created` with another event), BusyError or StoreError.
        """
        try:
            entry = self.prepare(event, meta)
        except ValueError as error:
            return Later.failed(error)
        return self.add_own([entry]).transform(_first_meta)

    def add_batch(self, items: Sequence[tuple[Any, Meta | None]]) -> Later[list[Meta | ValueError | None]]:
        """Add (event, meta) pairs in one transaction, in order: for each its meta, None if it was known, or what is wrong.

        A bad one loses no good one. Fails with BusyError or StoreError, then none of them is added.
        """
        outcomes: list[Meta | ValueError | None] = []
        entries: list[Entry] = []
        places: list[int] = []
        for event, meta in items:
            outcomes.append(None)
            try:
                entries.append(self.prepare(event, meta))
            except ValueError as error:
                outcomes[-1] = error
            else:
                places.append(len(outcomes) - 1)

        def fill(appended: Appended) -> list[Meta | ValueError | None]:
            for place, entry in zip(places, appended.results, strict=True):
                outcomes[place] = None if entry is None else entry.meta
            return outcomes

        return self.add_own(entries).transform(fill)

    def add_own(self, entries: Sequence[Entry]) -> Later[Appended]:
        """Add prepared entries in one transaction. Fails as `add` does, then none of them is added."""
        if self._waiting and self._waiting + len(entries) > MAX_WAITING:
            return Later.failed(BusyError(f"{self._waiting} events wait for the disk: wait for them, then try again"))
        self._waiting += len(entries)
        added = self.add_entries(entries)
        added.then(lambda _: self._on_own_added(len(entries)))
        return added

    def prepare(self, event: dict[str, Any], meta: Meta | None = None) -> Entry:
        """The entry that `add` would offer to the store. Raises ValueError, with a sentence."""
        body = encode_event(event)
        if not meta:
            created = self._timer.next()
            return Entry(created, self._bounded(created[0]), body)
        extra = {key: value for key, value in meta.items() if key not in {"created", "time"}}
        given = meta.get("created")
        created = self._timer.next() if given is None else _read_created(given)
        if given is not None:
            self._timer.see(created[0])
        time = meta.get("time", created[0])
        if not isinstance(time, int) or isinstance(time, bool) or time < 0:
            raise ValueError(f"time must be a number of ms, not {time!r}")
        return Entry(created, self._bounded(time), body, encode_extra(extra))

    def add_entries(self, entries: Sequence[Entry]) -> Later[Appended]:
        """Take received entries in one transaction; who sends them bounds their number. Fails with ValueError or StoreError."""
        offered = tuple(entries)
        self._follow_times(offered)
        epoch, clock_ms = self.published.epoch, self._timer.ms

        def work(store: Any) -> tuple[Appended, StoreState]:
            return store.append(offered, epoch=epoch, clock_ms=clock_ms), store.state

        result: Later[Appended] = Later()

        def committed(done: Later[tuple[Appended, StoreState]]) -> None:
            if done.exception is not None:
                result.fail(done.exception)
                return
            appended, state = done.result()
            try:
                self._publish(state, appended.changes, is_revised=appended.is_revised)
            finally:  # a listener that fails does not undo the commit
                if appended.is_forked and epoch == self.published.epoch:
                    self.renew_epoch()
                result.set(appended)

        self._disk.run(work).then(committed)
        return result

    def page(
        self, after: int, *, lacking: VersionVector | None = None, limit: int = PAGE_EVENTS, max_bytes: int = PAGE_BYTES
    ) -> Later[Page]:
        """Committed changes after a position, as Store.page; from memory when it is recent. Fails with StoreError."""
        page = self._tail.page(after, lacking=lacking, limit=limit, max_bytes=max_bytes)
        if page is not None:
            return Later.done(page)
        return self._disk.run(lambda store: store.page(after, lacking=lacking, limit=limit, max_bytes=max_bytes))

    def first_lacked(self, vector: VersionVector) -> Later[int]:
        """The lowest position that `vector` does not cover, as Store.first_lacked."""
        return self._disk.run(lambda store: store.first_lacked(vector))

    def renew_epoch(self) -> Later[None]:
        """Start another epoch: somebody has seen more of ours than we wrote, so this disk was rolled back.

        What we wrote in the old one gets dots of the new, because others may know other events under the old dots; and
        what others hold under the old ones is asked for at the next handshakes. See Store.renew_epoch.
        """
        if self._renewal.is_done:  # else the new one is not known to anybody yet
            old, new = self.published.epoch, successor(self.published.epoch, self._new_mark())
            self.published = Published(self.published.state, new)
            self._renewal = self._disk.run(lambda store: (store.renew_epoch(old, new), store.state)).transform(
                lambda done: self._publish(done[1], done[0].changes, is_revised=True)
            )
        return self._renewal

    def each(
        self, *, order: Order = "created", after: Entry | None = None, since: int = 0, limit: int = PAGE_EVENTS
    ) -> Later[tuple[Entry, ...]]:
        """A page of the events, as Store.each."""
        return self._disk.run(lambda store: store.each(order=order, after=after, since=since, limit=limit))

    def aside(self) -> Later[tuple[Entry, ...]]:
        """Losing copies of conflicting events, as Store.aside."""
        return self._disk.run(lambda store: store.aside())

    def close(self) -> Later[None]:
        """Close the store after what waits; no more events come."""
        self._emitter.clear()
        return self._disk.close()

    def _on_own_added(self, count: int) -> None:
        self._waiting -= count

    def _publish(self, state: StoreState, changes: Sequence[Entry], *, is_revised: bool) -> None:
        before = self.published.state.last_added
        if not changes and not is_revised and state == self.published.state:
            return
        if is_revised:
            self._tail = Tail(state.last_position)  # it may hold copies that lost: the store knows which are shown
        else:
            self._tail.add(changes, state.last_position)
        self.published = Published(state, self.published.epoch)
        self._news.append(VersionVector().adds(change.dot for change in changes if change.dot is not None))
        for entry in changes:
            if entry.added > before:  # a further dot of an older event is no news
                before = entry.added
                self._news.append(entry)
        if not self._is_announcing:  # else a listener added something: it comes after what is being announced
            self._announce()

    def _announce(self) -> None:
        first_error: Exception | None = None
        self._is_announcing = True
        try:
            while self._news:
                try:
                    self._announce_one(self._news.popleft())
                except Exception as error:  # noqa: BLE001 - the rest is announced all the same; it is raised below
                    first_error = first_error or error
        finally:
            self._is_announcing = False
        if first_error is not None:
            raise first_error

    def _announce_one(self, entry: Entry | VersionVector) -> None:
        if isinstance(entry, VersionVector):
            self._emitter.emit("fresh", entry)
            self._emitter.emit("change")
            return
        self._emitter.emit("entry", entry)
        if self._emitter.has_listeners("event"):
            self._emitter.emit("event", entry.event, entry.meta)

    def _follow_times(self, entries: Sequence[Entry]) -> None:
        limit = self._clock.now_ms() + self._max_drift_ms
        highest = 0
        for entry in entries:
            if entry.dot is None:
                continue  # our own: its time is from our timer
            ms = max(entry.time, entry.created[0])
            if ms > limit:
                self._emitter.emit("ahead", entry)
            elif ms > highest:
                highest = ms
        if highest:
            self._timer.see(highest)

    def _bounded(self, time: int) -> int:
        return min(time, self._clock.now_ms() + self._max_drift_ms)

    def _new_mark(self) -> str:
        """The time too: a machine that is rolled back twice to one moment draws the same random numbers twice."""
        return f"{self._clock.now_ms():x}-{self._random.getrandbits(MARK_BITS):010x}"

    def _new_epoch(self) -> Epoch:
        return f"{self._random.getrandbits(EPOCH_BITS):020x}"


def _first_meta(appended: Appended) -> Meta | None:
    entry = appended.results[0]
    return None if entry is None else entry.meta


def _read_created(value: Any) -> Created:
    match value:
        case (int(ms), str(node_id), int(n)) if not isinstance(ms, bool) and not isinstance(n, bool):
            created = (ms, node_id, n)
            check_created(created)
            return created
        case _:
            raise ValueError(f"created must be [ms, node_id, n], not {value!r}")
