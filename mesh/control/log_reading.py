"""LogReading: which pages of a log a Read asks for, and which of their events it wants."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from mesh.control.log_items import has_type
from mesh.control.messages import Read
from peers.events.entry import Entry
from peers.log.moments import UNIX_EPOCH, LogWalk

PAGE_EVENTS = 100
"""Events read from the log at once for one client."""


class LogReading:
    """Ask the log for `next_page`, give the page to `take`, until `next_page` is None.

    The last `tail` of the wanted events are found by a walk backward, of which nothing is kept but the place of the first.
    """

    def __init__(self, request: Read) -> None:
        self._request = request
        self._after: Entry | None = None
        if request.follow and request.from_ms is not None:  # goes on: nothing before is looked at again
            self._after = Entry((0, "-", 0), 0, b"", added=request.since)
        self._left = request.limit
        self._sought = 0
        """How many of the wanted events are still to be found on the walk backward."""
        self._first: Entry | None = None
        """Of those found, the one that comes first."""
        if request.tail is not None:
            self._left = request.tail if self._left is None else min(self._left, request.tail)
            self._sought = 0 if request.reverse else request.tail
        self._is_done = self._left == 0

    def next_page(self) -> LogWalk | None:
        """The options of the page to ask the log for; None if there is nothing more to read."""
        if self._is_done:
            return None
        request = self._request
        options: LogWalk = {"order": request.order, "after": self._after, "limit": PAGE_EVENTS}
        options["is_backward"] = request.reverse or bool(self._sought)
        options["since"] = request.since if request.from_ms is None else _moment(request.from_ms)
        if request.until_ms is not None:
            options["before"] = _moment(request.until_ms + 1)
        return options

    def take(self, page: Sequence[Entry]) -> Sequence[Entry]:
        """The wanted events of a page, as far as it is their turn; an empty page says that the walk has come to its end."""
        if page:
            self._after = page[-1]
        wanted = [entry for entry in page if self._wants(entry)]
        if self._sought:
            return self._seek(wanted, is_end=not page)
        self._is_done = not page and not self._request.follow
        return self._count(wanted)

    def _seek(self, wanted: Sequence[Entry], *, is_end: bool) -> Sequence[Entry]:
        found = wanted[: self._sought]
        self._sought -= len(found)
        self._first = found[-1] if found else self._first
        if self._sought and not is_end:
            return ()
        self._sought, self._after = 0, self._first
        self._is_done = self._first is None
        return self._count([self._first] if self._first is not None else [])

    def _count(self, wanted: Sequence[Entry]) -> Sequence[Entry]:
        if self._left is None:
            return wanted
        taken = wanted[: self._left]
        self._left -= len(taken)
        self._is_done = self._is_done or not self._left
        return taken

    def _wants(self, entry: Entry) -> bool:
        return entry.added > self._request.since and has_type(entry, self._request.type)


def _moment(ms: int) -> datetime:
    return UNIX_EPOCH + timedelta(milliseconds=ms)
