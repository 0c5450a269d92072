"""Epochs: what one node writes between two openings of its store; their births, their names, and how far they are known."""

from __future__ import annotations

from hashlib import sha256
from struct import Struct
from typing import Annotated, NamedTuple

from msgspec import Meta

from peers.events.leaf import HASH_BYTES
from peers.events.version_vector import MAX_FOREIGN_SEQ, Epoch

KEY_BYTES = 32
"""Of an Ed25519 public key."""
NONCE_BYTES = 16
NAME_BYTES = 16
"""Of the name of an epoch, which is written as twice as many hexadecimal digits."""
END_BYTES = 16
"""Of a head in a vector."""
EpochName = Annotated[Epoch, Meta(pattern=rf"^[0-9a-f]{{{2 * NAME_BYTES}}}\Z")]
"""A name as it may come from others."""
NO_HEAD = bytes(HASH_BYTES)
"""The head before the first entry of an epoch."""
NO_EPOCH: Epoch = "0" * (2 * NAME_BYTES)
"""The parent of a node's first epoch."""

_LABEL = b"peermesh epoch\0"
_ITEM_LABEL = b"peermesh item\0"
_BIRTH = Struct(f">{KEY_BYTES}s{NONCE_BYTES}s{NAME_BYTES}sQ{HASH_BYTES}s")
_SEQ = Struct(">Q")
BIRTH_BYTES = _BIRTH.size


class Parent(NamedTuple):
    """The own epoch before a birth, as the store held it then."""

    epoch: Epoch = NO_EPOCH
    seq: int = 0
    head: bytes = NO_HEAD


class Birth(NamedTuple):
    """What an epoch begins with. Its name is made of it, so nobody can use another's, and a copied disk makes a branch."""

    key: bytes
    """The public key that signs the epoch, in KEY_BYTES."""
    nonce: bytes
    """NONCE_BYTES at random."""
    parent: Parent = Parent()

    def encode(self) -> bytes:
        """BIRTH_BYTES bytes: key, nonce, and of the parent the name, seq in 8 bytes, and head."""
        parent = self.parent
        return _BIRTH.pack(self.key, self.nonce, bytes.fromhex(parent.epoch), parent.seq, parent.head)

    @classmethod
    def decode(cls, data: bytes) -> Birth:
        """What `encode` made. Raises ValueError for another number of bytes."""
        if len(data) != BIRTH_BYTES:
            raise ValueError(f"the birth of an epoch has {BIRTH_BYTES} bytes, not {len(data)}")
        key, nonce, epoch, seq, head = _BIRTH.unpack(data)
        return cls(key, nonce, Parent(epoch.hex(), seq, head))

    @property
    def epoch(self) -> Epoch:
        """The name: the first NAME_BYTES of SHA-256 over a label and the encoded birth, in hexadecimal digits."""
        return sha256(_LABEL + self.encode()).digest()[:NAME_BYTES].hex()


class EpochEnd(NamedTuple):
    """How far a store has taken an epoch, as a vector says it. Of a forked epoch it is the same in all stores."""

    seq: Annotated[int, Meta(ge=0, le=MAX_FOREIGN_SEQ)] = 0
    """Of the last entry that counts: at most the cut of a fork."""
    head: Annotated[bytes, Meta(min_length=END_BYTES, max_length=END_BYTES)] = NO_HEAD[:END_BYTES]
    """The first END_BYTES of the head there."""
    mark: Annotated[bytes, Meta(max_length=END_BYTES)] = b""
    """That of the proof of a fork, empty without one."""


NOTHING = EpochEnd()


def item_digest(epoch: Epoch, end: EpochEnd) -> bytes:
    """SHA-256 of one item of a vector: name, seq in 8 bytes, head, mark."""
    return sha256(b"".join((_ITEM_LABEL, bytes.fromhex(epoch), _SEQ.pack(end.seq), end.head, end.mark))).digest()
