"""Pieces on the wire: columns with absolute numbers, so that the same bytes go to every session and are relayed."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from peers.events.entry import Entry
from peers.events.epoch import NAME_BYTES, Birth
from peers.events.leaf import HASH_BYTES
from peers.events.piece import Piece
from peers.events.signature import SIGNATURE_BYTES
from peers.events.version_vector import Epoch

EpochName = Annotated[str, Meta(pattern=rf"^[0-9a-f]{{{2 * NAME_BYTES}}}\Z")]
Hash = Annotated[bytes, Meta(min_length=HASH_BYTES, max_length=HASH_BYTES)]
Signature = Annotated[bytes, Meta(max_length=SIGNATURE_BYTES)]


class RawPiece(Struct, frozen=True):
    """A piece and its bytes on the wire, which do not hold the birth of its epoch. The fields are those of Piece."""

    raw: bytes
    """What `encode_piece` made: it can be sent as it is to any session."""
    epoch: Epoch
    first: int
    start: int
    kinds: bytes
    items: tuple[Entry | bytes, ...]
    """Events without dots."""
    head: bytes
    signature: bytes
    refused: frozenset[int] = frozenset()

    @property
    def last(self) -> int:
        """Seq of the last entry."""
        return self.start + len(self.items) - 1

    def piece(self, birth: Birth) -> Piece:
        """The piece, with the birth of its epoch."""
        return Piece(
            self.epoch,
            birth,
            self.first,
            self.start,
            self.kinds,
            self.items,
            self.head,
            self.signature,
            self.refused,
        )
