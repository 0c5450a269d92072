"""LogProxy: the log of a node as all but its keeper see it."""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Unpack

import pykka

from mesh.actors.runtime.loop_actor import LoopActorRef
from mesh.membership.diagnosis.store_trouble import StoreHealth, StoreTrouble
from peers.clock import Undo
from peers.emitter import Emitter
from peers.events.entry import Entry, encode_diff
from peers.events.event_error import Cause
from peers.events.reasons import DEFAULT_REASON
from peers.events.version_vector import VersionVector
from peers.later import Later
from peers.log.draft import BusyError, Draft, Meta, Waiting, add_batch, make_draft, read_created
from peers.log.log import Published
from peers.log.moments import LogWalk, Moment
from peers.log.retention import Bounds, Keeper, Keepers
from peers.stores.store import PAGE_BYTES, PAGE_EVENTS, Appended, Page, StoreError

LOG = logging.getLogger(__name__)
GROUP_EVENTS = 500
"""Single adds in one request at most."""
CLOSED = "the log was closed before it answered: what was added may be in it or not"
NOT_OPEN = "the log is not open: the node is not running, or just opens it again after a failure"


@dataclass(frozen=True, slots=True)
class LogRequest:
    """One call of a method of the log."""

    method: str
    arguments: tuple[Any, ...] = ()
    options: tuple[tuple[str, Any], ...] = ()


class AddGroup:
    """Single adds that travel to the keeper as one request. Adds from any thread join it until the keeper takes it."""

    def __init__(self) -> None:
        self.size = 0
        """Bytes of its drafts."""
        self.loop: Any = None
        """The loop on which it is answered."""
        self._lock = threading.Lock()
        self._drafts: list[Draft] = []
        self._results: list[Later[Meta | None]] = []
        self._is_closed = False

    def join(self, draft: Draft, size: int, result: Later[Meta | None]) -> bool:
        """Put an add in; False if the group is closed or full."""
        with self._lock:
            if self._is_closed or len(self._drafts) >= GROUP_EVENTS or self.size >= PAGE_BYTES:
                return False
            self._drafts.append(draft)
            self._results.append(result)
            self.size += size
            return True

    def close(self) -> list[Draft]:
        """Nothing joins from now on; the drafts, in the order of the adds."""
        with self._lock:
            self._is_closed = True
            return self._drafts

    def answer(self, done: Later[list[Meta | None]]) -> None:
        """Resolve the results of the adds, all of them: what a reaction to one raises is raised after that."""
        error = done.exception
        if isinstance(error, pykka.ActorDeadError):
            error = StoreError(CLOSED)
        metas = done.result() if error is None else [None] * len(self._results)
        first_error: Exception | None = None
        for result, meta in zip(self._results, metas, strict=True):
            try:
                if error is not None:
                    result.fail(error)
                else:
                    result.set(meta)
            except Exception as raised:  # noqa: BLE001 - the other adds are answered first; it is raised below
                first_error = first_error or raised
        if first_error is not None:
            raise first_error


def safely(listener: Callable[..., Any], event: str) -> Callable[..., None]:
    """`listener`, but what it raises is logged: a bug of the application must not take an actor of ours down."""

    def call(*args: Any) -> None:
        try:
            listener(*args)
        except Exception:
            LOG.exception("a listener of %r failed", event)

    return call


class LogProxy:
    """The log as sessions and the node's facade see it: what was last published, and requests to the keeper.

    Events: `fresh` (vector) with the dots of each commit, then `change` (); `event` (event, meta) for each new event, and
    `clean` (event, meta) for each that was cleaned, as it was before. To be used on the loop's thread, but for the requests,
    which any thread may make. Beside them `store` (sentence): the disk fails, or works again.
    """

    def __init__(self) -> None:
        self.published: Published
        self.free: Later[None] = Later.done(None)
        """Resolved once the disk of the keeper before is closed."""
        self.ahead = 0
        """Events that came from further ahead than our clock follows."""
        self._health = StoreHealth()
        self.refused_events: Counter[Cause] = Counter()
        """Events from others that were not taken, by cause."""
        self._emitter = Emitter()
        self._waiting = Waiting()
        self._group: AddGroup | None = None
        """Takes single adds until the keeper comes to it."""
        self._joining = threading.Lock()
        self._keepers = Keepers()
        self._keeper: LoopActorRef[Any] | None = None

    @property
    def is_open(self) -> bool:
        """Whether a keeper has published anything yet."""
        return hasattr(self, "published")

    @property
    def clock_ms(self) -> int:
        """The high-water mark of the log's timer; 0 before the start."""
        return self.published.state.clock_ms if self.is_open else 0

    @property
    def store_trouble(self) -> StoreTrouble | None:
        """What is wrong with the disk; None while it works."""
        return self._health.trouble

    def kept_by(self, keeper: LoopActorRef[Any]) -> None:
        """From now on requests go to `keeper`."""
        self._keeper = keeper

    def on(self, event: str, listener: Callable[..., Any]) -> Undo:
        """Listen to one of the events above; returns the undo. What a listener raises is logged, and stops nothing."""
        return self._emitter.on(event, safely(listener, event))

    def add(self, event: dict[str, Any], meta: Meta | None = None) -> Later[Meta | None]:
        """As Log.add; the event is encoded before this returns."""
        try:
            draft = make_draft(event, meta)
        except ValueError as error:
            return Later.failed(error)
        if draft.created is not None:  # it may be refused, and must not take others along
            return self.add_drafts([draft]).transform(lambda metas: metas[0])
        return self._join(draft)

    def add_batch(self, items: Sequence[tuple[Any, Meta | None]]) -> Later[list[Meta | ValueError | None]]:
        """As Log.add_batch; the events are encoded before this returns."""
        return add_batch(items, self.add_drafts)

    def add_drafts(self, drafts: Sequence[Draft]) -> Later[list[Meta | None]]:
        """As Log.add_drafts; what is too much does not even reach the mailbox."""
        count, size = len(drafts), sum(draft.size for draft in drafts)
        try:
            self._waiting.take(count, size)
        except BusyError as error:
            return Later.failed(error)
        added = self._write("add_drafts", drafts)
        added.then(lambda _: self._waiting.give_back(count, size))
        return added

    def add_entries(self, entries: Sequence[Entry]) -> Later[Appended]:
        """As Log.add_entries."""
        return self._request("add_entries", entries)

    def offer(self, drafts: Sequence[Draft]) -> Later[list[Entry | ValueError | None]]:
        """As Log.offer."""
        return self._request("offer", drafts)

    def page(
        self, after: int, *, lacking: VersionVector | None = None, limit: int = PAGE_EVENTS, max_bytes: int = PAGE_BYTES
    ) -> Later[Page]:
        """As Log.page."""
        return self._request("page", after, lacking=lacking, limit=limit, max_bytes=max_bytes)

    def first_lacked(self, vector: VersionVector) -> Later[int]:
        """As Log.first_lacked."""
        return self._request("first_lacked", vector)

    def renew_epoch(self) -> Later[None]:
        """As Log.renew_epoch."""
        return self._request("renew_epoch")

    def cursors(self, other_node_id: str) -> Later[tuple[int, int]]:
        """As Log.cursors."""
        return self._request("cursors", other_node_id)

    def keep_cursors(self, other_node_id: str, synced: int, other_synced: int) -> Later[None]:
        """As Log.keep_cursors."""
        return self._request("keep_cursors", other_node_id, synced, other_synced)

    def each(self, **options: Unpack[LogWalk]) -> Later[tuple[Entry, ...]]:
        """As Log.each."""
        return self._request("each", **options)

    def find(self, created: Any) -> Later[Entry | None]:
        """As Log.find."""
        return self._request("find", created)

    def remove_reason(self, reason: str | Sequence[str], **bounds: Unpack[Bounds]) -> Later[int]:
        """As Log.remove_reason."""
        return self._write("remove_reason", reason, **bounds)

    def add_reason(self, reason: str | Sequence[str], **bounds: Unpack[Bounds]) -> Later[int]:
        """As Log.add_reason."""
        return self._write("add_reason", reason, **bounds)

    def change_meta(self, created: Any, diff: Meta) -> Later[bool]:
        """As Log.change_meta; the changes are encoded before this returns."""
        try:
            return self._write("apply_diff", read_created(created), encode_diff(diff))
        except ValueError as error:
            return Later.failed(error)

    def keep(self, keeper: Keeper) -> Undo:
        """As Log.keep, for this keeper of the log and those that come after it; `keeper` runs on the loop's thread."""
        return self._keepers.add(keeper)

    def keeps(self, event: dict[str, Any], meta: Meta) -> bool:
        """Called for each event that may be cleaned."""
        return self._keepers.keep(event, meta)

    def clean(self, *, reasons: str | Sequence[str] = DEFAULT_REASON, before: Moment | None = None) -> Later[int]:
        """As Log.clean."""
        return self._write("clean", reasons=reasons, before=before)

    def publish(self, published: Published, fresh: VersionVector) -> None:
        """Called by the keeper after each commit, with its dots."""
        self.published = published
        self._emitter.emit("fresh", fresh)
        self._emitter.emit("change")

    def announce(self, entry: Entry) -> None:
        """Called by the keeper for each new event; decoded only if there are listeners."""
        if self._emitter.has_listeners("event"):
            self._emitter.emit("event", entry.event, entry.meta)

    def announce_cleaned(self, entry: Entry) -> None:
        """Called by the keeper for each event that was cleaned."""
        if self._emitter.has_listeners("clean"):
            self._emitter.emit("clean", entry.event, entry.meta)

    def note_ahead(self, _entry: Entry) -> None:
        """Called by the keeper for an event from too far ahead."""
        self.ahead += 1

    def note_error(self, error: StoreError, now_ms: int, elapsed_ms: float) -> None:
        """Called by the keeper when the disk failed."""
        self._tell(self._health.on_error(error, now_ms, elapsed_ms))

    def note_success(self) -> None:
        """Called by the keeper when the disk took something."""
        self._tell(self._health.on_success())

    def _tell(self, sentence: str | None) -> None:
        if sentence is not None:
            self._emitter.emit("store", sentence)

    def note_refused(self, causes: Mapping[Cause, int]) -> None:
        """As Log.note_refused; called by sessions."""
        self.refused_events.update(causes)

    def withdraw(self) -> None:
        """Called by the keeper when it ends; listeners stay for the next one."""
        self._keeper = None

    def _join(self, draft: Draft) -> Later[Meta | None]:
        """Add a draft with the other single adds that wait for the keeper's turn."""
        size = draft.size
        try:
            self._waiting.take(1, size)
        except BusyError as error:
            return Later.failed(error)
        result: Later[Meta | None] = Later()
        with self._joining:
            group = self._group
            if group is not None and group.join(draft, size, result):
                result.loop = group.loop
                return result
            keeper = self._keeper
            if keeper is None:
                self._waiting.give_back(1, size)
                return Later.failed(StoreError(NOT_OPEN))
            group = self._group = AddGroup()
            group.join(draft, size, result)
            asked = keeper.ask(group, block=False)
            group.loop = result.loop = asked.loop
        asked.then(partial(self._on_group_added, group))
        return result

    def _on_group_added(self, group: AddGroup, done: Later[list[Meta | None]]) -> None:
        drafts = group.close()  # the keeper may have ended before it took the group
        self._waiting.give_back(len(drafts), group.size)
        group.answer(done)

    def _write(self, method: str, *arguments: Any, **options: Any) -> Later[Any]:
        """A request that single adds which follow must not overtake."""
        self._group = None
        return self._request(method, *arguments, **options)

    def _request(self, method: str, *arguments: Any, **options: Any) -> Later[Any]:
        if self._keeper is None:
            return Later.failed(StoreError(NOT_OPEN))
        asked = self._keeper.ask(LogRequest(method, arguments, tuple(options.items())), block=False)
        result: Later[Any] = Later()
        result.loop = asked.loop

        def answer(done: Later[Any]) -> None:
            if isinstance(done.exception, pykka.ActorDeadError):
                result.fail(StoreError(CLOSED))
            else:
                result.follow(done)

        asked.then(answer)
        return result
