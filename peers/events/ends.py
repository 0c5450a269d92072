"""Ends: how far one store has taken each epoch, in memory; maps of a moment, and fingerprints of them."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Collection, Iterator, Mapping
from hashlib import sha256
from typing import Annotated
from weakref import WeakSet

import msgspec
from msgspec import Meta

from peers.events.dot import MAX_SEQ, Epoch
from peers.events.epoch import NOTHING, EpochEnd, item_digest
from peers.events.leaf import HASH_BYTES

FIRST_BORDER = ""
LAST_BORDER = "~"
"""Before and after the names of all epochs."""


class Fingerprint(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """What stands for a set of epochs and their ends."""

    count: Annotated[int, Meta(ge=0, le=MAX_SEQ)]
    digest: Annotated[bytes, Meta(min_length=HASH_BYTES, max_length=HASH_BYTES)]
    """SHA-256 over their item digests, in order of name."""


class Ends:
    """The vector of one store: how far it has taken each epoch. One that is set to NOTHING is as if it was not there. One
    thread at a time.

    `set` costs the same whatever the number of epochs. Names are sorted and digests computed when a snapshot asks for them,
    and only those of epochs that changed since.
    """

    __slots__ = ("_digests", "_ends", "_names", "_noted", "_snapshots", "_stale")

    def __init__(self, ends: Mapping[Epoch, EpochEnd] | None = None) -> None:
        """The vector that a store has at its opening."""
        self._ends = dict(ends or {})
        self._names: list[Epoch] = []
        """In order, without those that are new in `_stale`."""
        self._digests = bytearray()
        """The item digests of `_names`, one behind the other."""
        self._stale = set(self._ends)
        """Epochs whose digest is not the one in `_digests`."""
        self._snapshots: WeakSet[EndsSnapshot] = WeakSet()
        self._noted: set[Epoch] = set()
        """Epochs whose old ends all snapshots have noted."""

    def __len__(self) -> int:
        return len(self._ends)

    def __contains__(self, epoch: Epoch) -> bool:
        return epoch in self._ends

    def __iter__(self) -> Iterator[Epoch]:
        """The names, in the order in which they came."""
        return iter(self._ends)

    def get(self, epoch: Epoch) -> EpochEnd | None:
        """The end of an epoch, None if nothing of it is held or proven."""
        return self._ends.get(epoch)

    def set(self, epoch: Epoch, end: EpochEnd) -> None:
        """Note the end of an epoch."""
        if epoch not in self._noted and self._snapshots:
            old = self._ends.get(epoch)
            for snapshot in self._snapshots:
                snapshot.keep_old(epoch, old)
            self._noted.add(epoch)
        if end == NOTHING:
            self._ends.pop(epoch, None)
        else:
            self._ends[epoch] = end
        self._stale.add(epoch)

    def snapshot(self) -> EndsSnapshot:
        """The map of this moment. Nothing is copied: while it is held, the old ends of what changes are noted for it."""
        snapshot = EndsSnapshot(self)
        self._snapshots.add(snapshot)
        self._noted.clear()
        return snapshot

    def in_order(self) -> tuple[list[Epoch], bytearray]:
        """The names in order and their item digests, one behind the other, as they are now: to read, not to keep."""
        if self._stale:
            self._settle()
        return self._names, self._digests

    def _settle(self) -> None:
        names, digests = self._names, self._digests
        new_names: list[Epoch] = []
        new_digests = bytearray()
        is_shorter = False
        at = 0
        for name in sorted(self._stale):
            index = bisect_left(names, name, at)
            if name not in self._ends:
                is_there = index < len(names) and names[index] == name
                new_names += names[at:index]
                new_digests += digests[at * HASH_BYTES : index * HASH_BYTES]
                at = index + is_there
                is_shorter = is_shorter or is_there
                continue
            digest = item_digest(name, self._ends[name])
            if index < len(names) and names[index] == name:
                digests[index * HASH_BYTES : (index + 1) * HASH_BYTES] = digest
                continue
            new_names += names[at:index]
            new_names.append(name)
            new_digests += digests[at * HASH_BYTES : index * HASH_BYTES]
            new_digests += digest
            at = index
        self._stale.clear()
        if new_names or is_shorter:
            self._names = new_names + names[at:]
            self._digests = new_digests + digests[at * HASH_BYTES :]


class EndsSnapshot:
    """An Ends as it was at one moment."""

    def __init__(self, ends: Ends) -> None:
        """Made by `Ends.snapshot`."""
        self._ends = ends
        self._old: dict[Epoch, EpochEnd | None] = {}
        self._old_names: list[Epoch] = []
        """In order, as far as `_parts` needed them."""
        self._count = len(ends)

    @property
    def now(self) -> Ends:
        """What it is the past of."""
        return self._ends

    def keep_old(self, epoch: Epoch, old: EpochEnd | None) -> None:
        """Keep the end that an epoch had before it changed, unless an older one is kept."""
        self._old.setdefault(epoch, old)

    def __len__(self) -> int:
        return self._count

    def get(self, epoch: Epoch) -> EpochEnd | None:
        """The end that an epoch had, None if nothing of it was held or proven."""
        return self._old[epoch] if epoch in self._old else self._ends.get(epoch)

    def fingerprint(
        self, without: Collection[Epoch] = (), low: str = FIRST_BORDER, high: str = LAST_BORDER
    ) -> Fingerprint:
        """That of the epochs whose names are > low and <= high, without some."""
        names, digests = self._ends.in_order()
        hashed = sha256()
        count = 0
        with memoryview(digests) as view:
            for first, end, epoch in self._parts(names, without, low, high):
                hashed.update(view[first * HASH_BYTES : end * HASH_BYTES])
                count += end - first
                old = self._old.get(epoch) if epoch else None
                if old is not None:
                    hashed.update(item_digest(epoch, old))
                    count += 1
        return Fingerprint(count, hashed.digest())

    def names(self, without: Collection[Epoch] = (), low: str = FIRST_BORDER, high: str = LAST_BORDER) -> list[Epoch]:
        """The names of the epochs that such a fingerprint is of, in order."""
        names, _ = self._ends.in_order()
        found: list[Epoch] = []
        for first, end, epoch in self._parts(names, without, low, high):
            found += names[first:end]
            if epoch and self._old.get(epoch) is not None:
                found.append(epoch)
        return found

    def _parts(
        self, names: list[Epoch], without: Collection[Epoch], low: str, high: str
    ) -> Iterator[tuple[int, int, Epoch]]:
        """Parts of `names` that are now as they were: first, end, and the one that follows and has to be looked up, or ""."""
        at = bisect_right(names, low)
        end = bisect_right(names, high, at)
        left = {name for name in without if low < name <= high}
        if len(self._old_names) != len(self._old):
            self._old_names = sorted(self._old)
        changed = self._old_names
        for name in sorted(left.union(changed[bisect_right(changed, low) : bisect_right(changed, high)])):
            index = bisect_left(names, name, at, end)
            yield at, index, "" if name in left else name
            at = index + (index < end and names[index] == name)
        yield at, end, ""
