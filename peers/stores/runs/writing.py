"""How a store of runs writes its own entries: into its own epoch, in runs that it closes and signs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from msgspec import structs

from peers.events.columns import joined, latest_of, nodes_of, sizes_of
from peers.events.created import Created
from peers.events.dot import Epoch
from peers.events.entry import WAITS, Entry
from peers.events.epoch import Birth, Parent
from peers.events.leaf import leaf_of, leaves_of
from peers.events.piece import Piece
from peers.events.run import ADOPTED_OUTSIDE, FURTHER, OWN, RUN_BYTES, RUN_ENTRIES, Content, RunHash
from peers.stores.event_rows import AlreadyKnown
from peers.stores.run_store import Pen
from peers.stores.runs.copying import Work
from peers.stores.runs.entering import Entering
from peers.stores.runs.epochs import OpenRun, leaf_at
from peers.stores.runs.rows import EpochRow
from peers.stores.runs.taking import TakingRules
from peers.stores.taken import Taken

_Enter = Callable[[Entering, Work], object]


@dataclass(slots=True)
class _Offered:
    """What is to be written of the entries of an `append`, of which some are known."""

    new: list[Entry] = field(default_factory=list)
    results: list[Entry | ValueError | None] = field(default_factory=list)
    """None where one is new, too."""
    at: list[int] = field(default_factory=list)
    """Which results are of new ones."""


class WritingRules(TakingRules):
    """Writes entries of its own, and begins an epoch with the first one after an opening."""

    def append(self, entries: Sequence[Entry], pen: Pen, *, clock_ms: int = 0, is_each_alone: bool = False) -> Taken:
        """As in the port."""
        looks = bool(self._numbers.hollow or self._numbers.refused)
        is_plain = latest_of(entries) <= self.until_ms and not self._is_waiting(entries)
        if not looks and is_plain and all(pen.may_sign(node_id) for node_id in nodes_of(entries)):
            try:
                return self._append(entries, None, pen, clock_ms)
            except AlreadyKnown:  # or one comes twice
                pass
        offered = self._look(entries, pen, is_each_alone)
        return self._append(offered.new, offered, pen, clock_ms)

    def _append(self, new: Sequence[Entry], offered: _Offered | None, pen: Pen, clock_ms: int) -> Taken:
        with self._piece():
            work = Work()
            leaves = leaves_of(new)
            is_plain, kinds = True, bytes([OWN]) * len(leaves)
            if offered is not None:
                kinds = bytes([OWN if pen.may_sign(entry.created[1]) else ADOPTED_OUTSIDE for entry in new])
                is_plain = latest_of(new) <= self.until_ms and not any(kinds) and not self._wanted(leaves)
            self._write(kinds, new, leaves, pen, work, self._enter_new if is_plain else self._enter_any)
            self._numbers.clock_ms = max(self._numbers.clock_ms, clock_ms)
            if offered is None:
                return self._finish(work, None)
            written = {event.created: event for event in (*joined(work.shown), *work.waiting)}
            for at, entry in zip(offered.at, new, strict=True):
                offered.results[at] = written[entry.created]
            return self._finish(work, tuple(offered.results))

    def _look(self, entries: Sequence[Entry], pen: Pen, is_each_alone: bool) -> _Offered:
        """Tell those apart that are new. Raises ValueError as `append`."""
        offered = _Offered()
        known = self._known_among([entry.created for entry in entries])
        if self._numbers.waiting:
            for entry in entries:
                waiting = [copy for copy in self._aside_of(entry.created) if copy.added == WAITS]
                known |= {copy.created: copy for copy in waiting if copy.created not in known}
        for at, entry in enumerate(entries):
            same = known.setdefault(entry.created, entry)
            offered.results.append(None)
            if same is entry and (is_each_alone or pen.may_sign(entry.created[1])):
                offered.at.append(at)
                offered.new.append(entry)
                continue
            if same is entry:
                del known[entry.created]
                why = f"is one of the node {entry.created[1]}, which alone can write it"
            elif not _is_repeat(entry, same):
                why = "is known and differs"
            else:
                continue
            error = ValueError(f"an event with created {list(entry.created)} {why}: give this one a created of its own")
            if not is_each_alone:
                raise error
            offered.results[at] = error
        return offered

    def leave(self, epoch: Epoch) -> Taken:
        """As in the port."""
        with self._piece():
            if epoch == self._numbers.epoch:
                self._numbers.epoch = None
            return Taken()

    def offer_further(self, createds: Sequence[Created], pen: Pen) -> Taken:
        """As in the port."""
        if not self._may_write(pen):
            return Taken()
        with self._piece():
            work = Work()
            known = self._known_among(createds)
            events = [known[created] for created in dict.fromkeys(createds) if created in known]
            events = [event for event in events if not event.tombstone and pen.may_sign(event.created[1])]
            self._write(bytes([FURTHER]) * len(events), events, leaves_of(events), pen, work, self._enter_any)
            return self._finish(work)

    def _write(
        self, kinds: bytes, items: Sequence[Entry], leaves: Sequence[bytes], pen: Pen, work: Work, enter: _Enter
    ) -> None:
        """Add entries to the own epoch, and sign the ends of its runs."""
        start, all_sizes = 0, sizes_of(items)
        while start < len(leaves):
            row = self._own_row(pen)
            run = self._own_run(row)
            sizes = all_sizes[start : start + RUN_ENTRIES]
            length, size = _room(run.hash, sizes)
            if not length:  # it is full: closed, and signed when its last entry came
                run = OpenRun(RunHash(row.epoch, row.seq + 1, row.head), b"", Content())
                length, size = _room(run.hash, sizes)
            part = slice(start, start + length)
            some = items[part]
            longer = run.hash.copy()
            longer.add(kinds[part], leaves[part], size)
            head = longer.head
            position = self._numbers.last_position
            self._keep_epoch(
                structs.replace(row, seq=longer.last, head=head, first=longer.first, grown=position + length),
                work,
            )
            signature = pen.signer.sign(row.epoch, longer.last, head)
            entering = Entering(row.epoch, row.seq + 1, kinds[part], some, leaves[part])
            if not any(kinds[part]):  # else they look their kinds up in the run: it is kept before them
                enter(entering, work)
            self._keep_last_run(run.grown(longer, kinds[part], some), signature)
            if any(kinds[part]):
                enter(entering, work)
            work.pieces.append(
                Piece(
                    row.epoch,
                    row.birth,
                    longer.first,
                    row.seq + 1,
                    kinds[part],
                    some,
                    head,
                    signature,
                )
            )
            start += length

    def _own_row(self, pen: Pen) -> EpochRow:
        """The own epoch, begun now if need be."""
        if self._numbers.epoch is None:
            key = pen.signer.public
            before = self.newest_of(key)
            parent = Parent(before, self._epochs[before].seq, self._epochs[before].head) if before else Parent()
            birth = Birth(key, pen.nonce(), parent, pen.node_id)
            self._numbers.epoch = birth.epoch
            return self._begun_row(birth.epoch, birth)
        return self._epochs[self._numbers.epoch]

    def _own_run(self, row: EpochRow) -> OpenRun:
        return self._last_run(row) if row.seq else OpenRun(RunHash(row.epoch, 1), b"", Content())


def _room(run: RunHash, sizes: Sequence[int]) -> tuple[int, int]:
    """How many entries with these sizes in bytes, at most RUN_ENTRIES, still belong to a run, and the bytes of those."""
    have = run.last - run.first + 1
    sizes = sizes[: RUN_ENTRIES - have]
    size = sum(sizes)
    if run.size + size <= RUN_BYTES:
        return len(sizes), size
    size = length = 0
    for each in sizes:
        if (have or length) and run.size + size + each > RUN_BYTES:
            break
        size += each
        length += 1
    return length, size


def _is_repeat(entry: Entry, known: Entry) -> bool:
    """Whether an own event says the same as the known copy; of a cleaned one only the leaf is known, or the digest."""
    if known.tombstone and leaf_of(entry.created, entry.time, entry.extra, entry.body) == leaf_at(known):
        return True
    return known.same_as(entry)
