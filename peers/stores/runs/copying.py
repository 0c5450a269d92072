"""Which copy of an event is shown in a store of runs, what becomes of the others, and which entries stand for each."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import count

from msgspec import structs

from peers.events.columns import EventColumns
from peers.events.created import MAX_MS, NODE_MARK, Created
from peers.events.dot import Dot, Epoch
from peers.events.entry import WAITS, Entry
from peers.events.epoch import EpochEnd
from peers.events.piece import Piece
from peers.events.run import RUN_ENTRIES
from peers.stores.event_rows import as_change
from peers.stores.retention import Effects, RetentionRules
from peers.stores.runs.epochs import EpochRules, leaf_at
from peers.stores.runs.rows import Hollow
from peers.stores.taken import Change, Limited, Taking


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
    anew: dict[Epoch, None] = field(default_factory=dict)
    over: dict[Epoch, None] = field(default_factory=dict)
    waiting: list[Entry] = field(default_factory=list)
    is_revised: bool = False
    replaced: dict[Created, Entry] = field(default_factory=dict)
    """Copies that are shown in the place of another one, or of its tombstone."""
    effects: Effects = field(default_factory=Effects)


class CopyRules(RetentionRules, EpochRules):
    """Of the copies of one `created`, one is shown, the same in all stores that have heard the same.

    **Authors.** An event of a node, whose id is in its `created`, stands in epochs of that node; in those of others only as one
    that they vouch for. An entry that breaks this is refused: it counts, and has no event here. Of two copies that differ, one
    that stands in an epoch of its own node is shown rather than one that others vouch for; else that with the smaller (time,
    leaf). Users have no keys: their events may stand in any epoch. So may those of releases without signatures, in theirs.

    So of two copies that others vouch for, as of what a revoked node wrote after its cut, that of a lying member may be shown.
    No rule on what stands in the log prevents that: usually one honest member alone vouches for a copy, so counting does not
    help; and a revoked key may sign any copy at any time, so its signature does not show which one is genuine.

    **The future.** An event whose time is after `until_ms` is held and waits: it is not shown and does nothing to others until
    `show_due` finds that its time has come. Then it is a new event, or another copy of one. What is shown stays shown.
    """

    def __init__(self) -> None:
        super().__init__()
        self.until_ms = MAX_MS

    def undone(self, createds: Collection[Created]) -> set[Created]:
        """As in the port."""
        return self._undo_marks.marked(createds)

    def undone_by_cleaned(self, after: int, until: int) -> set[Created]:
        """As in the port."""
        return set(self._undo_marks.by(self._buried_between(after, until)).values())

    def has_undone(self) -> bool:
        """As in the port."""
        return self._undo_marks.are_any()

    def aside_of(self, created: Created) -> list[Entry]:
        """As in the port."""
        return [copy for copy in self._aside_of(created) if not copy.tombstone and not copy.added]

    # Whose event it is

    def _stands(self, dot: Dot, node_id: str) -> bool:
        """Whether an entry may be of an event with this node id in its `created`."""
        if NODE_MARK not in node_id:
            return True
        origin, vouched = self._stamp(dot)
        return bool(vouched) or origin in (None, node_id)

    def _wanted(self, leaves: Sequence[bytes]) -> dict[bytes, list[Hollow]]:
        """The entries that count and wait for events with these leaves."""
        if not self._numbers.hollow and not self._numbers.refused:
            return {}
        found = self._hollow_with(leaves)
        counting = {leaf: [row for row in rows if self._counts(row.dot)] for leaf, rows in found.items()}
        return {leaf: rows for leaf, rows in counting.items() if rows}

    def _note_effects(self, events: Sequence[Entry], work: Work) -> None:
        for event in events:
            if event.extra:
                work.effects.note(event, is_vouched=bool(event.vouched))

    def _note_effects_at(self, copy: Entry, dots: Iterable[Dot], work: Work) -> None:
        """A copy that is here stands for these entries too: it may come by one of its author now."""
        if copy.extra and copy.added != WAITS:
            work.effects.note(copy, is_vouched=all(self._stamp(dot)[1] for dot in dots))

    # Copies

    def _new_event(self, item: Entry, dot: Dot, position: int, work: Work) -> Entry:
        """Number an event that is shown first; its row is still to be written."""
        numbers = self._numbers
        numbers.events += 1
        numbers.last_added += 1
        own = numbers.last_added, position, b"", b"", *self._stamp(dot)
        copy = Entry(item.created, item.time, item.body, item.extra, dot, *own)
        work.shown.append((copy,))
        return copy

    def _copy_with(self, shown: Entry | None, leaf: bytes) -> Entry | None:
        """The copy of an event that has this leaf; `shown` is the one that is shown."""
        if shown is not None and leaf_at(shown) == leaf:
            return shown
        if shown is None and not self._numbers.waiting:
            return None
        return self._noted([leaf]).get(
            leaf
        )  # all that are not shown are on record: one event may have very many copies

    def _wait(self, item: Entry, dot: Dot, position: int, work: Work) -> Entry:
        """Write the row of an event whose time has not come."""
        copy = Entry(item.created, item.time, item.body, item.extra, dot, WAITS, position, b"", b"", *self._stamp(dot))
        self._insert_aside(copy)
        self._note(leaf_at(item), position)
        self._numbers.waiting += 1
        work.waiting.append(copy)
        return copy

    def _show(self, waiting: Entry, work: Work) -> None:
        """The time of an event has come: it is taken as one that is filled now."""
        leaf, dot = leaf_at(waiting), waiting.dot
        assert dot is not None, "what waits came with an entry"
        position = self._fill([dot], work)
        self._move_copy(waiting, leaf, position)
        self._numbers.waiting -= 1
        shown = self._shown(waiting.created)
        if shown is None:
            copy = self._new_event(waiting, dot, position, work)
            self._insert([copy])
        else:
            copy = self._differ(shown, waiting, leaf, dot, position, work)
        self._note_effects([copy], work)

    def _differ(self, shown: Entry, item: Entry, leaf: bytes, dot: Dot, position: int, work: Work) -> Entry:
        """Write the row of another copy of an event: the better one is shown; of a cleaned one none is.

        Unless others had only vouched for what was cleaned, and this is the event of the node itself.
        """
        created, time = item.created, item.time
        copy = Entry(created, time, item.body, item.extra, dot, 0, position, b"", b"", *self._stamp(dot))
        if shown.tombstone and (copy.vouched or not shown.vouched or NODE_MARK not in created[1]):
            copy = structs.replace(copy, body=b"", extra=b"", tombstone=leaf)
            self._insert_aside(copy)
            self._note(leaf, position)
            return copy
        work.effects.created[created] = None
        if shown.tombstone:
            copy = self._new_event(item, dot, position, work)
            self._exchange(shown, copy)
            work.replaced[created] = copy
            return copy
        self._numbers.conflicts += 1
        if _rank(copy) < _rank(shown):
            copy = structs.replace(copy, added=shown.added, local=shown.local)
            self._exchange(shown, copy)
            self._note(leaf_at(shown), shown.position)
            work.replaced[created] = copy
            work.is_revised = True
        else:
            self._insert_aside(copy)
            self._note(leaf, position)
        return copy

    def _move_dot(self, copy: Entry, dot: Dot, work: Work) -> bool:
        """Say that a copy is known by a dot that counts: if the one before does not, or another node vouches for it there.

        Returns whether that is new. Then another copy may be better.
        """
        is_better = bool(copy.vouched) and not self._stamp(dot)[1]
        if copy.dot is None or (self._counts(copy.dot) and not is_better):
            return False
        self._set_dot(copy, dot)
        if self._numbers.conflicts and not copy.tombstone and copy.added != WAITS:
            origin, vouched = self._stamp(dot)
            self._choose(copy, structs.replace(copy, dot=dot, origin=origin, vouched=vouched), work)
        return True

    def _choose(self, before: Entry, moved: Entry, work: Work) -> None:
        """Show the best copy of an event, of which one is known by another dot than before."""
        shown = self._shown(moved.created)
        if shown is None or shown.tombstone:
            return
        copies = [shown, moved]
        if moved.position == shown.position:
            copies = self._living_copies(shown) if _rank(moved) > _rank(before) else [shown]
        best = min(copies, key=_rank)
        if best.position != shown.position:
            self._swap(shown, structs.replace(best, added=shown.added, local=shown.local))
            self._note(leaf_at(shown), shown.position)
            work.effects.created[shown.created] = None
            work.replaced[shown.created] = best
            work.is_revised = True

    def _first_own(self, dots: Sequence[Dot]) -> Dot:
        """The first of these at which no other node vouches for the event, or the first one."""
        return next((dot for dot in dots if not self._stamp(dot)[1]), dots[0])

    def _stand_again(self, epoch: Epoch, first: int, last: int, work: Work) -> None:
        """These entries count again: their copies are known by them, before those of who vouches for them."""
        for start in range(first, last + 1, RUN_ENTRIES):
            end = min(last, start + RUN_ENTRIES - 1)
            if isinstance(self._items(epoch, start, end), EventColumns):
                continue  # each is known by its entry
            standings = self._read(epoch, start, end)
            noted = self._noted([each.item for each in standings if isinstance(each.item, bytes)])
            for seq, (position, state, item) in enumerate(standings, start):
                dot = epoch, seq
                copy = noted.get(item) if isinstance(item, bytes) else item
                if copy is None or state == "refused":
                    continue
                if state == "hollow":
                    self._resolve([Hollow(dot, position, leaf_at(item))], copy, work)
                elif self._move_dot(copy, dot, work):
                    self._note_effects_at(copy, [dot], work)

    # Hollow entries that get their event

    def _resolve(self, rows: list[Hollow], copy: Entry, work: Work) -> None:
        """Let hollow entries stand for this copy, which has their leaf; those that may not are refused."""
        foreign = [row for row in rows if not self._stands(row.dot, copy.created[1])]
        self._refuse(foreign, work)
        rows = [row for row in rows if row not in foreign]
        if not rows:
            return
        self._point([(row, copy) for row in rows], work)
        self._note(rows[0].leaf, copy.position)
        dots = [row.dot for row in rows]
        self._move_dot(copy, self._first_own(dots), work)
        self._note_effects_at(copy, dots, work)
        if not copy.tombstone:
            position = self._fill([row.dot for row in rows], work)
            self._insert_further([(position + at, copy.position) for at in range(len(rows))])

    def _refuse(self, rows: Sequence[Hollow], work: Work) -> None:
        """The event of these entries is known, and they may not be of it."""
        hollow = [row for row in rows if not row.is_refused]
        if hollow:
            self._numbers.hollow -= len(hollow)
            self._numbers.refused += len(hollow)
            self._remove_hollow(hollow)
            self._insert_hollow([Hollow(row.dot, row.position, row.leaf, True) for row in hollow])
            for row in hollow:
                work.hollow.pop(row.dot, None)

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
        return [shown, *(copy for copy in aside if not copy.added and not copy.tombstone)]

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


def _rank(copy: Entry) -> tuple[bool, int, bytes]:
    """Of two copies of an event, the one with the smaller rank is shown."""
    is_weak = NODE_MARK in copy.created[1] and (bool(copy.vouched) or copy.origin is None)
    return is_weak, copy.time, leaf_at(copy)


def _position(entry: Entry) -> int:
    return entry.position
