"""What a store of runs does when an epoch forks: it keeps the proof, counts up to the cut, and adopts what stood after it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from msgspec import structs

from peers.events.dot import Epoch
from peers.events.entry import Entry
from peers.events.epoch import NO_HEAD, NO_KEY, Birth, legacy_mark
from peers.events.leaf import leaves_of
from peers.events.proof import Block, Cut, Proof, parting
from peers.events.run import (
    ADOPTED_CERTIFICATE,
    ADOPTED_FORK,
    ADOPTED_FOUND,
    ADOPTED_LEGACY,
    ADOPTED_REVOKE,
    OWN,
)
from peers.facts.roster import Roster
from peers.stores.run_store import Pen
from peers.stores.runs.copying import Work
from peers.stores.runs.rows import EpochRow, RunRow
from peers.stores.runs.ways import WayRules
from peers.stores.store import CLEAN_EVENTS
from peers.stores.taken import Taken


class RunRules(WayRules):
    """All rules of a store of runs.

    Of several proofs of a fork that with the smaller (cut, mark) is kept, so all stores that know them keep the same one.
    """

    def prove(self, proof: Proof) -> Taken:
        """As in the port."""
        with self._piece():
            work = Work()
            try:
                self._prove(proof, proof.check(), work)
            except ValueError:
                work.outcomes.append("bad")
            return self._finish(work)

    def compare(self, birth: Birth, blocks: Sequence[Block]) -> Taken:
        """As in the port."""
        with self._piece():
            work = Work()
            self._compare(birth, blocks, work)
            return self._finish(work)

    def part(self, epoch: Epoch, seq: int) -> Taken:
        """As in the port."""
        with self._piece():
            work = Work()
            row = self._epochs.get(epoch)
            if (
                row is not None
                and row.key == NO_KEY
                and 0 <= seq <= row.last
                and (row.cut is None or seq < row.cut.seq)
            ):
                head = self.head(epoch, seq)
                assert head is not None, "it has that entry"
                self._cut(row, Cut(seq, head), legacy_mark(epoch), work)
            return self._finish(work)

    def _prove(self, proof: Proof, cut: Cut, work: Work) -> None:
        birth, mark = proof.birth, proof.mark
        row = self._epochs.get(birth.epoch) or self._begun_row(birth.epoch, birth)
        is_better = row.cut is None or (cut.seq, mark) < (row.cut.seq, row.mark)
        if not is_better or (not cut.seq and cut.head != NO_HEAD):
            return
        self._cut(row, cut, mark, work)
        self._put_proof(proof)
        self._compare(birth, (proof.one, proof.other), work)

    def _cut(self, row: EpochRow, cut: Cut, mark: bytes, work: Work) -> None:
        ours = self.head(row.epoch, cut.seq)
        cut_row = structs.replace(row, cut=Cut(cut.seq, ours or cut.head), mark=mark)
        if row.cut is None and row.key != NO_KEY:
            self._remember(self._forks, row.key, self._forks.get(row.key, 0) + 1)
        self._keep_epoch(cut_row, work)
        self._put_epochs([cut_row])
        self._count_anew(row, cut_row, work)
        wanted = self._hollow_in(row.epoch, 1, cut_row.last)
        work.hollow.update((hollow.dot, None) for hollow in wanted if not hollow.is_refused)
        work.proven[row.epoch] = None

    def _compare(self, birth: Birth, blocks: Sequence[Block], work: Work) -> None:
        """Make the best proof of one of these blocks and one of ours."""
        best: tuple[float, bytes, Proof] | None = None
        for theirs in blocks:
            for run in self._runs_near(theirs, birth):
                ours = self._block(run)
                cut = parting(run.epoch, ours, theirs)
                if cut is None or (not cut.seq and cut.head != NO_HEAD):
                    continue
                proof = Proof.of(birth, ours, theirs)
                if best is None or (_rank(cut), proof.mark) < best[:2]:
                    best = _rank(cut), proof.mark, proof
        if best is not None:
            self._prove(best[2], best[2].check(), work)

    def _runs_near(self, block: Block, birth: Birth) -> Iterator[RunRow]:
        """Our signed runs that a block overlaps, or that are beside it."""
        seq = max(1, block.first - 1)
        while (run := self._run_with(birth.epoch, seq)) is not None and run.first <= block.last + 1:
            if run.signature:
                yield run
            seq = run.last + 1

    def adopt(self, pen: Pen, limit: int = CLEAN_EVENTS, *, adopts_unknown: bool = True) -> Taken:
        """As in the port."""
        roster = self.roster()
        if not self._may_write(pen):
            return Taken()
        with self._piece():
            work = Work()
            left = limit
            kinds: list[int] = []
            events: dict[int, Entry] = {}
            taken_over = {aside for epoch, (aside, last) in self._over.items() if self._epochs[epoch].seq < last}
            epochs = sorted(self._unadopted.keys() - taken_over)
            if roster is not None and not adopts_unknown:
                epochs = [epoch for epoch in epochs if roster.knows(self._epochs[epoch].key)]
            for epoch in epochs:
                row, first = self._epochs[epoch], self._unadopted[epoch]
                last = min(row.seq, first + left - 1)
                left -= last - first + 1
                self._remember(self._unadopted, epoch, last + 1 if last < row.seq else None)
                for standing in self._read(epoch, first, last):
                    copy = standing.item
                    if isinstance(copy, Entry) and copy.position not in events and self._is_orphan(copy, work):
                        events[copy.position] = copy
                        kinds.append(_kind_of(copy, row, pen, roster))
                if not left:
                    break
            items = list(events.values())
            self._write(bytes(kinds), items, leaves_of(items), pen, work, self._enter_any)
            return self._finish(work, is_unfinished=not self._unadopted.keys().isdisjoint(epochs))

    def _is_orphan(self, copy: Entry, work: Work) -> bool:
        """Whether no dot of a copy counts; if one does, the copy is known by it from now on."""
        if copy.dot is not None and self._counts(copy.dot):
            return False
        dots = [change.dot for change in self._dots_of(copy)]
        counting = [dot for dot in dots if self._counts(dot)]
        if counting:
            self._move_dot(copy, self._first_own(counting), work)
        return not counting


def _kind_of(copy: Entry, row: EpochRow, pen: Pen, roster: Roster | None) -> int:
    """Of the entry that adopts an event of such an epoch."""
    key = row.key
    is_own = key == pen.signer.public and pen.may_sign(copy.created[1]) and not copy.vouched
    if is_own or (key == NO_KEY and copy.created[1] == pen.node_id):
        return OWN
    if roster is None or row.limit is None or row.bound != row.limit:
        return ADOPTED_LEGACY if key == NO_KEY else ADOPTED_FORK
    if key in roster.gone:
        return ADOPTED_REVOKE
    return ADOPTED_CERTIFICATE if roster.knows(key) or pen.signer.public != roster.founder else ADOPTED_FOUND


def _rank(cut: Cut) -> float:
    """An exact cut before one that says only that two blocks differ before they begin."""
    return cut.seq or float("inf")
