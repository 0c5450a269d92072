"""Taken: what a write to a store of runs did."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from peers.events.created import Created
from peers.events.dot import Dot, Epoch
from peers.events.entry import Entry
from peers.events.epoch import EpochEnd
from peers.events.piece import Piece
from peers.facts.fact import Fact
from peers.facts.roster import Roster
from peers.stores.store import NOTHING_CLEANED, Cleaning

Taking = Literal["taken", "known", "gap", "mismatch", "bad", "forked"]
"""What became of a piece.

`taken`: all that was new of it; `known`: nothing of it was new, and what was known has the same head. All others changed
nothing. `gap`: it begins after our end, or ends at a cut that is not known here, or waits for a way. `mismatch`: its signature
is good, but its head is not ours: a changed entry or a fork. `bad`: nothing that the owner of the epoch signed. `forked`: it
goes beyond the cut of a fork that is proven here, the limit that facts of the mesh set, or another history.
"""


class Change(NamedTuple):
    """Steps of the walk over all that a store took, in the order of `position`: 1, 2, 3 ... without gaps."""

    position: int
    """Of the first entry."""
    dot: Dot
    """The first entry."""
    length: int = 1
    """Entries from there on, whose seqs and positions follow each other."""
    is_fill: bool = False
    """The event of this one entry came after the entry itself."""

    def rest(self, count: int) -> Change:
        """The same without its first `count` entries."""
        epoch, seq = self.dot
        return Change(self.position + count, (epoch, seq + count), self.length - count, self.is_fill) if count else self


class Limited(NamedTuple):
    """An epoch whose limit was changed by facts of the mesh."""

    key: bytes
    """Its public key."""
    counts_more: bool = False
    """Whether entries that were here count now, and did not before."""
    waits: bool = False
    """Whether nothing of it counts before it is known what leads to its limit."""


@dataclass(frozen=True, slots=True)
class Taken:
    """What one write did."""

    outcomes: tuple[Taking, ...] = ()
    """Of `take`: for each piece."""
    results: Sequence[Entry | ValueError | None] = ()
    """Of `append`: for each entry, as it was stored, or None if it was known already.

    A ValueError, which says what is wrong with it, only where the caller asked for that.
    """
    shown: Sequence[Entry] = ()
    """Events that are shown now and were not, in the order of `added`."""
    waiting: Sequence[Entry] = ()
    """Events that came and are not shown before their time comes."""
    changes: tuple[Change, ...] = ()
    pieces: tuple[Piece, ...] = ()
    """What became entries, in pieces that can be sent as they are: own ones up to their signatures, others as they came, where
    nothing of them was known.
    """
    ends: Mapping[Epoch, EpochEnd] = field(default_factory=dict)
    """The epochs whose end has changed, with the new one."""
    hollow: tuple[Dot, ...] = ()
    """Entries that became hollow, and those to be named to others again, since their epoch was cut."""
    proven: tuple[Epoch, ...] = ()
    """Epochs whose fork became proven, or is proven by another proof than before."""
    forks: Mapping[bytes, int] = field(default_factory=dict)
    """Of the keys that signed these: how many of their epochs are proven to have forked."""
    is_unfinished: bool = False
    """Of `adopt`: there may be more to adopt."""
    is_revised: bool = False
    """Whether another copy of an event is shown than before."""
    revised: tuple[Created, ...] = ()
    """Those events; also those of which a copy is shown in the place of one that was cleaned."""
    undone: tuple[Created, ...] = ()
    """Events that became undone, whether they are here or not."""
    restored: tuple[Created, ...] = ()
    """Events that were undone and are no more, since another copy of the `logux/undo` is shown."""
    cleaning: Cleaning = NOTHING_CLEANED
    """What was cleaned and changed because of `keep_last` in these entries."""
    facts: tuple[Fact, ...] = ()
    """Of `learn`: those that are new here, in an order in which each comes after those that its signer needs."""
    roster: Roster | None = None
    """If there are new facts: what follows from all of them together."""
    limited: Mapping[Epoch, Limited] = field(default_factory=dict)
    """Epochs that, by the facts of the mesh, count up to another entry than before, or are new and have such a limit."""
    anew: tuple[Epoch, ...] = ()
    """Epochs that are taken anew from their ends on, whatever came before."""
    over: tuple[Epoch, ...] = ()
    """Epochs of which more is to be taken over: call `take_over`."""
