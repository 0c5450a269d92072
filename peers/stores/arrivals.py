"""Arrivals: when entries came into a store, and through whom; kept for what came at once, not for each entry."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from operator import attrgetter
from typing import NamedTuple, Protocol

MAX_ARRIVALS = 100_000
"""Beyond it, the older half of them is merged two by two, some at a time."""
SAME_ARRIVAL_MS = 1_000
"""What comes from one node within so long is one arrival."""
WRITTEN_HERE = ""
"""`via` of what this node wrote itself: own events, those of its clients, and those that it adopted or imported."""

_first = attrgetter("first")


class Arrival(NamedTuple):
    """Entries with positions from `first` to `last`."""

    first: int
    last: int
    ms: int
    """When the first of them came, by the wall clock; `until_ms`, when the last one did."""
    until_ms: int
    via: str | None
    """The node that sent them, or WRITTEN_HERE; None: several did, since old arrivals were merged."""


class KeepsArrivals(Protocol):
    """The part of a store that keeps arrivals. Releases before wrote none: what came then has none."""

    def arrive(self, first: int, ms: int, via: str) -> None:
        """All entries from this position on came at `ms`, in a transaction of the caller."""

    def arrival(self, position: int) -> Arrival | None:
        """That of the entry or fill at this position; None if it is not known."""

    def came_since(self, ms: int) -> tuple[int, int] | None:
        """How many entries came from `ms` on, and the time from which on that is known, if that is later.

        None if nothing is known.
        """


def extended(last: Arrival | None, first: int, until: int, ms: int, via: str) -> Arrival:
    """The arrival of entries from `first` to `until`: `last` with these, if they belong to it, else a new one."""
    if (
        last is not None
        and last.via == via
        and last.last + 1 == first
        and last.ms <= last.until_ms <= ms < last.ms + SAME_ARRIVAL_MS
    ):
        return Arrival(last.first, until, last.ms, ms, via)
    return Arrival(first, until, ms, ms, via)


def paired(arrivals: Sequence[Arrival]) -> list[Arrival]:
    """These, merged two by two where they follow each other: half as many."""
    found: list[Arrival] = []
    at = 0
    while at < len(arrivals):
        one = arrivals[at]
        other = arrivals[at + 1] if at + 1 < len(arrivals) else None
        if other is not None and other.first == one.last + 1:
            via = one.via if one.via == other.via else None
            one = Arrival(one.first, other.last, min(one.ms, other.ms), max(one.until_ms, other.until_ms), via)
            at += 1
        found.append(one)
        at += 1
    return found


def counted(before: Arrival | None, first: Arrival | None, last_position: int, ms: int) -> tuple[int, int] | None:
    """What `came_since` says: `before` is the last arrival that was over at `ms`, `first` the first one of all."""
    if before is not None:
        return last_position - before.last, ms
    return None if first is None else (last_position - first.first + 1, max(ms, first.ms))


def found_in(arrivals: Sequence[Arrival], position: int) -> Arrival | None:
    """The one with this position, of some in order."""
    at = bisect_right(arrivals, position, key=_first) - 1
    return arrivals[at] if at >= 0 and position <= arrivals[at].last else None
