"""How a store of runs writes its own entries: into its own epoch, in runs that it closes and signs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from msgspec import structs

from peers.events.columns import joined, sizes_of
from peers.events.created import Created
from peers.events.dot import Epoch
from peers.events.entry import Entry
from peers.events.epoch import Birth, Parent
from peers.events.leaf import leaf_of, leaves_of
from peers.events.piece import Piece
from peers.events.run import FURTHER, OWN, RUN_BYTES, RUN_ENTRIES, RunHash
from peers.stores.event_rows import AlreadyKnown
from peers.stores.run_store import Pen, Taken
from peers.stores.runs.entering import Entering, Work
from peers.stores.runs.epochs import OpenRun, leaf_at
from peers.stores.runs.rows import EpochRow
from peers.stores.runs.taking import TakingRules

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
        if not looks:
            try:
                return self._append(entries, None, pen, clock_ms)
            except AlreadyKnown:  # or one comes twice
                pass
        offered = self._look(entries, is_each_alone)
        return self._append(offered.new, offered, pen, clock_ms)

    def _append(self, new: Sequence[Entry], offered: _Offered | None, pen: Pen, clock_ms: int) -> Taken:
        with self._piece():
            work = Work()
            leaves = leaves_of(new)
            enter = self._enter_any if self._wanted(leaves) else self._enter_new
            self._write(bytes([OWN]) * len(leaves), new, leaves, pen, work, enter)
            self._numbers.clock_ms = max(self._numbers.clock_ms, clock_ms)
            if offered is None:
                return self._finish(work, None)
            for at, event in zip(offered.at, joined(work.shown), strict=True):
                offered.results[at] = event
            return self._finish(work, tuple(offered.results))

    def _look(self, entries: Sequence[Entry], is_each_alone: bool) -> _Offered:
        """Tell those apart that are new. Raises ValueError as `append`."""
        offered = _Offered()
        known = self._known_among([entry.created for entry in entries])
        for at, entry in enumerate(entries):
            same = known.setdefault(entry.created, entry)
            offered.results.append(None)
            if same is entry:
                offered.at.append(at)
                offered.new.append(entry)
            elif not _is_repeat(entry, same):
                error = ValueError(
                    f"an event with created {list(entry.created)} is known and differs: give this one a created of its own"
                )
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
            events = [event for event in events if not event.tombstone]
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
                run = OpenRun(RunHash(row.epoch, row.seq + 1, row.head), b"")
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
            self._keep_last_run(OpenRun(longer, run.kinds + kinds[part]), signature)
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
        return self._last_run(row) if row.seq else OpenRun(RunHash(row.epoch, 1), b"")


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
