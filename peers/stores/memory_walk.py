"""The pages of a Walk over events in memory, which are kept in both orders."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from operator import itemgetter

from peers.events.created import Created
from peers.events.entry import Entry
from peers.stores.store import Looked, Place, Walk

_ADDED = itemgetter(0)


def walk_by_place(walk: Walk, most: int | None, places: Sequence[Place], events: Mapping[Created, Entry]) -> Looked:
    """The page of a walk in the order of (time, created), in which `places` are."""
    lowest, highest = walk.span
    start = 0 if lowest is None else bisect_right(places, lowest)
    end = len(places) if highest is None else bisect_left(places, highest)
    return _taken(walk, most, range(start, end), places, events)


def walk_by_added(
    walk: Walk, most: int | None, numbers: Sequence[tuple[int, Created]], events: Mapping[Created, Entry]
) -> Looked:
    """The page of a walk in the order of `added`, in which `numbers` are."""
    start, end = bisect_right(numbers, walk.since, key=_ADDED), len(numbers)
    if walk.after is not None:
        if walk.reverse:
            end = bisect_left(numbers, walk.after.added, key=_ADDED)
        else:
            start = max(start, bisect_right(numbers, walk.after.added, key=_ADDED))
    return _taken(walk, most, range(start, end), numbers, events)


def _taken(
    walk: Walk, most: int | None, steps: range, keys: Sequence[tuple[int, Created]], events: Mapping[Created, Entry]
) -> Looked:
    there = (events[keys[step][1]] for step in (reversed(steps) if walk.reverse else steps))
    found, rest = walk.take(there, walk.fits, most)
    return Looked(tuple(found), rest)
