"""How a store takes entries: numbers, repeats and conflicts; all stores share it, whatever they keep their rows in."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

from peers.created import Created
from peers.entry import Entry
from peers.stores.store import Appended, StoreError, StoreState
from peers.version_vector import MAX_RANGES, Dot, Epoch, VersionVector


class AlreadyKnown(StoreError):
    """An event that was taken for new is not: `append` begins again and looks first. At the second try it is damage."""

    def __init__(self) -> None:
        super().__init__("the store found an event twice: it is damaged; put a copy in its place, or move it away")


@dataclass(slots=True)
class Numbers:
    """What a store keeps in memory. The collections in it are never changed in place, so a shallow copy is enough."""

    last_added: int = 0
    last_position: int = 0
    events: int = 0
    clock_ms: int = 0
    conflicts: int = 0
    vector: VersionVector = field(default_factory=VersionVector)
    highest: dict[Epoch, int] = field(default_factory=dict)
    """The largest seq ever stored of each epoch; the vector may claim less."""
    cut: frozenset[Epoch] = frozenset()
    """Epochs that had MAX_RANGES once: dots of theirs may be stored that the vector does not cover."""


@dataclass(slots=True)
class _Batch:
    epoch: Epoch
    seq: int
    known: dict[Created, Entry | None]
    """The event as shown, or None where one has to look."""
    run: list[tuple[Entry, bool]] = field(default_factory=list)
    """Changes that have their numbers but are not among the rows yet, and whether each is a new event."""
    dots: set[Dot] = field(default_factory=set)
    changes: list[Entry] = field(default_factory=list)
    has_conflict: bool = False
    """Then `changes` may show what was replaced since."""


class Taking(ABC):
    """Decides what becomes of each entry; a subclass keeps the rows, and the numbers over a restart.

    What is shown depends on the set of copies and dots that came, not on their order. Of all copies of one `created`
    the best is shown, by (time, digest). Of all events that claim one dot, the one whose best copy is smaller by (time,
    digest, created) has it. An event is shown if it has a dot. Every other claim is kept aside with its dot, because a
    better copy that comes later may win the dot back. Copies that differ in nothing but `extra` are no conflict: the
    smaller `extra` is kept, so that nodes agree on that too.
    """

    def __init__(self) -> None:
        self._numbers = Numbers()
        self._touched: set[Epoch] = set()
        """Epochs whose part of the vector changed in this transaction."""

    @property
    def state(self) -> StoreState:
        numbers = self._numbers
        return StoreState(
            last_added=numbers.last_added,
            last_position=numbers.last_position,
            events=numbers.events,
            clock_ms=numbers.clock_ms,
            conflicts=numbers.conflicts,
            vector=numbers.vector,
        )

    # What a subclass has for rows. A row is a change; the event's own is the one that it came with.

    @abstractmethod
    def _known_among(self, entries: Sequence[Entry], *, is_second_try: bool) -> dict[Created, Entry | None]:
        """Those shown and, with None, those aside. The first try may leave out what `_insert` notices."""

    @abstractmethod
    def _insert(self, changes: list[tuple[Entry, bool]]) -> None:
        """Add rows, in order: of new events (True), or of further dots of events that have a row of their own (False).

        Raises AlreadyKnown if a new event is not; then `append` undoes all that it did.
        """

    @abstractmethod
    def _at(self, dot: Dot) -> Entry | None:
        """The event that has this dot, read as the change that gave it."""

    @abstractmethod
    def _shown(self, created: Created) -> Entry | None:
        """The event with its first dot; its position is that of its own row. The dot is None if it has lost all."""

    @abstractmethod
    def _replace(self, copy: Entry) -> None:
        """Show this copy of its `created` instead, with the same added, position and dots."""

    @abstractmethod
    def _drop_dot(self, dot: Dot) -> None:
        """Take the dot from its event. The event's own row stays, without a dot; that of a further dot goes."""

    @abstractmethod
    def _hide(self, created: Created) -> None:
        """Remove the row of an event that has no dot left."""

    @abstractmethod
    def _change(self, position: int) -> Entry | None:
        """The change at this position as `page` gives it, None if there is none any more."""

    @abstractmethod
    def _events_in(self, epoch: Epoch) -> list[Entry]:
        """The events that have a dot of this epoch, in the order of these dots' positions."""

    @abstractmethod
    def _aside_of(self, created: Created) -> list[Entry]:
        """The claims kept aside of this event, oldest first, each with the dot that it claimed."""

    @abstractmethod
    def _insert_aside(self, claim: Entry) -> None:
        """Keep a claim aside."""

    @abstractmethod
    def _remove_aside(self, claim: Entry) -> None:
        """Forget a claim, which equals one that `_aside_of` gave."""

    @abstractmethod
    def _piece(self) -> AbstractContextManager[None]:
        """All or nothing, numbers too, inside the transaction. Raises RuntimeError outside of one."""

    def _owner(self, dot: Dot) -> Created | None:
        """The event that has this dot."""
        event = self._at(dot)
        return event.created if event else None

    # Appending

    def append(self, entries: Sequence[Entry], *, epoch: Epoch, clock_ms: int = 0) -> Appended:
        try:
            with self._piece():
                return self._take_all(entries, epoch, clock_ms, is_second_try=False)
        except AlreadyKnown:
            with self._piece():
                return self._take_all(entries, epoch, clock_ms, is_second_try=True)

    def _take_all(self, entries: Sequence[Entry], epoch: Epoch, clock_ms: int, *, is_second_try: bool) -> Appended:
        known = self._known_among(entries, is_second_try=is_second_try)
        batch = _Batch(epoch, self._numbers.highest.get(epoch, 0), known)
        results = [
            self._take_new(entry, batch) if self._is_new(entry, batch) else self._take_known(entry, batch)
            for entry in entries
        ]
        self._flush(batch)
        self._cover(batch.dots)
        self._numbers.clock_ms = max(self._numbers.clock_ms, clock_ms)
        if batch.has_conflict:
            now = [self._change(change.position) for change in batch.changes]
            return Appended(tuple(results), tuple(change for change in now if change is not None))
        return Appended(tuple(results), tuple(batch.changes))

    def _is_new(self, entry: Entry, batch: _Batch) -> bool:
        """Whether neither its `created` nor its dot can be known, as of nearly all that is offered."""
        if entry.created in batch.known:
            return False
        dot = entry.dot
        if dot is None:
            return True
        if dot in batch.dots or self._numbers.vector.covers(dot):
            return False
        return dot[0] not in self._numbers.cut or self._owner(dot) is None

    def _take_new(self, entry: Entry, batch: _Batch) -> Entry:
        dot = self._take_dot(entry.dot, batch)
        numbers = self._numbers
        numbers.events += 1
        numbers.last_added += 1
        numbers.last_position += 1
        added, position = numbers.last_added, numbers.last_position
        stored = Entry(entry.created, entry.time, entry.body, entry.extra, dot, added, position)
        batch.run.append((stored, True))
        batch.known[entry.created] = stored
        return stored

    def _take_dot(self, dot: Dot | None, batch: _Batch) -> Dot:
        if dot is None:
            batch.seq += 1
            dot = (batch.epoch, batch.seq)
        elif dot[0] == batch.epoch:
            batch.seq = max(batch.seq, dot[1])
        batch.dots.add(dot)
        return dot

    def _take_known(self, entry: Entry, batch: _Batch) -> Entry | None:
        dot = entry.dot
        if dot is None:
            return self._take_own_known(entry, batch)
        shown = batch.known.get(entry.created)
        if dot in batch.dots:
            self._flush(batch)  # so that it is found
        event = self._at(dot)
        if event is None:
            if self._numbers.vector.covers(dot):
                return None  # its row is gone, and it must not return
            if shown is not None and _is_repeat(entry, shown):
                self._take_further_dot(shown, dot, batch)
                return None
        elif _is_repeat(entry, event):
            return None
        self._flush(batch)
        return self._settle(entry, dot, batch)

    def _take_further_dot(self, event: Entry, dot: Dot, batch: _Batch) -> None:
        self._numbers.last_position += 1
        batch.run.append((as_change(event, self._take_dot(dot, batch), self._numbers.last_position), False))

    def _take_own_known(self, entry: Entry, batch: _Batch) -> Entry | None:
        self._flush(batch)
        shown = self._shown(entry.created)
        known = shown or min(self._aside_of(entry.created), key=_preference, default=None)
        if known is not None and not known.same_as(entry):
            raise ValueError(
                f"an event with created {list(entry.created)} is known and differs: give this one a created of its own"
            )
        if shown is not None:
            return None
        dot = self._take_dot(None, batch)
        return self._settle(entry, dot, batch)

    def _flush(self, batch: _Batch) -> None:
        if batch.run:
            self._insert(batch.run)
            batch.changes += [change for change, _ in batch.run]
            batch.run = []

    def _cover(self, dots: Iterable[Dot]) -> None:
        numbers = self._numbers
        highest: dict[Epoch, int] = {}
        for epoch, seq in dots:
            if seq > highest.get(epoch, 0):
                highest[epoch] = seq
        if not highest:
            return
        numbers.vector = numbers.vector.adds(dots)
        before = numbers.highest
        numbers.highest = before | {epoch: max(seq, before.get(epoch, 0)) for epoch, seq in highest.items()}
        self._touched.update(highest)
        ranges = numbers.vector.ranges
        cut = [epoch for epoch in highest if len(ranges[epoch]) >= MAX_RANGES]
        if cut:
            numbers.cut = numbers.cut.union(cut)

    # Two copies of one event, two events under one dot

    def _settle(self, entry: Entry, dot: Dot, batch: _Batch) -> Entry | None:
        """Take one that is known in part, after all before it are among the rows. Returns it if it is newly shown."""
        created = entry.created
        batch.known[created] = None
        entry = Entry(created, entry.time, entry.body, entry.extra, dot)
        shown = self._shown(created)
        aside = self._aside_of(created) if self._numbers.conflicts else []
        best = min([*([shown] if shown else []), *aside, entry], key=_preference)
        if shown is not None and best is not shown:
            batch.has_conflict = True
            self._replace(best)
            if not best.same_as(shown):
                self._put_aside(shown, batch)
        claimed = dict.fromkeys([*(claim.dot for claim in aside if claim.dot), dot])
        for each in claimed:
            self._claim(each, best, batch)
        if self._owner(dot) != created or not entry.same_as(best):
            self._put_aside(entry, batch)
        self._tidy(created)
        return self._shown(created) if shown is None else None

    def _claim(self, dot: Dot, best: Entry, batch: _Batch) -> None:
        """Give the event of `best` this dot, unless a better one has it."""
        owner = self._owner(dot)
        if owner == best.created:
            return
        if owner is not None:
            rival = self._shown(owner)
            assert rival is not None, "an event that has a dot is shown"
            if (*rival.rank, owner) < (*best.rank, best.created):
                return
            self._lose(dot, rival, batch)
        self._gain(dot, best, batch)

    def _gain(self, dot: Dot, best: Entry, batch: _Batch) -> None:
        shown = self._shown(best.created)
        if shown is not None:
            self._take_further_dot(shown, dot, batch)
        else:
            self._take_new(as_change(best, dot, 0), batch)
            batch.known[best.created] = None
        self._flush(batch)

    def _lose(self, dot: Dot, rival: Entry, batch: _Batch) -> None:
        batch.has_conflict = True
        batch.known[rival.created] = None
        self._put_aside(as_change(rival, dot, 0), batch)
        self._drop_dot(dot)
        left = self._shown(rival.created)
        if left is not None and left.dot is None:
            self._hide(rival.created)
            self._numbers.events -= 1

    def _put_aside(self, copy: Entry, batch: _Batch) -> None:
        claim = Entry(copy.created, copy.time, copy.body, copy.extra, copy.dot)
        if claim not in self._aside_of(copy.created):
            self._insert_aside(claim)
            self._numbers.conflicts += 1
            batch.known[copy.created] = None

    def _tidy(self, created: Created) -> None:
        """Forget claims that say nothing: a copy is kept once, and the shown one only with a dot that it has lost."""
        shown = self._shown(created)
        claims = self._aside_of(created)
        lost = [claim for claim in claims if claim.dot is None or self._owner(claim.dot) != created]
        kept = [shown, *lost] if shown else lost
        for claim in claims:
            if claim in lost:
                continue
            if any(claim.same_as(other) for other in kept):
                self._remove_aside(claim)
                self._numbers.conflicts -= 1
            else:
                kept.append(claim)

    # A new epoch for what was written in another

    def renew_epoch(self, old: Epoch, new: Epoch) -> tuple[Entry, ...]:
        """As in the port. Events that have a dot of `new` already get no other."""
        if old == new:
            raise ValueError(f"epoch {old} cannot be renewed by itself")
        with self._piece():
            batch = _Batch(new, self._numbers.highest.get(new, 0), {})
            has_one = {event.created for event in self._events_in(new)}
            for event in self._events_in(old):
                if event.created not in has_one:
                    has_one.add(event.created)
                    batch.seq += 1
                    self._take_further_dot(event, (new, batch.seq), batch)
            self._flush(batch)
            self._cover(batch.dots)
            return tuple(batch.changes)


def as_change(event: Entry, dot: Dot, position: int) -> Entry:
    """The same event, read as the change at `position`."""
    return Entry(event.created, event.time, event.body, event.extra, dot, event.added, position)


def _preference(copy: Entry) -> tuple[int, bytes, bytes]:
    return *copy.rank, copy.extra


def _is_repeat(entry: Entry, known: Entry) -> bool:
    return known.same_as(entry) and known.extra <= entry.extra
