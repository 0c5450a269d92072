"""Facts: the kinds of signed texts that say whose keys count in a mesh, and their bytes.

On disk and on the wire a fact is a list in MessagePack: its kind, the fields of `Fact` in their order, then those of the kind.
Signed is a label with the kind, then the same list with an empty signature. A fact that has other bytes than `encode` makes is
none, so each fact has one id.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from hashlib import sha256
from itertools import pairwise
from typing import Annotated, NamedTuple, Self, TypeVar

import msgspec
from msgspec import Meta

from peers.events.dot import MAX_FOREIGN_SEQ
from peers.events.epoch import KEY_BYTES, MARK_CHARACTERS, MIN_MARK_CHARACTERS, NO_KEY, EpochName, key_mark
from peers.events.leaf import HASH_BYTES
from peers.events.signature import SIGNATURE_BYTES, Signer, is_text_signed

MAX_FACT_BYTES = 1024
FACT_ID_BYTES = 16
MAX_TIPS = 8
"""Epochs of one cut."""
MAX_STANDING = 40
"""Facts that one revocation lets stand."""
MAX_FACT_MS = 253_402_300_799_000
"""The last second of the year 9999, where calendars end."""
MAX_SOURCE = 64
"""Characters of an address."""

FactId = bytes
"""The first FACT_ID_BYTES of SHA-256 over a label and the bytes of a fact."""

_ID_LABEL = b"peermesh fact\0"
_NAME = r"[A-Za-z0-9_.-]{1,64}"
PublicKey = Annotated[bytes, Meta(min_length=KEY_BYTES, max_length=KEY_BYTES)]
WireFactId = Annotated[bytes, Meta(min_length=FACT_ID_BYTES, max_length=FACT_ID_BYTES)]


class Tip(NamedTuple):
    """How far an epoch of a key counts that was revoked, or has left."""

    epoch: EpochName
    seq: Annotated[int, Meta(ge=1, le=MAX_FOREIGN_SEQ)]
    head: Annotated[bytes, Meta(min_length=HASH_BYTES, max_length=HASH_BYTES)]


Tips = Annotated[tuple[Tip, ...], Meta(max_length=MAX_TIPS)]


class Fact(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag_field="kind", dict=True):
    """What all kinds have."""

    mesh: PublicKey
    """The public key of the mesh that it is about."""
    signer: PublicKey
    """The public key that signed it."""
    time_ms: Annotated[int, Meta(ge=0, le=MAX_FACT_MS)]
    """When, by the clock of the signer: for people. Nothing is decided by it."""
    signature: Annotated[bytes, Meta(max_length=SIGNATURE_BYTES)]

    @property
    def kind(self) -> str:
        """The name of its kind."""
        return str(type(self).__struct_config__.tag)

    @cached_property
    def data(self) -> bytes:
        """Its bytes."""
        return msgspec.msgpack.encode(self)

    @cached_property
    def id(self) -> FactId:
        """What stands for it in a set."""
        return fact_id_of(self.data)

    @property
    def text(self) -> bytes:
        """What is signed."""
        return b"".join((b"peermesh ", self.kind.encode(), b"\0", msgspec.structs.replace(self, signature=b"").data))

    def signed(self, signer: Signer) -> Self:
        """The same fact with the signature of `signer`. Raises ValueError, with a sentence, if it is none then."""
        fact = msgspec.structs.replace(self, signature=signer.sign_text(self.text))
        if len(fact.data) > MAX_FACT_BYTES:
            raise ValueError(f"a fact of {len(fact.data)} bytes: at most {MAX_FACT_BYTES} are taken")
        fact.check()
        return fact

    def check(self) -> None:
        """Raise ValueError, with a sentence, unless its signer has signed it, and may say such a thing at all.

        Whether that signer counts in the mesh depends on other facts.
        """
        why = self.why_never()
        if why:
            raise ValueError(f"a fact of the kind {self.kind} {why}")
        if not is_text_signed(self.signer, self.text, self.signature):
            raise ValueError(f"a fact of the kind {self.kind} is not signed by the key that it names")

    def why_never(self) -> str:
        """What is wrong with what it says, for any members of the mesh; empty if nothing is."""
        return ""


class Found(Fact, frozen=True, tag="found"):
    """There is a mesh with this key. Signed by the mesh's key."""

    name: Annotated[str, Meta(pattern=rf"^{_NAME}\Z")]
    """A label for people."""

    def why_never(self) -> str:
        return "" if self.signer == self.mesh else "is not of the mesh's own key"


class Certificate(Fact, frozen=True, tag="certificate"):
    """A key is in the mesh: an admin, by the mesh's key, or a node, by an admin."""

    key: PublicKey
    node_id: Annotated[str, Meta(pattern=rf"^{_NAME}~[a-z2-7]{{{MIN_MARK_CHARACTERS},{MARK_CHARACTERS}}}\Z")]
    is_admin: bool
    source: Annotated[str, Meta(pattern=rf"^[A-Za-z0-9.:%\[\]_-]{{0,{MAX_SOURCE}}}\Z")]
    """The address that it joined from; empty without one."""

    def why_never(self) -> str:
        if self.is_admin != (self.signer == self.mesh):
            return (
                "makes an admin, which only the mesh's key does" if self.is_admin else "makes a node by the mesh's key"
            )
        if self.key in (self.mesh, NO_KEY):
            return "is about a key that no node has"
        is_own = key_mark(self.key).startswith(self.node_id.rpartition("~")[2])
        return "" if is_own else f"names the node {self.node_id}, which has another key"


class Revocation(Fact, frozen=True, tag="revoke"):
    """A key is not in the mesh any more: an admin's, by the mesh's key, or a node's, by an admin."""

    key: PublicKey
    cut: Tips
    """What counts of its epochs, in the order of their names; of the others nothing does."""
    standing: Annotated[tuple[WireFactId, ...], Meta(max_length=MAX_STANDING)]
    """Which facts of an admin stand all the same, in order. Several revocations of one admin add up."""

    def why_never(self) -> str:
        if self.key == self.mesh:
            return "is about the mesh's own key"
        if self.standing and self.signer != self.mesh:
            return "lets facts stand, which only the mesh's key does"
        is_sorted = _rises([tip.epoch for tip in self.cut]) and _rises(self.standing)
        return "" if is_sorted else "has lists that are not in order"


class Leave(Fact, frozen=True, tag="leave"):
    """The signer is not in the mesh any more, as it says itself."""

    cut: Tips
    """As in Revocation."""

    def why_never(self) -> str:
        if self.signer == self.mesh:
            return "is of the mesh's own key, which is no node"
        return "" if _rises([tip.epoch for tip in self.cut]) else "has a list that is not in order"


def fact_id_of(data: bytes) -> FactId:
    """The id of the fact with these bytes."""
    return sha256(_ID_LABEL + data).digest()[:FACT_ID_BYTES]


def decode_fact(data: bytes) -> Fact:
    """What `data` was made of; its signature is not looked at. Raises ValueError, with a sentence, for any other bytes."""
    if len(data) > MAX_FACT_BYTES:
        raise ValueError(f"a fact of {len(data)} bytes: at most {MAX_FACT_BYTES} are taken")
    try:
        fact: Fact = _decode(data)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"no fact that this release knows: {error}") from None
    if fact.data != data:
        raise ValueError(f"a fact of the kind {fact.kind} is written in another way than it should")
    return fact


def checked_fact(data: bytes) -> Fact:
    """The same, with its signature: what came from others. Raises ValueError, with a sentence."""
    fact = decode_fact(data)
    fact.check()
    return fact


_decode = msgspec.msgpack.Decoder(Found | Certificate | Revocation | Leave).decode
_Sorted = TypeVar("_Sorted", str, bytes)


def _rises(items: Sequence[_Sorted]) -> bool:
    return all(one < other for one, other in pairwise(items))
