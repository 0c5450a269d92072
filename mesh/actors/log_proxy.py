"""LogProxy: the log of a node as all but its keeper see it."""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar

import pykka

from mesh.actors.runtime.loop_actor import LoopActorRef, alive_or
from mesh.membership.diagnosis.store_trouble import StoreHealth, StoreTrouble
from peers.clock import Undo
from peers.codec.encoded import EncodedPieces
from peers.emitter import Emitter
from peers.events.ends import Ends
from peers.events.entry import Entry
from peers.events.event_error import Cause
from peers.facts.fact import Fact
from peers.facts.roster import Roster
from peers.failures import failures
from peers.later import Later
from peers.log.draft import BusyError, Draft, Meta, Waiting
from peers.log.retention import Keeper, Keepers
from peers.log.run_log import RunCommit, RunLog
from peers.log.run_tail import NotRecentError
from peers.log.write_batch import resolve_all
from peers.roles.neighbours import Neighbours
from peers.roles.summaries import SummaryBoard
from peers.stores.arrivals import WRITTEN_HERE
from peers.stores.run_store import Pen, RunState, RunStore
from peers.stores.store import PAGE_BYTES, PAGE_EVENTS, Page, StoreError
from peers.stores.taken import Taken

T = TypeVar("T")

LOG = logging.getLogger(__name__)
GROUP_EVENTS = 500
"""A request with so many takes no further adds."""
CLOSED = "the log was closed before it answered: what was added may be in it or not"
NOT_OPEN = "the log is not open: the node is not running, or just opens it again after a failure"


class LogClosedError(StoreError):
    """No log is open, or it was closed before it answered. Unless the node ends, it is opened again."""


class AddGroup:
    """Adds that travel to the keeper as one request. Those from any thread join it until the keeper takes it."""

    def __init__(self, lock: threading.RLock) -> None:
        """`lock` is held by those who call `join`."""
        self.size = 0
        """Bytes of its drafts."""
        self.loop: Any = None
        """The loop on which it is answered."""
        self._lock = lock
        self._drafts: list[Draft] = []
        self._results: list[tuple[int | slice, Later[Any]]] = []
        """For each add its results, and where they are among those of all drafts."""
        self._is_closed = False

    def __call__(self, log: RunLog) -> Later[list[Meta | ValueError | None]]:
        """The request."""
        return log.take_drafts(self.close())

    def join(self, drafts: Sequence[Draft], size: int, result: Later[Any], *, is_single: bool) -> bool:
        """Put an add in, whose result is that of its single draft or a list; False if the group is closed or full."""
        first = len(self._drafts)
        if self._is_closed or first >= GROUP_EVENTS or self.size >= PAGE_BYTES:
            return False
        self._drafts += drafts
        self._results.append((first if is_single else slice(first, len(self._drafts)), result))
        self.size += size
        return True

    def close(self) -> list[Draft]:
        """Nothing joins from now on; the drafts, in the order of the adds."""
        with self._lock:
            self._is_closed = True
            return self._drafts

    def answer(self, done: Later[list[Meta | ValueError | None]]) -> None:
        """Resolve the results of the adds, all of them: what a reaction to one raises is raised after that."""
        error = done.exception
        if isinstance(error, pykka.ActorDeadError):
            error = LogClosedError(CLOSED)
        metas = done.result() if error is None else []
        resolve_all([(result, metas[place] if error is None else error) for place, result in self._results])


class SafeListener:
    """A listener, but what it raises is logged: a bug of the application must not take an actor of ours down.

    Each session has two: this takes a third of the memory of closures.
    """

    __slots__ = ("_event", "_listener")

    def __init__(self, listener: Callable[..., Any], event: str) -> None:
        self._listener = listener
        self._event = event

    def __call__(self, *args: Any) -> None:
        try:
            self._listener(*args)
        except failures():
            LOG.exception("a listener of %r failed", self._event)


class LogProxy:
    """The log as sessions see it (it is a SyncLog): what was last published, and requests.

    Sessions are on the loop of the keeper, so their requests go straight to the log, and the results come in turns of the
    keeper. The others, `add`, `add_drafts` and the requests, wait for its turn, and may be made in any thread.

    Events: `commit` (Commit) for each commit, then `change` (); `event` (event, meta) for each new event, and `clean`
    (event, meta) for each that was cleaned, as it was before. Beside them `store` (sentence): the disk fails, or works again;
    `room` (): `has_room` has changed. `run` (): requests are answered again, or will not be any more.
    """

    def __init__(self) -> None:
        self.state: RunState
        """As of the last commit."""
        self.ends: Ends
        """The vector, as of the last commit."""
        self.pen: Pen
        """What own entries are signed with."""
        self.forks: Mapping[bytes, int] = {}
        """As RunLog.forks."""
        self.facts: Sequence[Fact] = ()
        """As RunLog.facts."""
        self.roster: Roster | None = None
        """As RunLog.roster."""
        self.encoded = EncodedPieces()
        """Pieces as sessions send them."""
        self.neighbours = Neighbours()
        """With which nodes sessions are connected."""
        self.summaries = SummaryBoard()
        """How the nodes of the mesh do."""
        self.last_event_ms = 0
        """The time of the event with the highest `added`; 0 without one, and until `find_last_event` has found it."""
        self.free: Later[None] = Later.done(None)
        """Resolved once the disk of the keeper before is closed."""
        self.has_room = True
        """Whether events of other nodes are taken: there is room on the disk."""
        self.ahead = 0
        """Events that came from further ahead than our clock follows."""
        self.differing: list[tuple[Entry, Entry]] = []
        """The last copies of events that differ, as EventLog.differing."""
        self.is_ended = True
        """Whether no node runs: a log that failed is opened again, unless this is set."""
        self._health = StoreHealth()
        self.refused_events: Counter[Cause] = Counter()
        """Events from others that were not taken, by cause."""
        self._emitter = Emitter()
        self._waiting = Waiting()
        self._group: AddGroup | None = None
        """Takes adds until the keeper comes to it."""
        self._joining = threading.RLock()
        """Held by who adds. If the keeper is dead, what waits for it fails in that thread, and reacts to that."""
        self._keepers = Keepers()
        self._keeper: LoopActorRef[Any] | None = None
        self._log: RunLog | None = None
        """The open log."""

    @property
    def is_open(self) -> bool:
        """Whether a keeper has published anything yet."""
        return hasattr(self, "state")

    @property
    def clock_ms(self) -> int:
        """The high-water mark of the log's timer; 0 before the start."""
        return self.state.clock_ms if self.is_open else 0

    @property
    def store_trouble(self) -> StoreTrouble | None:
        """What is wrong with the disk; None while it works."""
        return self._health.trouble

    @property
    def waiting_adds(self) -> tuple[int, int]:
        """How many events wait to be added, and their bytes."""
        return self._waiting.shown

    def find_last_event(self) -> None:
        """Read `last_event_ms` from the open log."""

        def found(done: Later[tuple[Entry, ...]]) -> None:
            if done.exception is None and not self.last_event_ms:
                self.last_event_ms = max([entry.time for entry in done.result()], default=0)

        self.read(lambda store: store.each(order="added", reverse=True, limit=1)).then(found)

    def kept_by(self, keeper: LoopActorRef[Any]) -> None:
        """From now on requests go to `keeper`."""
        self._keeper = keeper
        self.is_ended = False
        self.wake()

    @property
    def is_running(self) -> bool:
        """Whether requests are answered."""
        return self._keeper is not None

    def wake(self) -> None:
        """Let those who wait for events see whether they still wait for some."""
        self._emitter.emit("run")

    def end(self) -> None:
        """Called when the node ends."""
        self.is_ended = True
        self.wake()

    def on(self, event: str, listener: Callable[..., Any]) -> Undo:
        """Listen to one of the events above; returns the undo. What a listener raises is logged, and stops nothing."""
        return self._emitter.on(event, SafeListener(listener, event))

    # Requests

    def request(self, work: Callable[[RunLog], Later[T]]) -> Later[T]:
        """Call `work` with the open log in a turn of its keeper.

        The result is that of `work`, or StoreError where no log is open, or where it was closed before it answered.
        """
        keeper = self._keeper
        if keeper is None:
            return Later.failed(LogClosedError(NOT_OPEN))
        return alive_or(keeper.ask(work, block=False), LogClosedError(CLOSED))

    def request_in_order(self, work: Callable[[RunLog], Later[T]]) -> Later[T]:
        """A request that adds which follow do not overtake."""
        asked = self.request(work)
        self._group = None  # after it: another thread may have begun a group meanwhile
        return asked

    def add(self, draft: Draft) -> Later[Meta | None]:
        """Add a draft, with the other adds that wait for the keeper's turn. Fails as Log.add."""
        return self._add([draft], draft.size, is_single=True, may_be_refused=draft.created is not None)

    def add_drafts(self, drafts: Sequence[Draft]) -> Later[list[Meta | ValueError | None]]:
        """As RunLog.add_drafts; what is too much does not even reach the mailbox."""
        size, may_be_refused = sum([draft.size for draft in drafts]), any(draft.created is not None for draft in drafts)
        return self._add(drafts, size, is_single=False, may_be_refused=may_be_refused)

    def _add(self, drafts: Sequence[Draft], size: int, *, is_single: bool, may_be_refused: bool) -> Later[Any]:
        result: Later[Any] = Later()
        with self._joining:
            keeper = self._keeper
            if keeper is None:
                return Later.failed(LogClosedError(NOT_OPEN))
            try:
                self._waiting.take(len(drafts), size)
            except BusyError as error:
                return Later.failed(error)
            group = self._group
            if group is not None and not may_be_refused and group.join(drafts, size, result, is_single=is_single):
                result.loop = group.loop
                return result
            group = AddGroup(self._joining)
            self._group = None if may_be_refused else group  # it must not take others along
            group.join(drafts, size, result, is_single=is_single)
            group.loop = result.loop = keeper.actor_inbox.loop
            asked = keeper.ask(group, block=False)  # under the lock: no later request of another thread comes before it
        asked.then(partial(self._on_group_added, group))
        return result

    def read(self, work: Callable[[RunStore], T]) -> Later[T]:
        """As RunLog.read."""
        return self._ask(lambda log: log.read(work))

    def recall(self, work: Callable[[RunStore], T]) -> T:
        """As RunLog.recall. Raises NotRecentError also if no log is open."""
        if self._log is None:
            raise NotRecentError
        return self._log.recall(work)

    def write(self, work: Callable[[RunStore], Sequence[Taken]], via: str = WRITTEN_HERE) -> Later[Sequence[Taken]]:
        """As RunLog.write."""
        return self._ask(lambda log: log.write(work, via))

    @property
    def is_awaited(self) -> bool:
        """As RunLog.is_awaited; false if no log is open."""
        log = self._log
        return log is not None and log.is_awaited

    def follow(self, entries: Sequence[Entry]) -> int:
        """As RunLog.follow; 0 if no log is open."""
        return self._log.follow(entries) if self._log is not None else 0

    def offer(self, drafts: Sequence[Draft]) -> Later[list[Entry | ValueError | None]]:
        """As RunLog.offer."""
        return self._ask(lambda log: log.offer(drafts))

    def page(self, after: int, *, limit: int = PAGE_EVENTS, max_bytes: int = PAGE_BYTES) -> Later[Page]:
        """As RunLog.page."""
        return self._ask(lambda log: log.page(after, limit=limit, max_bytes=max_bytes))

    def recent(self, after: int, *, limit: int = PAGE_EVENTS, max_bytes: int = PAGE_BYTES) -> Page | None:
        """As RunLog.recent; None if no log is open."""
        return None if self._log is None else self._log.recent(after, limit=limit, max_bytes=max_bytes)

    def cursors(self, other_node_id: str) -> Later[tuple[int, int]]:
        """As RunLog.cursors."""
        return self._ask(lambda log: log.cursors(other_node_id))

    def keep_cursors(self, other_node_id: str, synced: int, other_synced: int) -> Later[None]:
        """As RunLog.keep_cursors."""
        return self._ask(lambda log: log.keep_cursors(other_node_id, synced, other_synced))

    def keep(self, keeper: Keeper) -> Undo:
        """As RunLog.keep, for this keeper of the log and those that come after it; `keeper` runs on the loop's thread."""
        return self._keepers.add(keeper)

    def keeps(self, event: dict[str, Any], meta: Meta) -> bool:
        """Called for each event that may be cleaned."""
        return self._keepers.keep(event, meta)

    def _ask(self, work: Callable[[RunLog], Later[T]]) -> Later[T]:
        return work(self._log) if self._log is not None else Later.failed(LogClosedError(NOT_OPEN))

    # For the keeper

    def open(self, log: RunLog) -> None:
        """Called when the log is open."""
        self._log = log
        self.note_success()
        self.note_room(True)
        self.ends, self.pen, self.forks, self.facts = log.ends, log.pen, log.forks, log.facts
        self.roster = log.roster
        self.publish(log.state, RunCommit())

    def publish(self, state: RunState, commit: RunCommit) -> None:
        """Called after each commit."""
        self.state = state
        if commit.taken.shown:
            self.last_event_ms = commit.taken.shown[-1].time
        self.roster = commit.taken.roster or self.roster
        for announcement in commit.announcements(self._emitter):
            self._emitter.emit(*announcement)

    def note_ahead(self, _entry: Entry) -> None:
        """Called by the keeper for an event from too far ahead."""
        self.ahead += 1

    def note_error(self, error: StoreError, now_ms: int, elapsed_ms: float) -> None:
        """Called by the keeper when the disk failed."""
        self._tell(self._health.on_error(error, now_ms, elapsed_ms))

    def note_success(self) -> None:
        """Called by the keeper when the disk took something."""
        self._tell(self._health.on_success())

    def note_room(self, has_room: bool) -> None:
        """Called by the keeper when it has looked how full the disk is."""
        if has_room != self.has_room:
            self.has_room = has_room
            self._emitter.emit("room")

    def _tell(self, sentence: str | None) -> None:
        if sentence is not None:
            self._emitter.emit("store", sentence)

    def note_refused(self, causes: Mapping[Cause, int]) -> None:
        """As RunLog.note_refused; called by sessions."""
        self.refused_events.update(causes)

    def withdraw(self) -> None:
        """Called by the keeper when it ends; listeners stay for the next one."""
        self._keeper = self._log = None

    def _on_group_added(self, group: AddGroup, done: Later[list[Meta | ValueError | None]]) -> None:
        drafts = group.close()  # the keeper may have ended before it took the group
        with self._joining:
            self._waiting.give_back(len(drafts), group.size)
        group.answer(done)
