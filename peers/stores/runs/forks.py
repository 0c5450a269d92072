"""What a store of runs does when an epoch forks: it keeps the proof, counts up to the cut, and adopts what stood after it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from msgspec import structs

from peers.events.dot import Epoch
from peers.events.entry import Entry
from peers.events.epoch import NO_HEAD, NO_KEY, Birth, legacy_mark
from peers.events.leaf import leaves_of
from peers.events.proof import MAX_WAY_RUNS, Block, Cut, Proof, Way, parting
from peers.events.run import (
    ADOPTED_CERTIFICATE,
    ADOPTED_FORK,
    ADOPTED_FOUND,
    ADOPTED_LEGACY,
    ADOPTED_REVOKE,
    OWN,
)
from peers.facts.roster import Roster
from peers.stores.run_store import Limited, Pen, Taken
from peers.stores.runs.copying import Work
from peers.stores.runs.entering import Entering
from peers.stores.runs.epochs import leaves_at
from peers.stores.runs.limits import MAX_WAYS
from peers.stores.runs.mesh_facts import FactRules
from peers.stores.runs.rows import NOTHING_COUNTS, EpochRow, RunRow
from peers.stores.store import CLEAN_EVENTS


class RunRules(FactRules):
    """All rules of a store of runs.

    Of several proofs of a fork that with the smaller (cut, mark) is kept, so all stores that know them keep the same one.

    **Where the facts of the mesh name the history.** The cut of a revocation says the head of an epoch at its limit. So of the
    histories that its key has signed one is *led*: it counts up to the limit, whatever is proven. Who has it shows the way, see
    Way. Who has another one then puts that aside, under another name, where it never counts: what was shown stays shown,
    and is adopted as what is after a limit. The entries that both have are taken over at once; those that follow have to
    be along the way, so no sender can give another history again.
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

    def way(self, epoch: Epoch, after: int) -> Way | None:
        """As in the port."""
        row = self._epochs.get(epoch)
        if row is None or row.limit is None or not row.is_led:
            return None
        known, last = self._ways.get(epoch), row.limit.seq
        if known is not None or not 0 <= after < last:
            return known
        steps: list[tuple[int, bytes]] = []
        run = first = self._run_row(epoch, after + 1)
        while True:
            end = min(run.last, last)
            steps.append((end - run.first + 1, self._hash_up_to(run, end).inner))
            if end == last:
                return Way.of(epoch, first.first, first.before, steps)
            if len(steps) == MAX_WAY_RUNS:
                return None
            run = self._run_row(epoch, end + 1)

    def follow(self, way: Way) -> Taken:
        """As in the port."""
        with self._piece():
            work = Work()
            row = self._epochs.get(way.epoch)
            limits = self._limits_of(row.key) if row is not None else None
            limit = limits.get(way.epoch) if limits is not None else None
            if row is None or limit is None or row.is_led or len(self._ways) >= MAX_WAYS:
                return self._finish(work)
            heads = way.heads() if self.head(way.epoch, way.first - 1) == way.before else {}
            if heads and next(reversed(heads.items())) == limit:
                self._lead(row, limit, way, self._agreed(row, way.first - 1, heads), work)
            return self._finish(work)

    def _agreed(self, row: EpochRow, seq: int, heads: Mapping[int, bytes]) -> int:
        """The last entry at which a run ends, and ours has the same head, if it does at `seq`."""
        while seq < row.seq and (run := self._run_row(row.epoch, seq + 1)) and heads.get(run.last) == run.head:
            seq = run.last
        return seq

    def _lead(self, row: EpochRow, limit: Cut, way: Way, agreed: int, work: Work) -> None:
        """Take this epoch along a way from now on; it has the same entries up to `agreed`."""
        epoch, led = row.epoch, structs.replace(row, limit=limit, is_led=True)
        self._remember(self._ways, epoch, way)
        if agreed == row.seq:
            self._keep_epoch(led, work)
            self._count_anew(row, led, work)
        else:
            aside = self._put_aside(row, work)
            begun = EpochRow(epoch, row.born, cut=row.cut, mark=row.mark, limit=limit, is_led=True)
            self._keep_epoch(begun, work)
            work.before[epoch] = row.end
            self._put_epochs([begun])
            self._take_over(aside, begun, agreed, work)
        work.limited[epoch] = Limited(row.key, counts_more=agreed > row.last)
        work.anew[epoch] = None

    def _put_aside(self, row: EpochRow, work: Work) -> EpochRow:
        """Give an epoch another name, under which it does not count."""
        name = f"{row.epoch}{row.grown:016x}"  # no other epoch has it
        proof = self._proof_of(row.epoch) if row.cut is not None else None
        self._rename_epoch(row.epoch, name)
        named = structs.replace(row, epoch=name)
        aside = structs.replace(named, cut=None, mark=b"", limit=NOTHING_COUNTS, is_led=False)
        for table in (self._epochs, self._open_runs, self._unadopted):
            self._remember(table, row.epoch, None)
        self._keep_epoch(aside, work)
        self._put_epochs([aside])
        if proof is not None:
            self._put_proof(proof)
        if row.epoch in self._vouching:
            self._vouching.add(name)
        self._count_anew(named, aside, work)
        self._remember(self._unadopted, name, 1)
        if row.epoch == self._numbers.epoch:
            self._numbers.epoch = None
        return aside

    def _take_over(self, aside: EpochRow, row: EpochRow, last: int, work: Work) -> None:
        """Take the entries up to `last`, at which a run ends, from the history that was put aside."""
        while row.seq < last:
            run = self._run_row(aside.epoch, row.seq + 1)
            items = self._items(aside.epoch, run.first, run.last)
            refused = [each.dot[1] for each in self._hollow_in(aside.epoch, run.first, run.last) if each.is_refused]
            grown = self._numbers.last_position + len(items)
            row = structs.replace(row, seq=run.last, head=run.head, first=run.first, grown=grown)
            self._keep_epoch(row, work)
            self._put_runs([RunRow(row.epoch, *run[1:])])
            entering = Entering(row.epoch, run.first, run.kinds, items, leaves_at(items), frozenset(refused))
            self._enter(entering, work)

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
            epochs = sorted(self._unadopted)
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
