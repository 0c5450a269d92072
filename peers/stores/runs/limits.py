"""The facts of a mesh, and up to where epochs count by them: of keys that are not in it, or not any more."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import lru_cache
from typing import NamedTuple

from msgspec import structs

from peers.events.dot import Epoch
from peers.events.epoch import NO_HEAD, Birth, Parent
from peers.events.piece import Piece
from peers.events.proof import Cut, Way
from peers.events.run import RunHash
from peers.events.signature import is_signed
from peers.facts.fact import Fact, Tip, decode_fact, fact_id_of
from peers.facts.fact_set import FactSet, MeshEnd
from peers.facts.roster import Roster
from peers.stores.run_store import Pen
from peers.stores.runs.copying import Work
from peers.stores.runs.entering import EnteringRules
from peers.stores.runs.epochs import without_limit
from peers.stores.runs.rows import NOTHING_COUNTS, EpochRow
from peers.stores.taken import Limited, Taken

MAX_WAYS = 64
"""Epochs that are being taken along a way."""
NO_HISTORY = Cut(1, NO_HEAD)
"""The limit of an epoch of which a key that left several times says different ones: no history leads there."""


heads_of = lru_cache(maxsize=4)(Way.heads)
_ends_of = lru_cache(maxsize=4)(Way.ends)


class Coming(NamedTuple):
    """Runs of an epoch that waits, as they came one after the other from our end on: a way, once they come to its limit."""

    first: int
    """Of the first run."""
    before: bytes
    """The head before it."""
    steps: list[bytes]
    """As in Way, of each run but the last one; it may have more, which came and were taken back."""
    complete: int
    """How many of them it has."""
    run: RunHash
    """The last one. Never changed in place."""


class LimitRules(EnteringRules):
    """Keeps facts, and `EpochRow.limit`: it is found when an epoch begins, and anew when facts or births of its key come.

    Entries after it are kept. They count once more facts raise it, whatever the order in which all that came.

    **Of a key that has left** no node says what it had written by then. Its fact names heads, of entries that it may write
    only later, or never. So one of its epochs *waits* until a history is known that gives the head at its limit, which was
    fixed when the fact was signed: by a Way, or as the pieces that come lead there. Until then nothing of it counts or is
    taken.

    **Of a key that left several times**, as two copies of a home do, those epochs count for which all these facts and the
    births say one limit; the others wait for ever. No fact says whether one history has two limits, and with either of them a
    key could go on writing, and leave again. What was shown stays, and is adopted; if an admin revokes the key, it counts.
    """

    def __init__(self) -> None:
        super().__init__()
        self._mesh = ""
        """The public key of the mesh in hexadecimal digits; empty without one."""
        self._fact_sets: dict[str, FactSet] = {}
        """That of the mesh, in the order in which facts became part of it. A set that is here is never changed."""
        self._rosters: dict[str, Roster] = {}
        """That of the mesh, once a fact is known."""
        self._ways: dict[Epoch, Way] = {}
        """Of epochs that are not here up to their limits: the ways that lead there."""
        self._coming: dict[Epoch, Coming] = {}
        """Of epochs that wait, what came of them."""
        self._over: dict[Epoch, tuple[Epoch, int]] = {}
        """Epochs that are led now, with the names under which other histories of them were put aside, and the last entry that
        is to be taken over from there."""
        self._missed: dict[Epoch, bool] = {}
        """Epochs that wait, and of which something came that was not taken."""

    def roster(self) -> Roster | None:
        """As in the port."""
        return self._rosters.get(self._mesh)

    def _may_write(self, pen: Pen) -> bool:
        """Whether own entries count: those of a key that is not in its mesh would be for nothing."""
        roster = self.roster()
        return roster is None or roster.cut_of(pen.signer.public) is None

    def _begin(self) -> None:
        super()._begin()
        if not self._mesh:
            return
        facts = self._fact_sets[self._mesh] = FactSet(bytes.fromhex(self._mesh))
        for data in self._read_facts():
            with suppress(ValueError):  # of another mesh, or of a kind that a later release has written
                facts.add(decode_fact(data))  # its signature was looked at when it came
        self._rosters = {self._mesh: Roster(facts.mesh, facts)} if facts else {}
        if facts:
            limits = self._all_limits()
            self._epochs |= {row.epoch: self._limited_in(limits, row) for row in self._epochs.values()}
            self._find_unadopted()
            self._count_hollow()

    def enter_mesh(self, mesh: bytes) -> None:
        """As in the port."""
        self._mesh = mesh.hex()
        self._fact_sets = {self._mesh: FactSet(mesh)}
        self._rosters = {}

    def facts(self) -> tuple[Fact, ...]:
        """As in the port."""
        return tuple(self._fact_sets.get(self._mesh, ()))

    def unknown_facts(self, texts: Sequence[bytes]) -> list[Fact]:
        """As in the port."""
        if not self._mesh:
            return []
        known = self._fact_sets[self._mesh]
        facts = [decode_fact(text) for text in texts if fact_id_of(text) not in known]
        return [fact for fact in facts if fact.mesh == known.mesh]

    def mesh_end(self) -> MeshEnd | None:
        """As in the port."""
        return self._fact_sets[self._mesh].end if self._mesh else None

    def learn(self, facts: Sequence[Fact]) -> Taken:
        """As in the port."""
        if not self._mesh:
            return Taken()
        with self._piece():
            known = self._fact_sets[self._mesh].copy()
            new: list[Fact] = []
            for fact in facts:
                try:
                    new += known.add(fact)
                except ValueError:
                    continue
            self._remember(self._fact_sets, self._mesh, known)
            if not new:
                return Taken()
            self._put_facts(new)
            self._remember(self._rosters, self._mesh, Roster(known.mesh, known))
            work = Work()
            self._judge(work)
            return replace(self._finish(work), facts=tuple(new), roster=self.roster())

    def _count_hollow(self) -> None:
        """The numbers may be of a release that knew of no limits."""
        numbers = self._numbers
        numbers.hollow = numbers.refused = 0
        for epoch in self._hollow_epochs():
            for row in self._hollow_in(epoch, 1, self._epochs[epoch].last):
                numbers.refused += row.is_refused
                numbers.hollow += not row.is_refused

    def _begun_row(self, epoch: Epoch, birth: Birth) -> EpochRow:
        """The row of an epoch that is new here."""
        roster = self.roster()
        row = EpochRow(epoch, birth.encode())
        is_out = roster is not None and roster.cut_of(birth.key) == ()
        return structs.replace(row, limit=NOTHING_COUNTS) if is_out else row

    def _meet(self, piece: Piece, work: Work) -> None:
        """An epoch that is new here comes: of a key that is revoked or has left, its birth says what else of it counts.

        It is kept even if nothing of this epoch counts yet, but not before it is known to be of that key.
        """
        roster, birth = self.roster(), piece.birth
        tips = None if roster is None else roster.cut_of(birth.key)
        if not tips or birth.epoch != piece.epoch:
            return
        is_named = birth.epoch in self._named_of(birth.key)
        if is_named or is_signed(birth.key, piece.epoch, piece.last, piece.head, piece.signature):
            self._keep_epoch(EpochRow(birth.epoch, birth.encode()), work)
            self._judge(work, {birth.key})

    def _named_of(self, key: bytes) -> set[Epoch]:
        """The epochs of a key that is not in the mesh any more, as far as facts or the births of others of them name them."""
        roster = self.roster()
        tips = None if roster is None else roster.cut_of(key)
        return {tip.epoch for tip in tips}.union(self._limits_of(key) or ()) if tips else set()

    def _judge(self, work: Work, keys: Collection[bytes] | None = None) -> None:
        """Find out up to where the epochs of these keys count now, or all epochs."""
        limits = self._all_limits(keys)
        for row in list(self._epochs.values()):
            if keys is None or row.key in keys:
                self._limit(row, self._limited_in(limits, row), work)

    def _all_limits(self, keys: Collection[bytes] | None = None) -> dict[bytes, Mapping[Epoch, Cut] | None]:
        return {key: self._limits_of(key) for key in keys or {row.key for row in self._epochs.values()}}

    def _limits_of(self, key: bytes) -> Mapping[Epoch, Cut] | None:
        """Up to where epochs of a key count, and the others do not; None: all do, or that is not known yet.

        An epoch from which a tip goes on counts up to the entry that the birth names, also before that entry is here: else a
        newcomer could not take it piece by piece. `tips` names no epoch with an ancestor that no node has; what a leaving node
        says itself may, but that waits for ever.
        """
        roster = self.roster()
        tips = None if roster is None else roster.cut_of(key)
        if roster is None or tips is None:
            return None
        if self._has_left(key) and tips:
            named = [self._limits_by(cut, key) for cut in roster.leaves[key]]
            return {
                epoch: cut if all(limits.get(epoch) == cut for limits in named) else NO_HISTORY
                for each in named
                for epoch, cut in each.items()
            }
        if any(tip.epoch not in self._epochs for tip in tips):
            return None
        return self._limits_by(tips, key)

    def _has_left(self, key: bytes) -> bool:
        roster = self.roster()
        return roster is not None and roster.has_left(key)

    def _limits_by(self, tips: Sequence[Tip], key: bytes) -> dict[Epoch, Cut]:
        """Up to where epochs of a key count by these tips, and by the births of those that are here."""
        limits = {tip.epoch: Cut(tip.seq, tip.head) for tip in tips}
        todo = list(limits)
        while todo:
            parent = self._parent_of(todo.pop(), key)
            if parent.seq and parent.epoch not in limits:
                todo.append(parent.epoch)
            if parent.seq:
                limits[parent.epoch] = max(Cut(parent.seq, parent.head), limits.get(parent.epoch, NOTHING_COUNTS))
        return limits

    def _head_of_way(self, row: EpochRow, last: int) -> bytes | None:
        """While an epoch is taken along a way: the head at which a piece has to end there, empty if none ends there; else
        None.

        That takes as long as the way is: it is not asked for before all else fits.
        """
        way = self._ways.get(row.epoch) if row.is_led or row.waits else None
        if way is None:
            return None
        return heads_of(way)[last] if last in _ends_of(way) else b""

    def _parent_of(self, epoch: Epoch, key: bytes) -> Parent:
        row = self._epochs.get(epoch)
        return row.birth.parent if row is not None and row.key == key else Parent()

    def _limited_in(self, limits: Mapping[bytes, Mapping[Epoch, Cut] | None], row: EpochRow) -> EpochRow:
        """The row of one epoch with its limit; once that entry is here, with our head there."""
        of_key = limits[row.key]
        if row.is_aside or of_key is None:
            return without_limit(row)
        stated = of_key.get(row.epoch, NOTHING_COUNTS)
        limit = row.limit
        if stated == NO_HISTORY:
            limit = stated  # no head of ours is that: reading one takes as long as its run is
        elif limit is None or row.waits or not limit.seq == stated.seq <= row.seq:
            limit = Cut(stated.seq, self.head(row.epoch, stated.seq) or stated.head)
        is_here = 0 < limit.seq <= row.seq
        is_led = limit.head == stated.head if is_here else row.is_led and limit == row.limit
        is_led = is_led and limit != NO_HISTORY
        waits = stated.seq > 0 and not is_led and self._has_left(row.key)
        if waits:
            limit = stated
        if (limit, is_led, waits) == (row.limit, row.is_led, row.waits):
            return row
        return structs.replace(row, limit=limit, is_led=is_led, waits=waits)

    def _limit(self, row: EpochRow, limited: EpochRow, work: Work) -> None:
        limit = limited.limit
        if limited == row:
            return
        if not limited.is_led:
            self._remember(self._ways, row.epoch, None)
            self._remember(self._coming, row.epoch, None)
            self._remember(self._missed, row.epoch, None)
            self._remember(self._over, row.epoch, None)
        self._keep_epoch(limited, work)
        self._count_anew(row, limited, work)
        if row.seq or (limit is not None and limit.seq):
            before = work.limited.get(row.epoch)
            counts_more = limited.last > row.last or (before is not None and before.counts_more)
            work.limited[row.epoch] = Limited(row.key, counts_more, limited.waits)

    def _count_anew(self, before: EpochRow, row: EpochRow, work: Work) -> None:
        """An epoch has another bound now: what is hollow, what is to be adopted, and where own entries go."""
        epoch, falls = row.epoch, row.last < before.last
        first, last = sorted((before.last, row.last))
        for hollow in self._hollow_in(epoch, first + 1, last):
            step = -1 if falls else 1
            self._numbers.refused += step * hollow.is_refused
            self._numbers.hollow += step * (not hollow.is_refused)
            if falls:
                work.hollow.pop(hollow.dot, None)
            elif not hollow.is_refused:
                work.hollow[hollow.dot] = None
        if falls:
            self._remember(self._unadopted, epoch, row.last + 1)
        elif row.last == row.seq and epoch in self._unadopted:
            self._remember(self._unadopted, epoch, None)
        if not falls:
            self._stand_again(epoch, first + 1, last, work)
        if epoch == self._numbers.epoch:
            self._numbers.epoch = None
