"""LogReading: which pages of a log answer a Read, and which of their events; LogFollowing: the same of one that follows."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Raw

from mesh.control.messages import Read
from peers.events.created import Created
from peers.events.dot import Dot
from peers.events.entry import Entry
from peers.log.moments import UNIX_EPOCH, LogWalk

if TYPE_CHECKING:
    from mesh.node_log import NodeLog

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
        options["types"] = types_of(request)
        options["reverse"] = request.reverse or bool(self._sought)
        options["since"] = _since(request)
        if request.until_ms is not None:
            options["before"] = _moment(request.until_ms + 1)
        return options

    def take(self, page: Sequence[Entry]) -> Sequence[Entry]:
        """The events of a page that answer the Read; none while the walk goes backward. One that is not full is the last."""
        if page:
            self._after = page[-1]
        wanted = [entry for entry in page if entry.added > self._request.since]
        is_end = len(page) < self._at_once
        if self._sought:
            return self._seek(wanted, is_end=is_end)
        self._is_done = is_end
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


class LogFollowing:
    """Which events answer a Read that follows the log: give each page of `follower` to `take`, until it `is_done`."""

    def __init__(self, request: Read, log: NodeLog) -> None:
        self._request = request
        self._left = request.limit
        since = request.since or _since(request)
        self.follower = log.follow(since=since, types=types_of(request))

    @property
    def is_done(self) -> bool:
        """Whether nothing more is to be read."""
        return self._left == 0

    def take(self, page: Sequence[Entry]) -> Sequence[Entry]:
        """The events of a page that answer the Read."""
        from_ms = self._request.from_ms
        wanted = page if from_ms is None else [entry for entry in page if entry.time >= from_ms]
        if self._left is not None:
            wanted = wanted[: self._left]
            self._left -= len(wanted)
        return wanted


def types_of(request: Read) -> list[str] | None:
    """The types that a Read asks for; None: all."""
    return None if request.type is None else [request.type]


def _since(request: Read) -> datetime | int:
    return request.since if request.from_ms is None else _moment(request.from_ms)


def _moment(ms: int) -> datetime:
    return UNIX_EPOCH + timedelta(milliseconds=ms)
