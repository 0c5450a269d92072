"""NodeLog: a node's log as applications see it."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import Any, Unpack

from mesh.actors.log_proxy import LogProxy
from mesh.errors import MeshError
from peers.clock import Undo
from peers.events.entry import Entry
from peers.events.reasons import DEFAULT_REASON
from peers.later import Later
from peers.log.log import Meta
from peers.log.moments import Moment
from peers.log.retention import Bounds, Keeper
from peers.stores.store import Order

EventAndMeta = tuple[dict[str, Any], Meta]


class NodeLog:
    """The node's log for applications. Results are Later: `await` them on the node's loop, `.get()` them anywhere else."""

    def __init__(self, kept: LogProxy) -> None:
        self._kept_log = kept
        self._refusal = ""

    def disown(self, why: str) -> None:
        """From now on every call raises MeshError, with this sentence."""
        self._refusal = why

    @property
    def is_disowned(self) -> bool:
        return bool(self._refusal)

    def check(self) -> None:
        """Raise MeshError if this log is not to be used in this process."""
        if self._refusal:
            raise MeshError(self._refusal)

    @property
    def _kept(self) -> LogProxy:
        self.check()
        return self._kept_log

    @property
    def last_added(self) -> int:
        """This log's counter of events. Raises MeshError before the start."""
        if not self._kept.is_open:
            raise MeshError("this node is not running")
        return self._kept.published.state.last_added

    def add(self, event: dict[str, Any], meta: Meta | None = None) -> Later[Meta | None]:
        """Add an event; the result is its meta once it is on disk, None if its `created` was known.

        Fails with ValueError for what is not an event, BusyError when too many wait, StoreError if the disk fails.
        """
        return self._kept.add(event, meta)

    def add_batch(self, items: Sequence[tuple[Any, Meta | None]]) -> Later[list[Meta | ValueError | None]]:
        """Add (event, meta) pairs in one transaction: for each its meta, None if known, or what is wrong with it."""
        return self._kept.add_batch(items)

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
    ) -> Later[tuple[Entry, ...]]:
        """A page of entries, by (time, created) or by `added`, after the last one of the page before (an entry or a meta).

        `since` and `index` as in `each`; `before` leaves out what is not older than a Moment; `is_backward` begins at the end,
        and goes on with what comes before `after`. Fails with ValueError for what is no moment, or StoreError.
        """
        return self._kept.each(
            order=order, after=after, since=since, before=before, is_backward=is_backward, limit=limit, index=index
        )

    def each(self, *, order: Order = "created", since: Moment = 0, index: str | None = None) -> EventWalk:
        """All events with their metas: `for event, meta in log.each()`, or `async for` on a loop.

        `order="created"` is the same on every node. `since` leaves out what has an `added` up to this whole number, or what
        is not younger than this entry or meta, or what is older than another Moment (see `remove_reason`; whole numbers
        from 10**11 on are ms). `index` takes only those that were added with it. Raises ValueError for what is no moment.
        """
        self.check()
        return EventWalk(self, order, since, index)

    def find(self, created: Any) -> Later[Entry | None]:
        """The event with this `created`; None if it is not known, or cleaned."""
        return self._kept.find(created)

    def on(self, event: str, listener: Callable[..., Any]) -> Undo:
        """Call `listener(event, meta)` on the loop for each new `event`, or each `clean` one; returns the undo."""
        return self._kept.on(checked(event, {"event", "change", "clean"}, listener), listener)

    # How long events live: on this node alone, whoever wrote them

    def remove_reason(self, reason: str | Sequence[str], **bounds: Unpack[Bounds]) -> Later[int]:
        """Take a reason of life from events; those left without one are cleaned. The result is how many were.

        An event that was added without `reasons` has the reason `log`. The bounds, all optional: `min_added`, `max_added`,
        `older_than`, `younger_than`, `created`, `index`, `except_index`. Older and younger than a Moment: an entry, a meta, a
        datetime (local if it has no zone), a whole number of ms since 1970, or a timedelta as an age by the node's clock.
        """
        return self._kept.remove_reason(reason, **bounds)

    def add_reason(self, reason: str | Sequence[str], **bounds: Unpack[Bounds]) -> Later[int]:
        """Give events a further reason of life; the result is how many had not had it."""
        return self._kept.add_reason(reason, **bounds)

    def change_meta(self, created: Any, diff: Meta) -> Later[bool]:
        """Change keys of an event's meta on this node; False if it is not known. Fails with ValueError for what is fixed."""
        return self._kept.change_meta(created, diff)

    def keep(self, keeper: Keeper) -> Undo:
        """Let `keeper(event, meta)`, called on the loop, say which events `clean` leaves alone; returns the undo."""
        return self._kept.keep(keeper)

    def clean(self, *, reasons: str | Sequence[str] | None = None, before: Moment | None = None) -> Later[int]:
        """Erase events for good, on this node; the result is how many were. It needs `reasons`, `before`, or both.

        `reasons` (a name or several): events that live for these alone; one that has another reason too stays as it is.
        `before` (a Moment, as in `remove_reason`): events that are older. Alone, it is about those that were added without
        `reasons`, as `reasons="log"` is; with `reasons`, an event has to fit both. What a keeper keeps stays in any case.

        Raises TypeError if neither is given. Fails with ValueError or StoreError, or with what a keeper raised.
        """
        if reasons is None and before is None:
            raise TypeError(
                "clean() erases events for good: say which, as in clean(before=timedelta(days=30)) or "
                'clean(reasons="cart"); clean(reasons="log") is every event that was added without reasons'
            )
        return self._kept.clean(reasons=DEFAULT_REASON if reasons is None else reasons, before=before)


class EventWalk:
    """A walk over the log, a page at a time."""

    def __init__(self, log: NodeLog, order: Order, since: Moment, index: str | None) -> None:
        self._log = log
        self._order: Order = order
        self._since = since
        self._index = index

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
        return self._log.page(order=self._order, after=after, since=self._since, index=self._index)


def checked(event: str, known: set[str], listener: Callable[..., Any]) -> str:
    if event not in known:
        raise ValueError(f"there is no event {event!r} here: take one of {', '.join(sorted(known))}")
    if inspect.iscoroutinefunction(listener):
        raise TypeError("a listener must be a plain function, called on the loop: let it start a task of yours")
    return event
