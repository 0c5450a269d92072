"""How entries get their places in a store of runs: new events, further dots, copies that differ, leaves without events."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import cast

from msgspec import structs

from peers.events.columns import EventColumns, Items, are_events_alone, events_of, joined, placed
from peers.events.created import Created
from peers.events.dot import Dot, Epoch
from peers.events.entry import Entry
from peers.events.epoch import NOTHING, EpochEnd
from peers.events.leaf import leaf_of
from peers.events.piece import Piece
from peers.stores.event_rows import AlreadyKnown, as_change
from peers.stores.retention import Effects, RetentionRules
from peers.stores.run_store import Change, Limited, Taken, Taking
from peers.stores.runs.epochs import EpochRules, leaf_at
from peers.stores.runs.rows import EpochRow, Hollow


@dataclass(slots=True)
class Work:
    """What one write has done so far."""

    outcomes: list[Taking] = field(default_factory=list)
    shown: list[Sequence[Entry]] = field(default_factory=list)
    """In parts, which follow each other."""
    changes: list[Change] = field(default_factory=list)
    pieces: list[Piece] = field(default_factory=list)
    before: dict[Epoch, EpochEnd] = field(default_factory=dict)
    """The ends of the epochs that were touched, as they were."""
    hollow: dict[Dot, None] = field(default_factory=dict)
    proven: dict[Epoch, None] = field(default_factory=dict)
    limited: dict[Epoch, Limited] = field(default_factory=dict)
    is_revised: bool = False
    effects: Effects = field(default_factory=Effects)


@dataclass(slots=True)
class Entering:
    """Entries of one epoch that follow each other, from `seq` on."""

    epoch: Epoch
    seq: int
    kinds: bytes
    items: Items
    leaves: Sequence[bytes]
    refused: frozenset[int] = frozenset()
    """Seqs."""


@dataclass(slots=True)
class _Places:
    """Rows that are not written yet, while entries are looked at one by one."""

    known: dict[Created, Entry]
    noted: dict[bytes, Entry]
    wanted: dict[bytes, list[Hollow]]
    """Hollow entries, by leaf, that came before."""
    events: list[Entry] = field(default_factory=list)
    further: list[tuple[int, int]] = field(default_factory=list)
    hollow: list[Hollow] = field(default_factory=list)
    filled: list[tuple[list[Hollow], Entry]] = field(default_factory=list)


class EnteringRules(RetentionRules, EpochRules):
    """Gives each entry a position, and each event that is shown first its `added`."""

    def _enter(self, entering: Entering, work: Work) -> None:
        """Give these entries their places: nearly all are events that nothing is known of."""
        if not any(entering.kinds) and are_events_alone(entering.items):
            wanted = self._wanted(entering.leaves)
            if not wanted:
                try:
                    with self._piece():
                        self._enter_new(entering, work)
                    return
                except AlreadyKnown:
                    pass
        self._enter_any(entering, work)

    def _wanted(self, leaves: Sequence[bytes]) -> dict[bytes, list[Hollow]]:
        """The entries that count and wait for events with these leaves."""
        if not self._numbers.hollow and not self._numbers.refused:
            return {}
        found = self._hollow_with(leaves)
        counting = {leaf: [row for row in rows if self._counts(row.dot)] for leaf, rows in found.items()}
        return {leaf: rows for leaf, rows in counting.items() if rows}

    def _enter_new(self, entering: Entering, work: Work) -> None:
        """Take entries that are all new events. Raises AlreadyKnown if one is not, inside `_piece`, before `work` changes."""
        numbers = self._numbers
        epoch, seq, length = entering.epoch, entering.seq, len(entering.leaves)
        first = numbers.last_position + 1
        origin, _ = self._stamp((epoch, 0))
        items = cast("Sequence[Entry]", entering.items)
        events = placed(items, (epoch, seq), numbers.last_added + 1, first, origin)
        numbers.events += length
        numbers.last_added += length
        numbers.last_position += length
        self._insert(events)
        self._insert_span(epoch, seq, first, length)
        work.shown.append(events)
        work.changes.append(Change(first, (epoch, seq), length))
        if not isinstance(events, EventColumns):
            self._heed(events, work)

    def _enter_any(self, entering: Entering, work: Work) -> None:
        """Take entries of which something may be known: one look for all, then each by itself."""
        events = list(events_of(entering.items))
        places = _Places(
            self._known_among([event.created for event in events]),
            self._noted([item for item in entering.items if isinstance(item, bytes)]),
            self._wanted(entering.leaves),
        )
        numbers = self._numbers
        epoch, seq = entering.epoch, entering.seq
        first = numbers.last_position + 1
        numbers.last_position += len(entering.items)
        self._insert_span(epoch, seq, first, len(entering.items))
        work.changes.append(Change(first, (epoch, seq), len(entering.items)))
        for at, (kind, item, leaf) in enumerate(zip(entering.kinds, entering.items, entering.leaves, strict=True)):
            dot, position = (epoch, seq + at), first + at
            if isinstance(item, bytes):
                self._place_leaf(leaf, dot, position, seq + at in entering.refused, places)
                continue
            copy = self._place_event(item, leaf, dot, position, places, work)
            if kind:
                self._note(leaf, copy.position)
                places.noted[leaf] = copy
            if leaf in places.wanted:
                places.filled.append((places.wanted.pop(leaf), copy))
        self._write_places(places, work)
        self._heed(events, work)

    def _heed(self, events: Sequence[Entry], work: Work) -> None:
        for event in events:
            if event.extra:
                work.effects.heed(event)

    def _place_leaf(self, leaf: bytes, dot: Dot, position: int, is_refused: bool, places: _Places) -> None:
        copy = places.noted.get(leaf)
        if copy is not None:
            places.further.append((position, copy.position))
            self._move_dot(copy, dot)
        else:
            row = Hollow(dot, position, leaf, is_refused)
            places.hollow.append(row)
            places.wanted.setdefault(leaf, []).append(row)

    def _place_event(self, item: Entry, leaf: bytes, dot: Dot, position: int, places: _Places, work: Work) -> Entry:
        """Returns the copy that the entry stands for, whose row may be written later."""
        shown = places.known.get(item.created)
        if shown is None:
            event = self._new_event(item, dot, position, work)
            places.known[item.created] = event
            places.events.append(event)
            return event
        if leaf_at(shown) == leaf:
            copy: Entry | None = shown
        else:
            self._write_events(places)
            copy = self._copy_aside(shown, leaf)
        if copy is None:
            copy = self._differ(shown, item, leaf, dot, position, work)
            places.known |= self._known_among([item.created])
        else:
            places.further.append((position, copy.position))
            places.noted[leaf] = copy
            self._note(leaf, copy.position)
            if self._move_dot(copy, dot):
                places.known |= self._known_among([item.created])
        return copy

    def _write_events(self, places: _Places) -> None:
        if places.events:
            self._insert(places.events)
            places.events = []

    def _write_places(self, places: _Places, work: Work) -> None:
        self._write_events(places)
        if places.further:
            self._insert_further(places.further)
        if places.hollow:
            self._insert_hollow(places.hollow)
            refused = sum(row.is_refused for row in places.hollow)
            self._numbers.refused += refused
            self._numbers.hollow += len(places.hollow) - refused
            work.hollow.update((row.dot, None) for row in places.hollow if not row.is_refused)
        for rows, copy in places.filled:
            self._resolve(rows, copy, work)

    # One event

    def _new_event(self, item: Entry, dot: Dot, position: int, work: Work) -> Entry:
        """Number an event that is shown first; its row is still to be written."""
        numbers = self._numbers
        numbers.events += 1
        numbers.last_added += 1
        own = numbers.last_added, position, b"", b"", *self._stamp(dot)
        copy = Entry(item.created, item.time, item.body, item.extra, dot, *own)
        work.shown.append((copy,))
        return copy

    def _copy_with(self, shown: Entry, leaf: bytes) -> Entry | None:
        """The copy of an event that has this leaf."""
        return shown if leaf_at(shown) == leaf else self._copy_aside(shown, leaf)

    def _copy_aside(self, shown: Entry, leaf: bytes) -> Entry | None:
        return next((copy for copy in self._aside_of(shown.created) if leaf_at(copy) == leaf), None)

    def _differ(self, shown: Entry, item: Entry, leaf: bytes, dot: Dot, position: int, work: Work) -> Entry:
        """Write the row of another copy of an event: the smaller (time, leaf) is shown; of a cleaned one none is."""
        created, time = item.created, item.time
        if shown.tombstone:
            copy = Entry(created, time, b"", b"", dot, 0, position, b"", leaf, *self._stamp(dot))
            self._insert_aside(copy)
            self._note(leaf, position)
            return copy
        self._numbers.conflicts += 1
        work.effects.created[created] = None
        if (time, leaf) < (shown.time, leaf_at(shown)):
            own = shown.added, position, shown.local, b"", *self._stamp(dot)
            copy = Entry(created, time, item.body, item.extra, dot, *own)
            self._exchange(shown, copy)
            work.is_revised = True
        else:
            copy = Entry(created, time, item.body, item.extra, dot, 0, position, b"", b"", *self._stamp(dot))
            self._insert_aside(copy)
        return copy

    def _move_dot(self, copy: Entry, dot: Dot) -> bool:
        """Say that a copy is known by a dot that counts. Returns whether that is new."""
        if copy.dot is None or self._counts(copy.dot):
            return False
        self._set_dot(copy, dot)
        return True

    # Hollow entries

    def fill(self, events: Sequence[tuple[Dot, Entry]]) -> Taken:
        """As in the port. Events that nothing is known of, for one entry each, are written together."""
        with self._piece():
            work = Work()
            leaves = [leaf_of(event.created, event.time, event.extra, event.body) for _, event in events]
            wanted = self._wanted(leaves)
            seen: set[object] = set(self._known_among([event.created for _, event in events]) if wanted else ())
            plain: list[tuple[Hollow, Entry]] = []
            for (dot, event), leaf in zip(events, leaves, strict=True):
                rows = wanted.get(leaf, [])
                if [row.dot for row in rows] == [dot] and seen.isdisjoint((event.created, leaf)):
                    plain.append((rows[0], event))
                elif rows:
                    self._fill_plain(plain, work)
                    plain = []
                    current = self._hollow_in(*dot, dot[1]) if self._counts(dot) else []
                    if current and current[0].leaf == leaf:
                        self._supply(current[0], event, work)
                seen.update((event.created, leaf))
            self._fill_plain(plain, work)
            return self._finish(work)

    def _fill_plain(self, pairs: list[tuple[Hollow, Entry]], work: Work) -> None:
        if pairs:
            first = self._fill([row.dot for row, _ in pairs], work)
            copies = [self._new_event(event, row.dot, first + at, work) for at, (row, event) in enumerate(pairs)]
            self._insert(copies)
            self._point([(row, copy) for (row, _), copy in zip(pairs, copies, strict=True)], work)
            self._heed(copies, work)

    def _supply(self, row: Hollow, event: Entry, work: Work) -> None:
        """Give an event to the entry that waits for it, and to all others that do."""
        others = [other for other in self._wanted([row.leaf])[row.leaf] if other != row]
        shown = self._shown(event.created)
        copy = self._copy_with(shown, row.leaf) if shown is not None else None
        if copy is not None:
            self._resolve([row, *others], copy, work)
            return
        position = self._fill([row.dot], work)
        if shown is None:
            copy = self._new_event(event, row.dot, position, work)
            self._insert([copy])
        else:
            copy = self._differ(shown, event, row.leaf, row.dot, position, work)
        if event.extra:
            work.effects.heed(event)
        self._point([(row, copy)], work)
        self._resolve(others, copy, work)

    def _resolve(self, rows: list[Hollow], copy: Entry, work: Work) -> None:
        """Let hollow entries stand for this copy, which has their leaf."""
        if not rows:
            return
        self._point([(row, copy) for row in rows], work)
        self._note(rows[0].leaf, copy.position)
        self._move_dot(copy, rows[0].dot)
        if not copy.tombstone:
            position = self._fill([row.dot for row in rows], work)
            self._insert_further([(position + at, copy.position) for at in range(len(rows))])

    def _fill(self, dots: Sequence[Dot], work: Work) -> int:
        """Note that these are filled. Returns the position of the first one."""
        first = self._numbers.last_position + 1
        self._numbers.last_position += len(dots)
        self._insert_fills(list(zip(count(first), dots, strict=False)))
        work.changes += [Change(position, dot, is_fill=True) for position, dot in zip(count(first), dots, strict=False)]
        return first

    def _point(self, pairs: list[tuple[Hollow, Entry]], work: Work) -> None:
        """Let each of these entries, which are hollow no more, stand for its copy."""
        rows = [row for row, _ in pairs]
        refused = sum(row.is_refused for row in rows)
        self._numbers.refused -= refused
        self._numbers.hollow -= len(rows) - refused
        self._remove_hollow(rows)
        self._insert_further([(row.position, copy.position) for row, copy in pairs])
        for row in rows:
            work.hollow.pop(row.dot, None)

    # Retention

    def _bury(self, event: Entry) -> None:
        """Make tombstones of all copies; what waits for one of them does so no more."""
        for copy in self._living_copies(event):
            leaf = leaf_at(copy)
            self._numbers.conflicts -= copy.added == 0
            self._bury_copy(copy, leaf)
            self._note(leaf, copy.position)
            buried = structs.replace(copy, body=b"", extra=b"", local=b"", tombstone=leaf)
            self._resolve(self._wanted([leaf]).get(leaf, []), buried, Work())

    def _living_copies(self, shown: Entry) -> list[Entry]:
        aside = self._aside_of(shown.created) if self._numbers.conflicts else []
        return [shown, *(copy for copy in aside if not copy.tombstone)]

    def _places_of(self, created: Created) -> list[int]:
        shown = self._shown(created)
        copies = self._living_copies(shown) if shown is not None else []
        return sorted(change.position for copy in copies for change in self._dots_of(copy))

    def _changes_of(self, createds: Iterable[Created]) -> list[Entry]:
        changes: list[Entry] = []
        for created in createds:
            shown = self._shown(created)
            if shown is not None and not shown.tombstone:
                changes += [as_change(shown, change.dot, change.position) for change in self._dots_of(shown)]
        return sorted(changes, key=_position)

    # The end of a write

    def _keep_epoch(self, row: EpochRow, work: Work) -> None:
        """Put the row of an epoch in memory; it is written when the work is finished."""
        before = self._epochs.get(row.epoch)
        work.before.setdefault(row.epoch, before.end if before is not None else NOTHING)
        self._remember(self._epochs, row.epoch, row)

    def _finish(
        self, work: Work, results: Sequence[Entry | ValueError | None] | None = (), *, is_unfinished: bool = False
    ) -> Taken:
        """`results`: None if they are what is shown."""
        rows = [self._epochs[epoch] for epoch in work.before]
        if rows:
            self._put_epochs(rows)
        self._apply(work.effects)
        shown = joined(work.shown)
        results = shown if results is None else results
        if work.is_revised or work.effects.are_any:
            current = [self._shown(event.created) for event in shown]
            shown = tuple([event for event in current if event is not None and not event.tombstone])
        return Taken(
            outcomes=tuple(work.outcomes),
            results=results,
            shown=shown,
            changes=tuple(work.changes),
            pieces=tuple(work.pieces),
            ends={row.epoch: row.end for row in rows if row.end != work.before[row.epoch]},
            hollow=tuple(work.hollow),
            proven=tuple(work.proven),
            limited=work.limited,
            forks={
                key: self._forks[key] for row in rows if row.epoch in work.proven and (key := row.key) in self._forks
            },
            is_unfinished=is_unfinished,
            is_revised=work.is_revised,
            cleaning=self._cleaning(work.effects),
        )


def _position(entry: Entry) -> int:
    return entry.position
