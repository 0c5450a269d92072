"""What goes into an archive of a store, and what another store takes of one: as over a link, and with no more trust."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from peers.codec.encoded import EncodedPieces
from peers.codec.run_messages import FACTS_BYTES, MAX_FACTS, Facts, Fill, Pieces, Prove, fill_groups, piece_groups
from peers.codec.runs import RunProtocol
from peers.errors import SyncError
from peers.events.columns import events_of
from peers.events.dot import Epoch
from peers.events.entry import Entry
from peers.events.piece import Piece
from peers.events.proof import Proof
from peers.events.run import RunHash
from peers.protocol.runs.fact_exchange import learn_facts
from peers.stores.run_store import RunStore, Taken

WALK_PIECES = 64
"""Pieces that are read at a time."""
_WALK_CHANGES = 500
_BAD_FACT = "a fact of the mesh in it is not what was signed"
_BAD_PROOF = "the proof of a fork in it does not hold"
_CHANGED = "an entry in it is not what its writer signed"
Archived = Facts | Prove | Pieces | Fill


def frames_of(store: RunStore) -> Iterator[tuple[bytes, int]]:
    """The frames of all that a store could send to a node that has nothing, each with the number of its entries.

    First the facts, then the proofs of forks, then the entries in the order in which they came here, as far as they count.
    Raises StoreError, also for an entry that is not what was signed.
    """
    encode = RunProtocol().encode
    facts = [fact.data for fact in store.facts()]
    for some in _groups_of(facts):
        yield encode(Facts(some)), 0
    for epoch, end in store.ends().items():
        proof = store.proof(epoch) if end.mark else None
        if proof is not None:
            yield encode(Prove(proof.encode())), 0
    encoded = EncodedPieces()
    group: list[Piece] = []
    for piece in _pieces_of(store):
        group.append(piece)
        if len(group) == WALK_PIECES:
            yield from _frames(group, encoded)
            group.clear()
    yield from _frames(group, encoded)


def _groups_of(facts: Sequence[bytes]) -> Iterator[tuple[bytes, ...]]:
    group: list[bytes] = []
    for fact in facts:
        if group and (len(group) == MAX_FACTS or sum(map(len, group)) + len(fact) > FACTS_BYTES):
            yield tuple(group)
            group = []
        group.append(fact)
    if group:
        yield tuple(group)


def _pieces_of(store: RunStore) -> Iterator[Piece]:
    """Whole runs, each where its first entry came."""
    given: dict[Epoch, int] = {}
    after = 0
    while changes := store.changes(after, _WALK_CHANGES):
        for change in changes:
            epoch, seq = change.dot
            while not change.is_fill and given.get(epoch, 0) < seq + change.length - 1:
                piece = store.piece(epoch, given.get(epoch, 0) + 1)
                if piece is None:
                    break  # what follows counts no more
                given[epoch] = piece.last
                yield piece
        after = changes[-1].position + changes[-1].length - 1


def _frames(pieces: Sequence[Piece], encoded: EncodedPieces) -> Iterator[tuple[bytes, int]]:
    """Of these pieces; what one has no room for comes after it."""
    encode = RunProtocol().encode
    raws = [encoded.of(piece) for piece in pieces]
    births = {piece.epoch: piece.birth for piece in pieces}
    for group in piece_groups(raws):
        named = tuple({raw.epoch: births[raw.epoch] for raw in group}.values())
        yield encode(Pieces(0, named, group)), sum([len(raw.kinds) for raw in group])
    left_out = [
        ((piece.epoch, piece.start + at), item)
        for piece, raw in zip(pieces, raws, strict=True)
        if raw.items is not piece.items
        for at, (item, sent) in enumerate(zip(piece.items, raw.items, strict=True))
        if isinstance(item, Entry) and not isinstance(sent, Entry)
    ]
    for events in fill_groups(left_out):
        yield encode(Fill(0, events)), 0


@dataclass(slots=True)
class TakenArchive:
    """What became of frames."""

    shown: int = 0
    """Events that are shown now and were not."""
    entries: int = 0
    """Of the pieces."""
    new: int = 0
    """Of these, how many were not here."""
    left: dict[str, int] = field(default_factory=dict)
    """Entries of the pieces that were not taken, by why: see Taking; `stranger` where nothing of their key counts."""
    bad: str = ""
    """What of it is not signed by its owner, as a sentence; nothing of that was taken."""


class ArchivedFrames:
    """Frames of an archive, decoded: `work` takes them into a store, `outcome` says afterwards what that did."""

    def __init__(self, frames: Sequence[bytes]) -> None:
        """Raises ValueError, with a sentence, for a frame that does not belong into an archive."""
        protocol = RunProtocol()
        protocol.other_node_id = "archive"  # of one who has greeted, since frames are longer then
        self._messages: list[Archived] = []
        for frame in frames:
            try:
                message = protocol.decode(frame)
            except SyncError as error:
                raise ValueError(f"a record cannot be read ({error}): take another copy of the archive") from None
            if not isinstance(message, Archived):
                raise ValueError("a record does not belong into an archive: take another copy of it")
            self._messages.append(message)
        self._strangers: list[int] = []
        self._changed = False
        """Whether an entry was found that is not what its writer signed."""

    @property
    def events(self) -> list[Sequence[Entry]]:
        """That came in them, whether they will be taken or not."""
        found: list[Sequence[Entry]] = []
        for message in self._messages:
            if isinstance(message, Pieces):
                found += [events_of(piece.items) for piece in message.pieces]
            elif isinstance(message, Fill):
                found.append([event for _, event in message.events])
        return found

    def work(self, store: RunStore, clock_ms: int = 0) -> list[Taken]:
        """Take them in order, in a transaction of the caller; one result for each frame. May be called again."""
        self._strangers, self._changed = [0] * len(self._messages), False
        return [self._take(at, message, store, clock_ms) for at, message in enumerate(self._messages)]

    def _take(self, at: int, message: Archived, store: RunStore, clock_ms: int) -> Taken:
        if isinstance(message, Facts):
            return learn_facts(message, [], store)
        if isinstance(message, Fill):
            return store.fill(message.events)
        if isinstance(message, Prove):
            try:
                return store.prove(Proof.decode(message.proof))
            except ValueError:
                return Taken(outcomes=("bad",))
        roster = store.roster()
        births = {birth.epoch: birth for birth in message.births}
        pieces: list[Piece] = []
        for piece in message.pieces:
            birth = births.get(piece.epoch)
            if birth is None:
                return Taken(outcomes=("bad",))
            if roster is not None and roster.cut_of(birth.key) == () and store.birth(piece.epoch) is None:
                self._strangers[at] += len(piece.kinds)
            else:
                pieces.append(piece.piece(birth))
        taken = store.take(pieces, clock_ms=clock_ms)
        for brought, outcome in zip(pieces, taken.outcomes, strict=True):
            self._changed |= outcome == "bad" or (outcome == "mismatch" and _is_changed(brought, store))
        return taken

    def outcome(self, takens: Sequence[Taken]) -> TakenArchive:
        """Of what `work` returned, once it is committed."""
        found = TakenArchive(bad=_CHANGED if self._changed else "")
        for message, taken, strangers in zip(self._messages, takens, self._strangers, strict=True):
            found.shown += len(taken.shown)
            if not isinstance(message, Pieces):
                if "bad" in taken.outcomes:
                    found.bad = _BAD_FACT if isinstance(message, Facts) else _BAD_PROOF
                continue
            found.entries += sum([len(piece.kinds) for piece in message.pieces])
            found.new += sum([change.length for change in taken.changes if not change.is_fill])
            if strangers:
                found.left["stranger"] = found.left.get("stranger", 0) + strangers
            elif len(taken.outcomes) == len(message.pieces):
                for piece, outcome in zip(message.pieces, taken.outcomes, strict=True):
                    if outcome not in ("taken", "known"):
                        found.left[outcome] = found.left.get(outcome, 0) + len(piece.kinds)
        return found


def _is_changed(piece: Piece, store: RunStore) -> bool:
    """Whether the entries of a piece, a whole run after what is here, give another head than the one that is signed."""
    before = store.head(piece.epoch, piece.first - 1)
    if before is None or piece.start != piece.first:
        return False
    run = RunHash(piece.epoch, piece.first, before)
    run.add(piece.kinds, piece.leaves)
    return run.head != piece.head
