"""The port of every store: where a log keeps its entries, and what it promises about them."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Literal, Protocol, TypedDict, Unpack

from peers.events.created import Created
from peers.events.entry import Entry
from peers.events.reasons import DEFAULT_REASON
from peers.events.version_vector import Epoch, VersionVector

Order = Literal["created", "added"]

Place = tuple[int, Created]
"""(time, created): where an event is in the order that is the same on every node."""

ONLY_DEFAULT = frozenset((DEFAULT_REASON,))
CLEAN_EVENTS = 200
"""Events that one step of a removal or a cleaning looks at, so that it keeps nobody waiting."""
PAGE_EVENTS = 500
PAGE_BYTES = 512 * 1024
PAGE_SCAN = 20_000
"""Changes looked at for one page at most, so that a walk over what the other side has already keeps nobody waiting."""


MAX_CURSORS = 10_000
"""Logux clients and servers whose cursors are kept; beyond it the one whose cursors were not kept for longest is forgotten."""


DISK_FULL = "its disk is full"
"""What other nodes are told of a full disk."""


class StoreError(Exception):
    """The store cannot be used, or could not do what was asked; the sentence says which, why, and what would fix it.

    `brief` is what other nodes are told of it, without paths; empty if they are not.
    """

    def __init__(self, sentence: str, brief: str = "") -> None:
        super().__init__(sentence)
        self.brief = brief


@dataclass(frozen=True, slots=True)
class StoreState:
    """What a log keeps in memory of its store. Valid after a commit."""

    last_added: int = 0
    last_position: int = 0
    events: int = 0
    """Events that `each` shows."""
    clock_ms: int = 0
    """High-water mark of the timer."""
    conflicts: int = 0
    """Losing copies kept aside: of two that differ under one `created` or one dot."""
    vector: VersionVector = field(default_factory=VersionVector)


@dataclass(frozen=True, slots=True)
class Cleaning:
    """What became of events that lost a reason, or whose meta was changed."""

    cleaned: tuple[Entry, ...] = ()
    """Those that are cleaned now, as they were before."""
    altered: tuple[Entry, ...] = ()
    """Every change whose event has another meta now, as `page` gives it."""
    dropped: tuple[int, ...] = ()
    """Positions of the changes of cleaned events: `page` does not give them any more."""
    until: int | None = None
    """Where to go on, if not all was looked at: the `after` of the next call."""


NOTHING_CLEANED = Cleaning()


@dataclass(frozen=True, slots=True)
class Criteria:
    """Which events are meant: those that fit all that is given."""

    min_added: int | None = None
    max_added: int | None = None
    older_than: Place | None = None
    younger_than: Place | None = None
    created: Created | None = None
    index: str | None = None
    except_index: str | None = None

    def fit(self, entry: Entry) -> bool:
        """Whether this one is meant."""
        place = (entry.time, entry.created)
        return (
            (self.min_added is None or entry.added >= self.min_added)
            and (self.max_added is None or entry.added <= self.max_added)
            and (self.older_than is None or place < self.older_than)
            and (self.younger_than is None or place > self.younger_than)
            and (self.created is None or entry.created == self.created)
            and (self.index is None or ("index", self.index) in entry.labels)
            and (self.except_index is None or ("index", self.except_index) not in entry.labels)
        )


class WalkOptions(TypedDict, total=False):
    """The options of `Store.each`; see `Walk`."""

    order: Order
    after: Entry | None
    since: int
    younger_than: Place | None
    older_than: Place | None
    is_backward: bool
    limit: int
    index: str | None


@dataclass(frozen=True, slots=True)
class Walk:
    """A page of the events shown, each once, with its first dot."""

    order: Order = "created"
    """By (time, created) or by `added`."""
    after: Entry | None = None
    """The last entry of the page before."""
    since: int = 0
    """Leave out all with an `added` up to it."""
    younger_than: Place | None = None
    older_than: Place | None = None
    """Only what comes after the one and before the other in the order of (time, created)."""
    is_backward: bool = False
    """The last one first."""
    limit: int = PAGE_EVENTS
    index: str | None = None
    """Only those that have it among their `indexes`."""

    @property
    def span(self) -> tuple[Place | None, Place | None]:
        """Between which places what is left of a walk by (time, created) lies."""
        lowest, highest = self.younger_than, self.older_than
        if self.after is not None:
            place = self.after.time, self.after.created
            if self.is_backward:
                highest = place if highest is None else min(place, highest)
            else:
                lowest = place if lowest is None else max(place, lowest)
        return lowest, highest

    def fits(self, entry: Entry) -> bool:
        """Whether it is one of those between the bounds."""
        place = entry.time, entry.created
        return (
            entry.added > self.since
            and (self.younger_than is None or place > self.younger_than)
            and (self.older_than is None or place < self.older_than)
        )


@dataclass(frozen=True, slots=True)
class Appended:
    """What one `append` did."""

    results: tuple[Entry | ValueError | None, ...]
    """For each entry offered, in order: as it was stored, or None if it was known already (then it may be a second dot).

    A ValueError, which says what is wrong with it, only where the caller asked for that.
    """
    changes: tuple[Entry, ...]
    """Every change in the order of `position`, as `page` would give it: new events, and second dots with their events."""
    dots: VersionVector = field(default_factory=VersionVector)
    """Those taken, of `changes` and of what was cleaned at once; without those of renewed epochs, which nobody claims.

    Of more than MAX_RANGES ranges of an epoch the first.
    """
    is_revised: bool = False
    """Something that was read before is otherwise now: another copy is shown, or a dot is lost."""
    cleaning: Cleaning = NOTHING_CLEANED
    """What `keep_last` of these entries did to older ones, and to themselves if a newer one was there."""
    is_forked: bool = False
    """Others hold events under `epoch` that were not written here: our disk was rolled back. Go on in a renewed epoch."""


@dataclass(frozen=True, slots=True)
class Page:
    """A piece of the walk over all changes."""

    entries: tuple[Entry, ...]
    """In the order of `position`, each with the dot of its change. The same event comes once per dot."""
    until: int
    """The walk has looked at everything up to this position: go on from here."""


class Store(Protocol):
    """Keeps entries; knows nothing of time, threads or networks. One thread at a time may use one.

    - An **event** is identified by `created`. A **change** is an event or a further dot of one; it has a `position`: 1, 2,
      3 ... without gaps. `added` counts events only: 1, 2, 3 ...
    - All writes happen inside `transaction()`, and are on disk when it ends without an exception; otherwise it is as if
      none of them had been tried. Reads may happen inside or outside.
    - An event that was **cleaned** keeps its dots, created, time and digest (`Entry.tombstone`): so that it does not return,
      under whatever dot. It is not shown, found or given by `page`, and is not counted in `state.events`; no number changes.
      A better copy of it is cleaned at once; its rank counts from then on.
    - `Entry.local`, and what is cleaned, are this store's own and do not replicate.
    - Every method raises StoreError if the disk fails.
    """

    def open(self) -> StoreState:
        """Open or create it. Raises StoreError for a damaged file, one of a newer version, or one that cannot be written."""

    def close(self) -> None:
        """Close it; harmless when it is closed."""

    def transaction(self) -> AbstractContextManager[None]:
        """All or nothing."""

    @property
    def state(self) -> StoreState:
        """As of the last write, committed or not."""

    def append(
        self, entries: Sequence[Entry], *, epoch: Epoch, clock_ms: int = 0, is_each_alone: bool = False
    ) -> Appended:
        """Take entries, in order, inside a transaction.

        An entry without a dot is our own: it gets the next seq of `epoch` if its `created` is new, and is ignored if it is
        known. An entry with a dot came from another node:

        - the dot is known, for the same `created`: ignored, but the winner is kept (see below)
        - `created` is new: stored as an event, with the next `added` and `position`
        - `created` is known: a further dot of that event, with a `position` but no new `added`

        **Two copies that differ** (`not Entry.same_as`) under one `created`: the one with the smaller `rank` is shown from
        now on (in place: its `added` stays), the other is kept aside. **A dot that is known for another `created`**: the
        event with the smaller (time, digest) keeps the dot and is shown; the other is kept aside, and is no longer shown
        unless it has a dot of its own. Both are counted in `state.conflicts`; neither is an error.

        An event that comes with a dot of a **renewed epoch** (see `renew_epoch`) is taken without it: it gets the next
        dot of `epoch`, unless it has one already that is not of a renewed epoch. (If `epoch` stands in for it and has no
        dot yet it gets one all the same: by that the others hear of the renewal.)

        `state.vector` covers every dot taken, but for those of renewed epochs; `state.clock_ms` rises to `clock_ms`.
        Raises ValueError if an entry without a dot differs from the known one of its `created`, and takes none of them; or,
        where `is_each_alone`, takes the others, and that error stands among the results.
        """

    def renew_epoch(self, old: Epoch, new: Epoch) -> Appended:
        """Stop to use epoch `old`: others know other events under its dots. Every event that has one gets one of `new`.

        `new` stands in for `old` by its name (see `successor`), so that every store that takes a dot of `new` learns
        that `old` is renewed. From then on, in each of these stores, for good:

        - `state.vector` covers no dot of `old`: what others hold under it is offered again, whatever was there before
        - an event that has a dot of another epoch loses its dots of `old`
        - an event that was kept aside because of a dot of `old` gets a dot of the store's own epoch, and is shown

        So both events of a dot reach everybody, and no dot of `old` is left once they have. A renewal is forgotten when
        the store is closed before any dot of `new` was given. Appended.results is empty.
        Raises ValueError if `new` does not stand in for `old`.
        """

    def page(
        self, after: int, *, lacking: VersionVector | None = None, limit: int = PAGE_EVENTS, max_bytes: int = PAGE_BYTES
    ) -> Page:
        """Changes after position `after`, without those whose dot `lacking` covers.

        At most `limit` entries and `max_bytes` (`Entry.size` summed; always at least one entry), after a look at no more
        than PAGE_SCAN changes. An entry of a further dot is given whole: the event as shown, with that dot and position.
        """

    def first_lacked(self, vector: VersionVector) -> int:
        """The lowest position whose dot `vector` does not cover; `last_position + 1` if it covers all.

        What was cleaned does not count.
        """

    def find(self, created: Created) -> Entry | None:
        """The event as shown, with its first dot, or None."""

    def each(self, **options: Unpack[WalkOptions]) -> tuple[Entry, ...]:
        """A page of the events shown, each once, with its first dot: see `Walk`. Its end is found as fast as its start."""

    def aside(self) -> tuple[Entry, ...]:
        """The losing copies, oldest first. Those of cleaned events may be tombstones."""

    # How long events live

    def remove_reason(self, reason: str, criteria: Criteria, *, after: int = 0, limit: int = CLEAN_EVENTS) -> Cleaning:
        """Take the reason from the events that have it and fit; those without a reason left are cleaned.

        Looks at no more than `limit` events after position `after`. An event that names no reason has DEFAULT_REASON.
        """

    def add_reason(self, reason: str, criteria: Criteria, *, after: int = 0, limit: int = CLEAN_EVENTS) -> Cleaning:
        """Give the reason to the events that fit and do not have it, step by step as `remove_reason` does.

        Raises ValueError if one has too many, and then changes none in this step.
        """

    def change_meta(self, created: Created, diff: bytes) -> Cleaning | None:
        """Change keys of an event's meta in this store alone; None if it is not shown. An empty `reasons` cleans it.

        `diff` is what `encode_diff` made. Raises ValueError if the changes of one event get too large.
        """

    def clean(self, createds: Sequence[Created], reasons: frozenset[str] = ONLY_DEFAULT) -> Cleaning:
        """Clean those of these events that have no reason but these. An event that names no reason has DEFAULT_REASON."""

    # Others

    def probe(self) -> None:
        """Write something that means nothing, to see whether the disk takes it. Raises StoreError if it does not."""

    def cursors(self, other_node_id: str) -> tuple[int, int]:
        """What `keep_cursors` kept for that node: (synced, other_synced), or (0, 0)."""

    def keep_cursors(self, other_node_id: str, synced: int, other_synced: int) -> None:
        """Keep the cursors of a Logux client or server; beyond MAX_CURSORS, forget those that were kept longest ago."""
