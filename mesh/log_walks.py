"""EventWalk and Follower: how an application iterates over the log of its node."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from threading import Lock
from typing import Any

from mesh.actors.log_proxy import NOT_OPEN, LogClosedError, LogProxy
from peers.events.entry import Entry, EventMeta
from peers.later import Later
from peers.log.moments import Moment
from peers.log.run_log import RunLog
from peers.stores.event_types import EventTypes
from peers.stores.store import PAGE_EVENTS, Page, Place, StoreError

EventAndMeta = tuple[dict[str, Any], EventMeta]


class EventWalk:
    """A walk over the log, which reads one page at a time; see NodeLog.each."""

    def __init__(self, page: Callable[[Entry | None], Later[tuple[Entry, ...]]], check: Callable[[], None]) -> None:
        """`page` reads the PAGE_EVENTS events after an entry, or the first ones; `check` raises in a forked process."""
        self._page = page
        self._check = check

    def __iter__(self) -> Iterator[EventAndMeta]:
        after: Entry | None = None
        while page := self._page(after).get():
            yield from ((entry.event, entry.meta) for entry in page)
            if self._is_last(page):
                return
            after = page[-1]

    async def __aiter__(self) -> AsyncIterator[EventAndMeta]:
        after: Entry | None = None
        while page := await self._page(after):
            for entry in page:
                yield entry.event, entry.meta
            if self._is_last(page):
                return
            after = page[-1]

    def _is_last(self, page: Sequence[Entry]) -> bool:
        self._check()  # the process may have been forked since the page was read
        return len(page) < PAGE_EVENTS


class Follower:
    """Iterates over the events of a log, then over those that come; see NodeLog.follow.

    It holds its place, and at most one page of events. An iteration that was left goes on where it was.
    """

    def __init__(
        self, log: LogProxy, check: Callable[[], None], since: Moment | None, types: EventTypes | None
    ) -> None:
        """`check` raises MeshError in a forked process."""
        self._log = log
        self._check = check
        self._since = since
        self._types = types
        self._start: tuple[int, Place | None] | None = None
        """What `since` means; None before the first look at the log."""
        self._place: int | None = None
        """The `added` up to which all was looked at."""
        self._page: deque[Entry] = deque()
        """What was read, and not given yet."""
        self._asks = Lock()
        """Held by the loop that waits for the next page."""
        self._awaited: Later[Page | None] | None = None
        self._loop: Any = None
        """That of the log, once it is known."""
        self._is_begun = not log.is_ended
        """Whether a node has run since it was made: then its end is the end of the iteration."""
        self._is_closed = False

    def close(self) -> None:
        """End the iteration, also one that waits in another thread. Harmless when it has ended."""
        self._is_closed = True
        if (awaited := self._awaited) is not None:
            _settle(awaited)

    def __iter__(self) -> Follower:
        return self

    def __next__(self) -> EventAndMeta:
        while not self._is_over():
            if self._page:
                return self._next()
            with self._asking() as awaited:
                self._take(awaited.get())
        raise StopIteration

    def __aiter__(self) -> Follower:
        return self

    async def __anext__(self) -> EventAndMeta:
        while not self._is_over():
            if self._page:
                return self._next()
            with self._asking() as awaited:
                self._take(await awaited)
        raise StopAsyncIteration

    async def next_page(self) -> Sequence[Entry]:
        """The next events, as many as were read at once, as entries; none at the end."""
        while not self._is_over():
            if self._page:
                page = list(self._page)
                self._page.clear()
                return page
            with self._asking() as awaited:
                self._take(await awaited)
        return ()

    def _next(self) -> EventAndMeta:
        entry = self._page.popleft()
        return entry.event, entry.meta

    def _is_over(self) -> bool:
        """Whether the iteration has ended. Raises StoreError where no node runs, and none has."""
        self._check()
        if self._log.is_ended and not self._is_closed:
            if not self._is_begun:
                raise StoreError(NOT_OPEN)
            self._is_closed = True
        return self._is_closed

    @contextmanager
    def _asking(self) -> Iterator[Later[Page | None]]:
        """The next page, or None where it is time to look again.

        Listeners stand only while it is awaited, so an iteration that is left or cancelled leaves nothing behind; and what
        came for it is not taken, but read again. Raises RuntimeError if another loop waits.
        """
        if not self._asks.acquire(blocking=False):
            raise RuntimeError("another loop goes over this follower already: call `follow` once for each loop")
        awaited = self._awaited = Later[Page | None]()
        undos = [self._log.on(event, partial(_settle, awaited)) for event in ("change", "run")]
        try:
            if self._is_closed or self._log.is_ended:  # since it was looked at
                _settle(awaited)
            elif self._log.is_running and (self._place is None or self._log.state.last_added > self._place):
                for undo in undos:
                    undo()
                asked = self._log.request(self._read)
                self._loop = asked.loop
                asked.then(partial(self._on_read, awaited))
            awaited.loop = self._loop
            yield awaited
        finally:
            self._awaited = None
            for undo in undos:
                undo()
            self._asks.release()

    def _read(self, log: RunLog) -> Later[Page]:
        """Called in a turn of the log."""
        self._start = self._start or log.start_of(self._since)
        after, younger_than = self._start
        place = after if self._place is None else self._place
        return log.page(place, types=self._types, younger_than=younger_than)

    def _on_read(self, awaited: Later[Page | None], done: Later[Any]) -> None:
        error = done.exception
        if isinstance(error, LogClosedError):  # it is opened again, or the node ends
            _settle(awaited)
        elif not awaited.is_done:
            with suppress(RuntimeError):
                awaited.follow(done)

    def _take(self, page: Page | None) -> None:
        if page is not None:
            self._is_begun, self._place = True, page.until
            self._page.extend(page.entries)


def _settle(awaited: Later[Page | None]) -> None:
    """It is time to look again. Threads and the loop of the node may call it at the same time."""
    with suppress(RuntimeError):
        if not awaited.is_done:
            awaited.set(None)
