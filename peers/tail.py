"""The newest changes of a log, in memory, so that live events reach many sessions without a look at the disk."""

from __future__ import annotations

from collections.abc import Iterable

from peers.entry import Entry
from peers.stores.store import PAGE_BYTES, PAGE_EVENTS, Page
from peers.version_vector import VersionVector

TAIL_CHANGES = 8_192
TAIL_BYTES = 8 * 1024 * 1024


class Tail:
    """Committed changes with positions that follow each other, the oldest dropped beyond the limits."""

    def __init__(self, last_position: int) -> None:
        self._entries: list[Entry] = []
        self._next_position = last_position + 1
        self._bytes = 0

    def add(self, entries: Iterable[Entry]) -> None:
        """Take committed changes, in order."""
        for entry in entries:
            if entry.position != self._next_position:  # a gap would hide a change from every session
                raise ValueError(f"position {entry.position} came where {self._next_position} was due")
            self._next_position += 1
            self._bytes += entry.size
            self._entries.append(entry)
        if len(self._entries) > TAIL_CHANGES or self._bytes > TAIL_BYTES:
            self._trim()

    def page(
        self, after: int, *, lacking: VersionVector | None = None, limit: int = PAGE_EVENTS, max_bytes: int = PAGE_BYTES
    ) -> Page | None:
        """As Store.page, or None if the walk is further back than the tail reaches."""
        start = after + 1 - (self._next_position - len(self._entries))
        if start < 0:
            return None
        found: list[Entry] = []
        size = 0
        until = after
        for index in range(start, len(self._entries)):
            entry = self._entries[index]
            if lacking is None or entry.dot is None or not lacking.covers(entry.dot):
                size += entry.size
                if found and (size > max_bytes or len(found) >= limit):
                    break
                found.append(entry)
            until = entry.position
        return Page(tuple(found), until)

    def _trim(self) -> None:
        """Drop the older half at once: one copy now and then instead of one per change."""
        half = len(self._entries) // 2 + 1
        self._bytes -= sum(entry.size for entry in self._entries[:half])
        del self._entries[:half]
