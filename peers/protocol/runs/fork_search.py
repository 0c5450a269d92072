"""ForkSearch: where two histories of one epoch part, found by messages; and the proofs that go over a link."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import NamedTuple

from peers.codec.run_messages import MAX_BLOCKS, MAX_HEADS, MAX_WAY_BIRTHS, Heads, Prove, RunHave, ShowBlocks, ShowWay
from peers.events.dot import MAX_FOREIGN_SEQ, Epoch
from peers.events.epoch import END_BYTES, NO_KEY, NOTHING, Birth, EpochEnd, legacy_mark
from peers.events.proof import Block, Proof, Way
from peers.events.run import RUN_ENTRIES
from peers.protocol.runs.other_end import OtherEnd
from peers.protocol.runs.role import BadPeer, RunRole
from peers.stores.run_store import RunStore
from peers.stores.taken import Taken

MAX_MISMATCHES = 64
"""Epochs of which pieces did not fit, and the other end has not shown why."""


MAX_LED = 8
"""How often the way of one epoch is shown on a link: it leads nowhere for an end that lacks facts."""


class FoundBlocks(NamedTuple):
    """An answer to `heads`."""

    birth: Birth
    blocks: list[Block]
    """Those where the histories part, in order."""
    before: int = 0
    """If there are none: the asking end has to say its heads before this seq; 0 if it cannot help."""
    common: int = 0
    """The last seq, as far as the heads say it, at which both have the same."""
    way: Way | None = None
    """From there."""


class ShownWay(NamedTuple):
    """A way as it is sent before pieces."""

    way: Way
    births: list[Birth]
    """Of its epoch, and before that those of its heirs."""

    def messages(self) -> Iterator[ShowWay]:
        """Nearly always one."""
        births = [birth.encode() for birth in self.births]
        for at in range(0, max(1, len(births)), MAX_WAY_BIRTHS):
            yield ShowWay(self.way, tuple(births[at : at + MAX_WAY_BIRTHS]))


class ForkSearch:
    """A head of the other end is not ours at that seq: it is told where our runs of that epoch begin, the last one first.

    The other end looks for the last one that begins after a head that is its own too, and shows its blocks from there.
    Those are compared with ours. A proof is sent to an end that is not known to have it.
    """

    def __init__(self, role: RunRole, other: OtherEnd) -> None:
        self._role = role
        self._other = other
        self._suspected: dict[Epoch, EpochEnd] = {}
        """Epochs that are searched, and our end when that began."""
        self._mismatched: dict[Epoch, EpochEnd] = {}
        """Those of which a piece came that did not fit, though it was signed; and our end then."""
        self._earlier: dict[Epoch, EpochEnd] = {}
        """Ends of the other end that are not compared yet: heads of entries before our own ends."""
        self._led: Counter[Epoch] = Counter()
        """How often ways were looked for."""
        self.other_reads_ways = False

    # Asking

    def look(self, said: Mapping[Epoch, EpochEnd]) -> bool:
        """The other end says how far it has epochs: do our histories part? True if that needs `compare`.

        A head stands for all entries before it, so of an epoch that is named again only the last end is compared.
        """
        for epoch, theirs in said.items():
            self._earlier.pop(epoch, None)
            ours = self._role.ends.get(epoch)
            if ours is not None and theirs.mark and not ours.mark:
                self.lead(epoch, theirs)
            if ours is not None and theirs.mark == legacy_mark(epoch):
                if theirs.seq < ours.seq or not ours.mark:
                    self._part(epoch, theirs.seq)
                continue
            if ours is None or not 0 < theirs.seq <= ours.seq or theirs.mark == ours.mark != b"":
                continue
            if theirs.seq < ours.seq:
                self._earlier[epoch] = theirs
            elif theirs.head != ours.head:
                self.suspect(epoch)
        return bool(self._earlier)

    def compare(self) -> None:
        """Compare the ends that were said with our heads of those entries."""
        if self._earlier:
            earlier, self._earlier = self._earlier, {}
            self._role.read(partial(_differing, earlier), self._on_differing)

    def suspect(self, epoch: Epoch) -> None:
        """The other end has another head of this epoch."""
        ours = self._role.ends.get(epoch) or NOTHING
        if self._suspected.get(epoch) != ours:
            self._suspected[epoch] = ours
            self._say_heads(epoch, MAX_FOREIGN_SEQ)

    def mismatched(self, epoch: Epoch) -> None:
        """A piece of the other end carries a signed head that its entries and ours do not give.

        Raises BadPeer if none of them are ours, or for too many.
        """
        ours = self._role.ends.get(epoch)
        if ours is None:
            raise _changed(epoch)
        if len(self._mismatched) >= MAX_MISMATCHES:
            raise BadPeer(f"pieces of {MAX_MISMATCHES} epochs hold other entries than those that were signed")
        self._mismatched[epoch] = ours
        self.suspect(epoch)

    def compared(self, epoch: Epoch, count: int, *, is_explained: bool) -> None:
        """So many blocks that the other end showed were compared with ours; `is_explained`: they prove a fork.

        Raises BadPeer if these were the last ones, and do not say why a piece did not fit.
        """
        if is_explained:
            self._mismatched.pop(epoch, None)
        if count == MAX_BLOCKS:
            return  # there may be more
        at_mismatch = self._mismatched.pop(epoch, None)
        if at_mismatch is not None and at_mismatch == self._role.ends.get(epoch) and not at_mismatch.mark:
            raise _changed(epoch)

    def _part(self, epoch: Epoch, seq: int) -> None:
        """That a legacy epoch forked cannot be proven: it counts up to there only, and the events after it are adopted."""
        self._role.write(partial(_cut_legacy, epoch, seq), _nothing_follows)

    def followed(self, epochs: Iterable[Epoch]) -> None:
        """These are taken anew: why pieces did not fit is known."""
        for epoch in epochs:
            self._mismatched.pop(epoch, None)
            self._suspected.pop(epoch, None)

    def _say_heads(self, epoch: Epoch, before: int) -> None:
        def say(heads: list[tuple[int, bytes]]) -> None:
            self._role.send(Heads(epoch, before, tuple(heads)))

        self._role.read(partial(_heads, epoch, before), say)

    def _on_differing(self, epochs: list[Epoch]) -> None:
        for epoch in epochs:
            self.suspect(epoch)

    # Answering

    def heads(self, message: Heads) -> None:
        """The other end says where its runs begin; or asks for more of ours."""
        if message.epoch not in self._role.ends:
            return
        if message.is_answer:
            if message.epoch in self._suspected:
                self._say_heads(message.epoch, message.before)
            return
        may_lead = self.may_lead(message.epoch)
        self._led[message.epoch] += may_lead
        self._role.read(partial(_shown, message, may_lead), partial(self._on_shown, message.epoch))

    def _on_shown(self, epoch: Epoch, shown: FoundBlocks | None) -> None:
        if shown is None:
            return
        if shown.before:
            self._role.send(Heads(epoch, shown.before, (), True))
        elif shown.birth.key == NO_KEY:
            self._part(epoch, shown.common)
        self._on_way(shown.way)  # before the blocks, which may not say it: what ends at a limit has no signature
        for at in range(0, len(shown.blocks), MAX_BLOCKS):
            self._role.send(ShowBlocks(shown.birth, tuple(shown.blocks[at : at + MAX_BLOCKS])))

    # Ways and proofs

    def lead(self, epoch: Epoch, theirs: EpochEnd) -> None:
        """Show the way to the limit of an epoch, if that is known here, to an end for which a fork cuts it at `theirs`."""
        if self.may_lead(epoch):
            self._led[epoch] += 1
            self._role.read(partial(_way, epoch, theirs.seq), self._on_way)

    def lead_anew(self, message: RunHave) -> None:
        """Nothing of an epoch counts any more at the other end: show it the way, if its key has left, and it waits for that."""
        told: set[Epoch] = set()
        for epoch, end in message.ends.items():
            if end == NOTHING and epoch in self._role.ends and epoch not in message.anew and self.may_lead(epoch):
                self._led[epoch] += 1
                self._role.read(partial(_needed_anew, epoch, told), self._on_needed)

    def send_way(self, shown: ShownWay) -> None:
        """The other end takes pieces only along it. `may_lead` is asked before it is read: what it tells is not told again."""
        self._led[shown.way.epoch] += 1
        self._on_needed(shown)

    def may_lead(self, epoch: Epoch) -> bool:
        """Whether the way of an epoch may be looked for once more."""
        return self.other_reads_ways and self._led[epoch] < MAX_LED

    def _on_needed(self, shown: ShownWay | None) -> None:
        for message in shown.messages() if shown is not None else ():
            self._role.send(message)

    def _on_way(self, way: Way | None) -> None:
        if way is not None:
            self._role.send(ShowWay(way))

    def prove(self, epoch: Epoch) -> None:
        """Send the proof of this fork that is known here, unless the other end has it."""
        self._role.read(partial(_proof, epoch), self.send_proof)

    def send_proof(self, proof: Proof | None) -> None:
        """Send this proof, unless the other end has it."""
        if proof is None:
            return
        epoch, mark = proof.birth.epoch, proof.mark
        if self._other.mark(epoch) != mark:
            self._other.proved(epoch, mark)
            self._role.send(Prove(proof.encode()))


def _changed(epoch: Epoch) -> BadPeer:
    return BadPeer(f"a piece of epoch {epoch} holds other entries than those that its owner signed")


def _cut_legacy(epoch: Epoch, seq: int, store: RunStore) -> Sequence[Taken]:
    return [store.part(epoch, seq)]


def _nothing_follows(takens: Sequence[Taken]) -> None:
    pass


def _way(epoch: Epoch, after: int, store: RunStore) -> Way | None:
    return store.way(epoch, after)


def needed_way(epoch: Epoch, after: int, known: Container[Epoch], store: RunStore) -> ShownWay | None:
    """What an end needs that has an epoch up to the entry `after`, and the births of those that are `known`, to take more."""
    way = store.needed_way(epoch, after)
    if way is None:
        return None
    births = [store.birth(each) for each in [*store.heirs(epoch, known), epoch] if each not in known]
    return ShownWay(way, [birth for birth in births if birth is not None])


def _needed_anew(epoch: Epoch, told: set[Epoch], store: RunStore) -> ShownWay | None:
    """The same without the births that were `told`, to which it adds those that this one tells."""
    shown = needed_way(epoch, 0, told, store)
    told.update([birth.epoch for birth in shown.births] if shown is not None else [])
    return shown


def _proof(epoch: Epoch, store: RunStore) -> Proof | None:
    return store.proof(epoch)


def _differing(said: Mapping[Epoch, EpochEnd], store: RunStore) -> list[Epoch]:
    """The epochs whose head here is another one than that."""
    heads = {epoch: store.head(epoch, end.seq) for epoch, end in said.items()}
    return [epoch for epoch, head in heads.items() if head is not None and head[:END_BYTES] != said[epoch].head]


def _heads(epoch: Epoch, before: int, store: RunStore) -> list[tuple[int, bytes]]:
    return [(first, head[:END_BYTES]) for first, head in store.begins(epoch, before, MAX_HEADS)]


def _shown(message: Heads, may_lead: bool, store: RunStore) -> FoundBlocks | None:
    """What we have from the last head that both ends have, with `may_lead` the way too."""
    found = _found(message, store)
    if found is None or found.before or not may_lead:
        return found
    birth, blocks, before, common, _ = found
    return FoundBlocks(birth, blocks, before, common, store.way(message.epoch, common))


def _found(message: Heads, store: RunStore) -> FoundBlocks | None:
    """Our blocks from the last head that both ends have; of as many entries as a run may have."""
    epoch, limit = message.epoch, message.before
    birth = store.birth(epoch)
    if birth is None:
        return None
    for first, theirs in message.heads:
        ours = store.head(epoch, first - 1)
        if ours is not None and ours[:END_BYTES] == theirs:
            blocks = _blocks(epoch, first, min(limit, first + RUN_ENTRIES), store)
            return FoundBlocks(birth, blocks, common=first - 1)
        limit = min(limit, first)
    if message.heads and limit > 1:
        return FoundBlocks(birth, [], limit)
    return FoundBlocks(birth, _blocks(epoch, 1, min(limit, 1 + RUN_ENTRIES), store))


def _blocks(epoch: Epoch, first: int, before: int, store: RunStore) -> list[Block]:
    """Blocks that begin before the seq `before`, from the one that holds the entry `first`; in order."""
    found: Sequence[Block] = ()
    blocks: list[Block] = []
    while not blocks or blocks[-1].first > first:
        found = store.blocks(epoch, before=blocks[-1].first if blocks else before, limit=MAX_BLOCKS)
        if not found:
            break
        blocks += found
    return [block for block in reversed(blocks) if block.last >= first]
