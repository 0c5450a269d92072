"""The newest changes of a log, in memory, so that live events reach many sessions without a look at the disk."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable

from peers.events.entry import Entry
from peers.events.version_vector import VersionVector
from peers.stores.store import PAGE_BYTES, PAGE_EVENTS, Page

TAIL_CHANGES = 2_048
TAIL_BYTES = 4 * 1024 * 1024


class Tail:
    """Committed changes in the order of their positions, the oldest dropped beyond the limits."""

    def __init__(self, last_position: int) -> None:
        self._entries: list[Entry] = []
        self._first_position = last_position + 1
        """From here on nothing is missing."""
        self._last_position = last_position
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._entries)

    def add(self, entries: Iterable[Entry], last_position: int) -> None:
        """Take every change of one commit, in order; `last_position` is the store's after it.

        A position is left out where a change lost its dot again within the commit. Raises ValueError for one that is not
        new or that the store has not reached: a session would miss or repeat it.
        """
        for entry in entries:
            if not self._last_position < entry.position <= last_position:
                raise ValueError(f"position {entry.position} is not from {self._last_position + 1} to {last_position}")
            self._last_position = entry.position
            self._bytes += entry.size
            self._entries.append(entry)
        self._last_position = last_position
        if len(self._entries) > TAIL_CHANGES or self._bytes > TAIL_BYTES:
            self._trim()

    def revise(self, altered: Iterable[Entry], dropped: Iterable[int]) -> None:
        """Put changes in the place of those at the same positions, and drop those at `dropped`, as far as they are here."""
        for entry in altered:
            index = self._find(entry.position)
            if index is not None:
                self._entries[index] = entry
        for position in dropped:
            index = self._find(position)
            if index is not None:
                self._bytes -= self._entries[index].size
                del self._entries[index]

    def page(
        self, after: int, *, lacking: VersionVector | None = None, limit: int = PAGE_EVENTS, max_bytes: int = PAGE_BYTES
    ) -> Page | None:
        """As Store.page, or None if the walk is further back than the tail reaches."""
        if after + 1 < self._first_position:
            return None
        found: list[Entry] = []
        size = 0
        until = after
        covers = (lacking or VersionVector()).covers
        for index in range(bisect_right(self._entries, after, key=_position), len(self._entries)):
            entry = self._entries[index]
            if entry.dot is None or not covers(entry.dot):
                size += entry.size
                if found and (size > max_bytes or len(found) >= limit):
                    return Page(tuple(found), until)
                found.append(entry)
            until = entry.position
        return Page(tuple(found), max(after, self._last_position))

    def _find(self, position: int) -> int | None:
        index = bisect_left(self._entries, position, key=_position)
        is_here = index < len(self._entries) and self._entries[index].position == position
        return index if is_here else None

    def _trim(self) -> None:
        """Drop the older half at once, as often as needed: one copy now and then instead of one per change."""
        while len(self._entries) > TAIL_CHANGES or self._bytes > TAIL_BYTES:
            half = len(self._entries) // 2 + 1
            self._bytes -= sum(entry.size for entry in self._entries[:half])
            self._first_position = self._entries[half - 1].position + 1
            del self._entries[:half]


def _position(entry: Entry) -> int:
    return entry.position
