"""The port of a store that keeps epochs as runs: what it takes, gives and promises."""

from __future__ import annotations

from collections.abc import Callable, Collection, Container, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import NamedTuple, Protocol, Unpack

from peers.events.columns import EventTable
from peers.events.created import NODE_MARK, Created
from peers.events.dot import MAX_SEQ, Dot, Epoch
from peers.events.entry import Entry
from peers.events.epoch import Birth, EpochEnd, name_of
from peers.events.piece import Piece
from peers.events.proof import Block, Proof, Way
from peers.events.signature import Signer
from peers.facts.fact import Fact, Tip
from peers.facts.fact_set import MeshEnd
from peers.facts.roster import Roster
from peers.stores.arrivals import KeepsArrivals
from peers.stores.store import (
    CLEAN_EVENTS,
    ONLY_DEFAULT,
    Cleaning,
    Criteria,
    KeptBeside,
    Looked,
    Place,
    WalkOptions,
)
from peers.stores.taken import Change, Taken


class Pen(NamedTuple):
    """What a node signs its own entries with."""

    signer: Signer
    nonce: Callable[[], bytes]
    """NONCE_BYTES at random, for the birth of an epoch."""
    node_id: str = ""
    """Of this node, for the birth of an epoch."""

    def may_sign(self, node_id: str) -> bool:
        """Whether this node may sign an event with this node id in its `created`: not one of another node.
        A client may sign all in its own log: no node takes entries from there.
        """
        if NODE_MARK not in node_id or NODE_MARK not in self.node_id:
            return True
        return name_of(self.node_id, self.signer.public) == node_id


@dataclass(frozen=True, slots=True)
class RunState:
    """What a log keeps in memory of its store, beside the ends of the epochs. Valid after a commit."""

    last_added: int = 0
    last_position: int = 0
    events: int = 0
    """Events that `each` shows."""
    clock_ms: int = 0
    """High-water mark of the timer."""
    conflicts: int = 0
    """Losing copies kept aside: of two that differ under one `created`."""
    hollow: int = 0
    """Entries whose events are wanted."""
    refused: int = 0
    """Entries whose events came, and which the limits of this release do not allow."""
    waiting: int = 0
    """Copies of events whose time is after `until_ms`: they are held, and not shown."""
    epoch: Epoch | None = None
    """The one that the next own entry continues; None: it begins a new one."""
    has_unadopted: bool = False
    """Whether `adopt` may find something."""


class RunStore(KeptBeside, KeepsArrivals, Protocol):
    """Keeps events, and the entries of epochs in runs; knows nothing of time, threads or networks. One thread at a time.

    - An **event** is identified by `created`; its **leaf** by its content. An **entry** (epoch, seq) has a kind and a leaf, and
      is in one of these states: *held* (its event is here), *cleaned*, *hollow* (its event is wanted), *refused* (its event
      came and is none here), *beyond* (after the cut of a fork, or a limit: it does not count).
    - An entry that comes as a leaf finds an event that is here if that was cleaned, is not shown, or came under two dots or as
      another kind than OWN: only these leaves are on record. Otherwise it is hollow until it is filled.
    - Entries of an epoch are taken in order, from 1, without holes. Every entry has a position; one that was hollow and gets
      its event gets a further one. `added` counts events that are shown: 1, 2, 3 ..., given when an event is first shown.
    - Writes happen inside `transaction()`, and are on disk when it ends without an exception; otherwise it is as if none of
      them had been tried.
    - Of two copies of one `created` with different leaves one is shown, in place of the other: its `added` stays; the other is
      kept aside. Each is held, for its own entries. Which one it is, and whose entries may be of whose events: see CopyRules.
    - An event that was **cleaned** keeps created, time and leaf, and does not return, under whatever dot. Cleaning is this
      store's own and does not replicate.
    - Every method raises StoreError if the disk fails.
    """

    until_ms: int
    """Events whose time is after it are taken and not shown. It is not on disk: a new object shows all that comes."""

    def open(self) -> RunState:
        """Open or create it; the next own entry begins a new epoch.

        Raises StoreError for a damaged file, one of another layout, or one that cannot be written.
        """

    def close(self) -> None:
        """Close it; harmless when it is closed."""

    def transaction(self) -> AbstractContextManager[None]:
        """All or nothing."""

    @property
    def state(self) -> RunState:
        """As of the last write, committed or not."""

    # Writing

    def append(self, entries: Sequence[Entry], pen: Pen, *, clock_ms: int = 0, is_each_alone: bool = False) -> Taken:
        """Take own events, in order, into the epoch of `state`, or a new one whose parent is the own epoch before it.

        A new `created` becomes an entry of kind OWN. A known one is ignored, and results in None. If it differs from the known
        one, ValueError is raised and none is taken; or, where `is_each_alone`, the others are, and that error is its result.
        A new one with the id of another node becomes an entry of kind ADOPTED_OUTSIDE where `is_each_alone`, else ValueError.
        A run is closed when the next entry does not fit (`RunHash.has_room`). Signed are the head at the end of each run that
        is closed, and the last one.
        """

    def offer_further(self, createds: Sequence[Created], pen: Pen) -> Taken:
        """Write an entry of kind FURTHER for each of these events that is held, and is no event of another node."""

    def take(self, pieces: Sequence[Piece], *, clock_ms: int = 0) -> Taken:
        """Take pieces of other nodes, or of our own key, in order: of each all or nothing, whatever becomes of the others.

        What is known of a piece is skipped, but the head at its end is compared with ours. Of several pieces of one run in a
        row only the last one's signature is verified. The newest signature of each run is kept. If a piece goes beyond what was
        written here of the epoch of `state`, the next own entry begins a new one.
        """

    def fill(self, events: Sequence[tuple[Dot, Entry]]) -> Taken:
        """Give hollow and refused entries their events, where the leaf says that they are theirs; all others are ignored."""

    def prove(self, proof: Proof) -> Taken:
        """Keep the proof of a fork, if it holds and is better than what is known: by the smaller (cut, mark).

        Entries up to the cut count as ever, those after it not. `Taken.proven` names the epoch if it was kept; `bad` says no.
        """

    def compare(self, birth: Birth, blocks: Sequence[Block]) -> Taken:
        """Prove a fork if one of these genuine blocks and one of ours of the epoch exclude each other, as `prove`."""

    def meet(self, births: Sequence[Birth]) -> Taken:
        """Keep those births that are new here and that facts of the mesh, or the births before them, say the limits of."""

    def follow(self, way: Way) -> Taken:
        """Take an epoch along a way that leads where the facts of the mesh say: another history of it here is put aside."""

    def take_over(self, epoch: Epoch) -> Taken:
        """Take over some more of the entries that another history, which was put aside, has in common with this one.

        It need not be done to the end, for instance after a crash: what lacks then comes from others.
        """

    def part(self, epoch: Epoch, seq: int) -> Taken:
        """Count a legacy epoch only up to `seq`, since another log has others after it; as if its fork was proven there.

        That cannot be proven, so it is believed. An epoch that is signed, is cut there or before, or has less stays as it is.
        """

    def adopt(self, pen: Pen, limit: int = CLEAN_EVENTS, *, adopts_unknown: bool = True) -> Taken:
        """Write an entry of a kind in VOUCHED for each held event of which no dot counts, in the order of their dots.

        Own events are of kind OWN. Without `adopts_unknown`, what is of keys without any certificate is left as it is. A key
        that is not in the mesh itself adopts nothing. Looks at no more than `limit` entries in one step: go on while
        `is_unfinished`.
        """

    def show_due(self, limit: int = CLEAN_EVENTS) -> Taken:
        """Show events that wait, at most `limit` of them, whose time is not after `until_ms` any more, the earliest first.

        Each is a fill at a new position, and new in `Taken.shown`. Go on while `is_unfinished`.
        """

    def leave(self, epoch: Epoch) -> Taken:
        """If this is the epoch of `state`, the next own entry begins a new one: another node has more of it than we wrote."""

    def learn(self, facts: Sequence[Fact]) -> Taken:
        """Keep facts that were checked. `Taken.facts` has those that are new, also ones that waited: see FactSet.

        Left out are those of another mesh than that of `enter_mesh`, or beyond the limits of FactSet.
        """

    # Reading

    def enter_mesh(self, mesh: bytes) -> None:
        """Before `open`: keep the facts of the mesh with this public key. Without it there are none, and none are kept.

        Once a fact is known, these facts and the births that are here say how far epochs count:

        - an epoch of a member counts without end; one of a key without a valid certificate does not count at all;
        - of a key that is revoked, or has left: an epoch that is a tip of its cut counts up to that tip; one that the
          birth of such an epoch names counts up to there; the others do not count, once the births of all tips are here;
        - of a key that has left nothing of an epoch counts, and no more of it is taken, before it is known that it leads to
          the head that is named there: by a way, or by the pieces that came, which are `gap` until then.
        """

    def roster(self) -> Roster | None:
        """What follows from the facts; None without a mesh, and while no fact is known."""

    def facts(self) -> tuple[Fact, ...]:
        """All facts of the mesh, in an order in which each comes after those that its signer needs."""

    def unknown_facts(self, texts: Sequence[bytes]) -> list[Fact]:
        """Those of these facts that are not here, and are of the same mesh. Their signatures are not looked at.

        Raises ValueError, with a sentence, for bytes that are no fact; never without a mesh.
        """

    def mesh_end(self) -> MeshEnd | None:
        """The digest of these facts; None without a mesh."""

    def ends(self) -> dict[Epoch, EpochEnd]:
        """The vector: the end of each epoch of which anything is held or proven. Without those of which nothing can count."""

    def birth(self, epoch: Epoch) -> Birth | None:
        """The birth of an epoch, if it is known."""

    def proof(self, epoch: Epoch) -> Proof | None:
        """The proof of its fork, if it is proven."""

    def way(self, epoch: Epoch, after: int) -> Way | None:
        """From the run after the entry `after` to the limit by the facts of the mesh; None if this is not that history."""

    def needed_way(self, epoch: Epoch, after: int) -> Way | None:
        """The same for an end that takes nothing more of an epoch without it, since its key has left; else None."""

    def heirs(self, epoch: Epoch, known: Container[Epoch] = ()) -> list[Epoch]:
        """The epochs that went on from one of a key that has left, and from those, the last one first: without those that are
        `known`, and what went on from them.

        Their births say up to where that counts, whether they count themselves or not.
        """

    def forks(self) -> Mapping[bytes, int]:
        """How many epochs of each key are proven to have forked, of those with any."""

    def head(self, epoch: Epoch, seq: int) -> bytes | None:
        """The head at an entry that is held, 32 bytes; NO_HEAD for 0; None beyond the end."""

    def newest(self, limit: int) -> list[Epoch]:
        """The newest epoch of each node, of those that grew last: the last one last."""

    def newest_of(self, key: bytes) -> Epoch | None:
        """The epoch of a node that grew last."""

    def tips(self, key: bytes) -> tuple[Tip, ...]:
        """What a revocation of this key says of its epochs: how far those count here that no other one of it goes on from.

        The newest MAX_TIPS of them, in the order of their names. One that grew after another one went on from it is one, too.
        Left out are those of which not all is here that they went on from: what their births name would count, and might still
        be written.
        """

    def signature(self, epoch: Epoch) -> tuple[int, bytes]:
        """The last seq of an epoch that is signed and counts, and its signature; (0, b"") without one."""

    def blocks(self, epoch: Epoch, *, before: int | None = None, limit: int = 16) -> list[Block]:
        """The signed blocks of an epoch, the last one first: of runs that begin before the seq `before`."""

    def begins(self, epoch: Epoch, before: int, limit: int) -> list[tuple[int, bytes]]:
        """Where its runs begin, those before the seq `before`, the last one first: its first seq, and the head before that."""

    def position(self, dot: Dot) -> int | None:
        """The position of an entry, None if it is not here."""

    def changes(self, after: int, limit: int) -> tuple[Change, ...]:
        """At most `limit` changes after a position, without what is after a cut; the first may be the rest of one."""

    def piece(self, epoch: Epoch, start: int, last: int = MAX_SEQ) -> Piece | None:
        """The entries from `start` to the newest signed head of its run, or to the cut; None if there is no such head. Entries
        that are not held go as leaves; events may lack their places. It may end earlier, at a signed head from `last` on."""

    def is_held(self, dot: Dot) -> bool:
        """Whether its event is here, and the entry counts."""

    def events_at(self, dots: Sequence[Dot]) -> list[tuple[Dot, Entry]]:
        """The events of those of these entries that are held and count."""

    def hollow(self, epoch: Epoch | None = None) -> Iterator[Dot]:
        """All entries that are hollow and count, in order of name and seq; those of one epoch."""

    def find(self, created: Created) -> Entry | None:
        """The event as shown, with its first dot, or None."""

    def each(self, **options: Unpack[WalkOptions]) -> tuple[Entry, ...]:
        """A page of the events shown, each once: see `Walk`."""

    def table(self, after: Place | None, *, until: int, limit: int, max_bytes: int) -> tuple[EventTable, Place | None]:
        """The events shown after a place with an `added` up to `until`, by (time, created), and where this ends; None: these
        are all. It looks at `limit` events or, on a disk, until they have `max_bytes`."""

    def undone(self, createds: Collection[Created]) -> set[Created]:
        """Those of these events that a `logux/undo` undoes which is shown, or was before it was cleaned; they may be unknown.
        A `logux/undo` may be undone like any event; what it undid stays so."""

    def undone_by_cleaned(self, after: int, until: int) -> set[Created]:
        """The events that a cleaned `logux/undo` undoes which came at a position after one, up to another."""

    def look(self, most: int, **options: Unpack[WalkOptions]) -> Looked:
        """As `each`, but it ends when it has looked at `most` events, whether they are of the types of the walk or not."""

    def has_undone(self) -> bool:
        """Whether any event is undone, also one that is unknown."""

    def aside(self, last: int | None = None) -> tuple[Entry, ...]:
        """The losing copies, oldest first; of many the `last` ones."""

    def aside_of(self, created: Created) -> list[Entry]:
        """Those of one event."""

    # How long events live

    def remove_reason(self, reason: str, criteria: Criteria, *, after: int = 0, limit: int = CLEAN_EVENTS) -> Cleaning:
        """Take the reason from the events that have it and fit; those without a reason left are cleaned. Looks at no more than
        `limit` events after position `after`. An event that names no reason has DEFAULT_REASON."""

    def add_reason(self, reason: str, criteria: Criteria, *, after: int = 0, limit: int = CLEAN_EVENTS) -> Cleaning:
        """Give the reason to the events that fit and do not have it, step by step as `remove_reason` does.

        Raises ValueError if one has too many, and then changes none in this step.
        """

    def change_meta(self, created: Created, diff: bytes) -> Cleaning | None:
        """Change keys of an event's meta in this store alone; None if it is not shown. An empty `reasons` cleans it. `diff` is
        what `encode_diff` made. Raises ValueError if the changes of one event get too large."""

    def clean(self, createds: Sequence[Created], reasons: frozenset[str] = ONLY_DEFAULT) -> Cleaning:
        """Clean those of these events that have no reason but these. An event that names no reason has DEFAULT_REASON."""
