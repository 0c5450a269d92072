"""How a store of runs takes pieces: what continues an epoch, has the head that it says, and is signed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from msgspec import structs

from peers.events.columns import Items, joined
from peers.events.dot import MAX_FOREIGN_SEQ
from peers.events.epoch import KEY_BYTES, NO_KEY
from peers.events.leaf import HASH_BYTES, leaves_of
from peers.events.piece import Piece
from peers.events.proof import Cut
from peers.events.run import KINDS, OWN, RUN_ENTRIES, VOUCHED, Content, RunHash
from peers.events.signature import SIGNATURE_BYTES, is_signed
from peers.stores.runs.copying import Work
from peers.stores.runs.entering import Entering
from peers.stores.runs.epochs import OpenRun
from peers.stores.runs.limits import LimitRules
from peers.stores.runs.rows import EpochRow, RunRow
from peers.stores.taken import Limited, Taken, Taking


@dataclass(slots=True)
class _Growth:
    """What pieces of one run would make of its epoch; nothing of it is written yet."""

    row: EpochRow
    """As it is in the store."""
    seq: int
    """Of the last entry."""
    head: bytes
    """There."""
    run: OpenRun | None = None
    """The run as it would be; None while it is as the store has it."""
    signature: bytes = b""
    is_at_cut: bool = False
    kinds: bytes = b""
    """Of the new entries, as `items` and `leaves`."""
    items: Items = ()
    leaves: list[bytes] = field(default_factory=list)
    refused: frozenset[int] = frozenset()

    @property
    def is_legacy(self) -> bool:
        """Whether its epoch is of a release without signatures."""
        return self.row.key == NO_KEY

    @property
    def is_signed(self) -> bool:
        """Whether its last head is signed, or there is no key for that: then the entries that give it are enough."""
        return self.is_legacy or is_signed(self.row.key, self.row.epoch, self.seq, self.head, self.signature)


class TakingRules(LimitRules):
    """Takes each epoch in order. A piece that is refused changes nothing."""

    def take(self, pieces: Sequence[Piece], *, clock_ms: int = 0) -> Taken:
        """As in the port."""
        with self._piece():
            work = Work()
            start = 0
            while start < len(pieces):
                epoch, first = pieces[start].epoch, pieces[start].first
                end = start + 1
                while end < len(pieces) and (pieces[end].epoch, pieces[end].first) == (epoch, first):
                    end += 1
                if epoch not in self._epochs:
                    self._meet(pieces[end - 1], work)
                work.outcomes += self._take_run(pieces[start:end], work)
                start = end
            self._numbers.clock_ms = max(self._numbers.clock_ms, clock_ms)
            return self._finish(work)

    def _take_run(self, pieces: Sequence[Piece], work: Work) -> list[Taking]:
        """Take pieces of one run: the signature of the last one stands for all; if it is bad, each is taken by itself."""
        outcomes: list[Taking] = []
        growth: _Growth | None = None
        for piece in pieces:
            weighed = self._weigh(piece, growth)
            if isinstance(weighed, _Growth):
                growth = weighed
                outcomes.append("taken")
            else:
                outcomes.append(weighed)
        if growth is not None and not growth.is_at_cut and not growth.is_signed:
            if len(pieces) == 1:
                return ["bad"]
            return [outcome for piece in pieces for outcome in self._take_run((piece,), work)]
        if growth is not None:
            self._grow(growth, work)
            if growth.signature or growth.is_legacy:
                work.pieces.append(_as_sent(growth, pieces))
        if "mismatch" in outcomes and pieces[0].epoch == self._numbers.epoch:
            self._numbers.epoch = None  # another machine writes in it, with our key
        return outcomes

    def _weigh(self, piece: Piece, before: _Growth | None) -> Taking | _Growth:
        """What a piece would do after `before`, whose signature is not verified yet; that of the result is not either."""
        known = self._epochs.get(piece.epoch)
        is_named = known is not None and known.birth == piece.birth  # then its hash is known
        if not (is_named or piece.birth.epoch == piece.epoch) or not _is_sound(piece):
            return "bad"
        row = known or self._begun_row(piece.epoch, piece.birth)
        growth, bound = before or _Growth(row, row.seq, row.head), row.bound
        last = piece.last if bound is None else min(piece.last, bound.seq)
        if last <= growth.seq:
            if last < piece.last:
                return "forked"
            return "known" if self._head_at(growth, last) == piece.head else _mismatch(piece, row)
        if piece.start > growth.seq + 1 or (named := self._head_of_way(row, last)) == b"":
            return "gap"
        run = self._run_of(piece, growth)
        if run is None:
            return _mismatch(piece, row)
        grown = _grown(growth, run, piece, last)
        if grown is None:
            return "bad"
        if named is not None and named != grown.head:
            is_mixed = row.waits and piece.first <= row.seq  # a part of the run that is here may be of another history
            return "bad" if named == piece.head and not is_mixed else _mismatch(piece, row)
        if (last, grown.head) == bound:
            grown.is_at_cut = True
            if last < piece.last or not grown.is_signed:
                grown.signature = b""
            return grown
        if last < piece.last and not row.seq and bound == row.limit:
            return (
                "gap"  # another history than the cut of the mesh names: what forked is found once a part of it is here
            )
        if last < piece.last or grown.head != piece.head:
            return _mismatch(piece, row)
        return grown if (piece.signature or grown.is_legacy) and (named or not row.waits) else "gap"

    def _head_at(self, growth: _Growth, seq: int) -> bytes | None:
        """The head at an entry up to the end of `growth`."""
        if seq == growth.seq:
            return growth.head
        if seq <= growth.row.seq or growth.run is None:
            return self.head(growth.row.epoch, seq)
        new = seq - growth.row.seq
        run = self._begun(growth.row, growth.run.hash.first).hash.copy()
        run.add(growth.kinds[:new], growth.leaves[:new])
        return run.head

    def _run_of(self, piece: Piece, growth: _Growth) -> OpenRun | None:
        """The run that a piece continues, or a new one; None if it is neither."""
        if growth.run is not None:
            return growth.run
        row = growth.row
        return self._begun(row, piece.first) if piece.first in (row.seq + 1, row.first) else None

    def _begun(self, row: EpochRow, first: int) -> OpenRun:
        """The run that begins at `first`: the last one, or a new one after it."""
        is_new = first == row.seq + 1
        return OpenRun(RunHash(row.epoch, first, row.head), b"", Content()) if is_new else self._last_run(row)

    def _grow(self, growth: _Growth, work: Work) -> None:
        """Write what was weighed and verified."""
        row, run = self._proven_row(growth.row, work), growth.run
        assert run is not None, "a piece that is taken has a run"
        grown = self._numbers.last_position + len(growth.kinds)
        limit, is_led = row.limit, row.is_led
        if limit is not None and limit.seq <= growth.seq:
            limit, is_led = Cut(growth.seq, growth.head), limit.head == growth.head
            self._remember(self._ways, row.epoch, None)
        self._keep_epoch(
            structs.replace(
                row,
                seq=growth.seq,
                head=growth.head,
                first=run.hash.first,
                grown=grown,
                limit=limit,
                is_led=is_led,
            ),
            work,
        )
        entering = Entering(row.epoch, row.seq + 1, growth.kinds, growth.items, growth.leaves, growth.refused)
        is_plain = growth.kinds.count(OWN) == len(growth.kinds)
        if is_plain:  # else their origins and kinds are looked up in the run: it is kept before them
            self._enter(entering, work)
        self._keep_last_run(run, growth.signature)
        if not is_plain:
            self._enter(entering, work)
        if row.epoch == self._numbers.epoch:
            self._numbers.epoch = None

    def _proven_row(self, row: EpochRow, work: Work) -> EpochRow:
        """A piece of an epoch that waits is taken: with it, what is here leads to its limit."""
        if not row.waits:
            return row
        led = structs.replace(row, is_led=True, waits=False)
        self._remember(self._coming, row.epoch, None)
        self._remember(self._missed, row.epoch, None)
        self._keep_epoch(led, work)
        self._count_anew(row, led, work)
        work.limited[row.epoch] = Limited(row.key, counts_more=row.seq > 0)
        return led

    def _keep_last_run(self, run: OpenRun, signature: bytes) -> None:
        """Write the row of a run that grew."""
        of_run = run.hash
        self._keep_run(run)
        if run.kinds.count(OWN) < len(run.kinds) and not VOUCHED.keys().isdisjoint(run.kinds):
            self._vouching.add(of_run.epoch)
        row = RunRow(
            of_run.epoch, of_run.first, of_run.last, of_run.before, of_run.head, run.kinds, signature, run.content
        )
        self._put_runs([row])


def _is_sound(piece: Piece) -> bool:
    """Whether the parts of a piece fit each other, but for its epoch and its birth."""
    length = len(piece.items)
    return (
        len(piece.birth.key) == KEY_BYTES
        and 1 <= piece.first <= piece.start
        and 1 <= length == len(piece.kinds)
        and piece.last < piece.first + RUN_ENTRIES
        and piece.last <= MAX_FOREIGN_SEQ
        and max(piece.kinds) < KINDS
        and len(piece.head) == HASH_BYTES
        and len(piece.signature) in ((0,) if piece.birth.key == NO_KEY else (0, SIGNATURE_BYTES))
    )


def _grown(growth: _Growth, run: OpenRun, piece: Piece, last: int) -> _Growth | None:
    """The growth with what is new of a piece, up to `last`; None if a leaf is none."""
    new = slice(growth.seq + 1 - piece.start, last + 1 - piece.start)
    items, kinds = piece.items[new], piece.kinds[new]
    leaves = leaves_of(items)
    if set(map(len, leaves)) != {HASH_BYTES}:
        return None
    longer = run.hash.copy()
    longer.add(kinds, leaves)
    return _Growth(
        growth.row,
        last,
        longer.head,
        run.grown(longer, kinds, items),
        piece.signature,
        kinds=growth.kinds + kinds,
        items=joined([growth.items, items]) if growth.items else items,
        leaves=[*growth.leaves, *leaves],
        refused=growth.refused | piece.refused,
    )


def _as_sent(growth: _Growth, pieces: Sequence[Piece]) -> Piece:
    """What was taken, as a piece: the very one that came, if it came in one and nothing of it was known."""
    row, run = growth.row, growth.run
    assert run is not None, "a piece that is taken has a run"
    if len(pieces) == 1 and pieces[0].start == row.seq + 1:
        return pieces[0]
    return Piece(
        row.epoch, row.birth, run.hash.first, row.seq + 1, growth.kinds, growth.items, growth.head, growth.signature
    )


def _mismatch(piece: Piece, row: EpochRow) -> Taking:
    """What it means that the head of a piece is not ours."""
    if piece.birth.key == NO_KEY:
        return "gap"
    # What ends at the limit has no signature: it may be of another history, too.
    is_unsigned = not piece.signature and row.limit is not None and row.limit.seq == piece.last
    if not is_unsigned and not is_signed(piece.birth.key, piece.epoch, piece.last, piece.head, piece.signature):
        return "bad"
    return "gap" if row.waits else "forked" if row.is_led else "mismatch"
