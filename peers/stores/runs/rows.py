"""What a store that keeps epochs as runs has for rows; the rules are built on it."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, NamedTuple, Self

import msgspec

from peers.events.columns import Items
from peers.events.created import Created
from peers.events.dot import Dot, Epoch
from peers.events.entry import Entry
from peers.events.epoch import END_BYTES, KEY_BYTES, NAME_BYTES, NO_HEAD, NOTHING, Birth, EpochEnd
from peers.events.proof import Cut, Proof
from peers.events.run import Content
from peers.facts.fact import Fact
from peers.stores.event_rows import EventNumbers, EventRows
from peers.stores.runs.undoing import UndoTable
from peers.stores.taken import Change

_KEPT_BIRTHS = 256
"""Decoded births that are kept in memory."""

NOTHING_COUNTS = Cut(0, NO_HEAD)
"""Of an epoch."""

EntryState = Literal["held", "cleaned", "hollow", "refused"]


@dataclass(slots=True)
class RunNumbers(EventNumbers):
    """What a store of runs keeps in memory."""

    hollow: int = 0
    refused: int = 0
    waiting: int = 0
    marked: int = 0
    """The position up to which it is on disk that the marks of undone events are complete."""
    epoch: Epoch | None = None

    def copy(self) -> Self:
        return type(self)(  # a tenth of the time of `replace`: it is done several times a commit
            self.last_added,
            self.last_position,
            self.events,
            self.clock_ms,
            self.conflicts,
            self.hollow,
            self.refused,
            self.waiting,
            self.marked,
            self.epoch,
        )


_decoded = lru_cache(maxsize=_KEPT_BIRTHS)(Birth.decode)


class EpochRow(msgspec.Struct, frozen=True, gc=False):
    """What is known of one epoch; kept in memory too, for all of them."""

    epoch: Epoch
    born: bytes
    """Its birth, encoded: it is not decoded before it is asked for, since a store may have many."""
    seq: int = 0
    """Seq of the last entry taken, whether it counts or not; 0 if only a proof is known."""
    head: bytes = NO_HEAD
    """The head at that entry."""
    first: int = 1
    """Seq of the first entry of the last run."""
    grown: int = 0
    """The position of the last entry."""
    cut: Cut | None = None
    """The cut of the proof of its fork. Its head is ours at that seq, once we have taken so much."""
    mark: bytes = b""
    """The mark of that proof."""
    limit: Cut | None = None
    """The last entry that counts by the facts of the mesh, and its head. Not on disk: it follows from facts and births."""
    is_led: bool = False
    """Whether this is the history that these facts name, so that `cut` does not matter. Not kept on disk."""
    waits: bool = False
    """Whether nothing of it counts before it `is_led`, since its key stated `limit` itself when it left. Not kept on disk."""

    @property
    def birth(self) -> Birth:
        """Its birth."""
        return _decoded(self.born)

    @property
    def key(self) -> bytes:
        """The public key of its birth."""
        return self.born[:KEY_BYTES]

    @property
    def is_aside(self) -> bool:
        """Whether it is another history than the facts name, put aside under a name of its own: it never counts."""
        return len(self.epoch) > 2 * NAME_BYTES

    @property
    def bound(self) -> Cut | None:
        """The one of `cut` and `limit` with the smaller seq, only `limit` where it `is_led` or `waits`; None if all counts."""
        limit, cut = self.limit, self.cut
        if self.is_led or self.waits:
            return limit
        return cut if limit is None or (cut is not None and cut.seq <= limit.seq) else limit

    @property
    def last(self) -> int:
        """Seq of the last entry that counts."""
        bound = None if self.cut is None and self.limit is None else self.bound  # asked for at each commit
        return self.seq if bound is None else 0 if self.waits else min(self.seq, bound.seq)

    def counts(self, seq: int) -> bool:
        """Whether an entry with this seq is not after the bound."""
        is_cut = self.cut is not None and seq > self.cut.seq and not self.is_led
        return not is_cut and not self.waits and (self.limit is None or seq <= self.limit.seq)

    @property
    def end(self) -> EpochEnd:
        """What a vector says of it. It is NOTHING, also for a fork, if by the facts of the mesh no entry counts."""
        if self.limit is not None and (self.waits or not self.limit.seq):
            return NOTHING
        bound = None if self.cut is None and self.limit is None else self.bound
        head = bound.head if bound is not None and bound.seq <= self.seq else self.head
        return EpochEnd(self.last, head[:END_BYTES], b"" if self.is_led else self.mark)


def signed_name(epoch: Epoch) -> Epoch:
    """The name under which the entries of an epoch were signed: of one that is aside, that which it had."""
    return epoch[: 2 * NAME_BYTES]


class RunRow(NamedTuple):
    """One run, as far as it was taken."""

    epoch: Epoch
    first: int
    last: int
    """Seq of its last entry taken."""
    before: bytes
    """The head at the end of the run before it."""
    head: bytes
    """The head at its last entry."""
    kinds: bytes
    """One byte for each entry. A store may keep nothing for a run whose entries are all OWN."""
    signature: bytes
    """Over `head`; empty if its last entry is at the cut of a fork, where no signature came."""
    content: Content | None = None
    """Where it is known when a row is put; a row that is read has none."""


class Standing(NamedTuple):
    """Where one entry stands."""

    position: int
    """The position of the entry itself, not of a fill."""
    state: EntryState
    """The same whether the entry counts or not."""
    item: Entry | bytes
    """The copy of the event, shown or aside, if it is held; else the leaf."""


class Hollow(NamedTuple):
    """An entry that is hollow or refused."""

    dot: Dot
    position: int
    leaf: bytes
    is_refused: bool = False


class RunRows(EventRows):
    """Keeps rows and numbers, and decides nothing. All methods but those that read are called inside a transaction.

    **Copies.** One row for each copy of an event, known by the `position` of the entry or fill that it came with. Of the
    copies of one `created`, one is shown (or is the tombstone in its place); the others are aside, with `added` 0, or wait for
    their time, with `added` WAITS. `dot` of a copy says where it was first seen; it may be changed. `tombstone` of a copy that
    was cleaned is its *leaf*; it has no body, no extra and no local. One that was cleaned by a release without leaves has the
    digest of its body there instead, no `dot`, and no entry: its position is before those of all entries.

    **Entries.** Each (epoch, seq) has a position, which never changes; a *span* says it for entries whose seqs and
    positions follow each other. At that position is one of these: the row of the copy that came with the entry; a *further*
    row with the position of another copy's row; a *hollow* row. A *fill* has a position too, and the dot that it fills; at
    its position is the row of the copy that came with it, a further row if it was here already.

    **Leaves on record.** A leaf that is noted is found again; other leaves of copies are only computed.
    """

    _numbers: RunNumbers
    _undo_marks: UndoTable

    def __init__(self) -> None:
        self._numbers = RunNumbers()

    # Copies. `_shown`, `_set_local` and others as in EventRows; `_bury` is a rule here

    @abstractmethod
    def _known_among(self, createds: Sequence[Created]) -> dict[Created, Entry]:
        """The copies of these that are shown, or their tombstones: one look for all."""

    @abstractmethod
    def _insert(self, events: Sequence[Entry]) -> None:
        """Add rows of copies that are shown, in the order of their positions, with labels.

        Raises AlreadyKnown if a `created` has one already; then `_piece` undoes all that was done in it.
        """

    @abstractmethod
    def _insert_aside(self, copy: Entry) -> None:
        """Add the row of a copy that lost, or of the tombstone of one; its `created` is shown or cleaned, or it waits."""

    @abstractmethod
    def _has_waiting(self, createds: Sequence[Created]) -> bool:
        """Whether a copy of one of these waits."""

    @abstractmethod
    def _due(self, until_ms: int, limit: int) -> list[Entry]:
        """The first `limit` waiting copies whose time is not after `until_ms`, in the order of (time, position)."""

    @abstractmethod
    def _move_copy(self, waiting: Entry, leaf: bytes, position: int) -> None:
        """Leave a further row in place of the row of a waiting copy; all that had its position have this one."""

    @abstractmethod
    def _exchange(self, shown: Entry, better: Entry) -> None:
        """Put `shown`, which may be a tombstone, aside, with `added` 0 and without local and labels.

        Show `better`, whose row is new, in its place.
        """

    @abstractmethod
    def _swap(self, shown: Entry, better: Entry) -> None:
        """The same with a copy that was aside, as it is to be shown."""

    @abstractmethod
    def _bury_copy(self, copy: Entry, leaf: bytes) -> None:
        """Make a tombstone of a copy, shown or aside: of a row all but created, time, dot, added and position is removed."""

    @abstractmethod
    def _set_dot(self, copy: Entry, dot: Dot) -> None:
        """Say that a copy was first seen there."""

    @abstractmethod
    def _aside_of(self, created: Created) -> list[Entry]:
        """The copies aside of this event, tombstones too, in the order of their positions."""

    @abstractmethod
    def _dots_of(self, copy: Entry) -> list[Change]:
        """The entries and fills whose copy this is, each as a Change of length 1, in the order of their positions."""

    @abstractmethod
    def _note(self, leaf: bytes, position: int) -> None:
        """Put a leaf on record: that of the copy whose row is at this position. A second time changes nothing."""

    @abstractmethod
    def _noted(self, leaves: Sequence[bytes]) -> dict[bytes, Entry]:
        """The copies, tombstones too, of those of these leaves that are on record."""

    # Entries

    @abstractmethod
    def _insert_span(self, epoch: Epoch, seq: int, position: int, count: int) -> None:
        """Note the positions of `count` entries from `seq` on: `position` and those that follow."""

    @abstractmethod
    def _insert_further(self, pairs: Sequence[tuple[int, int]]) -> None:
        """Add further rows: (position, position of the row of the copy)."""

    @abstractmethod
    def _insert_hollow(self, rows: Sequence[Hollow]) -> None:
        """Add hollow rows."""

    @abstractmethod
    def _remove_hollow(self, rows: Sequence[Hollow]) -> None:
        """Remove them: a further row is at each of these positions from now on."""

    @abstractmethod
    def _insert_fills(self, fills: Sequence[tuple[int, Dot]]) -> None:
        """Note what is filled at these positions, which follow each other."""

    @abstractmethod
    def _read(self, epoch: Epoch, first: int, last: int) -> list[Standing]:
        """The entries from `first` to `last`, in order. Raises StoreError (damage) if one has no place."""

    def _items(self, epoch: Epoch, first: int, last: int) -> Items:
        """`Standing.item` of each of them. An event may lack what others are not sent."""
        return tuple([standing.item for standing in self._read(epoch, first, last)])

    @abstractmethod
    def _spans(self, after: int, limit: int) -> list[Change]:
        """Changes after a position, in order, those after a cut too: as many entries in each as the rows say."""

    @abstractmethod
    def _hollow_with(self, leaves: Sequence[bytes]) -> dict[bytes, list[Hollow]]:
        """The hollow and refused entries that have one of these leaves, by leaf, each list in the order of positions."""

    @abstractmethod
    def _hollow_in(self, epoch: Epoch, first: int, last: int) -> list[Hollow]:
        """The hollow and refused entries of this piece of an epoch, in order."""

    @abstractmethod
    def _hollow_epochs(self) -> list[Epoch]:
        """The epochs that have hollow entries, in order of name."""

    @abstractmethod
    def _buried_between(self, after: int, until: int) -> list[Created]:
        """Of the tombstones in the place of shown events at positions after one, up to another."""

    # Epochs and runs

    @abstractmethod
    def _read_epochs(self) -> Iterable[EpochRow]:
        """All of them, when the store is opened."""

    @abstractmethod
    def _stamp_of(self, dot: Dot) -> tuple[str | None, str, bool]:
        """`Entry.origin` and `Entry.vouched` of an event with this dot; and whether others of its epoch may have another."""

    @abstractmethod
    def _read_vouching(self) -> Iterable[Epoch]:
        """The epochs with entries of kinds that vouch for others."""

    @abstractmethod
    def _put_epochs(self, rows: Sequence[EpochRow]) -> None:
        """Add these, or put them in place of those with the same names."""

    @abstractmethod
    def _rename_epoch(self, epoch: Epoch, name: Epoch) -> None:
        """Let all rows of an epoch, but its proof, be those of another name, which is new."""

    @abstractmethod
    def _put_runs(self, rows: Sequence[RunRow]) -> None:
        """Add these, or put them in place of those with the same epoch and first seq."""

    @abstractmethod
    def _run_with(self, epoch: Epoch, seq: int) -> RunRow | None:
        """The run that has this entry."""

    @abstractmethod
    def _runs_before(self, epoch: Epoch, before: int, limit: int) -> list[RunRow]:
        """Runs that begin before the seq `before`, the last one first."""

    @abstractmethod
    def _proof_of(self, epoch: Epoch) -> Proof | None:
        """The proof of its fork."""

    @abstractmethod
    def _put_proof(self, proof: Proof) -> None:
        """Keep it, in place of another one of the same epoch, whose EpochRow is there."""

    # Facts

    @abstractmethod
    def _read_facts(self) -> Iterable[bytes]:
        """The bytes of all facts, in the order in which they were put. Raises StoreError (damage) for one that was changed."""

    @abstractmethod
    def _put_facts(self, facts: Sequence[Fact]) -> None:
        """Add these, none of which is there."""

    # For checks from outside

    @abstractmethod
    def copies(self) -> Iterator[Entry]:
        """All copies of all events, tombstones too: those aside have `added` 0."""
