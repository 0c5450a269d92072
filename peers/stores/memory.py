"""A store in memory: for tests, for nodes that keep nothing, and as the lab's simulated disk."""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Set
from functools import partial
from itertools import chain

from msgspec import structs

from peers.events.created import Created
from peers.events.entry import Entry
from peers.events.version_vector import Dot, Epoch, VersionVector
from peers.stores.append import AppendRules
from peers.stores.event_rows import as_change
from peers.stores.memory_events import MemoryEvents
from peers.stores.rows import Copy
from peers.stores.store import (
    PAGE_BYTES,
    PAGE_EVENTS,
    PAGE_SCAN,
    Page,
    StoreState,
)


class MemoryStore(MemoryEvents, AppendRules):
    """Keeps everything for as long as the object lives: `close` and `open` it as often as you like."""

    def __init__(self) -> None:
        super().__init__()
        self._rows: list[tuple[Dot | None, Created] | None] = []
        """The change at position i + 1; None where there is none any more."""
        self._places: dict[Created, tuple[int, ...]] = {}
        """Positions of each event's dots, in order."""
        self._dots: dict[Dot, int] = {}
        self._claims: dict[Created, list[tuple[int, Entry]]] = {}
        """Claims kept aside, numbered in the order of their coming."""
        self._claim_count = 0

    def open(self) -> StoreState:
        if not self._is_open:
            self._is_open = True
            self._numbers.heed_known()
        return self.state

    def page(
        self, after: int, *, lacking: VersionVector | None = None, limit: int = PAGE_EVENTS, max_bytes: int = PAGE_BYTES
    ) -> Page:
        self._require_open()
        entries: list[Entry] = []
        size = 0
        until = min(after + PAGE_SCAN, len(self._rows))
        for position in range(after + 1, until + 1):
            row = self._rows[position - 1]
            if row is None or row[0] is None or (lacking is not None and lacking.covers(row[0])):
                continue
            event = self._events[row[1]]
            if event.tombstone:
                continue
            size += event.size
            if entries and size > max_bytes:
                return Page(tuple(entries), entries[-1].position)
            entries.append(as_change(event, row[0], position))
            if len(entries) >= limit:
                return Page(tuple(entries), position)
        return Page(tuple(entries), max(after, until))

    def first_lacked(self, vector: VersionVector) -> int:
        self._require_open()
        if self._numbers.cut or not vector.covers_all(self._numbers.vector):
            for position, row in enumerate(self._rows, 1):
                if row is None or row[0] is None or vector.covers(row[0]):
                    continue
                if not self._events[row[1]].tombstone:
                    return position
        return self._numbers.last_position + 1

    def aside(self) -> tuple[Entry, ...]:
        self._require_open()
        return tuple(claim for _, claim in sorted(chain(*self._claims.values()), key=lambda item: item[0]))

    # The rows

    def copies(self) -> Iterator[Copy]:
        for copies, is_aside in ((self._events.values(), False), (self.aside(), True)):
            yield from (Copy(one.created, b"" if one.tombstone else one.digest, is_aside) for one in copies)

    def dots(self) -> Iterator[Dot]:
        return iter(self._dots)

    def _known_among(self, entries: Sequence[Entry], *, is_second_try: bool) -> dict[Created, Entry | None]:
        events, claims = self._events, self._claims
        return {
            entry.created: None if entry.created in claims else events[entry.created]
            for entry in entries
            if entry.created in events or entry.created in claims
        }

    def _insert(self, changes: list[Entry], further: Set[int]) -> None:
        for change in changes:
            created, position, dot = change.created, change.position, change.dot
            assert dot is not None
            self._rows.append((dot, created))
            self._dots[dot] = position
            if position in further:
                self._places[created] = (*self._places[created], position)
            else:
                self._places[created] = (position,)
                self._link(change)
        self._on_undo(partial(self._forget, changes, further))

    def _forget(self, changes: list[Entry], further: Set[int]) -> None:
        for change in reversed(changes):
            assert change.dot is not None
            self._rows.pop()
            del self._dots[change.dot]
            if change.position in further:
                self._places[change.created] = self._places[change.created][:-1]
            else:
                del self._places[change.created]
                self._unlink(change)

    def _at(self, dot: Dot) -> Entry | None:
        position = self._dots.get(dot)
        row = self._rows[position - 1] if position else None
        return as_change(self._events[row[1]], dot, position) if position and row else None

    def _shown(self, created: Created) -> Entry | None:
        return self._events.get(created)

    def _replace(self, copy: Entry) -> None:
        event = self._events[copy.created]
        self._remove_event(event)
        self._add_event(
            structs.replace(copy, dot=event.dot, added=event.added, position=event.position, local=event.local)
        )

    def _drop_dot(self, dot: Dot) -> None:
        position = self._dots[dot]
        row = self._rows[position - 1]
        assert row is not None
        event = self._events[row[1]]
        places = tuple(place for place in self._places[event.created] if place != position)
        first = self._rows[places[0] - 1] if places else None
        self._set_row(position, (None, event.created) if position == event.position else None)
        self._set(self._places, event.created, places)
        self._set(self._dots, dot, None)
        self._remove_event(event)
        self._add_event(structs.replace(event, dot=first[0] if first else None))

    def _hide(self, created: Created) -> None:
        event = self._events[created]
        self._set_row(event.position, None)
        self._set(self._places, created, None)
        self._remove_event(event)

    def _changes(self, positions: Sequence[int]) -> list[Entry]:
        rows = [(position, self._rows[position - 1]) for position in positions]
        found = [(self._events[row[1]], row[0], position) for position, row in rows if row and row[0]]
        return [as_change(event, dot, position) for event, dot, position in found if not event.tombstone]

    def _events_in(self, epoch: Epoch) -> list[Entry]:
        return [self._events[row[1]] for row in self._rows if row and row[0] and row[0][0] == epoch]

    def _dots_of(self, created: Created) -> list[Dot]:
        rows = [self._rows[position - 1] for position in self._places.get(created, ())]
        return [row[0] for row in rows if row is not None and row[0] is not None]

    def _places_of(self, created: Created) -> list[int]:
        rows = self._rows
        places = self._places.get(created, ())
        return [position for position in places if (row := rows[position - 1]) is not None and row[0] is not None]

    def _doubled(self, epoch: Epoch) -> list[Created]:
        events = dict.fromkeys(event.created for event in self._events_in(epoch))
        return [created for created in events if any(other != epoch for other, _ in self._dots_of(created))]

    def _aside_of(self, created: Created) -> list[Entry]:
        return [claim for _, claim in self._claims.get(created, ())]

    def _insert_aside(self, claim: Entry) -> None:
        self._claim_count += 1
        self._set(self._claims, claim.created, [*self._claims.get(claim.created, ()), (self._claim_count, claim)])

    def _remove_aside(self, claim: Entry) -> None:
        left = [(number, other) for number, other in self._claims[claim.created] if other != claim]
        self._set(self._claims, claim.created, left or None)

    def _bury(self, event: Entry) -> None:
        self._put_event(event.created, self._events[event.created].buried)

    def _set_row(self, position: int, row: tuple[Dot | None, Created] | None) -> None:
        before = self._rows[position - 1]
        self._rows[position - 1] = row
        self._on_undo(partial(self._rows.__setitem__, position - 1, before))
