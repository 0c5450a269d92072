"""The newest events of a log, in memory, so that live events reach many Logux sessions without a look at the disk."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from operator import attrgetter, lt

from peers.events.columns import EventColumns, joined, size_of
from peers.events.entry import Entry
from peers.log.run_tail import TAIL_BYTES, TAIL_CHANGES
from peers.stores.event_types import EventTypes
from peers.stores.run_store import RunStore
from peers.stores.store import LOOK_EVENTS, PAGE_BYTES, PAGE_EVENTS, Page, Place

STEP_EVENTS = 50
"""Events that one look at the disk for a page reads, so that it holds few that the page has no room for."""

_added = attrgetter("added")


def _last_added(part: Sequence[Entry]) -> int:
    return part.added + len(part.ms) - 1 if isinstance(part, EventColumns) else part[-1].added


class ShownTail:
    """Events that are shown, in the order of `added`, the oldest dropped beyond the limits."""

    def __init__(self, last_added: int) -> None:
        self._parts: list[Sequence[Entry]] = []
        """The events of each commit, as it gave them; none is empty."""
        self._first = last_added + 1
        """From this `added` on nothing is missing."""
        self._last = last_added
        self._count = self._bytes = 0

    def __len__(self) -> int:
        return self._count

    def add(self, entries: Sequence[Entry], last_added: int) -> None:
        """Take the new events of one commit, in order; `last_added` is the store's after it.

        One is left out where its event was cleaned again within the commit. Raises ValueError for one that is not new or
        that the store has not reached: a session would miss or repeat it.
        """
        if isinstance(entries, EventColumns):  # then they rise
            own: Iterable[int] = dict.fromkeys((entries.added, _last_added(entries)))
        else:
            own = map(_added, entries)
        numbers = [self._last, *own, last_added + 1]
        if not all(map(lt, numbers, numbers[1:])):
            what = ", ".join(map(str, numbers[1:-1]))
            raise ValueError(f"`added` {what} is not from {self._last + 1} to {last_added}, or does not rise")
        self._last = last_added
        if len(numbers) > 2:
            self._parts.append(entries)
            self._note(1, entries)
        while self._count > TAIL_CHANGES or self._bytes > TAIL_BYTES:
            self._trim()

    def revise(self, altered: Iterable[Entry], cleaned: Iterable[Entry]) -> None:
        """Put events in the place of those with the same `added`, and drop those that were cleaned, as far as they are here.

        Of `altered` only those count that stand at the event's own position: the others say it under a further dot.
        """
        for entry in altered:
            self._replace(entry.added, [entry], entry.position)
        for entry in cleaned:
            self._replace(entry.added, [])

    def page(self, after: int, *, limit: int = PAGE_EVENTS, max_bytes: int = PAGE_BYTES) -> Page | None:
        """As `page_of`, or None if the walk is further back than the tail reaches."""
        if after + 1 < self._first:
            return None
        parts: list[Sequence[Entry]] = []
        left = limit
        for part in self._parts[bisect_right(self._parts, after, key=_last_added) :]:
            if left <= 0:
                break
            start = 0 if parts else bisect_right(part, after, key=_added)
            parts.append(part[start : start + left])
            left -= len(parts[-1])
        found = joined(parts) if parts else ()
        length = _fitting(found, max_bytes, least=1)
        is_end = not found or (length == len(found) and found[-1].added == _last_added(self._parts[-1]))
        fitting = found if length == len(found) else found[:length]
        return Page(
            fitting if isinstance(fitting, EventColumns) else tuple(fitting),
            max(after, self._last) if is_end else fitting[-1].added,
        )

    def _replace(self, added: int, by: list[Entry], position: int | None = None) -> None:
        """Put `by` in the place of the event with this `added`, if that is here, and at `position` unless this is None."""
        place = bisect_left(self._parts, added, key=_last_added)
        part = self._parts[place] if place < len(self._parts) else ()
        at = bisect_left(part, added, key=_added)
        if at < len(part) and part[at].added == added and position in (None, part[at].position):
            self._note(-1, part)
            revised = [*part[:at], *by, *part[at + 1 :]]
            self._parts[place : place + 1] = [revised] if revised else []
            self._note(1, revised)

    def _note(self, sign: int, entries: Sequence[Entry]) -> None:
        """These were put in (1) or taken out (-1)."""
        self._count += sign * len(entries)
        self._bytes += sign * size_of(entries)

    def _trim(self) -> None:
        """Drop the older half at once: one copy now and then instead of one per commit."""
        if len(self._parts) == 1:
            (part,) = self._parts
            middle = len(part) // 2 + 1
            self._parts = [each for each in (part[:middle], part[middle:]) if each]
        half = (len(self._parts) + 1) // 2
        gone = self._parts[:half]
        del self._parts[:half]
        for part in gone:
            self._note(-1, part)
        self._first = _last_added(gone[-1]) + 1


def page_of(
    store: RunStore,
    after: int,
    limit: int = PAGE_EVENTS,
    max_bytes: int = PAGE_BYTES,
    types: EventTypes | None = None,
    younger_than: Place | None = None,
) -> Page:
    """The events that a store shows whose `added` is larger than `after`, of these types, and after this place.

    At most `limit` of them and `max_bytes` (`Entry.size` summed). There is at least one, unless it has looked at LOOK_EVENTS
    in vain, or is at the end: `Page.until` says how far it looked.
    """
    found: list[Entry] = []
    until, room = after, max_bytes
    while len(found) < limit and until < after + LOOK_EVENTS:
        wanted = min(STEP_EVENTS, limit - len(found))
        step, rest = store.look(
            LOOK_EVENTS, order="added", since=until, limit=wanted, types=types, younger_than=younger_than
        )
        length = _fitting(step, room, least=0 if found else 1)
        found += step[:length]
        if length < len(step):
            return Page(tuple(found), found[-1].added)
        if rest is None:
            return Page(tuple(found), max(after, store.state.last_added))
        until = rest.added
        room -= size_of(step)
    return Page(tuple(found), until)


def _fitting(entries: Sequence[Entry], room: int, *, least: int) -> int:
    """How many of the first ones have a size of `room` bytes together; not less than `least` of them."""
    if size_of(entries) <= room:  # nearly always
        return len(entries)
    size = 0
    for count, entry in enumerate(entries):
        size += entry.size
        if size > room and count >= least:
            return count
    return len(entries)
