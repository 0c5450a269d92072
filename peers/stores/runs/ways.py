"""What a store of runs does where the facts of the mesh name the head of an epoch: it finds out which history leads there."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence

from msgspec import structs

from peers.events.dot import Epoch
from peers.events.epoch import Birth
from peers.events.leaf import HASH_BYTES, leaves_of
from peers.events.piece import Piece
from peers.events.proof import MAX_WAY_RUNS, STEP_BYTES, Cut, Way, packed_step
from peers.events.run import RunHash
from peers.events.signature import is_signed
from peers.stores.runs.copying import Work
from peers.stores.runs.entering import Entering
from peers.stores.runs.epochs import leaves_at
from peers.stores.runs.limits import MAX_WAYS, Coming
from peers.stores.runs.rows import NOTHING_COUNTS, EpochRow, RunRow
from peers.stores.runs.writing import WritingRules
from peers.stores.taken import Limited, Taken, Taking

OVER_ENTRIES = 500
"""Entries that are taken over in one step, but for the rest of a run."""
MAX_COMING_RUNS = 200_000
"""Runs of epochs that are led or wait, in all: more than a way may have that is sent."""


class WayRules(WritingRules):
    """Takes an epoch along the way to its limit.

    **Where the facts of the mesh name the history.** The cut of a revocation says the head of an epoch at its limit. So of the
    histories that its key has signed one is *led*: it counts up to the limit, whatever is proven. Who has it shows the way, see
    Way. Who has another one then puts that aside, under another name, where it never counts: what was shown stays shown,
    and is adopted as what is after a limit. The entries that both have are taken over at once; those that follow have to
    be along the way, so no sender can give another history again.

    **Where a key has left**, see LimitRules, no node has to have another history: what leads to the limit is taken as soon as
    that is known.

    **Pieces are a way** too, if they are not taken and follow each other to the limit: their hashes are kept. So it is enough
    that they come twice, from an archive or from a release that shows no ways.
    """

    def __init__(self) -> None:
        super().__init__()
        self._heirs: tuple[tuple[bytes, int], Mapping[Epoch, Sequence[Epoch]]] | None = None
        """Of the key that was asked for last, and how many epochs there were then."""

    def _take_run(self, pieces: Sequence[Piece], work: Work) -> list[Taking]:
        outcomes = super()._take_run(pieces, work)
        for piece, outcome in zip(pieces, outcomes, strict=True):
            row = self._epochs.get(piece.epoch)
            if (
                row is None
                or row.is_led
                or row.limit is None
                or not row.limit.seq
                or outcome in ("taken", "known", "bad")
            ):
                continue
            if row.waits:
                self._remember(self._missed, row.epoch, True)
            self._note_coming(piece, row, work)
        return outcomes

    def _note_coming(self, piece: Piece, row: EpochRow, work: Work) -> None:
        """A piece of an epoch whose limit is said by facts was not taken: it may be a part of the way there."""
        limit, way = self._stated_limit(row), self._ways.get(row.epoch)
        if limit is None:
            return
        if way is not None:
            if row.first <= piece.first <= row.seq and self._head_of_way(row, piece.last) == piece.head:
                self._lead(row, limit, way, row.first - 1, work)  # of the last run, another part is here
            return
        end = min(piece.last, limit.seq)
        coming = self._coming_with(piece, row, end)
        if coming is None or (end == piece.last) != (coming.run.head == piece.head):
            return
        if (end, coming.run.head) == limit:
            steps = [*coming.steps[: coming.complete], packed_step(coming.run)]
            whole = Way(row.epoch, coming.first, coming.before, b"".join(steps))
            self._follow(whole, row, limit, work)
        elif end < limit.seq and is_signed(row.key, row.epoch, piece.last, piece.head, piece.signature):
            self._remember(self._coming, row.epoch, coming)

    def _stated_limit(self, row: EpochRow) -> Cut | None:
        """With the head that facts and births name, whatever is here."""
        return row.limit if row.waits else (self._limits_of(row.key) or {}).get(row.epoch)

    def _coming_with(self, piece: Piece, row: EpochRow, end: int) -> Coming | None:
        """What has come with the entries of a piece up to `end`, if it continues that, or begins anew at our end."""
        known = self._coming.get(row.epoch)
        if known is not None and piece.start == known.run.last + 1 and self._has_room_for_ways():
            run, steps, count = known.run, known.steps, known.complete
            if piece.first == piece.start:
                steps[count:] = [packed_step(run)]
                run, count = RunHash(row.epoch, piece.first, run.head), count + 1
            first, before, start = known.first, known.before, piece.start
        elif len(self._coming) < MAX_WAYS or known is not None:
            begun = self._begun_at(piece, row)
            if begun is None:
                return None
            run, steps, count, start = begun, list[bytes](), 0, max(piece.start, begun.last + 1)
            first, before = run.first, run.before
        else:
            return None
        new = slice(start - piece.start, end + 1 - piece.start)
        leaves = leaves_of(piece.items[new])
        if run.first != piece.first or set(map(len, leaves)) != {HASH_BYTES}:
            return None
        run = run.copy()
        run.add(piece.kinds[new], leaves)
        return Coming(first, before, steps, count, run)

    def _has_room_for_ways(self) -> bool:
        sizes = [coming.complete for coming in self._coming.values()]
        return sum(sizes) + sum([len(way.steps) for way in self._ways.values()]) // STEP_BYTES < MAX_COMING_RUNS

    def way(self, epoch: Epoch, after: int) -> Way | None:
        """As in the port."""
        row = self._epochs.get(epoch)
        if row is None or row.limit is None or not row.is_led:
            return None
        known, last = self._ways.get(epoch), row.limit.seq
        if known is not None:
            return known if len(known.steps) <= MAX_WAY_RUNS * STEP_BYTES else None
        if not 0 <= after < last:
            return None
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

    def _begun_at(self, piece: Piece, row: EpochRow) -> RunHash | None:
        """The run of a piece, up to where that begins: it may be another history than what is here of that run."""
        before = self.head(row.epoch, piece.first - 1)
        if piece.start == piece.first and before is not None:
            return RunHash(row.epoch, piece.first, before)
        is_next = piece.first == row.first and piece.start <= row.seq + 1
        return self._begun(row, piece.first).hash if is_next else None

    def needed_way(self, epoch: Epoch, after: int) -> Way | None:
        """As in the port."""
        row = self._epochs.get(epoch)
        if row is None or row.limit is None or not row.is_led or not self._has_left(row.key):
            return None
        return self.way(epoch, min(after, row.limit.seq))

    def heirs(self, epoch: Epoch, known: Container[Epoch] = ()) -> list[Epoch]:
        """As in the port."""
        row = self._epochs.get(epoch)
        if row is None or not self._has_left(row.key):
            return []
        heirs, found = self._heirs_of(row.key), [epoch]
        for at in found:  # it grows
            found += [heir for heir in heirs.get(at, ()) if heir not in known]
        return found[:0:-1]

    def _heirs_of(self, key: bytes) -> Mapping[Epoch, Sequence[Epoch]]:
        """Those that went on from each epoch of a key: kept, since many are asked for one after the other."""
        state = key, len(self._epochs)  # an epoch that is here stays
        if self._heirs is None or self._heirs[0] != state:
            heirs: dict[Epoch, list[Epoch]] = {}
            for row in self._epochs.values():
                if row.key == key and not row.is_aside:
                    heirs.setdefault(row.birth.parent.epoch, []).append(row.epoch)
            self._heirs = state, heirs
        return self._heirs[1]

    def meet(self, births: Sequence[Birth]) -> Taken:
        """As in the port."""
        with self._piece():
            work = Work()
            named = {key: self._named_of(key) for key in {birth.key for birth in births}}
            for birth in births:
                if birth.epoch in named[birth.key] and birth.epoch not in self._epochs:
                    self._keep_epoch(EpochRow(birth.epoch, birth.encode()), work)
                    named[birth.key].update([birth.parent.epoch] if birth.parent.seq else [])
            if work.before:  # once for all of them: it looks at all epochs of a key
                self._judge(work, {self._epochs[epoch].key for epoch in work.before})
            return self._finish(work)

    def follow(self, way: Way) -> Taken:
        """As in the port."""
        with self._piece():
            work = Work()
            row = self._epochs.get(way.epoch)
            limit = None if row is None or row.is_led else self._stated_limit(row)
            if row is not None and limit is not None:
                self._follow(way, row, limit, work, makes_room=True)
            return self._finish(work)

    def _follow(self, way: Way, row: EpochRow, limit: Cut, work: Work, *, makes_room: bool = False) -> None:
        heads = way.heads() if self.head(way.epoch, way.first - 1) == way.before else {}
        if not heads or next(reversed(heads.items())) != limit:
            return
        if makes_room:
            self._make_room(row.epoch, work)
        if self._is_full(row.epoch):
            return
        agreed = self._agreed(row, way.first - 1, heads)
        if row.waits and row.first == agreed + 1 <= row.seq < next(last for last in heads if last > agreed):
            if self._ways.get(row.epoch) != way:  # whether a part of a run belongs to it, the rest will say
                self._remember(self._ways, row.epoch, way)
                work.limited[row.epoch] = Limited(row.key, waits=True)
                work.anew[row.epoch] = None
        else:
            self._lead(row, limit, way, agreed, work)

    def _is_full(self, epoch: Epoch) -> bool:
        return epoch not in self._ways and len(self._ways) >= MAX_WAYS

    def _make_room(self, epoch: Epoch, work: Work) -> None:
        """For a way that was sent, since its pieces follow: the oldest one of a key that has left goes, and its epoch waits
        again.
        """
        rows = [row for other in self._ways if self._has_left((row := self._epochs[other]).key)]
        if self._is_full(epoch) and rows:
            self._remember(self._ways, rows[0].epoch, None)
            self._limit(rows[0], structs.replace(rows[0], is_led=False, waits=True), work)
            self._remember(self._missed, rows[0].epoch, True)

    def _agreed(self, row: EpochRow, seq: int, heads: Mapping[int, bytes]) -> int:
        """The last entry at which a run ends, and ours has the same head, if it does at `seq`."""
        while seq < row.seq and (run := self._run_row(row.epoch, seq + 1)) and heads.get(run.last) == run.head:
            seq = run.last
        return seq

    def _lead(self, row: EpochRow, limit: Cut, way: Way, agreed: int, work: Work) -> None:
        """Take this epoch along a way from now on; it has the same entries up to `agreed`."""
        epoch, led = row.epoch, structs.replace(row, limit=limit, is_led=True, waits=False)
        if agreed == row.seq and (not row.waits or epoch in self._missed):
            work.anew[epoch] = None
        self._remember(self._coming, epoch, None)
        self._remember(self._missed, epoch, None)
        self._remember(self._ways, epoch, way if agreed < limit.seq else None)
        if agreed == row.seq:
            self._keep_epoch(led, work)
            self._count_anew(row, led, work)
        else:
            aside = self._put_aside(row, work)
            begun = EpochRow(epoch, row.born, cut=row.cut, mark=row.mark, limit=limit, is_led=True)
            self._keep_epoch(begun, work)
            work.before[epoch] = row.end
            self._put_epochs([begun])
            self._remember(self._over, epoch, (aside.epoch, agreed))
            self._take_over(begun, work)
        work.limited.setdefault(epoch, Limited(row.key, counts_more=agreed > row.last))

    def _put_aside(self, row: EpochRow, work: Work) -> EpochRow:
        """Give an epoch another name, under which it does not count."""
        name = f"{row.epoch}{row.grown:016x}"  # no other epoch has it
        proof = self._proof_of(row.epoch) if row.cut is not None else None
        self._rename_epoch(row.epoch, name)
        named = structs.replace(row, epoch=name)
        aside = structs.replace(named, cut=None, mark=b"", limit=NOTHING_COUNTS, is_led=False, waits=False)
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

    def take_over(self, epoch: Epoch) -> Taken:
        """As in the port."""
        with self._piece():
            work = Work()
            row = self._epochs.get(epoch)
            if row is not None and epoch in self._over:
                self._take_over(row, work)
            return self._finish(work)

    def _take_over(self, row: EpochRow, work: Work) -> None:
        """Take entries from the history that was put aside: it has some runs in common with this one.

        Each stands for an event that is here, and is a row more of it: that is as slow as if it came from others.
        """
        aside, last = self._over[row.epoch]
        until = min(last, row.seq + OVER_ENTRIES)
        while row.seq < until:
            run = self._run_row(aside, row.seq + 1)
            items = self._items(aside, run.first, run.last)
            refused = [each.dot[1] for each in self._hollow_in(aside, run.first, run.last) if each.is_refused]
            grown = self._numbers.last_position + len(items)
            row = structs.replace(row, seq=run.last, head=run.head, first=run.first, grown=grown)
            self._keep_epoch(row, work)
            self._put_runs([RunRow(row.epoch, *run[1:])])
            entering = Entering(row.epoch, run.first, run.kinds, items, leaves_at(items), frozenset(refused))
            self._enter(entering, work)
        if row.seq < last:
            work.over[row.epoch] = None
        else:
            self._remember(self._over, row.epoch, None)
            work.anew[row.epoch] = None
            work.limited[row.epoch] = Limited(row.key, counts_more=True)
