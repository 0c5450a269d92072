"""Runs: blocks of an epoch, whose heads stand for all entries up to them; and what signs a head."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from struct import Struct
from typing import Any, NamedTuple
from zlib import crc32

from peers.events.columns import EventColumns, Items
from peers.events.dot import Epoch
from peers.events.epoch import NO_HEAD

RUN_ENTRIES = 500
RUN_BYTES = 256 * 1024
"""Entries of one run, and their events and metas in bytes; a run of one entry may have more."""

OWN = 0
"""An entry of an event that this node accepted first."""
FURTHER = 1
"""An entry of an event that the node had already, and that was offered there as well."""
ADOPTED_FORK = 2
"""An entry of another signer's event, whose epoch forked."""
ADOPTED_LEGACY = 3
"""An entry of an event of a release without signatures, that had no place in an epoch any more."""
ADOPTED_REVOKE = 4
"""An entry of an event of a key that is not in the mesh any more, after what counts of it."""
ADOPTED_CERTIFICATE = 5
"""An entry of an event of a key that has no certificate that holds."""
ADOPTED_FOUND = 6
"""The same, by the node that founded the mesh: so it takes in what its log had before, too."""
ADOPTED_OUTSIDE = 7
"""An entry of another node's event that came over a connection which is not one of nodes, by a role of the application."""
VOUCHED = {
    ADOPTED_FORK: "fork",
    ADOPTED_LEGACY: "legacy",
    ADOPTED_REVOKE: "revoke",
    ADOPTED_CERTIFICATE: "certificate",
    ADOPTED_FOUND: "found",
    ADOPTED_OUTSIDE: "outside",
}
"""Why an event of another signer was adopted, as its meta says it."""
KINDS = 8

_HEAD_LABEL = b"peermesh head\0"
_SIGNED_LABEL = b"peermesh signature\0"
_SEQ = Struct(">Q")
_KIND = [bytes([kind]) for kind in range(KINDS)]


def head_of(epoch: Epoch, first: int, before: bytes, inner: bytes) -> bytes:
    """The head at an entry: SHA-256 over a label, the epoch, the first seq of its run in 8 bytes, the head before it, `inner`.

    `inner` is the SHA-256 of one byte for the kind and the leaf of each entry of the run, up to that one.
    """
    return sha256(b"".join((_HEAD_LABEL, bytes.fromhex(epoch), _SEQ.pack(first), before, inner))).digest()


def signed_text(epoch: Epoch, seq: int, head: bytes) -> bytes:
    """What is signed of an epoch's head at `seq`."""
    return b"".join((_SIGNED_LABEL, bytes.fromhex(epoch), _SEQ.pack(seq), head))


class RunHash:
    """The head of a run that grows."""

    __slots__ = ("_head", "_inner", "before", "epoch", "first", "last", "size")

    def __init__(self, epoch: Epoch, first: int, before: bytes = NO_HEAD) -> None:
        """A run of `epoch` without entries yet, that begins at the seq `first`, where the head was `before`."""
        self.epoch = epoch
        self.first = first
        self.before = before
        self.last = first - 1
        """Seq of the last entry; `first - 1` without one."""
        self.size = 0
        """Bytes of its events and metas, as far as they were added here."""
        self._inner: Any = sha256()
        self._head: bytes | None = before
        """None while it is not known."""

    def add(self, kinds: Sequence[int], leaves: Sequence[bytes], size: int = 0) -> None:
        """Add entries, which have `size` bytes."""
        if len(kinds) != len(leaves):
            raise ValueError(f"{len(kinds)} kinds of {len(leaves)} entries")
        if any(kinds):
            self._inner.update(b"".join([_KIND[kind] + leaf for kind, leaf in zip(kinds, leaves, strict=True)]))
        else:  # nearly always
            self._inner.update(_KIND[OWN].join([b"", *leaves]))
        self.last += len(leaves)
        self.size += size
        if leaves:
            self._head = None

    @property
    def head(self) -> bytes:
        """The head at its last entry; that before it without one."""
        if self._head is None:
            self._head = head_of(self.epoch, self.first, self.before, self._inner.digest())
        return self._head

    @property
    def inner(self) -> bytes:
        """The hash over its entries: see `head_of`."""
        digest: bytes = self._inner.digest()
        return digest

    def copy(self) -> RunHash:
        """The same run, which grows by itself."""
        other = RunHash(self.epoch, self.first, self.before)
        other.last, other.size = self.last, self.size
        other._inner, other._head = self._inner.copy(), self._head
        return other

    def __deepcopy__(self, memo: Any) -> RunHash:
        return self.copy()  # for a copy of a whole store in memory

    def has_room(self, size: int) -> bool:
        """Whether one more entry of `size` bytes belongs to this run, not to the next one."""
        count = self.last - self.first + 1
        return not count or (count < RUN_ENTRIES and self.size + size <= RUN_BYTES)


class Content(NamedTuple):
    """What tells whether a disk has changed the events of a run, in a tenth of the time of their leaves: CRC-32s of their
    columns, as far as the run has grown. That of the bodies begins with their node.
    """

    node_id: str = ""
    ms: int = 0
    n: int = 0
    bodies: int = 0

    def after(self, items: Items) -> Content | None:
        """That of the run with these too; None if they are not all plain events of the same node."""
        if not isinstance(items, EventColumns) or self.node_id not in ("", items.node_id):
            return None
        ms, n, bodies = items.texts
        before = self.bodies or crc32(items.node_id.encode())
        return Content(
            items.node_id,
            crc32(b",", crc32(ms, self.ms)),
            crc32(b",", crc32(n, self.n)),
            crc32(b"\0", crc32(bodies, before)),
        )
