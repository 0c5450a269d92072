"""The newest events of a log, in memory, so that live events reach many Logux sessions without a look at the disk."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from operator import attrgetter, lt

from peers.events.entry import Entry, size_of
from peers.log.run_tail import TAIL_BYTES, TAIL_CHANGES
from peers.stores.run_store import RunStore
from peers.stores.store import PAGE_BYTES, PAGE_EVENTS, Page

STEP_EVENTS = 50
"""Events that one look at the disk for a page reads, so that it holds few that the page has no room for."""

_added = attrgetter("added")


class ShownTail:
    """Events that are shown, in the order of `added`, the oldest dropped beyond the limits."""

    def __init__(self, last_added: int) -> None:
        self._entries: list[Entry] = []
        self._first = last_added + 1
        """From this `added` on nothing is missing."""
        self._last = last_added
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._entries)

    def add(self, entries: Sequence[Entry], last_added: int) -> None:
        """Take the new events of one commit, in order; `last_added` is the store's after it.

        One is left out where its event was cleaned again within the commit. Raises ValueError for one that is not new or
        that the store has not reached: a session would miss or repeat it.
        """
        numbers = [self._last, *map(_added, entries), last_added + 1]
        if not all(map(lt, numbers, numbers[1:])):
            what = ", ".join(map(str, numbers[1:-1]))
            raise ValueError(f"`added` {what} is not from {self._last + 1} to {last_added}, or does not rise")
        self._entries += entries
        self._bytes += size_of(entries)
        self._last = last_added
        if len(self._entries) > TAIL_CHANGES or self._bytes > TAIL_BYTES:
            self._trim()

    def revise(self, altered: Iterable[Entry], cleaned: Iterable[Entry]) -> None:
        """Put events in the place of those with the same `added`, and drop those that were cleaned, as far as they are here.

        Of `altered` only those count that stand at the event's own position: the others say it under a further dot.
        """
        for entry in altered:
            index = self._find(entry.added)
            if index is not None and self._entries[index].position == entry.position:
                self._bytes += entry.size - self._entries[index].size
                self._entries[index] = entry
        for entry in cleaned:
            index = self._find(entry.added)
            if index is not None:
                self._bytes -= self._entries[index].size
                del self._entries[index]

    def page(self, after: int, *, limit: int = PAGE_EVENTS, max_bytes: int = PAGE_BYTES) -> Page | None:
        """As `page_of`, or None if the walk is further back than the tail reaches."""
        if after + 1 < self._first:
            return None
        start = bisect_right(self._entries, after, key=_added)
        length = _fitting(self._entries[start : start + limit], max_bytes, least=1)
        found = tuple(self._entries[start : start + length])
        is_end = start + length == len(self._entries)
        return Page(found, max(after, self._last) if is_end else found[-1].added)

    def _find(self, added: int) -> int | None:
        index = bisect_left(self._entries, added, key=_added)
        return index if index < len(self._entries) and self._entries[index].added == added else None

    def _trim(self) -> None:
        """Drop the older half at once, as often as needed: one copy now and then instead of one per event."""
        while len(self._entries) > TAIL_CHANGES or self._bytes > TAIL_BYTES:
            half = len(self._entries) // 2 + 1
            self._bytes -= size_of(self._entries[:half])
            self._first = self._entries[half - 1].added + 1
            del self._entries[:half]


def page_of(store: RunStore, after: int, limit: int = PAGE_EVENTS, max_bytes: int = PAGE_BYTES) -> Page:
    """The events that a store shows whose `added` is larger than `after`.

    At most `limit` of them and `max_bytes` (`Entry.size` summed), but always at least one.
    """
    found: list[Entry] = []
    until, room = after, max_bytes
    while len(found) < limit:
        wanted = min(STEP_EVENTS, limit - len(found))
        step = store.each(order="added", since=until, limit=wanted)
        length = _fitting(step, room, least=0 if found else 1)
        found += step[:length]
        if length < len(step):
            break
        if length < wanted:
            return Page(tuple(found), max(after, store.state.last_added))
        until = step[-1].added
        room -= size_of(step)
    return Page(tuple(found), found[-1].added)


def _fitting(entries: Sequence[Entry], room: int, *, least: int) -> int:
    """How many of the first ones have a size of `room` bytes together; not less than `least` of them."""
    size = 0
    for count, entry in enumerate(entries):
        size += entry.size
        if size > room and count >= least:
            return count
    return len(entries)
