"""How a store takes entries: numbers, repeats and conflicts; all stores share it, whatever they keep their rows in."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from msgspec import structs

from peers.events.created import Created
from peers.events.entry import Entry
from peers.events.version_vector import MAX_RANGES, MAX_SEQ, Dot, Epoch, VersionVector, stands_in
from peers.stores.event_rows import AlreadyKnown, as_change
from peers.stores.plain import Batch, Outcome, is_repeat, take_plain
from peers.stores.retention import RetentionRules
from peers.stores.rows import Rows
from peers.stores.store import Appended


class AppendRules(RetentionRules, Rows):
    """Decides what becomes of each entry; a subclass keeps the rows, and the numbers over a restart.

    What is shown depends on the set of copies and dots that came, not on their order. Of all copies of one `created`
    the best is shown, by (time, digest). Of all events that claim one dot, the one whose best copy is smaller by (time,
    digest, created) has it. An event is shown if it has a dot. Every other claim is kept aside with its dot, because a
    better copy that comes later may win the dot back. Copies that differ in nothing but `extra` are no conflict: the
    smaller `extra` is kept, so that nodes agree on that too.

    **Renewed epochs.** After a rollback two events may have one dot on two nodes that both claim it, and so never hear
    of each other's. The epoch that stands in for such a one is known by its name, and whoever hears of it stops to claim
    the old dots, gives an own one to what comes under an old dot only, and forgets the old dot of what has another. So
    every event ends with a dot that means nothing else, and the renewed epoch dies out.
    """

    # Appending

    def append(
        self, entries: Sequence[Entry], *, epoch: Epoch, clock_ms: int = 0, is_each_alone: bool = False
    ) -> Appended:
        try:
            return self._append(entries, epoch, clock_ms, is_each_alone, is_second_try=False)
        except AlreadyKnown:
            return self._append(entries, epoch, clock_ms, is_each_alone, is_second_try=True)

    def _append(
        self, entries: Sequence[Entry], epoch: Epoch, clock_ms: int, is_each_alone: bool, *, is_second_try: bool
    ) -> Appended:
        with self._piece():
            known = self._known_among(entries, is_second_try=is_second_try)
            batch = Batch(epoch, self._numbers.highest.get(epoch, 0), known, entries)
            take = self._take_alone if is_each_alone else self._take_known
            results: list[Outcome] = []
            rest = iter(entries)
            while (hard := self._take_plain(rest, batch, results)) is not None:
                results.append(self._take_new(hard, batch) if self._is_new(hard, batch) else take(hard, batch))
            for entry, result in zip(entries, results, strict=True):
                if entry.extra and not isinstance(result, ValueError):
                    batch.effects.heed(entry)
            self._numbers.clock_ms = max(self._numbers.clock_ms, clock_ms)
            return self._finish(batch, results)

    def _take_plain(self, rest: Iterator[Entry], batch: Batch, results: list[Outcome]) -> Entry | None:
        return take_plain(self._numbers, self._floor, rest, batch, results)

    def _floor(self, epoch: Epoch, batch: Batch) -> int:
        floor = batch.floors.get(epoch)
        if floor is None:
            is_hard = epoch == batch.epoch or self._numbers.is_renewed(epoch)
            floor = MAX_SEQ if is_hard else self._numbers.highest.get(epoch, 0)
        return floor

    def _offered(self, batch: Batch) -> dict[Dot, Entry]:
        """`batch.held`, read at the first call: one look for all entries."""
        if batch.held is None:
            covers = self._numbers.vector.covers
            cut = {epoch for epoch in self._numbers.cut if not self._numbers.is_renewed(epoch)}
            dots = [entry.dot for entry in batch.entries if entry.dot is not None]
            batch.held = self._at_all([dot for dot in dots if covers(dot) or dot[0] in cut])
        return batch.held

    def _take_alone(self, entry: Entry, batch: Batch) -> Outcome:
        try:
            return self._take_known(entry, batch)
        except ValueError as error:  # it was only looked at: nothing is half done
            return error.with_traceback(None)

    def _finish(self, batch: Batch, results: Iterable[Outcome] = ()) -> Appended:
        self._flush(batch)
        unheard = self._cover(batch.dots)
        if unheard:
            self._heed(unheard, batch)
        if batch.relabelled:
            self._shed(batch)
        self._apply(batch.effects)
        is_forked = batch.is_forked or self._numbers.is_renewed(batch.epoch)
        changes = batch.changes
        if batch.is_revised or batch.has_tombstones or batch.effects.are_any:
            changes = self._changes([change.position for change in changes])
        renewed = {each for each in batch.floors if self._numbers.is_renewed(each)}
        sound = [dot for dot in batch.dots if dot[0] not in renewed] if renewed else batch.dots
        return Appended(
            tuple(results),
            tuple(changes),
            dots=VersionVector().adds(sound),
            is_revised=batch.is_revised,
            is_forked=is_forked,
            cleaning=self._cleaning(batch.effects),
        )

    def _is_new(self, entry: Entry, batch: Batch) -> bool:
        """Whether neither its `created` nor its dot can be known, though it is not plain."""
        dot = entry.dot
        if dot is None or entry.created in batch.known or dot in batch.dots:
            return False
        if self._numbers.vector.covers(dot) or self._numbers.is_renewed(dot[0]):
            return False
        return dot[0] not in self._numbers.cut or dot not in self._offered(batch)

    def _take_new(self, entry: Entry, batch: Batch) -> Entry:
        dot = self._take_dot(entry.dot, batch)
        numbers = self._numbers
        numbers.events += 1
        numbers.last_added += 1
        numbers.last_position += 1
        added, position = numbers.last_added, numbers.last_position
        stored = Entry(entry.created, entry.time, entry.body, entry.extra, dot, added, position, b"", entry.tombstone)
        batch.run.append(stored)
        batch.known[entry.created] = stored
        return stored

    def _take_dot(self, dot: Dot | None, batch: Batch) -> Dot:
        if dot is None:
            batch.seq += 1
            dot = (batch.epoch, batch.seq)
        elif dot[0] == batch.epoch and dot not in batch.dots:
            batch.is_forked = True
            batch.seq = max(batch.seq, dot[1])
        batch.dots[dot] = None
        batch.floors[dot[0]] = max(dot[1], self._floor(dot[0], batch))
        return dot

    def _take_known(self, entry: Entry, batch: Batch) -> Entry | None:
        dot = entry.dot
        if dot is None:
            return self._take_own_known(entry, batch)
        if self._numbers.is_renewed(dot[0]):
            return self._take_under_renewed(entry, batch)
        shown = batch.known.get(entry.created)
        if dot in batch.dots:
            self._flush(batch)  # so that it is found
        is_changed = dot in batch.dots or (shown is None and entry.created in batch.known)
        event = self._at(dot) if is_changed else self._offered(batch).get(dot)
        if event is None:
            if self._numbers.vector.covers(dot):
                return None  # its row is gone, and it must not return
            if shown is not None and is_repeat(entry, shown):
                self._take_further_dot(shown, dot, batch)
                return None
        elif is_repeat(entry, event):
            return None
        self._flush(batch)
        return self._settle(entry, dot, batch)

    def _take_further_dot(self, event: Entry, dot: Dot, batch: Batch) -> None:
        self._numbers.last_position += 1
        batch.has_tombstones |= bool(event.tombstone)
        batch.run.append(as_change(event, self._take_dot(dot, batch), self._numbers.last_position))
        batch.further.add(self._numbers.last_position)
        if self._numbers.generations:
            batch.relabelled.append(event.created)

    def _take_own_known(self, entry: Entry, batch: Batch) -> Entry | None:
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

    def _flush(self, batch: Batch) -> None:
        if batch.run:
            self._insert(batch.run, batch.further)
            batch.changes += batch.run
            batch.run, batch.further = [], set()

    def _cover(self, dots: Iterable[Dot]) -> list[Epoch]:
        """Claim these dots. Returns the epochs that were not known before."""
        numbers = self._numbers
        highest: dict[Epoch, int] = {}
        for epoch, seq in dots:
            if seq > highest.get(epoch, 0):
                highest[epoch] = seq
        if not highest:
            return []
        renewed = {epoch for epoch in highest if numbers.is_renewed(epoch)}
        numbers.vector = numbers.vector.adds([dot for dot in dots if dot[0] not in renewed] if renewed else dots)
        before = numbers.highest
        numbers.highest = before | {epoch: max(seq, before.get(epoch, 0)) for epoch, seq in highest.items()}
        self._touched.update(highest)
        ranges = numbers.vector.ranges
        cut = [epoch for epoch in highest if epoch in renewed or len(ranges[epoch]) >= MAX_RANGES]
        if cut:
            numbers.cut = numbers.cut.union(cut)
        return [epoch for epoch in highest if epoch not in before]

    # Two copies of one event, two events under one dot

    def _settle(self, entry: Entry, dot: Dot, batch: Batch) -> Entry | None:
        """Take one that is known in part, after all before it are among the rows. Returns it if it is newly shown."""
        created = entry.created
        batch.known[created] = None
        batch.effects.created[created] = None
        entry = structs.replace(entry, dot=dot, added=0, position=0)
        shown = self._shown(created)
        aside = self._aside_of(created) if self._numbers.conflicts else []
        copies = [*([shown] if shown else []), *aside, entry]
        best = min(copies, key=_preference)
        is_better = best is not shown
        if any(copy.tombstone for copy in copies):
            entry, best = entry.buried if entry.same_as(best) else entry, best.buried
        if shown is not None and is_better:
            batch.is_revised = True
            self._replace(best)
            if not shown.tombstone and not best.same_as(shown):
                self._put_aside(shown, batch)
        lost = [claim.dot for claim in aside if claim.dot and not self._numbers.is_renewed(claim.dot[0])]
        claimed = dict.fromkeys([*lost, dot])
        for each in claimed:
            self._claim(each, best, batch)
        if self._owner(dot) != created or not entry.same_as(best):
            self._put_aside(entry, batch)
        self._tidy(created)
        return self._shown(created) if shown is None and not best.tombstone else None

    def _claim(self, dot: Dot, best: Entry, batch: Batch) -> None:
        """Give the event of `best` this dot, unless a better one has it."""
        owner = self._owner(dot)
        if owner == best.created:
            return
        if owner is not None:
            batch.is_forked |= dot[0] == batch.epoch
            rival = self._shown(owner)
            assert rival is not None, "an event that has a dot is shown"
            if (*rival.rank, owner) < (*best.rank, best.created):
                return
            self._lose(dot, rival, batch)
        self._gain(dot, best, batch)

    def _gain(self, dot: Dot, best: Entry, batch: Batch) -> None:
        shown = self._shown(best.created)
        if shown is not None:
            self._take_further_dot(shown, dot, batch)
        else:
            self._take_new(as_change(best, dot, 0), batch)
            batch.known[best.created] = None
            if best.tombstone:
                self._numbers.events -= 1
                batch.has_tombstones = True
        self._flush(batch)

    def _lose(self, dot: Dot, rival: Entry, batch: Batch) -> None:
        batch.is_revised = True
        batch.known[rival.created] = None
        self._put_aside(as_change(rival, dot, 0), batch)
        self._drop_dot(dot)
        left = self._shown(rival.created)
        if left is not None and left.dot is None:
            self._hide(rival.created)
            if not rival.tombstone:
                self._numbers.events -= 1

    def _put_aside(self, copy: Entry, batch: Batch) -> None:
        claim = structs.replace(copy, added=0, position=0, local=b"")
        if claim not in self._aside_of(copy.created):
            self._insert_aside(claim)
            self._numbers.conflicts += 1
            batch.known[copy.created] = None

    def _tidy(self, created: Created) -> None:
        """Forget claims that say nothing: a copy is kept once, and the shown one only with a dot that it has lost."""
        shown = self._shown(created)
        claims = self._aside_of(created)
        lost = [claim for claim in claims if claim.dot and self._is_lost(claim.dot, created)]
        kept = [shown, *lost] if shown else lost
        for claim in claims:
            if claim in lost:
                continue
            if any(_says_it_too(other, claim) for other in kept):
                self._remove_aside(claim)
                self._numbers.conflicts -= 1
            else:
                kept.append(claim)

    def _is_lost(self, dot: Dot, created: Created) -> bool:
        """Whether another event has the dot that this one claims, and a better copy could win it back."""
        return not self._numbers.is_renewed(dot[0]) and self._owner(dot) != created

    # Epochs that others stand in for

    def renew_epoch(self, old: Epoch, new: Epoch) -> Appended:
        """As in the port. Events that have a dot of `new` already get no other."""
        if not stands_in(new, old):
            raise ValueError(f"epoch {new} does not stand in for {old}: its name must say so")
        with self._piece():
            numbers = self._numbers
            batch = Batch(new, numbers.highest.get(new, 0), {}, is_revised=True)
            numbers.highest = {**numbers.highest, new: batch.seq}
            self._touched.add(new)
            self._heed([new], batch)
            has_one = {event.created for event in self._events_in(new)}
            for each in sorted(epoch for epoch in numbers.highest if stands_in(new, epoch)):
                for event in self._events_in(each):
                    if event.created not in has_one and not event.tombstone:
                        has_one.add(event.created)
                        self._take_further_dot(event, self._take_dot(None, batch), batch)
            return self._finish(batch)

    def _take_under_renewed(self, entry: Entry, batch: Batch) -> Entry | None:
        """Take one whose dot says nothing for sure: it gets one of ours, unless it has one that does."""
        self._flush(batch)
        shown = self._shown(entry.created)
        sound = self._sound_dots(entry.created) if shown else []
        if shown is not None and shown.tombstone and not sound:  # a dot would be for something that is not sent
            if entry.rank < shown.rank:
                self._replace(entry.buried)
                batch.known[entry.created] = None
            return None
        is_unheard = not batch.seq and entry.dot is not None and stands_in(batch.epoch, entry.dot[0])
        if shown is None or not sound or is_unheard:  # others hear of our renewal by the first dot
            return self._settle(entry, self._take_dot(None, batch), batch)
        if not is_repeat(entry, shown):
            self._settle(entry, sound[0], batch)
        return None

    def _heed(self, unheard: list[Epoch], batch: Batch) -> None:
        """Stop to claim what these epochs stand in for, and show what was hidden for the sake of such a dot."""
        numbers = self._numbers
        numbers.heed(unheard)
        if not numbers.generations:
            return
        renewed = sorted(epoch for epoch in numbers.highest if numbers.is_renewed(epoch))
        ranges = numbers.vector.ranges
        fallen = [epoch for epoch in renewed if epoch in ranges]
        numbers.vector = VersionVector({epoch: held for epoch, held in ranges.items() if epoch not in fallen})
        numbers.cut = numbers.cut.union(renewed)
        self._touched.update(fallen)
        batch.is_revised |= bool(fallen)
        for claim in self.aside() if numbers.conflicts else ():
            if claim.dot is not None and numbers.is_renewed(claim.dot[0]):
                if self._shown(claim.created) is None:
                    self._settle(claim, self._take_dot(None, batch), batch)
                self._tidy(claim.created)
        for epoch in fallen:
            batch.relabelled += self._doubled(epoch)
        self._cover(batch.dots)

    def _shed(self, batch: Batch) -> None:
        """Take the dots of renewed epochs from the events that have others."""
        for created in dict.fromkeys(batch.relabelled):
            if self._sound_dots(created):
                for dot in self._dots_of(created):
                    if self._numbers.is_renewed(dot[0]):
                        self._drop_dot(dot)
                        batch.is_revised = True

    def _sound_dots(self, created: Created) -> list[Dot]:
        return [dot for dot in self._dots_of(created) if not self._numbers.is_renewed(dot[0])]


def _preference(copy: Entry) -> tuple[int, bytes, bytes]:
    return *copy.rank, copy.extra


def _says_it_too(other: Entry, claim: Entry) -> bool:
    """Whether a claim is not needed beside the other: that the event was cleaned must stay known too."""
    if claim.tombstone:
        return bool(other.tombstone) and other.rank <= claim.rank
    return claim.same_as(other)
