"""What every store has for rows: the parts that Taking is built on, and the numbers beside them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence, Set
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import NamedTuple

from peers.events.created import Created
from peers.events.entry import Entry
from peers.events.reasons import Label
from peers.events.version_vector import Dot, Epoch, VersionVector, lineage
from peers.stores.store import Place, StoreError, StoreState


class AlreadyKnown(StoreError):
    """An event that was taken for new is not: `append` begins again and looks first. At the second try it is damage."""

    def __init__(self) -> None:
        super().__init__("the store found an event twice: it is damaged; put a copy in its place, or move it away")


@dataclass(slots=True)
class Numbers:
    """What a store keeps in memory. The collections in it are never changed in place, so a shallow copy is enough."""

    last_added: int = 0
    last_position: int = 0
    events: int = 0
    clock_ms: int = 0
    conflicts: int = 0
    vector: VersionVector = field(default_factory=VersionVector)
    highest: dict[Epoch, int] = field(default_factory=dict)
    """The largest seq ever stored of each epoch; the vector may claim less."""
    cut: frozenset[Epoch] = frozenset()
    """Epochs that had MAX_RANGES once, or are renewed: dots of theirs may be stored that the vector does not cover."""
    generations: dict[str, int] = field(default_factory=dict)
    """The highest generation known of each root of epochs that were renewed."""

    def is_renewed(self, epoch: Epoch) -> bool:
        """Whether an epoch is known that stands in for this one: then a dot of this one says nothing for sure."""
        if not self.generations:
            return False
        root, generation = lineage(epoch)
        return generation < self.generations.get(root, 0)

    def copy(self) -> Numbers:
        """The same numbers, to go back to."""
        return Numbers(
            self.last_added,
            self.last_position,
            self.events,
            self.clock_ms,
            self.conflicts,
            self.vector,
            self.highest,
            self.cut,
            self.generations,
        )

    def heed(self, epochs: Iterable[Epoch]) -> None:
        """Note what these epochs stand in for."""
        for epoch in epochs:
            root, generation = lineage(epoch)
            if generation > self.generations.get(root, 0):
                self.generations = {**self.generations, root: generation}

    def heed_known(self) -> None:
        """Note it of all epochs in use, when a store is opened: one that was never used is not known to others either."""
        self.generations = {}
        self.heed(epoch for epoch, seq in self.highest.items() if seq)


class Copy(NamedTuple):
    """One copy of an event in a store, as `Rows.copies` gives it."""

    created: Created
    digest: bytes
    """SHA-256 of the event; empty if it was cleaned."""
    is_aside: bool
    """Whether it lost against another copy and is kept aside."""


class Rows(ABC):
    """Keeps rows and numbers, and decides nothing. A row is a change; the event's own is the one that it came with.

    Tombstones are rows like all others, where nothing else is said.
    """

    def __init__(self) -> None:
        self._numbers = Numbers()
        self._touched: set[Epoch] = set()
        """Epochs whose part of the vector changed in this transaction."""

    @property
    def state(self) -> StoreState:
        numbers = self._numbers
        return StoreState(
            last_added=numbers.last_added,
            last_position=numbers.last_position,
            events=numbers.events,
            clock_ms=numbers.clock_ms,
            conflicts=numbers.conflicts,
            vector=numbers.vector,
        )

    # For checks from outside: read-only, and what the open transaction has written counts

    @property
    def numbers(self) -> Numbers:
        """The numbers as they are now. Do not change them."""
        return self._numbers

    def holds(self, created: Created) -> bool:
        """Whether a copy of the event is here: shown, cleaned or kept aside."""
        return self._shown(created) is not None or bool(self._aside_of(created))

    @abstractmethod
    def copies(self) -> Iterator[Copy]:
        """All copies of all events, those shown or cleaned first."""

    @abstractmethod
    def dots(self) -> Iterator[Dot]:
        """All dots that stand for an event."""

    @abstractmethod
    def all_cursors(self) -> Iterator[tuple[str, tuple[int, int]]]:
        """(other_node_id, (synced, other_synced)) of every other end whose cursors are kept."""

    @abstractmethod
    def writes(self) -> int:
        """A number that changes with each write of the open transaction."""

    # For the classes that are built on this one

    @abstractmethod
    def _known_among(self, entries: Sequence[Entry], *, is_second_try: bool) -> dict[Created, Entry | None]:
        """Those shown and, with None, those aside. The first try may leave out what `_insert` notices."""

    @abstractmethod
    def _insert(self, changes: list[Entry], further: Set[int]) -> None:
        """Add rows, in order: of new events, or, at the positions in `further`, of further dots of events that have a row.

        Raises AlreadyKnown if a new event is not; then `append` undoes all that it did.
        """

    @abstractmethod
    def _at(self, dot: Dot) -> Entry | None:
        """The event that has this dot, read as the change that gave it."""

    def _at_all(self, dots: Sequence[Dot]) -> dict[Dot, Entry]:
        """The same of many dots, without those that no event has."""
        return {dot: event for dot in dots if (event := self._at(dot)) is not None}

    @abstractmethod
    def _shown(self, created: Created) -> Entry | None:
        """The event with its first dot; its position is that of its own row. The dot is None if it has lost all."""

    @abstractmethod
    def _replace(self, copy: Entry) -> None:
        """Show this copy of its `created` instead, with the same added, position and dots."""

    @abstractmethod
    def _drop_dot(self, dot: Dot) -> None:
        """Take the dot from its event. The event's own row stays, without a dot; that of a further dot goes."""

    @abstractmethod
    def _hide(self, created: Created) -> None:
        """Remove the row of an event that has no dot left."""

    @abstractmethod
    def _changes(self, positions: Sequence[int]) -> list[Entry]:
        """The changes at these positions, as `page` gives them; not those that are gone, or whose events are cleaned."""

    @abstractmethod
    def _events_in(self, epoch: Epoch) -> list[Entry]:
        """The events that have a dot of this epoch, in the order of these dots' positions."""

    @abstractmethod
    def _dots_of(self, created: Created) -> list[Dot]:
        """The dots of an event that is shown, in the order of their positions."""

    @abstractmethod
    def _places_of(self, created: Created) -> list[int]:
        """The positions of these dots, in order."""

    @abstractmethod
    def _doubled(self, epoch: Epoch) -> list[Created]:
        """The events that have a dot of this epoch and one of another."""

    @abstractmethod
    def aside(self) -> tuple[Entry, ...]:
        """As Store.aside."""

    @abstractmethod
    def _aside_of(self, created: Created) -> list[Entry]:
        """The claims kept aside of this event, oldest first, each with the dot that it claimed."""

    @abstractmethod
    def _insert_aside(self, claim: Entry) -> None:
        """Keep a claim aside."""

    @abstractmethod
    def _remove_aside(self, claim: Entry) -> None:
        """Forget a claim, which equals one that `_aside_of` gave."""

    @abstractmethod
    def _set_local(self, event: Entry, local: bytes) -> None:
        """Give an event that is shown these local changes of its meta. Its labels follow, as they do in all of these."""

    @abstractmethod
    def _bury(self, event: Entry) -> None:
        """Make a tombstone of an event that is shown."""

    @abstractmethod
    def _living(self, after: int, limit: int) -> list[Entry]:
        """Events shown whose own row is after this position, in the order of these."""

    @abstractmethod
    def _labelled(self, label: Label, after: int, limit: int) -> list[Entry]:
        """As `_living`, of those that have this reason or index."""

    @abstractmethod
    def _with_older_reason(self, reason: str, place: Place) -> list[Entry]:
        """Those that name this reason and come before `place`, in the order of (time, created)."""

    @abstractmethod
    def _last_kept(self, reason: str) -> Place | None:
        """The place of the newest copy that came with this `keep_last`."""

    @abstractmethod
    def _set_last_kept(self, reason: str, place: Place) -> None:
        """Note the place of one that is newer."""

    @abstractmethod
    def _piece(self) -> AbstractContextManager[None]:
        """All or nothing, numbers too, inside the transaction. Raises RuntimeError outside of one."""

    def _owner(self, dot: Dot) -> Created | None:
        """The event that has this dot."""
        event = self._at(dot)
        return event.created if event else None
