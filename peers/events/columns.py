"""Events in columns, since an object for each costs more than all else that is done with it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain, count, pairwise, repeat
from operator import eq
from typing import Any, TypeVar, cast, overload

from msgspec import json

from peers.events.created import Created
from peers.events.dot import Dot
from peers.events.entry import META_BYTES, Entry

_Item = TypeVar("_Item")
Items = Sequence[Entry | bytes]
"""Events, and the leaves of entries without one."""
_COLUMNS = ("ms", "n", "bodies")
_numbers = json.Decoder(list[int]).decode


class EventColumns(Sequence[Entry]):
    """Events of one node, without metas, whose `time` is their ms: nearly all are. An Entry is made when one is asked for.

    It is a sequence of these entries, equal to any other of the same ones, and never changed. `dot`, `added` and `position`
    are those of the first one and go up by one from each to the next; `origin` is the same for all.
    """

    __slots__ = ("added", "bodies", "bytes", "dot", "leaves", "ms", "n", "node_id", "origin", "position")

    def __init__(
        self,
        node_id: str,
        ms: Sequence[int],
        n: Sequence[int],
        bodies: Sequence[bytes],
        dot: Dot | None = None,
        added: int = 0,
        position: int = 0,
        origin: str | None = None,
    ) -> None:
        """`ms` and `n` are those of `created`; there are as many as `bodies`, at least one."""
        self.node_id = node_id
        self.ms = ms
        self.n = n
        self.bodies = bodies
        self.dot = dot
        self.added = added
        self.position = position
        self.origin = origin
        self.leaves: list[bytes] | None = None
        """Of each, between `hash_ahead` and `leaves_of`."""
        self.bytes = sum(map(len, bodies))
        """Of the bodies."""

    @property
    def texts(self) -> tuple[bytes, bytes, bytes]:
        """All `ms` and all `n`, with commas between them, and all bodies, with zero bytes: no JSON text has one."""
        return json.encode(self.ms)[1:-1], json.encode(list(self.n))[1:-1], b"\0".join(self.bodies)

    @property
    def createds(self) -> Iterator[Created]:
        """The `created` of each."""
        return zip(self.ms, repeat(self.node_id), self.n, strict=False)

    def metas(self) -> Iterator[dict[str, Any]]:
        """`Entry.meta` of each, for events that have their places."""
        epoch, seq = self.dot or ("", 0)
        node_id, origin = self.node_id, self.origin
        for ms, n, added, own in zip(self.ms, self.n, count(self.added), count(seq), strict=False):
            yield {"created": (ms, node_id, n), "time": ms, "added": added, "dot": (epoch, own), "origin": origin}

    def __len__(self) -> int:
        return len(self.ms)

    def __iter__(self) -> Iterator[Entry]:
        if self.dot is None:
            return map(Entry, self.createds, self.ms, self.bodies)
        dots = zip(repeat(self.dot[0]), count(self.dot[1]), strict=False)
        nothing, places = repeat(b""), (count(self.added), count(self.position))
        return map(
            Entry, self.createds, self.ms, self.bodies, nothing, dots, *places, nothing, nothing, repeat(self.origin)
        )

    @overload
    def __getitem__(self, index: int) -> Entry: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[Entry]: ...

    def __getitem__(self, index: int | slice) -> Entry | Sequence[Entry]:
        if isinstance(index, int):
            at = range(len(self.ms))[index]  # IndexError
            ms = self.ms[at]
            created = ms, self.node_id, self.n[at]
            if self.dot is None:
                return Entry(created, ms, self.bodies[at])
            epoch, seq = self.dot
            places = self.added + at, self.position + at, b"", b""
            return Entry(created, ms, self.bodies[at], b"", (epoch, seq + at), *places, self.origin)
        at, end, _ = index.indices(len(self.ms))
        if at >= end:
            return ()
        if end - at == len(self.ms):
            return self
        part = slice(at, end)
        columns = self.node_id, self.ms[part], self.n[part], self.bodies[part]
        if self.dot is None:
            return EventColumns(*columns)
        epoch, seq = self.dot
        return EventColumns(*columns, (epoch, seq + at), self.added + at, self.position + at, self.origin)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence) or len(self) != len(other):
            return NotImplemented if not isinstance(other, Sequence) else False
        return all(map(eq, self, other))

    def __hash__(self) -> int:
        return hash(tuple(self))

    def __repr__(self) -> str:
        return repr(tuple(self))

    def follows(self, other: EventColumns) -> bool:
        """Whether both can be one: the places of these, if they have any, go on after those of `other`."""
        if self.dot is None or other.dot is None:
            return self.node_id == other.node_id and self.dot is other.dot
        length = len(other)
        return (self.node_id, self.dot, self.added, self.position, self.origin) == (
            other.node_id,
            (other.dot[0], other.dot[1] + length),
            other.added + length,
            other.position + length,
            other.origin,
        )


class TextColumns(EventColumns):
    """The same, made of its `texts`: who sends events on needs nothing else of them."""

    __slots__ = ("_count", "_is_read", "_texts")

    def __init__(self, node_id: str, texts: tuple[bytes, bytes, bytes], count: int) -> None:
        """Of `count` events. Access to a column raises ValueError if its text is that of fewer or more, or of no numbers."""
        self.node_id = node_id
        self.dot, self.added, self.position, self.origin, self.leaves = None, 0, 0, None, None
        self.bytes = len(texts[2]) - count + 1
        self._count = count
        self._is_read = False
        self._texts = texts

    @property
    def texts(self) -> tuple[bytes, bytes, bytes]:
        return self._texts

    @property
    def is_read(self) -> bool:
        """Whether a column was asked for."""
        return self._is_read

    def __len__(self) -> int:
        return self._count

    def __getattr__(self, name: str) -> Any:
        """A column that is asked for first."""
        if name not in _COLUMNS:
            raise AttributeError(name)
        text = self._texts[_COLUMNS.index(name)]
        column: Sequence[Any] = text.split(b"\0") if name == "bodies" else _numbers(b"[%b]" % text)
        if len(column) != self._count:
            raise ValueError(f"{len(column)} {name} of {self._count} events")
        self._is_read = True
        setattr(self, name, column)
        return column


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


def joined(parts: Sequence[Sequence[_Item]]) -> Sequence[_Item]:
    """All of these in a row; of columns that go on from one to the next, as columns."""
    if len(parts) == 1:
        return parts[0]
    if parts and all(isinstance(part, EventColumns) for part in parts):
        columns = cast("Sequence[EventColumns]", parts)
        if all(later.follows(part) for part, later in pairwise(columns)):
            first = columns[0]
            found = EventColumns(
                first.node_id,
                list(chain.from_iterable([part.ms for part in columns])),
                list(chain.from_iterable([part.n for part in columns])),
                list(chain.from_iterable([part.bodies for part in columns])),
                first.dot,
                first.added,
                first.position,
                first.origin,
            )
            return cast("Sequence[_Item]", found)
    return tuple([item for part in parts for item in part])


def placed(events: Sequence[Entry], dot: Dot, added: int, position: int, origin: str | None) -> Sequence[Entry]:
    """These events with `dot`, `added` and `position` from these on, each one more than the one before."""
    if isinstance(events, EventColumns):
        return EventColumns(events.node_id, events.ms, events.n, events.bodies, dot, added, position, origin)
    numbered = zip(events, zip(repeat(dot[0]), count(dot[1])), count(added), count(position), strict=False)
    return tuple(
        [
            Entry(event.created, event.time, event.body, event.extra, own, number, place, b"", b"", origin)
            for event, own, number, place in numbered
        ]
    )


def are_events_alone(items: Items) -> bool:
    """Whether each of these is an event."""
    return isinstance(items, EventColumns) or set(map(type, items)) == {Entry}


def events_of(items: Items) -> Sequence[Entry]:
    """The events among these."""
    return items if isinstance(items, EventColumns) else [item for item in items if isinstance(item, Entry)]


def nodes_of(items: Items) -> set[str]:
    """The node ids in the `created` of the events among these."""
    return {items.node_id} if isinstance(items, EventColumns) else {event.created[1] for event in events_of(items)}


def created_of(events: Sequence[Entry]) -> list[Created]:
    """The `created` of each."""
    return list(events.createds) if isinstance(events, EventColumns) else [event.created for event in events]


def latest_of(items: Items) -> int:
    """The largest `time` of the events among these, 0 without one."""
    if isinstance(items, EventColumns):
        return max(items.ms)
    return max([event.time for event in events_of(items)], default=0)


def leaves_alone(items: Items) -> Sequence[bytes]:
    """The leaves of entries without an event among these."""
    return () if isinstance(items, EventColumns) else [item for item in items if not isinstance(item, Entry)]


def shown_of(events: Sequence[Entry]) -> Iterator[tuple[dict[str, Any], Mapping[str, Any]]]:
    """`Entry.event` and `Entry.meta` of each, when it is asked for."""
    if isinstance(events, EventColumns):
        return zip(map(json.decode, events.bodies), events.metas(), strict=True)
    return ((event.event, event.meta) for event in events)


def sizes_of(events: Sequence[Entry]) -> list[int]:
    """The bytes of each event and its meta."""
    if isinstance(events, EventColumns):
        return list(map(len, events.bodies))
    return [len(event.body) + len(event.extra) for event in events]


def bytes_of(events: Sequence[Entry]) -> int:
    """The bytes of all events and their metas."""
    return events.bytes if isinstance(events, EventColumns) else sum(sizes_of(events))


def size_of(items: Items) -> int:
    """The `Entry.size` of all of these, of which some may be leaves."""
    if isinstance(items, EventColumns):  # nearly always
        return META_BYTES * len(items) + items.bytes
    return META_BYTES * len(items) + bytes_of(events_of(items))
