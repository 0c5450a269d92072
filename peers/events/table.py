"""EventTable: events of any nodes in columns, with what is the same on every node."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise

from peers.events.columns import EventColumns, created_of
from peers.events.created import Created
from peers.events.entry import Entry


class EventTable:
    """Has no `added`, `dot` nor changes of one log. The columns have one length; who made a table may extend it."""

    __slots__ = ("bodies", "createds", "extras", "origins", "times", "vouched")

    def __init__(
        self,
        times: list[int],
        createds: list[Created],
        bodies: list[bytes],
        extras: list[bytes],
        origins: list[str | None],
        vouched: list[str],
    ) -> None:
        """Each as in an Entry."""
        self.times = times
        self.createds = createds
        self.bodies = bodies
        self.extras = extras
        self.origins = origins
        self.vouched = vouched

    @classmethod
    def of(cls, entries: Sequence[Entry] = ()) -> EventTable:
        """Of these events."""
        count = len(entries)
        if isinstance(entries, EventColumns):
            columns = list(entries.ms), created_of(entries), list(entries.bodies)
            return cls(*columns, [b""] * count, [entries.origin] * count, [""] * count)
        return cls(
            [entry.time for entry in entries],
            created_of(entries),
            [entry.body for entry in entries],
            [entry.extra for entry in entries],
            [entry.origin for entry in entries],
            [entry.vouched for entry in entries],
        )

    def __len__(self) -> int:
        return len(self.times)

    def __getitem__(self, part: slice) -> EventTable:
        """A part as a table of its own."""
        return EventTable(
            self.times[part],
            self.createds[part],
            self.bodies[part],
            self.extras[part],
            self.origins[part],
            self.vouched[part],
        )

    def __delitem__(self, part: slice) -> None:
        del self.times[part], self.createds[part], self.bodies[part]
        del self.extras[part], self.origins[part], self.vouched[part]

    def __add__(self, other: EventTable) -> EventTable:
        """These, then those."""
        found = self[:]
        found += other
        return found

    def __iadd__(self, other: EventTable) -> EventTable:
        self.times += other.times
        self.createds += other.createds
        self.bodies += other.bodies
        self.extras += other.extras
        self.origins += other.origins
        self.vouched += other.vouched
        return self

    def at(self, rows: Sequence[int]) -> EventTable:
        """Those in these rows, in this order; the same table for all rows in order."""
        if len(rows) == len(self) and all(row == at for at, row in enumerate(rows)):
            return self
        return EventTable(
            [self.times[row] for row in rows],
            [self.createds[row] for row in rows],
            [self.bodies[row] for row in rows],
            [self.extras[row] for row in rows],
            [self.origins[row] for row in rows],
            [self.vouched[row] for row in rows],
        )

    def without(self, createds: Iterable[Created]) -> EventTable:
        """All but these."""
        gone = frozenset(createds)
        return self.at([row for row, created in enumerate(self.createds) if created not in gone]) if gone else self

    def place(self, row: int) -> tuple[int, Created]:
        """(time, created) of one."""
        return self.times[row], self.createds[row]

    def in_order(self) -> EventTable:
        """By (time, created)."""
        places = list(zip(self.times, self.createds, strict=True))
        if all(one <= other for one, other in pairwise(places)):
            return self
        return self.at(sorted(range(len(places)), key=places.__getitem__))

    def entry(self, row: int) -> Entry:
        """One as an Entry, as far as it is known."""
        return Entry(
            self.createds[row],
            self.times[row],
            self.bodies[row],
            self.extras[row],
            origin=self.origins[row],
            vouched=self.vouched[row],
        )

    @property
    def bytes(self) -> int:
        """Of all events and their metas."""
        return sum(map(len, self.bodies)) + sum(map(len, self.extras))
