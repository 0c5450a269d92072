"""What every store has of its events: the rows that rules about their lives are built on, and the numbers beside them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Self, Unpack

from peers.events.columns import EventTable
from peers.events.created import Created
from peers.events.dot import Dot
from peers.events.entry import Entry
from peers.events.reasons import Kept, Label
from peers.stores.store import Looked, Place, StoreError, WalkOptions


class AlreadyKnown(StoreError):
    """An event that was taken for new is not: what took it begins again and looks first. At the second try it is damage."""

    def __init__(self) -> None:
        super().__init__("the store found an event twice: it is damaged; put a copy in its place, or move it away")


@dataclass(slots=True)
class EventNumbers:
    """What every store counts. Collections in these numbers are never changed in place, so a shallow copy is enough."""

    last_added: int = 0
    last_position: int = 0
    events: int = 0
    clock_ms: int = 0
    conflicts: int = 0

    def copy(self) -> Self:
        """The same numbers, to go back to."""
        return replace(self)


class EventRows(ABC):
    """Keeps events, shown ones and tombstones, and decides nothing."""

    _numbers: EventNumbers

    @abstractmethod
    def look(self, most: int | None, **options: Unpack[WalkOptions]) -> Looked:
        """As in the port; None: at as many as it takes."""

    def each(self, **options: Unpack[WalkOptions]) -> tuple[Entry, ...]:
        """As in the port."""
        return self.look(None, **options).entries

    def table(self, after: Place | None, *, until: int, limit: int, max_bytes: int) -> tuple[EventTable, Place | None]:
        """As in the port."""
        found = self.each(younger_than=after, limit=limit)
        end = None if len(found) < limit else (found[-1].time, found[-1].created)
        return EventTable.of([entry for entry in found if entry.added <= until]), end

    @abstractmethod
    def all_cursors(self) -> Iterator[tuple[str, tuple[int, int]]]:
        """(other_node_id, (synced, other_synced)) of every other end whose cursors are kept."""

    @abstractmethod
    def writes(self) -> int:
        """A number that changes with each write of the open transaction."""

    # For the classes that are built on this one

    @abstractmethod
    def _shown(self, created: Created) -> Entry | None:
        """The event with its first dot; its position is that of its own row. The dot is None if it has lost all."""

    @abstractmethod
    def _changes_of(self, createds: Iterable[Created]) -> list[Entry]:
        """The changes of these events, in the order of their positions; not those of events that are gone or cleaned."""

    @abstractmethod
    def _places_of(self, created: Created) -> list[int]:
        """The positions of the dots of an event, in order."""

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
    def _with_older_reason(self, kept: Kept, place: Place) -> list[Entry]:
        """Those of this author that name this reason and come before `place`, in the order of (time, created)."""

    @abstractmethod
    def _last_kept(self, kept: Kept) -> Place | None:
        """The place of the newest copy that came with this `keep_last`."""

    @abstractmethod
    def _set_last_kept(self, kept: Kept, place: Place) -> None:
        """Note the place of one that is newer."""

    @abstractmethod
    def _piece(self) -> AbstractContextManager[None]:
        """All or nothing, numbers too, inside the transaction. Raises RuntimeError outside of one."""


def as_change(event: Entry, dot: Dot, position: int) -> Entry:
    """The same event, read as the change at `position`."""
    return Entry(
        event.created,
        event.time,
        event.body,
        event.extra,
        dot,
        event.added,
        position,
        event.local,
        event.tombstone,
        event.origin,
        event.vouched,
    )
