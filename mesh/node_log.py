"""NodeLog: the log of a node as applications see it."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Sequence
from typing import Any, Unpack, cast

from mesh.actors.log_proxy import LogProxy
from mesh.errors import MeshError
from peers.clock import Undo
from peers.events.created import Created
from peers.events.entry import Entry, encode_diff
from peers.events.reasons import DEFAULT_REASON
from peers.later import Later
from peers.log.draft import Meta, add_batch, make_draft, make_undo, read_created
from peers.log.moments import Moment
from peers.log.retention import Bounds, Keeper
from peers.stores.store import Order

EventAndMeta = tuple[dict[str, Any], Meta]


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

    def add(self, event: dict[str, Any], meta: Meta | None = None) -> Later[Meta | None]:
        """Add an event, a dict of JSON values with a `type`. The result is its meta once it is on disk.

        `meta` may have `created`, `time`, `reasons`, `keep_last`, `indexes` and further keys. `keep_last` is a reason that
        older events of this node lose, or of all nodes if it begins with `shared/`. The result is None if the
        log knows the `created` already. Fails with ValueError for what is not an event, BusyError when too many wait, and
        StoreError if the disk fails.
        """
        log = self._log
        try:
            draft = make_draft(event, meta)
        except ValueError as error:
            return Later.failed(error)
        return log.add(draft)

    def undo(self, which: Entry | Meta | Created, reason: str | None = None) -> Later[Meta]:
        """Take an event back, given by its meta, its entry or its `created`: on every node, also where it comes later.

        This adds an event `{"type": "logux/undo", "id": "MS NODE N", "reason": reason}`, as Logux has it, and the result is
        its meta. Both events stay in the log: views and `each(undone=False)` leave out the one that is undone. An undo
        cannot be taken back: add the event anew. Fails as `add`, and with ValueError for what names no event.
        """
        log = self._log
        try:
            draft = make_undo(which, reason)
        except ValueError as error:
            return Later.failed(error)
        return cast("Later[Meta]", log.add(draft))

    def undone(self, createds: Collection[Created]) -> Later[set[Created]]:
        """Those of these events, each given by its `created`, that are undone; they may be unknown here."""
        return self._log.request(lambda log: log.undone(createds))

    def add_batch(self, items: Sequence[tuple[Any, Meta | None]]) -> Later[list[Meta | ValueError | None]]:
        """Add (event, meta) pairs in one transaction. The result has for each its meta, None if it was known, or the
        ValueError that says what is wrong with it. Fails with BusyError or StoreError."""
        return add_batch(items, self._log.add_drafts)

    def page(
        self,
        *,
        order: Order = "created",
        after: Entry | Meta | None = None,
        since: Moment = 0,
        before: Moment | None = None,
        is_backward: bool = False,
        limit: int = 500,
        index: str | None = None,
        undone: bool = True,
    ) -> Later[tuple[Entry, ...]]:
        """A page of up to `limit` entries, in the order of (time, created), or with `order="added"` of `added`.

        `after` is the last entry of the page before, or its meta. `since`, `index` and `undone` are as in `each`; `before`
        leaves out events that are not older than a Moment. `is_backward` starts at the end, and then goes on with what comes
        before `after`. Only a page after the last event is empty. Fails with ValueError for what is no Moment, or StoreError.
        """
        return self._log.request(
            lambda log: log.each(
                order=order,
                after=after,
                since=since,
                before=before,
                is_backward=is_backward,
                limit=limit,
                index=index,
                undone=undone,
            )
        )

    def each(
        self, *, order: Order = "created", since: Moment = 0, index: str | None = None, undone: bool = True
    ) -> EventWalk:
        """All events with their metas: `for event, meta in log.each()`, or `async for` on a loop.

        `order="created"` is the same on every node. `since` leaves out events with an `added` up to this whole number, or
        events that are not younger than this entry or meta, or that are older than another Moment (see `remove_reason`; whole
        numbers from 10**11 on are ms). `index` takes only events that were added with it. `undone=False` leaves out events
        that are undone, see `undo`; a `logux/undo` itself is an event like any. Raises ValueError for what is no Moment.
        """
        self.check()
        return EventWalk(self, order, since, index, undone)

    def find(self, created: Any) -> Later[Entry | None]:
        """The event with this `created`; None if it is unknown or was cleaned."""
        return self._log.request(lambda log: log.find(created))

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

        An event that was added without `reasons` has the reason `log`. The bounds, all optional: `min_added`, `max_added`,
        `older_than`, `younger_than`, `created`, `index`, `except_index`. Older and younger than a Moment: an entry, a meta, a
        datetime (local if it has no zone), a whole number of ms since 1970, or a timedelta as an age by the node's clock.
        """
        return self._log.request_in_order(lambda log: log.remove_reason(reason, **bounds))

    def add_reason(self, reason: str | Sequence[str], **bounds: Unpack[Bounds]) -> Later[int]:
        """Give events a further reason to keep them. The result is how many did not have it before."""
        return self._log.request_in_order(lambda log: log.add_reason(reason, **bounds))

    def change_meta(self, created: Any, diff: Meta) -> Later[bool]:
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


class EventWalk:
    """A walk over the log, which reads one page at a time; see NodeLog.each."""

    def __init__(self, log: NodeLog, order: Order, since: Moment, index: str | None, undone: bool) -> None:
        self._log = log
        self._order: Order = order
        self._since = since
        self._index = index
        self._undone = undone

    def __iter__(self) -> Iterator[EventAndMeta]:
        after: Entry | None = None
        while page := self._page(after).get():
            yield from ((entry.event, entry.meta) for entry in page)
            after = page[-1]

    async def __aiter__(self) -> AsyncIterator[EventAndMeta]:
        after: Entry | None = None
        while page := await self._page(after):
            for entry in page:
                yield entry.event, entry.meta
            after = page[-1]

    def _page(self, after: Entry | None) -> Later[tuple[Entry, ...]]:
        return self._log.page(order=self._order, after=after, since=self._since, index=self._index, undone=self._undone)


def checked(event: str, known: set[str], listener: Callable[..., Any]) -> str:
    """`event`, if it is known and `listener` fits. Raises ValueError or TypeError."""
    if event not in known:
        raise ValueError(f"there is no event {event!r} here: take one of {', '.join(sorted(known))}")
    if inspect.iscoroutinefunction(listener):
        raise TypeError("a listener must be a plain function, called on the loop: let it start a task of yours")
    return event
