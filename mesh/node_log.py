"""NodeLog: the log of a node as applications see it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Unpack, cast, overload

from mesh.actors.log_proxy import LogProxy
from mesh.errors import MeshError
from mesh.log_walks import EventWalk, Follower
from peers.clock import Undo
from peers.emitter import checked
from peers.events.created import Created
from peers.events.entry import Entry, EventMeta, encode_diff
from peers.events.reasons import DEFAULT_REASON
from peers.later import Later
from peers.log.draft import add_batch, make_draft, make_undo, read_created
from peers.log.event_story import EventStory, read_story
from peers.log.moments import Moment, read_types
from peers.log.retention import Bounds, Keeper
from peers.stores.store import PAGE_EVENTS, Order


class NodeLog:
    """The log of a node, for applications; `Node.log` is one. It can be used in any thread.

        meta = node.log.add({"type": "milk"}).get()
        for event, meta in node.log.each():
            print(event["type"])

    Results are Later: `await` them on the node's loop, or call `.get()` in any other thread. Each call raises MeshError in a
    process that was forked, and its result fails with StoreError while the node does not run or when the disk fails.
    """

    def __init__(self, log: LogProxy) -> None:
        self._log_proxy = log
        self._refusal = ""

    def disown(self, why: str) -> None:
        """Called in a forked process: from now on every call raises MeshError with the sentence `why`."""
        self._refusal = why
        self._log_proxy.wake()

    @property
    def is_disowned(self) -> bool:
        """Whether this process was forked from the one that the node runs in."""
        return bool(self._refusal)

    def check(self) -> None:
        """Raise MeshError if this process was forked from the one that the node runs in."""
        if self._refusal:
            raise MeshError(self._refusal)

    @property
    def _log(self) -> LogProxy:
        self.check()
        return self._log_proxy

    @property
    def last_added(self) -> int:
        """The `added` of the newest event of this log. Raises MeshError before the start."""
        if not self._log.is_open:
            raise MeshError("this node is not running")
        return self._log.state.last_added

    @overload
    def add(self, event: dict[str, Any], meta: None = None, *, key: str | None = None) -> Later[EventMeta]: ...

    @overload
    def add(self, event: dict[str, Any], meta: Mapping[str, Any], *, key: str) -> Later[EventMeta]: ...

    @overload
    def add(
        self, event: dict[str, Any], meta: Mapping[str, Any] | None = None, *, key: str | None = None
    ) -> Later[EventMeta | None]: ...

    def add(
        self, event: dict[str, Any], meta: Mapping[str, Any] | None = None, *, key: str | None = None
    ) -> Later[Any]:
        """Add an event, a dict of JSON values with a `type`. The result is its meta once it is on disk.

        `meta` may have `created`, `time`, `reasons`, `keep_last`, `indexes`, `channels` and further keys. `keep_last` names a
        reason: this event has it, and older ones (by time and `created`) of the same author lose it, the node or user in
        `created`; if it begins with `shared/`, those of all authors. An event that has no reason left is cleaned. `reasons` and
        `keep_last` are part of the event, so every node cleans by them, and an event that is cleaned before another node has it
        never gets there; `clean` and the calls beside it are about this node. The result is None if the log knows the
        `created`.

        `key` makes an add safe to repeat: a text that the application gives to this event alone, of at most MAX_ADD_KEY_BYTES
        bytes in UTF-8, as "sale-17". If the key was given at this node before, also before a restart or a crash, nothing is
        added, and the result is the meta of that first add; its own keys are left out if the event was cleaned. The node knows
        the last MAX_ADD_KEYS keys; other nodes do not know them. A key goes with no `created`.

        Fails with ValueError for what is not an event, and for a known key with another event; it is a TypeError too, and names
        the place, for a value that JSON has not, such as a set or a Decimal. Fails with BusyError when too many wait, and
        StoreError if the disk fails.
        """
        log = self._log
        try:
            draft = make_draft(event, meta, key)
        except ValueError as error:
            return Later.failed(error)
        return log.add(draft)

    def undo(self, which: Entry | Mapping[str, Any] | Created, reason: str | None = None) -> Later[EventMeta]:
        """Take an event back, given by its meta, its entry or its `created`: on every node, also where it comes later.

        This adds an event `{"type": "logux/undo", "id": "MS NODE N", "reason": reason}`, as Logux has it, and the result is
        its meta. Both events stay in the log: views and `each(undone=False)` leave out the one that is undone. An undo
        cannot be taken back, to undo it changes nothing: add the event anew. Fails as `add`, and with ValueError for what
        names no event, or the entry of an undo.
        """
        log = self._log
        try:
            draft = make_undo(which, reason)
        except ValueError as error:
            return Later.failed(error)
        return cast("Later[EventMeta]", log.add(draft))

    def undone(self, createds: Collection[Created]) -> Later[set[Created]]:
        """Those of these events, each given by its `created`, that are undone; they may be unknown here."""
        return self._log.request(lambda log: log.undone(createds))

    def add_batch(
        self, items: Sequence[tuple[Any, Mapping[str, Any] | None]], *, keys: Sequence[str | None] | None = None
    ) -> Later[list[EventMeta | ValueError | None]]:
        """Add (event, meta) pairs in one transaction, and with `keys` one key or None for each: see `add`.

        The result has for each its meta, None if it was known, or the ValueError that says what is wrong with it. Fails with
        BusyError or StoreError, and with ValueError for another number of keys.
        """
        return cast(Later[list[EventMeta | ValueError | None]], add_batch(items, keys, self._log.add_drafts))

    def page(
        self,
        *,
        order: Order = "created",
        after: Entry | Mapping[str, Any] | None = None,
        since: Moment = 0,
        before: Moment | None = None,
        types: Sequence[str] | None = None,
        reverse: bool = False,
        limit: int = PAGE_EVENTS,
        index: str | None = None,
        undone: bool = True,
    ) -> Later[tuple[Entry, ...]]:
        """A page of up to `limit` entries, in the order of (time, created), or with `order="added"` of `added`.

        `after` is the last entry of the page before, or its meta: with `reverse`, the page has what comes before that. The
        others are as in `each`. A page with fewer than `limit` entries is the last one. Fails with ValueError for what is no
        Moment, no list of types, no order or no limit, or StoreError.
        """
        return self._log.request(
            lambda log: log.each(
                order=order,
                after=after,
                since=since,
                before=before,
                types=types,
                reverse=reverse,
                limit=limit,
                index=index,
                undone=undone,
            )
        )

    def each(
        self,
        *,
        order: Order = "created",
        since: Moment = 0,
        before: Moment | None = None,
        types: Sequence[str] | None = None,
        reverse: bool = False,
        index: str | None = None,
        undone: bool = True,
    ) -> EventWalk:
        """All events with their metas: `for event, meta in log.each()`, or `async for` on a loop.

        - `order`: "created", by (time, created), is the same on every node; "added" is the order in which this node got them.
        - `since`: leave out events with an `added` up to this whole number, or events that are not younger than this entry or
          meta, or that are older than another Moment (see `remove_reason`; whole numbers from 10**11 on are ms).
        - `before`: leave out this entry or meta, and what is younger, or all from another Moment on.
        - `types`: only events whose `type` is one of these, exactly.
        - `reverse`: the last one first.
        - `index`: only events that were added with it.
        - `undone`: False leaves out events that are undone, see `undo`; a `logux/undo` itself is an event like any.

        It ends with what the log had when the last page of PAGE_EVENTS was read; `follow` goes on. The iteration raises
        ValueError for what is no Moment and no list of types, and StoreError.
        """
        self.check()
        return EventWalk(
            lambda after: self.page(
                order=order,
                after=after,
                since=since,
                before=before,
                types=types,
                reverse=reverse,
                index=index,
                undone=undone,
            ),
            self.check,
        )

    def follow(self, *, since: Moment | None = 0, types: Sequence[str] | None = None) -> Follower:
        """The events of the log, then those that come: `async for event, meta in log.follow()` on a loop, or `for` in a thread.

        Each event comes once, in the order of `added`. It is read from the log when the loop asks for it, so however long the
        loop takes for one, nothing waits for it and nothing gathers in memory.

        - `since`: what this loop has had already: the entry or meta of the last event, or its `added`, here; None: nothing.
          With another Moment (a datetime, an age, ms from 10**11 on) come the events whose `time` is not before it, also those
          that come late; an older one does not, whenever it comes. `since=log.last_added` is all that comes from now on.
        - `types`: only events whose `type` is one of these, exactly.

        An event that was cleaned before its turn does not come. Of copies that differ the one comes that is shown at its turn;
        when another one is shown later it has the same `added`, and does not come again.

        The loop ends without an exception after `close()`, which any thread may call, and when the node stops. It can be left,
        as by `break`, and a further loop over the same object goes on with the next event. While the log restarts after a
        failure it waits. Raises ValueError for what is no list of types; the iteration raises ValueError for what is no Moment
        or is after the end of this log, StoreError where no node runs or the disk cannot be read, MeshError in a forked
        process, and RuntimeError while another loop goes over the same object.
        """
        return Follower(self._log, self.check, since, read_types(types))

    def find(self, created: Any) -> Later[Entry | None]:
        """The event with this `created`; None if it is unknown or was cleaned."""
        return self._log.request(lambda log: log.find(created))

    def story(self, which: Created | int) -> Later[EventStory | None]:
        """What this node knows of the event with this `created`, or this `added`; None if it is unknown or was cleaned."""
        return self._log.read(lambda store: read_story(store, which))

    def on(self, event: str, listener: Callable[..., Any]) -> Undo:
        """Call `listener` on the node's loop; the result is a function that ends this.

        `event`: `listener(event, meta)` for each new event. `clean`: `listener(event, meta)` for each event that was cleaned.
        `change`: `listener()` after each commit. What the listener raises is logged. Raises ValueError for another event, and
        TypeError for a coroutine function.
        """
        return self._log.on(checked(event, {"event", "change", "clean"}, listener), listener)

    # How long events live, on this node only, whichever node wrote them

    def remove_reason(self, reason: str | Sequence[str], **bounds: Unpack[Bounds]) -> Later[int]:
        """Take a reason to keep them from events; those left without one are cleaned. The result is how many were cleaned.

        On this node only. An event that was added without `reasons` has the reason `log`. The bounds, all optional:
        `min_added`, `max_added`, `older_than`, `younger_than`, `created`, `index`, `except_index`. Older and younger than a
        Moment: an entry, a meta, a datetime (local if it has no zone), a whole number of ms since 1970, or a timedelta as an
        age by the node's clock.
        """
        return self._log.request_in_order(lambda log: log.remove_reason(reason, **bounds))

    def add_reason(self, reason: str | Sequence[str], **bounds: Unpack[Bounds]) -> Later[int]:
        """Give events a further reason to keep them, on this node only. The result is how many did not have it before."""
        return self._log.request_in_order(lambda log: log.add_reason(reason, **bounds))

    def change_meta(self, created: Any, diff: Mapping[str, Any]) -> Later[bool]:
        """Change keys of the meta of an event, on this node only. The result is False if the event is not known.

        Fails with ValueError for keys that cannot be changed.
        """
        log = self._log
        try:
            which, changes = read_created(created), encode_diff(diff)
        except ValueError as error:
            return Later.failed(error)
        return log.request_in_order(lambda log: log.apply_diff(which, changes))

    def keep(self, keeper: Keeper) -> Undo:
        """Keep events for which `keeper(event, meta)` is true from being cleaned; the result is a function that ends this.

        It is called on the node's loop for each event that may be cleaned.
        """
        return self._log.keep(keeper)

    def clean(self, *, reasons: str | Sequence[str] | None = None, before: Moment | None = None) -> Later[int]:
        """Erase events for good, on this node only. The result is how many. It needs `reasons`, `before`, or both.

        `reasons` (a name or several): erases events that have no other reasons than these.
        `before` (a Moment, as in `remove_reason`): erases events that are older. Without `reasons` it is about events that were
        added without them, as `reasons="log"` is; with both, an event has to fit both. What a keeper keeps is not erased.

        Raises TypeError if neither is given. Fails with ValueError or StoreError, or with what a keeper raised.
        """
        if reasons is None and before is None:
            raise TypeError(
                "clean() erases events for good: say which, as in clean(before=timedelta(days=30)) or "
                'clean(reasons="cart"); clean(reasons="log") is every event that was added without reasons'
            )
        names = DEFAULT_REASON if reasons is None else reasons
        return self._log.request_in_order(lambda log: log.clean(reasons=names, before=before))
