"""A store in memory: for tests, for nodes that keep nothing, and as the lab's simulated disk."""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable, Iterator, Sequence, Set
from contextlib import contextmanager
from functools import partial
from itertools import chain
from typing import TypeVar, Unpack

from msgspec import structs

from peers.events.created import Created
from peers.events.entry import Entry
from peers.events.reasons import Label
from peers.events.version_vector import Dot, Epoch, VersionVector
from peers.stores.append import AppendRules, as_change
from peers.stores.memory_walk import walk_by_added, walk_by_place
from peers.stores.rows import Copy
from peers.stores.store import (
    MAX_CURSORS,
    PAGE_BYTES,
    PAGE_EVENTS,
    PAGE_SCAN,
    Page,
    Place,
    StoreError,
    StoreState,
    Walk,
    WalkOptions,
)

K = TypeVar("K")
V = TypeVar("V")
_Undo = Callable[[], object]


class MemoryStore(AppendRules):
    """Keeps everything for as long as the object lives: `close` and `open` it as often as you like."""

    def __init__(self) -> None:
        super().__init__()
        self._is_open = False
        self._undo: list[_Undo] | None = None
        """How to take back what the transaction did, None outside of one."""
        self._rows: list[tuple[Dot | None, Created] | None] = []
        """The change at position i + 1; None where there is none any more."""
        self._events: dict[Created, Entry] = {}
        """Each event with its first dot and the position of its own row."""
        self._places: dict[Created, tuple[int, ...]] = {}
        """Positions of each event's dots, in order."""
        self._dots: dict[Dot, int] = {}
        self._by_created: list[tuple[int, Created]] = []
        self._by_added: list[tuple[int, Created]] = []
        self._claims: dict[Created, list[tuple[int, Entry]]] = {}
        """Claims kept aside, numbered in the order of their coming."""
        self._claim_count = 0
        self._by_label: dict[Label, dict[Created, None]] = {}
        """Events that have a reason or an index."""
        self._kept_last: dict[str, Place] = {}
        self._cursors: dict[str, tuple[int, int]] = {}
        """Those that were kept longest ago come first."""

    def open(self) -> StoreState:
        if not self._is_open:
            self._is_open = True
            self._numbers.heed_known()
        return self.state

    def close(self) -> None:
        if self._undo is not None:
            self._take_back(0)
            self._undo = None
        self._is_open = False

    @contextmanager
    def transaction(self) -> Iterator[None]:
        self._require_open()
        if self._undo is not None:
            raise RuntimeError("a transaction is open already: they do not nest")
        undo: list[_Undo] = [partial(setattr, self, "_numbers", self._numbers.copy())]
        self._undo = undo
        try:
            yield
            if self._undo is not undo:
                raise StoreError("the store in memory was closed in a transaction, which is taken back")
        except BaseException:
            if self._undo is undo:
                self._take_back(0)
            raise
        finally:
            if self._undo is undo:
                self._undo = None

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

    def find(self, created: Created) -> Entry | None:
        self._require_open()
        event = self._events.get(created)
        return None if event is None or event.tombstone else event

    def each(self, **options: Unpack[WalkOptions]) -> tuple[Entry, ...]:
        self._require_open()
        walk = Walk(**options)
        if walk.index is None:
            places, numbers = self._by_created, self._by_added
        else:
            labelled = self._having(("index", walk.index))
            places = sorted([_place(event) for event in labelled])
            numbers = sorted([(event.added, event.created) for event in labelled])
        if walk.order == "added":
            return walk_by_added(walk, numbers, self._events)
        return walk_by_place(walk, places, self._events)

    def aside(self) -> tuple[Entry, ...]:
        self._require_open()
        return tuple(claim for _, claim in sorted(chain(*self._claims.values()), key=lambda item: item[0]))

    def cursors(self, other_node_id: str) -> tuple[int, int]:
        self._require_open()
        return self._cursors.get(other_node_id, (0, 0))

    def keep_cursors(self, other_node_id: str, synced: int, other_synced: int) -> None:
        with self._piece():
            self._on_undo(partial(setattr, self, "_cursors", self._cursors))
            others = [item for item in self._cursors.items() if item[0] != other_node_id]
            others.append((other_node_id, (synced, other_synced)))
            self._cursors = dict(others[-MAX_CURSORS:])

    def probe(self) -> None:
        self._on_undo(lambda: None)

    # The rows

    def copies(self) -> Iterator[Copy]:
        for copies, is_aside in ((self._events.values(), False), (self.aside(), True)):
            yield from (Copy(one.created, b"" if one.tombstone else one.digest, is_aside) for one in copies)

    def dots(self) -> Iterator[Dot]:
        return iter(self._dots)

    def all_cursors(self) -> Iterator[tuple[str, tuple[int, int]]]:
        return iter(self._cursors.items())

    def writes(self) -> int:
        return len(self._undo or ())

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

    def _set_local(self, event: Entry, local: bytes) -> None:
        self._exchange(event.created, structs.replace(self._events[event.created], local=local))

    def _bury(self, event: Entry) -> None:
        self._exchange(event.created, self._events[event.created].buried)

    def _living(self, after: int, limit: int) -> list[Entry]:
        start = bisect_right(self._by_added, after, key=lambda item: self._events[item[1]].position)
        return [self._events[created] for _, created in self._by_added[start : start + limit]]

    def _labelled(self, label: Label, after: int, limit: int) -> list[Entry]:
        events = sorted(self._having(label), key=_position)
        return [event for event in events if event.position > after][:limit]

    def _with_older_reason(self, reason: str, place: Place) -> list[Entry]:
        return sorted((event for event in self._having(("reason", reason)) if _place(event) < place), key=_place)

    def _last_kept(self, reason: str) -> Place | None:
        return self._kept_last.get(reason)

    def _set_last_kept(self, reason: str, place: Place) -> None:
        self._set(self._kept_last, reason, place)

    def _having(self, label: Label) -> list[Entry]:
        return [self._events[created] for created in self._by_label.get(label, ())]

    # One step each, with the way back

    @contextmanager
    def _piece(self) -> Iterator[None]:
        self._require_open()
        if self._undo is None:
            raise RuntimeError("a store is written inside a transaction only")
        mark = len(self._undo)
        before = self._numbers.copy()
        try:
            yield
        except BaseException:
            self._take_back(mark)
            self._numbers = before
            raise

    def _take_back(self, mark: int) -> None:
        steps = self._undo or []
        while len(steps) > mark:
            steps.pop()()

    def _on_undo(self, step: _Undo) -> None:
        if self._undo is not None:
            self._undo.append(step)

    def _set_row(self, position: int, row: tuple[Dot | None, Created] | None) -> None:
        before = self._rows[position - 1]
        self._rows[position - 1] = row
        self._on_undo(partial(self._rows.__setitem__, position - 1, before))

    def _set(self, table: dict[K, V], key: K, value: V | None) -> None:
        """Put the value there, or remove what is there for None."""
        self._on_undo(partial(_put, table, key, table.get(key)))
        _put(table, key, value)

    def _add_event(self, event: Entry) -> None:
        self._link(event)
        self._on_undo(partial(self._unlink, event))

    def _remove_event(self, event: Entry) -> None:
        self._unlink(event)
        self._on_undo(partial(self._link, event))

    def _exchange(self, created: Created, event: Entry) -> None:
        self._remove_event(self._events[created])
        self._add_event(event)

    def _link(self, event: Entry) -> None:
        self._events[event.created] = event
        if event.tombstone:
            return
        for label in event.labels:
            self._by_label.setdefault(label, {})[event.created] = None
        insort(self._by_created, (event.time, event.created))
        insort(self._by_added, (event.added, event.created))

    def _unlink(self, event: Entry) -> None:
        del self._events[event.created]
        if event.tombstone:
            return
        for label in event.labels:
            del self._by_label[label][event.created]
            if not self._by_label[label]:
                del self._by_label[label]
        del self._by_created[bisect_left(self._by_created, (event.time, event.created))]
        del self._by_added[bisect_left(self._by_added, (event.added, event.created))]

    def _require_open(self) -> None:
        if not self._is_open:
            raise StoreError("the store in memory is closed: open it first")


def _put(table: dict[K, V], key: K, value: V | None) -> None:
    if value is None:
        table.pop(key, None)
    else:
        table[key] = value


def _place(event: Entry) -> Place:
    return event.time, event.created


def _position(event: Entry) -> int:
    return event.position
