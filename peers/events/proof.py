"""Proofs that an epoch forked: two signed blocks of it that exclude each other; and ways, which say what is in a cut."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256
from itertools import accumulate
from struct import Struct
from typing import Annotated, NamedTuple

import msgspec
from msgspec import Meta

from peers.events.dot import MAX_FOREIGN_SEQ, Epoch
from peers.events.epoch import BIRTH_BYTES, END_BYTES, MAX_BIRTH_BYTES, NO_HEAD, Birth, EpochName
from peers.events.leaf import HASH_BYTES
from peers.events.run import KINDS, RUN_ENTRIES, RunHash, head_of
from peers.events.signature import SIGNATURE_BYTES, is_signed

_LABEL = b"peermesh proof\0"
_Hash = Annotated[bytes, Meta(min_length=HASH_BYTES, max_length=HASH_BYTES)]
_STEP = Struct(f">H{HASH_BYTES}s")
_LENGTH = Struct(f">H{HASH_BYTES}x")
STEP_BYTES = _STEP.size
MAX_WAY_RUNS = 8_000
"""Runs of one way that is sent: 272 KB."""


class Block(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """The begin of a run up to a signed head: all of it, or what the signer had written of it then."""

    first: Annotated[int, Meta(ge=1, le=MAX_FOREIGN_SEQ)]
    before: _Hash
    """The head before it."""
    kinds: Annotated[bytes, Meta(min_length=1, max_length=RUN_ENTRIES)]
    """One byte for each entry."""
    leaves: Annotated[tuple[_Hash, ...], Meta(min_length=1, max_length=RUN_ENTRIES)]
    signature: Annotated[bytes, Meta(min_length=SIGNATURE_BYTES, max_length=SIGNATURE_BYTES)]

    @property
    def last(self) -> int:
        return self.first + len(self.leaves) - 1

    def head(self, epoch: Epoch, count: int | None = None) -> bytes:
        """The head at its end, or after its first `count` entries. Raises ValueError for kinds that are none."""
        if len(self.kinds) != len(self.leaves) or max(self.kinds) >= KINDS:
            raise ValueError("a block has one kind for each leaf")
        run = RunHash(epoch, self.first, self.before)
        run.add(self.kinds[:count], self.leaves[:count])
        return run.head

    def is_genuine(self, birth: Birth) -> bool:
        """Whether the key of `birth` signed its head."""
        epoch = birth.epoch
        try:
            head = self.head(epoch)
        except ValueError:
            return False
        return is_signed(birth.key, epoch, self.last, head, self.signature)


class Cut(NamedTuple):
    """Up to where a forked epoch counts."""

    seq: int
    """Of the last entry at which both blocks have the same head, 0 if it is not known that there is one."""
    head: bytes
    """The head there."""


class Proof(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Two blocks of one epoch, signed by its key, that cannot both belong to one history; the smaller bytes first."""

    birth_data: Annotated[bytes, Meta(min_length=BIRTH_BYTES, max_length=MAX_BIRTH_BYTES)]
    one: Block
    other: Block

    @classmethod
    def of(cls, birth: Birth, one: Block, other: Block) -> Proof:
        """The proof from two blocks, in any order."""
        one, other = sorted((one, other), key=msgspec.msgpack.encode)
        return cls(birth.encode(), one, other)

    def encode(self) -> bytes:
        """The proof as MessagePack: at most 33 KB."""
        return msgspec.msgpack.encode(self)

    @classmethod
    def decode(cls, data: bytes) -> Proof:
        """What `encode` made. Raises ValueError for anything else; whether it proves something says `check`."""
        proof = msgspec.msgpack.decode(data, type=cls)
        if proof != cls.of(proof.birth, proof.one, proof.other) or proof.encode() != data:
            raise ValueError("the blocks of a proof are in the wrong order")
        return proof

    @property
    def birth(self) -> Birth:
        return Birth.decode(self.birth_data)

    @property
    def mark(self) -> bytes:
        """END_BYTES that stand for this proof in a vector."""
        return sha256(_LABEL + self.encode()).digest()[:END_BYTES]

    def check(self) -> Cut:
        """The cut that it proves. Raises ValueError, with a sentence, if it proves none."""
        birth = self.birth
        if not (self.one.is_genuine(birth) and self.other.is_genuine(birth)):
            raise ValueError(f"the proof against epoch {birth.epoch} is not signed by its key")
        cut = parting(birth.epoch, self.one, self.other)
        if cut is None:
            raise ValueError(f"the two blocks of the proof against epoch {birth.epoch} belong to one history")
        return cut


class Way(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """The runs of one history of an epoch, from one of them to an entry whose head is known: it proves itself by that head.

    So who knows that head alone learns the head at the end of each of these runs, from anybody.
    """

    epoch: EpochName
    first: Annotated[int, Meta(ge=1, le=MAX_FOREIGN_SEQ)]
    """Of the first run."""
    before: _Hash
    """The head before it."""
    steps: Annotated[bytes, Meta(min_length=STEP_BYTES, max_length=MAX_WAY_RUNS * STEP_BYTES)]
    """Of each run how many entries it has, and the hash over these: see `head_of`."""

    @classmethod
    def of(cls, epoch: Epoch, first: int, before: bytes, runs: Iterable[tuple[int, bytes]]) -> Way:
        """`runs` has for each run its length and its inner hash."""
        return cls(epoch, first, before, b"".join([_STEP.pack(*run) for run in runs]))

    def ends(self) -> frozenset[int]:
        """The seqs at which the runs end: that takes a small part of the time of `heads`."""
        lengths = [length for (length,) in _LENGTH.iter_unpack(self.steps)]
        return frozenset(accumulate([self.first - 1 + lengths[0], *lengths[1:]]))

    def heads(self) -> dict[int, bytes]:
        """The heads at the ends of the runs, by their seqs, in order. Empty for a way that is none."""
        if len(self.steps) % _STEP.size:
            return {}
        heads: dict[int, bytes] = {}
        first, head = self.first, self.before
        for length, inner in _STEP.iter_unpack(self.steps):
            if not 0 < length <= RUN_ENTRIES:
                return {}
            head = head_of(self.epoch, first, head, inner)
            first += length
            heads[first - 1] = head
        return heads


def packed_step(run: RunHash) -> bytes:
    """A whole run, as a way has it."""
    return _STEP.pack(run.last - run.first + 1, run.inner)


def parting(epoch: Epoch, one: Block, other: Block) -> Cut | None:
    """The cut of two blocks of one epoch that exclude each other, None if they do not.

    Both have to give different heads at one seq, or one of them has to begin inside the other with another head before it.
    A cut at 0 says that they differ before they begin.
    """
    if one.first > other.first:
        one, other = other, one
    if one.first == other.first:
        if one.before != other.before:
            return Cut(0, NO_HEAD)
        pairs = zip(zip(one.kinds, one.leaves, strict=True), zip(other.kinds, other.leaves, strict=True), strict=False)
        for same, (mine, theirs) in enumerate(pairs):
            if mine != theirs:
                return Cut(one.first - 1 + same, one.head(epoch, same) if same else one.before)
        return None
    count = other.first - one.first
    if count > len(one.leaves):
        return None
    if count == len(one.leaves):
        return None if other.before == one.head(epoch) else Cut(0, NO_HEAD)
    begins_inside = one.head(epoch, count) == other.before
    return Cut(other.first - 1, other.before) if begins_inside else Cut(0, NO_HEAD)
