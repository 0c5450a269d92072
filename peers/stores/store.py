"""What every store takes and gives beside entries: its errors, walks over its events, criteria, and what cleaning did."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol, TypedDict, TypeVar

from peers.events.created import Created
from peers.events.dot import Dot
from peers.events.entry import Entry
from peers.events.reasons import DEFAULT_REASON
from peers.stores.event_types import EventTypes

T = TypeVar("T")

Order = Literal["created", "added"]

Place = tuple[int, Created]
"""(time, created): where an event is in the order that is the same on every node."""

ONLY_DEFAULT = frozenset((DEFAULT_REASON,))
CLEAN_EVENTS = 200
"""Events that one step of a removal or a cleaning looks at, so that other work does not wait for it."""
LOOK_EVENTS = 1_000
"""Events that one look at a walk compares with its types, so that other work does not wait for it: a few ms."""
PAGE_EVENTS = 500
PAGE_BYTES = 512 * 1024

MAX_CURSORS = 10_000
"""Logux clients and servers whose cursors are kept; beyond it the one whose cursors were not kept for longest is forgotten."""
MAX_ADD_KEYS = 1_000_000
"""Keys of adds that are kept; beyond it those that came first are forgotten."""


DISK_FULL = "its disk is full"
"""What other nodes are told of a full disk."""


class StoreError(Exception):
    """The store cannot be used, or could not do what was asked; the sentence says which, why, and what would fix it.

    `brief` is what other nodes are told of it, without paths; empty if they are not.
    """

    def __init__(self, sentence: str, brief: str = "") -> None:
        super().__init__(sentence)
        self.brief = brief


class KeyRow(NamedTuple):
    """What a store keeps of the first add with a key; also after its event was cleaned."""

    key: bytes
    """The hash of the key."""
    event: bytes
    """The hash of the event's value."""
    created: Created
    time: int
    added: int
    dot: Dot


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
        """Whether this one fulfils all of them."""
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
    """The options of a store's `each`; see `Walk`."""

    order: Order
    after: Entry | None
    since: int
    younger_than: Place | None
    older_than: Place | None
    reverse: bool
    limit: int
    index: str | None
    types: EventTypes | None


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
    reverse: bool = False
    """The last one first."""
    limit: int = PAGE_EVENTS
    index: str | None = None
    """Only those that have it among their `indexes`."""
    types: EventTypes | None = None
    """Only those of one of these types."""

    @property
    def span(self) -> tuple[Place | None, Place | None]:
        """Between which places what is left of a walk by (time, created) lies."""
        lowest, highest = self.younger_than, self.older_than
        if self.after is not None:
            place = self.after.time, self.after.created
            if self.reverse:
                highest = place if highest is None else min(place, highest)
            else:
                lowest = place if lowest is None else max(place, lowest)
        return lowest, highest

    def is_between(self, place: Place) -> bool:
        """Whether the bounds allow this place."""
        return (self.younger_than is None or place > self.younger_than) and (
            self.older_than is None or place < self.older_than
        )

    def fits(self, entry: Entry) -> bool:
        """Whether it is one of those that are asked for, of a walk without `index`."""
        return (
            entry.added > self.since
            and self.is_between((entry.time, entry.created))
            and (self.types is None or self.types.fit(entry.body))
        )

    def take(self, items: Iterable[T], fits: Callable[[T], bool], most: int | None) -> tuple[list[T], T | None]:
        """The first `limit` of the items that fit; and the last item that was looked at, None if that was all.

        It looks at no more than `most` items; None: at as many as it takes.
        """
        found: list[T] = []
        if self.limit < 1:
            return found, None
        for looked, item in enumerate(items, 1):
            if fits(item):
                found.append(item)
            if len(found) >= self.limit or looked == most:
                return found, item
        return found, None


class Looked(NamedTuple):
    """What a look at a walk found."""

    entries: tuple[Entry, ...]
    rest: Entry | None
    """The last event that it looked at: the walk goes on after it. None: this is the end of the walk."""


@dataclass(frozen=True, slots=True)
class Page:
    """A piece of the walk over all changes."""

    entries: Sequence[Entry]
    """In the order of `position`, each with the dot of its change. The same event comes once per dot."""
    until: int
    """The walk has looked at everything up to this position: go on from here."""


class KeptBeside(Protocol):
    """What a store keeps beside events, and whether the disk takes it. All raise StoreError if the disk fails."""

    def probe(self) -> None:
        """Write something that means nothing, to see whether the disk takes it. Raises StoreError if it does not."""

    def cursors(self, other_node_id: str) -> tuple[int, int]:
        """What `keep_cursors` kept for that node: (synced, other_synced), or (0, 0)."""

    def keep_cursors(self, other_node_id: str, synced: int, other_synced: int) -> None:
        """Keep the cursors of a Logux client or server; beyond MAX_CURSORS, forget those that were kept longest ago."""

    def keyed(self, keys: Sequence[bytes]) -> dict[bytes, KeyRow]:
        """What `keep_keys` kept for those of these hashes of keys that are known."""

    def keep_keys(self, rows: Sequence[KeyRow]) -> None:
        """Keep new keys of adds, whose events were appended; beyond MAX_ADD_KEYS, forget those that were kept first."""
