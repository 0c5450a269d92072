"""A villain: whatever a node may send that knows its own key only."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import Any

from msgspec.structs import replace

from peers.codec.messages import Synced
from peers.codec.pieces import RawPiece
from peers.codec.run_messages import Fill, Greeting, Pieces, Prove, RunHave, ShowBlocks, WantedEvents
from peers.events.ends import Fingerprint
from peers.events.entry import Entry
from peers.events.epoch import END_BYTES, EpochEnd
from peers.events.leaf import HASH_BYTES, leaf_of
from peers.events.proof import Proof
from peers.events.signature import SIGNATURE_BYTES

Twist = Callable[[Any, Any], Sequence[Any]]


def honest(session: Any, message: Any) -> Sequence[Any]:
    """A villain that has given up."""
    return [message]


def villain(rnd: Random) -> Twist:
    """Each message may be withheld, altered, repeated or made up."""
    old: list[Pieces] = []

    def altered(piece: RawPiece) -> RawPiece | None:
        x = rnd.random()
        leaves = tuple(
            leaf_of(item.created, item.time, item.extra, item.body) if isinstance(item, Entry) else item
            for item in piece.items
        )
        if x < 0.15:
            return replace(piece, items=leaves)
        if x < 0.18:
            return replace(piece, items=(rnd.randbytes(HASH_BYTES), *piece.items[1:]))
        if x < 0.20:
            return replace(piece, signature=rnd.randbytes(SIGNATURE_BYTES))
        if x < 0.24:
            return replace(piece, signature=b"")
        if x < 0.25:
            return replace(piece, kinds=bytes([1 - min(piece.kinds[0], 1)]) + piece.kinds[1:])
        if x < 0.26:
            return replace(piece, first=max(1, piece.first - 1))
        return None if x < 0.28 else piece

    def end(said: EpochEnd) -> EpochEnd:
        head = said.head if rnd.random() < 0.5 else rnd.randbytes(END_BYTES)
        return EpochEnd(max(0, said.seq + rnd.randint(-2, 4)), head, said.mark)

    def pieces(session: Any, message: Pieces) -> Sequence[Any]:
        old.append(message)
        del old[:-20]
        if rnd.random() < 0.1:
            return [replace(rnd.choice(old), number=message.number)]
        made = [each for piece in message.pieces if (each := altered(piece)) is not None]
        return [replace(message, pieces=tuple(made))]

    def greeting(session: Any, message: Greeting) -> Sequence[Any]:
        if rnd.random() < 0.5:
            return [message]
        ends = {epoch: end(said) for epoch, said in message.newest.items()}
        yours = {epoch: replace(said, end=end(said.end)) for epoch, said in message.yours.items()}
        rest = Fingerprint(3, rnd.randbytes(HASH_BYTES)) if rnd.random() < 0.3 else message.rest
        ours = session.home.store.ends()
        dots = [(epoch, seq) for epoch, said in ours.items() for seq in range(1, min(3, said.seq) + 1)]
        return [replace(message, newest=ends, yours=yours, rest=rest, hollow=WantedEvents.of(dots))]

    def proof(session: Any, message: Prove) -> Sequence[Any]:
        """Two good heads of one history, called a fork; or bytes."""
        if rnd.random() < 0.5:
            return [message]
        said = Proof.decode(message.proof)
        return [Prove(rnd.choice([rnd.randbytes(9), Proof.of(said.birth, said.one, said.one).encode()]))]

    def fill(session: Any, message: Fill) -> Sequence[Any]:
        if rnd.random() < 0.5:
            return [message]
        other = Entry((1, "x~0", 0), 1, b'{"type":"x"}')
        return [replace(message, events=tuple((dot, other) for dot, _ in message.events))]

    def twist(session: Any, message: Any) -> Sequence[Any]:
        if isinstance(message, Pieces):
            return pieces(session, message)
        if isinstance(message, Greeting):
            return greeting(session, message)
        if isinstance(message, RunHave) and rnd.random() < 0.3:
            return [RunHave({epoch: end(said) for epoch, said in message.ends.items()})]
        if isinstance(message, ShowBlocks) and rnd.random() < 0.5:
            return []
        if isinstance(message, Synced) and rnd.random() < 0.1:
            return []
        if isinstance(message, Prove):
            return proof(session, message)
        if isinstance(message, Fill):
            return fill(session, message)
        return [message]

    return twist
