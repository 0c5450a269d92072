"""What a fold reads from the log: new events, pages in log order, which copies are shown."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence, Set
from hashlib import sha256
from typing import NamedTuple

from mesh.views.undo import place_of
from peers.events.columns import EventTable, bytes_of, created_of
from peers.events.created import Created
from peers.events.entry import META_BYTES, Entry
from peers.stores.event_types import SHORT_BODY, EventTypes
from peers.stores.run_store import RunStore
from peers.stores.store import PAGE_EVENTS, Place
from peers.stores.undo import undone_by

PAGE = 2_000
READ_PAGE_BYTES = 2 * 1024 * 1024
"""Events that one look at the log reads, or bytes of events: it ends after one or the other."""
READ_STEP = PAGE_EVENTS
"""Events that it reads at once: at most 128 MiB, since each has 256 KiB at most."""
MAX_COPIES = 1_000
"""Events of which copies differ that are watched: the last ones."""
CLEANED_BYTES = 8 * 1024 * 1024
"""Of cleaned events that may be folded again; beyond it the oldest are forgotten."""


class Fed(NamedTuple):
    """New events."""

    table: EventTable
    until: int
    """They are all up to this `added`."""
    mark: Created | None
    """Of the event with this `added`, if it is shown."""
    undone: Set[Created] = frozenset()
    """Those of them, and of the cleaned ones, that are undone."""

    @classmethod
    def of(cls, entries: Sequence[Entry], until: int, undone: Set[Created] = frozenset()) -> Fed:
        """These, up to `until`."""
        last = entries[-1] if entries else None
        mark = last.created if last is not None and last.added == until else None
        return cls(EventTable.of(entries), until, mark, undone)


class Walked(NamedTuple):
    """Events in log order."""

    table: EventTable
    end: Place | None
    """They are all up to this place; None: all that there are."""
    undone: Set[Created] = frozenset()


def read_new(store: RunStore, after: int, cleaned: Collection[Created]) -> Fed:
    """Events that were added after one."""
    entries: list[Entry] = []
    size, is_end = 0, False
    while len(entries) < PAGE and size < READ_PAGE_BYTES and not is_end:
        since = entries[-1].added if entries else after
        some = store.each(order="added", since=since, limit=READ_STEP)
        entries += some
        size += META_BYTES * len(some) + bytes_of(some)
        is_end = len(some) < READ_STEP
    until = max(after, store.state.last_added) if is_end else entries[-1].added
    return Fed.of(entries, until, _undone(store, created_of(entries), cleaned))


def read_on(
    store: RunStore, after: Place | None, until: int, types: Set[str] | None, cleaned: Collection[Created]
) -> Walked:
    """Events after a place with an `added` up to `until`; of other types than these some at most."""
    table, end = store.table(after, until=until, limit=PAGE, max_bytes=READ_PAGE_BYTES)
    if types is not None and table.bytes > SHORT_BODY * len(table):  # else a fold decodes them as fast
        marks = EventTypes(types).marks
        table = table.at([row for row, body in enumerate(table.bodies) if any(mark in body for mark in marks)])
    return Walked(table, end, _undone(store, table.createds, cleaned))


def _undone(store: RunStore, createds: Sequence[Created], cleaned: Collection[Created]) -> Set[Created]:
    if not store.has_undone():  # nearly always
        return frozenset()
    return store.undone([*createds, *cleaned])


class Known(NamedTuple):
    """What a log has of an event that was undone, is undone no more, or has another copy."""

    entry: Entry | None
    is_undone: bool


def read_known(store: RunStore, createds: Collection[Created]) -> dict[Created, Known]:
    """What the log has of these events."""
    undone = store.undone(createds)
    return {created: Known(store.find(created), created in undone) for created in createds}


def read_undone(after: int, until: int, store: RunStore) -> set[Created]:
    """What cleaned events at positions after one, up to another, have undone."""
    return store.undone_by_cleaned(after, until)


def read_mark(store: RunStore, added: int) -> Created | None:
    """The `created` of the event with this `added`; None if it is not shown."""
    found = store.each(order="added", since=added - 1, limit=1)
    return found[0].created if found and found[0].added == added else None


class Copy(NamedTuple):
    """An event of which copies differ."""

    shown: str
    """Stands for the copy that is shown."""
    places: tuple[Place, ...]
    """Of all copies, and of the events that they undo."""


def read_copies(store: RunStore) -> dict[Created, Copy]:
    """Events of which copies differ, the last MAX_COPIES."""
    found: dict[Created, Copy] = {}
    for aside in store.aside(MAX_COPIES):
        known = found.get(aside.created)
        if known is None:
            shown = store.find(aside.created)
            if shown is None:
                continue
            mark = sha256(shown.body + b"\0" + shown.extra).hexdigest()[:16]
            known = Copy(f"{shown.time} {mark}", _places(store, shown))
        found[aside.created] = Copy(known.shown, (*known.places, *_places(store, aside)))
    return found


def _places(store: RunStore, copy: Entry) -> tuple[Place, ...]:
    target = undone_by(copy.body)
    undone = store.find(target) if target is not None else None
    return (place_of(copy),) if undone is None else (place_of(copy), place_of(undone))


class Cleaned:
    """Cleaned events that may be folded for the first time, or again after a rewind: the log has them no more."""

    def __init__(self, entries: Iterable[Entry] = ()) -> None:
        self._entries = {entry.created: entry for entry in entries}
        self._bytes = sum(entry.size for entry in self._entries.values())
        self._unwritten: dict[int, Entry] = {}
        self._forgotten: list[int] = []

    @property
    def createds(self) -> tuple[Created, ...]:
        """Of all that are kept."""
        return tuple(self._entries)

    def add(self, entries: Iterable[Entry]) -> None:
        """These are cleaned."""
        for entry in entries:
            self.forget([entry.created])
            self._entries[entry.created] = entry
            self._unwritten[entry.position] = entry
            self._bytes += entry.size
        if self._bytes > CLEANED_BYTES:
            for entry in sorted(self._entries.values(), key=place_of):
                self.forget([entry.created])
                if self._bytes <= CLEANED_BYTES * 3 // 4:
                    break

    def forget(self, createds: Iterable[Created]) -> None:
        """These are not needed any more."""
        for created in createds:
            entry = self._entries.pop(created, None)
            if entry is not None:
                self._bytes -= entry.size
                if self._unwritten.pop(entry.position, None) is None:
                    self._forgotten.append(entry.position)

    def forget_before(self, place: Place | None, added: int) -> None:
        """Nothing goes back before a place any more, and all up to `added` was folded."""
        if place is not None and self._entries:
            self.forget(
                [entry.created for entry in self._entries.values() if entry.added <= added and place_of(entry) <= place]
            )

    def new(self, fed: Fed, after: int) -> EventTable:
        """New events, with those that were cleaned meanwhile."""
        return self._with(fed.table, [entry for entry in self._entries.values() if after < entry.added <= fed.until])

    def in_order(self, walked: Walked, after: Place | None, until: int) -> EventTable:
        """Events in log order, with those that were cleaned."""
        gone = [
            entry
            for entry in self._entries.values()
            if entry.added <= until
            and (after is None or place_of(entry) > after)
            and (walked.end is None or place_of(entry) <= walked.end)
        ]
        return self._with(walked.table, gone).in_order() if gone else walked.table

    def _with(self, table: EventTable, gone: list[Entry]) -> EventTable:
        if not gone:
            return table
        known = set(table.createds)
        return table + EventTable.of([entry for entry in gone if entry.created not in known])

    @property
    def is_unwritten(self) -> bool:
        """Whether the file lacks some."""
        return bool(self._unwritten)

    def find(self, created: Created) -> Entry | None:
        """A cleaned event, as it was before."""
        return self._entries.get(created)

    def unwritten(self) -> list[Entry]:
        """What the file lacks: it will have it."""
        unwritten, self._unwritten = list(self._unwritten.values()), {}
        return unwritten

    def forgotten(self) -> list[int]:
        """Positions that the file is to forget: it will."""
        forgotten, self._forgotten = self._forgotten, []
        return forgotten
