"""LogReading: which pages of a log answer a Read, and which of their events; and one event as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec
from msgspec import Raw

from mesh.control.messages import Read
from peers.events.created import Created
from peers.events.dot import Dot
from peers.events.entry import Entry
from peers.log.moments import UNIX_EPOCH, LogWalk

EVENTS_PER_READ = 100
"""Events that a node reads from its log at once for one command."""


def item_of(entry: Entry, *, is_undone: bool = False) -> Raw:
    """`{"event": ..., "meta": ...}` on one line: line breaks between the parts of an event become spaces.

    One that is undone has `"undone": true` besides.
    """
    if entry.extra or entry.local or entry.vouched:
        meta: Any = entry.meta
    else:  # the same without a dict
        meta = _PlainMeta(entry.created, entry.time, entry.added, entry.dot, entry.origin)
    item = _Item(Raw(entry.body), meta, is_undone)
    text = _ENCODER.encode(item)
    return Raw(text.replace(b"\r", b" ").replace(b"\n", b" "))


class _PlainMeta(msgspec.Struct):
    """The meta of an event without keys of the application."""

    created: Created
    time: int
    added: int
    dot: Dot | None
    origin: str | None


class _Item(msgspec.Struct, omit_defaults=True):
    event: Raw
    meta: Any
    undone: bool = False


_ENCODER = msgspec.json.Encoder()


class LogReading:
    """Read the log with the options of `next_page`, give each page to `take`, until `next_page` is None.

    With `tail`, a walk backward finds the place of the first wanted event first. It keeps nothing else in memory. Pages have
    `at_once` events; None: EVENTS_PER_READ.
    """

    def __init__(self, request: Read, *, at_once: int | None = None) -> None:
        self._request = request
        self._at_once = at_once or EVENTS_PER_READ
        self._after: Entry | None = None
        if request.follow and request.from_ms is not None:  # start after `since`, in the order of `added`
            self._after = Entry((0, "-", 0), 0, b"", added=request.since)
        self._left = request.limit
        self._sought = 0
        """How many of the wanted events the walk backward has still to find."""
        self._first: Entry | None = None
        """The first one, in the order of the log, of those found so far."""
        if request.tail is not None:
            self._left = request.tail if self._left is None else min(self._left, request.tail)
            self._sought = 0 if request.reverse else request.tail
        self._is_done = self._left == 0

    def next_page(self) -> LogWalk | None:
        """The options of the next page; None if nothing more is to be read."""
        if self._is_done:
            return None
        request = self._request
        options: LogWalk = {"order": request.order, "after": self._after, "limit": self._at_once}
        options["is_backward"] = request.reverse or bool(self._sought)
        options["since"] = request.since if request.from_ms is None else _moment(request.from_ms)
        if request.until_ms is not None:
            options["before"] = _moment(request.until_ms + 1)
        return options

    def take(self, page: Sequence[Entry]) -> Sequence[Entry]:
        """The events of a page that answer the Read; none while the walk goes backward. An empty page ends the walk."""
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
        wanted = self._request.type
        return entry.added > self._request.since and (wanted is None or _TYPE.decode(entry.body).type == wanted)


class _EventType(msgspec.Struct):
    type: str


_TYPE = msgspec.json.Decoder(_EventType)


def _moment(ms: int) -> datetime:
    return UNIX_EPOCH + timedelta(milliseconds=ms)
