"""How entries get their places in a store of runs: new events, further dots, copies that differ, leaves without events."""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import dataclass, field
from dataclasses import replace as with_fields
from typing import cast

from peers.events.columns import (
    EventColumns,
    Items,
    are_events_alone,
    created_of,
    events_of,
    joined,
    latest_of,
    nodes_of,
    placed,
)
from peers.events.created import Created
from peers.events.dot import Dot, Epoch
from peers.events.entry import WAITS, Entry
from peers.events.epoch import NOTHING
from peers.events.leaf import leaf_of
from peers.events.run import VOUCHED
from peers.stores.event_rows import AlreadyKnown
from peers.stores.runs.copying import CopyRules, Work
from peers.stores.runs.epochs import leaf_at
from peers.stores.runs.rows import EpochRow, Hollow
from peers.stores.runs.undoing import mark_undone
from peers.stores.store import CLEAN_EVENTS
from peers.stores.taken import Change, Taken


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


class EnteringRules(CopyRules):
    """Gives each entry a position, and each event that is shown first its `added`."""

    def _enter(self, entering: Entering, work: Work) -> None:
        """Give these entries their places: nearly all are events that nothing is known of."""
        foreign = {name for name in nodes_of(entering.items) if not self._stands((entering.epoch, 0), name)}
        if foreign:
            entering = _without(foreign, entering)
        if not any(entering.kinds) and are_events_alone(entering.items) and self._are_plain(entering):
            try:
                with self._piece():
                    self._enter_new(entering, work)
                return
            except AlreadyKnown:
                pass
        self._enter_any(entering, work)

    def _are_plain(self, entering: Entering) -> bool:
        """Whether nothing waits for one of these events, and none of them waits."""
        items = cast("Sequence[Entry]", entering.items)
        return not self._wanted(entering.leaves) and latest_of(items) <= self.until_ms and not self._is_waiting(items)

    def _is_waiting(self, events: Sequence[Entry]) -> bool:
        """Whether a copy of one of these waits for its time."""
        return bool(self._numbers.waiting) and self._has_waiting(created_of(events))

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
            self._note_effects(events, work)

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
                self._place_leaf(leaf, dot, position, seq + at in entering.refused, places, work)
                continue
            copy = self._place_event(item, leaf, dot, position, places, work)
            if kind:
                self._note(leaf, copy.position)
                places.noted[leaf] = copy
            if leaf in places.wanted:
                places.filled.append((places.wanted.pop(leaf), copy))
            if item.extra and copy.added != WAITS:
                work.effects.note(item, is_vouched=kind in VOUCHED)
        self._write_places(places, work)

    def _place_leaf(self, leaf: bytes, dot: Dot, position: int, is_refused: bool, places: _Places, work: Work) -> None:
        copy = places.noted.get(leaf)
        stands = copy is None or self._stands(dot, copy.created[1])
        if copy is not None and stands:
            if copy.vouched:
                self._write_events(places)  # it may be one of them, and be known by this dot from now on
            self._note_effects_at(copy, [dot], work)
            places.further.append((position, copy.position))
            self._move_placed(copy, leaf, dot, places, work)
        else:
            row = Hollow(dot, position, leaf, is_refused or not stands)
            places.hollow.append(row)
            places.wanted.setdefault(leaf, []).append(row)

    def _place_event(self, item: Entry, leaf: bytes, dot: Dot, position: int, places: _Places, work: Work) -> Entry:
        """Returns the copy that the entry stands for, whose row may be written later."""
        created = item.created
        shown = places.known.get(created)
        if shown is not None and (leaf_at(shown) != leaf or shown.vouched):
            self._write_events(places)  # the copy may be one of them
        copy = self._copy_with(shown, leaf)
        if copy is not None:
            places.further.append((position, copy.position))
            places.noted[leaf] = copy
            self._note(leaf, copy.position)
            copy = self._move_placed(copy, leaf, dot, places, work)
        elif item.time > self.until_ms:
            copy = self._wait(item, dot, position, work)
        elif shown is None:
            copy = places.known[created] = self._new_event(item, dot, position, work)
            places.events.append(copy)
        else:
            copy = self._differ(shown, item, leaf, dot, position, work)
            places.known |= self._known_among([created])
        return copy

    def _move_placed(self, copy: Entry, leaf: bytes, dot: Dot, places: _Places, work: Work) -> Entry:
        """The copy, which is on record, as it is after `_move_dot`: what comes after it here is compared with that."""
        if not self._move_dot(copy, dot, work):
            return copy
        places.known |= self._known_among([copy.created])
        places.noted |= self._noted([leaf])
        return places.noted[leaf]

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

    # Hollow entries

    def fill(self, events: Sequence[tuple[Dot, Entry]]) -> Taken:
        """As in the port. Events that nothing is known of, for one entry each, are written together."""
        with self._piece():
            work = Work()
            leaves = [leaf_of(event.created, event.time, event.extra, event.body) for _, event in events]
            wanted = self._wanted(leaves)
            seen: set[object] = set(self._known_among([event.created for _, event in events]) if wanted else ())
            plain: list[tuple[Hollow, Entry]] = []
            is_plain = not self._numbers.waiting and latest_of([event for _, event in events]) <= self.until_ms
            for (dot, event), leaf in zip(events, leaves, strict=True):
                rows = wanted.get(leaf, [])
                stands = self._stands(dot, event.created[1])
                if (
                    is_plain
                    and stands
                    and [row.dot for row in rows] == [dot]
                    and seen.isdisjoint((event.created, leaf))
                ):
                    plain.append((rows[0], event))
                elif rows:
                    self._fill_plain(plain, work)
                    plain = []
                    current = self._hollow_in(*dot, dot[1]) if self._counts(dot) else []
                    if current and current[0].leaf == leaf:
                        if stands:
                            self._supply(current[0], event, work)
                        else:
                            self._refuse(current, work)
                seen.update((event.created, leaf))
            self._fill_plain(plain, work)
            return self._finish(work)

    def _fill_plain(self, pairs: list[tuple[Hollow, Entry]], work: Work) -> None:
        if pairs:
            first = self._fill([row.dot for row, _ in pairs], work)
            copies = [self._new_event(event, row.dot, first + at, work) for at, (row, event) in enumerate(pairs)]
            self._insert(copies)
            self._point([(row, copy) for (row, _), copy in zip(pairs, copies, strict=True)], work)
            self._note_effects(copies, work)

    def _supply(self, row: Hollow, event: Entry, work: Work) -> None:
        """Give an event to the entry that waits for it, and to all others that do."""
        others = [other for other in self._wanted([row.leaf])[row.leaf] if other != row]
        shown = self._shown(event.created)
        copy = self._copy_with(shown, row.leaf)
        if copy is not None:
            self._resolve([row, *others], copy, work)
            return
        position = self._fill([row.dot], work)
        if event.time > self.until_ms:
            copy = self._wait(event, row.dot, position, work)
        elif shown is None:
            copy = self._new_event(event, row.dot, position, work)
            self._insert([copy])
        else:
            copy = self._differ(shown, event, row.leaf, row.dot, position, work)
        self._note_effects_at(copy, [row.dot], work)
        self._point([(row, copy)], work)
        self._resolve(others, copy, work)

    # Events whose time has come

    def show_due(self, limit: int = CLEAN_EVENTS) -> Taken:
        """As in the port."""
        with self._piece():
            work = Work()
            due = self._due(self.until_ms, limit)
            for copy in due:
                self._show(copy, work)
            return self._finish(work, is_unfinished=len(due) == limit)

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
        marked = mark_undone(self._undo_marks, shown, work.replaced)
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
            anew=tuple(work.anew),
            over=tuple(work.over),
            forks={
                key: self._forks[key] for row in rows if row.epoch in work.proven and (key := row.key) in self._forks
            },
            is_unfinished=is_unfinished,
            waiting=tuple(work.waiting),
            is_revised=work.is_revised,
            revised=tuple(work.replaced),
            undone=marked.undone,
            restored=marked.restored,
            cleaning=self._cleaning(work.effects),
        )


def _without(foreign: Set[str], entering: Entering) -> Entering:
    """The same; refused are events of these nodes, which did not sign them, unless they are vouched for."""
    refused = {
        at
        for at, (kind, item) in enumerate(zip(entering.kinds, entering.items, strict=True))
        if isinstance(item, Entry) and kind not in VOUCHED and item.created[1] in foreign
    }
    items = [entering.leaves[at] if at in refused else item for at, item in enumerate(entering.items)]
    seqs = entering.refused.union([entering.seq + at for at in refused])
    return with_fields(entering, items=tuple(items), refused=seqs)
