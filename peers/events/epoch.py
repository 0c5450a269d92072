"""Epochs: what one node writes between two openings of its store; their births, their names, and how far they are known."""

from __future__ import annotations

from base64 import b32encode
from functools import lru_cache
from hashlib import sha256
from struct import Struct
from typing import Annotated, NamedTuple

from msgspec import Meta

from peers.events.created import NODE_ID_LIMIT, NODE_MARK
from peers.events.dot import MAX_FOREIGN_SEQ, Epoch
from peers.events.leaf import HASH_BYTES

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
_PARTED_LABEL = b"peermesh parted\0"
_BIRTH = Struct(f">{KEY_BYTES}s{NONCE_BYTES}s{NAME_BYTES}sQ{HASH_BYTES}s")
_SEQ = Struct(">Q")
_KEPT_MARKS = 256
"""Of keys that were asked for last: they are asked for at each message with events."""
BIRTH_BYTES = _BIRTH.size
"""Of a birth without a node id."""
MAX_BIRTH_BYTES = BIRTH_BYTES + 4 * NODE_ID_LIMIT
MARK_CHARACTERS = 16
"""Of a key's hash in a node id: 80 bits."""
MIN_MARK_CHARACTERS = 8
"""In the ids of homes that releases before made."""
NO_KEYS: frozenset[bytes] = frozenset()
"""As NO_EPOCHS."""
NO_KEY = bytes(KEY_BYTES)
"""Of epochs of releases without signatures."""


class Parent(NamedTuple):
    """The own epoch before a birth, as the store held it then."""

    epoch: Epoch = NO_EPOCH
    seq: int = 0
    head: bytes = NO_HEAD


class Birth(NamedTuple):
    """What an epoch begins with. Its name is made of it, so no node can use another's, and a copied disk makes a branch."""

    key: bytes
    """The public key that signs the epoch, in KEY_BYTES."""
    nonce: bytes
    """NONCE_BYTES at random."""
    parent: Parent = Parent()
    node_id: str = ""
    """Of the node, as it says."""

    def encode(self) -> bytes:
        """At most MAX_BIRTH_BYTES: key, nonce, of the parent the name, seq in 8 bytes and head; then the node id as UTF-8."""
        parent = self.parent
        fixed = _BIRTH.pack(self.key, self.nonce, bytes.fromhex(parent.epoch), parent.seq, parent.head)
        return fixed + self.node_id.encode()

    @classmethod
    def decode(cls, data: bytes) -> Birth:
        """What `encode` made. Raises ValueError for anything else."""
        if not BIRTH_BYTES <= len(data) <= MAX_BIRTH_BYTES:
            raise ValueError(f"the birth of an epoch has {BIRTH_BYTES} to {MAX_BIRTH_BYTES} bytes, not {len(data)}")
        key, nonce, epoch, seq, head = _BIRTH.unpack(data[:BIRTH_BYTES])
        node_id = data[BIRTH_BYTES:].decode()
        if len(node_id) > NODE_ID_LIMIT or not node_id.isprintable():
            raise ValueError(f"the node id of an epoch has at most {NODE_ID_LIMIT} printable characters")
        return cls(key, nonce, Parent(epoch.hex(), seq, head), node_id)

    @property
    def origin(self) -> str | None:
        """The node whose key signs the epoch; None without a key.

        It is the id that the birth names, unless that has the hash of another key: then `~` and the hash of this one.
        """
        return None if self.key == NO_KEY else name_of(self.node_id, self.key)

    @property
    def epoch(self) -> Epoch:
        """The name: the first NAME_BYTES of SHA-256 over a label and the encoded birth, in hexadecimal digits."""
        return sha256(_LABEL + self.encode()).digest()[:NAME_BYTES].hex()


def name_of(node_id: str, key: bytes) -> str:
    """`node_id`, unless it is empty or has the hash of another key: then `~` and the hash of this one."""
    is_own = NODE_MARK not in node_id or is_id_of_key(node_id, key)
    return node_id if node_id and is_own else f"{NODE_MARK}{key_mark(key)}"


@lru_cache(maxsize=_KEPT_MARKS)
def key_mark(key: bytes, characters: int = MARK_CHARACTERS) -> str:
    """What stands for a public key in a node id: the first characters of its SHA-256 in lower-case base32."""
    return b32encode(sha256(key).digest()).decode().lower()[:characters]


def is_id_of_key(node_id: str, key: bytes) -> bool:
    """Whether a node id, `NAME~HASH`, has the hash of this public key."""
    mark = node_id.rpartition(NODE_MARK)[2] if NODE_MARK in node_id else ""
    return len(mark) >= MIN_MARK_CHARACTERS and key_mark(key).startswith(mark)


def legacy_mark(epoch: Epoch) -> bytes:
    """What stands for the proof of a fork of an epoch with NO_KEY, where none can be made: END_BYTES."""
    return sha256(_PARTED_LABEL + bytes.fromhex(epoch)).digest()[:END_BYTES]


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
