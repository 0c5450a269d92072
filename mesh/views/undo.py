"""Rewinds: what the last folds changed, event by event in memory, and by segments in the file."""

from __future__ import annotations

from bisect import bisect_left

from mesh.views.state import Changes, text_bytes
from mesh.views.store import Olds, Segment
from mesh.views.values import Compact
from peers.events.columns import EventTable
from peers.events.entry import Entry
from peers.stores.store import Place

FOLDED_EVENTS = 4_096
"""Folds that memory can take back one by one; at most twice as many."""
FOLDED_BYTES = 8 * 1024 * 1024
"""Of the events and of values before; at most twice as many."""
SEGMENT_EVENTS = 1_000
SEGMENT_SHARE = 8
"""A segment has at most 1/8 of the events that were folded after it, or SEGMENT_EVENTS: so there are few."""
OLDS_BYTES = 64 * 1024 * 1024
"""Of all old values; beyond it the oldest are dropped."""


def place_of(entry: Entry) -> Place:
    """Where an event is in log order."""
    return entry.time, entry.created


class Rewinder:
    """Keeps what is needed to go back to an earlier place: in memory for the last folds, then to the begin of a segment."""

    def __init__(self, segments: list[Segment], place: Place | None) -> None:
        """`segments` are those in the file, up to `place`."""
        self.segments = segments or [Segment(1, place)]
        self.pending: dict[int, Olds] = {}
        """Old values that are not in the file yet, by segment: those of the last one without `_changes`, until `_gather`."""
        self._changes = Changes()
        """The last ones of the last segment."""
        self.last_kept: int | None = None
        """Segments in the file after it are no longer valid."""
        self._table = EventTable.of()
        """The events of the last folds."""
        self._counts: list[int] = []
        """How many keys each changed: of `_keys` and `_olds`, the keys and their values before, in that order."""
        self._keys: list[str] = []
        self._olds: list[Compact] = []
        self._tail_after = place
        """The place before the first fold of the tail."""
        self._tail_bytes = 0

    @property
    def events(self) -> int:
        """Folds that the segments reach back."""
        return sum(segment.events for segment in self.segments)

    def add(self, table: EventTable, changes: Changes) -> None:
        """Some more folds, and what each changed."""
        segment = self.segments[-1]
        if segment.events >= SEGMENT_EVENTS:
            self._gather()
            segment = Segment(segment.number + 1, self.last_place)
            self.segments.append(segment)
        segment.events += len(table)
        self._changes.add_olds(changes)
        self._table += table
        self._counts += changes.counts
        self._keys += changes.keys
        self._olds += changes.olds
        self._tail_bytes += table.bytes + text_bytes(changes.olds)
        if len(self._table) > 2 * FOLDED_EVENTS or self._tail_bytes > 2 * FOLDED_BYTES:
            self._trim()

    @property
    def last_place(self) -> Place | None:
        """That of the last fold."""
        return self._table.place(-1) if self._table else self._tail_after

    def is_recent(self, place: Place) -> bool:
        """Whether memory reaches back to before this place."""
        return self._tail_after is None or self._tail_after < place

    def take_back(self, place: Place, state: Olds) -> EventTable:
        """Take back all folds from a place on, which is recent: put old values into `state`. What was folded, in order."""
        at = bisect_left(range(len(self._table)), place, key=self._table.place)
        changed = len(self._keys) - sum(self._counts[at:])
        state.update(zip(reversed(self._keys[changed:]), reversed(self._olds[changed:]), strict=True))
        self._gather()
        gone = self._table[at:]
        self._tail_bytes -= gone.bytes + text_bytes(self._olds[changed:])
        del self._table[at:], self._counts[at:], self._keys[changed:], self._olds[changed:]
        self._cut(len(gone))
        return gone

    def segment_before(self, place: Place) -> int | None:
        """The number of the last segment that begins before a place; None if there is none."""
        found = [segment.number for segment in self.segments if segment.after is None or segment.after < place]
        return found[-1] if found else None

    def go_back(self, number: int, state: Olds, in_file: Olds) -> Place | None:
        """Go back to the begin of a segment: put old values into `state`. `in_file` are those of the file since then.

        The place before it.
        """
        self._gather()
        for pending in sorted(self.pending, reverse=True):
            if pending >= number:
                state.update(self.pending[pending])
        state.update(in_file)
        at = next(at for at, segment in enumerate(self.segments) if segment.number == number)
        segment = self.segments[at]
        self._drop_after(at)
        segment.events = 0
        self._table, self._counts, self._keys, self._olds = EventTable.of(), [], [], []
        self._tail_bytes, self._tail_after = 0, segment.after
        return segment.after

    def merges(self) -> list[tuple[int, int]]:
        """Segments that take in the one behind them now, so that their number stays small."""
        found: list[tuple[int, int]] = []
        after = self.events
        at = 0
        while at + 2 < len(self.segments):  # the last one still grows
            one, other = self.segments[at : at + 2]
            both = one.events + other.events
            if both <= max(SEGMENT_EVENTS, (after - both) // SEGMENT_SHARE):
                self._merge(at, found)
            else:
                after -= one.events
                at += 1
        return found

    def first_kept(self) -> int:
        """The number of the oldest segment that is kept: the old values of all after it are not too many."""
        total = 0
        for at in range(len(self.segments) - 1, 0, -1):
            total += self.segments[at].bytes
            if total > OLDS_BYTES:
                gone = min(at + 1, len(self.segments) - 1)
                for segment in self.segments[:gone]:
                    self.pending.pop(segment.number, None)
                del self.segments[:gone]
                break
        return self.segments[0].number

    def flushed(self) -> tuple[dict[int, Olds], int | None]:
        """Old values for the file, and `last_kept`: it will have them."""
        self._gather()
        pending, self.pending = self.pending, {}
        last_kept, self.last_kept = self.last_kept, None
        return pending, last_kept

    def _gather(self) -> None:
        if not self._changes.keys:
            return
        segment = self.segments[-1]
        segment.bytes += self._changes.take_olds(self.pending.setdefault(segment.number, {}))

    def _merge(self, at: int, found: list[tuple[int, int]]) -> None:
        one, other = self.segments[at], self.segments.pop(at + 1)
        one.events += other.events
        one.bytes += other.bytes
        found.append((one.number, other.number))

    def _cut(self, events: int) -> None:
        """So many of the last events are not folded any more; the old values of a part of a segment stay good."""
        place = self.last_place
        at = len(self.segments) - 1
        while at and not _is_before(self.segments[at].after, place):
            events -= self.segments[at].events
            at -= 1
        self._drop_after(at)
        segment = self.segments[at]
        segment.events = max(0, segment.events - max(0, events))
        if segment.after != place and not _is_before(segment.after, place):  # memory reaches back further
            self.segments[at] = Segment(segment.number, place)
            self.pending.clear()
            self.last_kept = segment.number - 1

    def _drop_after(self, at: int) -> None:
        for segment in self.segments[at + 1 :]:
            self.pending.pop(segment.number, None)
        if len(self.segments) > at + 1:
            number = self.segments[at].number
            self.last_kept = number if self.last_kept is None else min(number, self.last_kept)
        del self.segments[at + 1 :]

    def _trim(self) -> None:
        gone = max(1, len(self._table) - FOLDED_EVENTS)
        if self._tail_bytes > FOLDED_BYTES:
            gone = max(gone, len(self._table) // 2)
        self._tail_after = self._table.place(gone - 1)
        changed = sum(self._counts[:gone])
        self._tail_bytes -= self._table[:gone].bytes + text_bytes(self._olds[:changed])
        del self._table[:gone], self._counts[:gone], self._keys[:changed], self._olds[:changed]


def _is_before(one: Place | None, other: Place | None) -> bool:
    """Whether one place, or the begin of the log, is before another."""
    return other is not None and (one is None or one < other)
