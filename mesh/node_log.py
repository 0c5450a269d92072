"""NodeLog: a node's log as applications see it."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import Any

from mesh.actors.log_keeper import KeptLog
from mesh.errors import MeshError
from peers.clock import Undo
from peers.entry import Entry
from peers.later import Later
from peers.log import Meta
from peers.stores.store import Order

EventAndMeta = tuple[dict[str, Any], Meta]


class NodeLog:
    """The node's log for applications. Results are Later: `.get()` in a plain thread, `await` on a loop."""

    def __init__(self, kept: KeptLog) -> None:
        self._kept = kept

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
        self, *, order: Order = "created", after: Entry | None = None, since: int = 0, limit: int = 500
    ) -> Later[tuple[Entry, ...]]:
        """A page of entries, by (time, created) or by `added`, after the last one of the page before."""
        return self._kept.each(order=order, after=after, since=since, limit=limit)

    def each(self, *, order: Order = "created", since: int = 0) -> EventWalk:
        """All events with their metas: `for event, meta in log.each()`, or `async for` on a loop.

        `order="created"` is the same on every node; `since` leaves out what has an `added` up to it.
        """
        return EventWalk(self, order, since)

    def on(self, event: str, listener: Callable[..., Any]) -> Undo:
        """Call `listener(event, meta)` on the loop for each new `event`; returns the undo."""
        return self._kept.on(checked(event, {"event", "change"}, listener), listener)


class EventWalk:
    """A walk over the log, a page at a time."""

    def __init__(self, log: NodeLog, order: Order, since: int) -> None:
        self._log = log
        self._order: Order = order
        self._since = since

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
        return self._log.page(order=self._order, after=after, since=self._since)


def checked(event: str, known: set[str], listener: Callable[..., Any]) -> str:
    if event not in known:
        raise ValueError(f"there is no event {event!r} here: take one of {', '.join(sorted(known))}")
    if inspect.iscoroutinefunction(listener):
        raise TypeError("a listener must be a plain function, called on the loop: let it start a task of yours")
    return event
