"""Piece: entries of one run that travel together, up to a signed head."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct, structs

from peers.events.columns import Items, joined
from peers.events.dot import Epoch
from peers.events.epoch import Birth
from peers.events.leaf import leaves_of


class Piece(Struct, frozen=True):
    """Entries of one run, from any of them to one whose head is signed, or to the cut of a fork.

    It promises nothing but these shapes: a store finds out what can be taken of it.
    """

    epoch: Epoch
    """The name of `birth`."""
    birth: Birth
    first: int
    """Seq of the first entry of the run."""
    start: int
    """Seq of the first entry of the piece."""
    kinds: bytes
    """One byte for each entry, see `run`."""
    items: Items
    """For each entry its event, or its leaf alone where the sender has no event to give: it cleaned it, or never had it."""
    head: bytes
    """The head at the last entry."""
    signature: bytes
    """Over that head; empty where the epoch forked and the piece ends at the cut."""
    refused: frozenset[int] = frozenset()
    """Seqs of entries that came with bytes that cannot be an event here; their items are leaves."""

    @property
    def last(self) -> int:
        """Seq of the last entry."""
        return self.start + len(self.kinds) - 1

    @property
    def leaves(self) -> list[bytes]:
        """The leaf of each entry; those of events are computed at each access."""
        return leaves_of(self.items)


def joined_pieces(pieces: Sequence[Piece]) -> Piece:
    """Pieces of one run that follow each other as one, which ends at the head of the last one."""
    if len(pieces) == 1:
        return pieces[0]
    return structs.replace(
        pieces[-1],
        start=pieces[0].start,
        kinds=b"".join([piece.kinds for piece in pieces]),
        items=joined([piece.items for piece in pieces]),
        refused=frozenset().union(*[piece.refused for piece in pieces]),
    )
