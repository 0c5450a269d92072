"""What goes into an archive of a store, and what another store takes of one: as over a link, and with no more trust."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import msgspec

from peers.codec.encoded import EncodedPieces
from peers.codec.run_messages import Facts, Fill, Pieces, Prove, ShowWay, fact_groups, fill_groups, piece_groups
from peers.codec.runs import RunProtocol
from peers.errors import SyncError
from peers.events.columns import events_of
from peers.events.dot import Epoch
from peers.events.entry import Entry
from peers.events.epoch import Birth
from peers.events.leaf import leaves_of
from peers.events.piece import Piece
from peers.events.proof import Block, Proof
from peers.protocol.runs.fact_exchange import learn_facts
from peers.protocol.runs.fork_search import needed_way
from peers.stores.run_store import RunStore
from peers.stores.taken import Taken

WALK_PIECES = 64
"""Pieces that are read at a time."""
_WALK_CHANGES = 500
MAX_HEIRS = 400
"""Births of epochs beside those of the pieces of a record."""
_BAD_FACT = "a fact of the mesh in it is not what was signed"
_BAD_PROOF = "the proof of a fork in it does not hold"
_CHANGED = "an entry in it is not what its writer signed"
Archived = Facts | Prove | Pieces | Fill | ShowWay


class _WayRecord(Facts, frozen=True, tag="facts"):
    """A way to an epoch of a key that has left, before its entries. Earlier releases read a list of no facts, and take what is
    in an archive when it comes twice.
    """

    way: ShowWay | None = None


_decode_way = msgspec.json.Decoder(_WayRecord).decode


def frames_of(store: RunStore) -> Iterator[tuple[bytes, int]]:
    """The frames of all that a store could send to a node that has nothing, each with the number of its entries.

    First the facts, then the proofs of forks, then the entries in the order in which they came here, as far as they count.
    Raises StoreError, also for an entry that is not what was signed.
    """
    encode = RunProtocol().encode
    for facts in fact_groups(store.facts()):
        yield encode(Facts(facts)), 0
    for epoch, end in store.ends().items():
        proof = store.proof(epoch) if end.mark else None
        if proof is not None:
            yield encode(Prove(proof.encode())), 0
    encoded = EncodedPieces()
    group: list[Piece] = []
    told: set[Epoch] = set()
    heirs: list[Birth] = []
    for piece in _pieces_of(store):
        group.append(piece)
        if len(group) == WALK_PIECES:
            yield from _frames(group, encoded, told, heirs, store)
            group.clear()
    yield from _frames(group, encoded, told, heirs, store)


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


def _frames(
    pieces: Sequence[Piece], encoded: EncodedPieces, told: set[Epoch], heirs: list[Birth], store: RunStore
) -> Iterator[tuple[bytes, int]]:
    """Of these pieces; what one has no room for comes after it. Before them come ways, with births but for those that were
    `told`; `heirs` are those that earlier releases have not got yet.
    """
    encode = RunProtocol().encode
    raws = [encoded.of(piece) for piece in pieces]
    births = {piece.epoch: piece.birth for piece in pieces}
    for group in piece_groups(raws):
        for raw in group:
            shown = needed_way(raw.epoch, 0, told, store) if raw.start == 1 else None
            if shown is not None:
                told.update([birth.epoch for birth in shown.births])
                heirs += shown.births
                yield from [(encode(_WayRecord((), way=message)), 0) for message in shown.messages()]
        named = {birth.epoch: birth for birth in heirs[:MAX_HEIRS]} | {raw.epoch: births[raw.epoch] for raw in group}
        del heirs[:MAX_HEIRS]
        yield encode(Pieces(0, tuple(named.values()), group)), sum([len(raw.kinds) for raw in group])
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

    def leave(self, why: str, entries: int) -> None:
        """So many were not taken."""
        if entries:
            self.left[why] = self.left.get(why, 0) + entries


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
                if isinstance(message, Facts):
                    message = _decode_way(frame).way or message
                if isinstance(message, ShowWay):
                    _births_of(message)  # raises what says that it cannot be read
            except (SyncError, ValueError) as error:
                raise ValueError(f"a record cannot be read ({error}): take another copy of the archive") from None
            if not isinstance(message, Archived):
                raise ValueError("a record does not belong into an archive: take another copy of it")
            self._messages.append(message)
        self._offered: list[list[Piece]] = []
        """Of each frame, the pieces that the store was given."""
        self._taken: list[Taken] = []
        """What each of them did."""
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
        """Take them in order, in a transaction of the caller; may be called again."""
        self._changed, self._taken, self._offered = False, [], []
        takens: list[Taken] = []
        for message in self._messages:
            self._offered.append([])
            takens += self._met(message, store)
            self._taken.append(self._take(message, store, clock_ms))
            takens += [self._taken[-1], *self._proven(store)]
            while takens[-1].over:
                takens += [store.take_over(epoch) for epoch in takens[-1].over]
        return takens

    def _met(self, message: Archived, store: RunStore) -> Iterator[Taken]:
        if isinstance(message, Pieces | ShowWay) and store.roster() is not None:
            yield store.meet(message.births if isinstance(message, Pieces) else _births_of(message))

    def _take(self, message: Archived, store: RunStore, clock_ms: int) -> Taken:
        if isinstance(message, Facts):
            return learn_facts(message, [], store)
        if isinstance(message, Fill):
            return store.fill(message.events)
        if isinstance(message, ShowWay):
            return store.follow(message.way)
        if isinstance(message, Prove):
            try:
                return store.prove(Proof.decode(message.proof))
            except ValueError:
                return Taken(outcomes=("bad",))
        roster = store.roster()
        births = {birth.epoch: birth for birth in message.births}
        for piece in message.pieces:
            birth = births.get(piece.epoch)
            if birth is None:
                raise ValueError("a record has entries of an epoch without its birth: take another copy of the archive")
            is_stranger = roster is not None and roster.cut_of(birth.key) == () and store.birth(piece.epoch) is None
            self._offered[-1] += [] if is_stranger else [piece.piece(birth)]
        return store.take(self._offered[-1], clock_ms=clock_ms)

    def _proven(self, store: RunStore) -> Iterator[Taken]:
        """A piece with a good signature and another head than ours was changed, or its epoch has two histories: prove that."""
        for piece, outcome in zip(self._offered[-1], self._taken[-1].outcomes, strict=False):
            before = store.head(piece.epoch, piece.first - 1)
            if outcome == "bad":
                self._changed = True
            elif outcome == "mismatch" and before is not None and piece.start == piece.first:
                block = Block(piece.first, before, piece.kinds, tuple(leaves_of(piece.items)), piece.signature)
                if block.is_genuine(piece.birth):
                    yield store.compare(piece.birth, [block])
                else:
                    self._changed = True

    def outcome(self) -> TakenArchive:
        """Of what `work` did, once it is committed."""
        found = TakenArchive(bad=_CHANGED if self._changed else "")
        for message, taken, offered in zip(self._messages, self._taken, self._offered, strict=True):
            found.shown += len(taken.shown)
            if not isinstance(message, Pieces):
                if "bad" in taken.outcomes:
                    found.bad = _BAD_FACT if isinstance(message, Facts) else _BAD_PROOF
                continue
            entries = sum([len(piece.kinds) for piece in message.pieces])
            found.entries += entries
            found.new += sum([change.length for change in taken.changes if not change.is_fill])
            found.leave("stranger", entries - sum([len(piece.kinds) for piece in offered]))
            for piece, outcome in zip(offered, taken.outcomes, strict=True):
                if outcome not in ("taken", "known"):
                    found.leave(outcome, len(piece.kinds))
        return found


def _births_of(message: ShowWay) -> list[Birth]:
    """Raises ValueError for what is none."""
    return list(map(Birth.decode, message.births))
