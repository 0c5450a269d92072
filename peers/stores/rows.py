"""What every store has for rows: the parts that Taking is built on, and the numbers beside them."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Iterator, Sequence, Set
from dataclasses import dataclass, field
from typing import NamedTuple

from peers.events.created import Created
from peers.events.entry import Entry
from peers.events.version_vector import Dot, Epoch, VersionVector, lineage
from peers.stores.event_rows import EventNumbers, EventRows
from peers.stores.store import StoreState


@dataclass(slots=True)
class Numbers(EventNumbers):
    """What a store keeps in memory."""

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


class Rows(EventRows):
    """Keeps rows and numbers, and decides nothing. A row is a change; the event's own is the one that it came with.

    Tombstones are rows like all others, where nothing else is said.
    """

    _numbers: Numbers

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

    def _changes_of(self, createds: Iterable[Created]) -> list[Entry]:
        return self._changes(sorted(place for created in createds for place in self._places_of(created)))

    @abstractmethod
    def _events_in(self, epoch: Epoch) -> list[Entry]:
        """The events that have a dot of this epoch, in the order of these dots' positions."""

    @abstractmethod
    def _dots_of(self, created: Created) -> list[Dot]:
        """The dots of an event that is shown, in the order of their positions."""

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

    def _owner(self, dot: Dot) -> Created | None:
        """The event that has this dot."""
        event = self._at(dot)
        return event.created if event else None
