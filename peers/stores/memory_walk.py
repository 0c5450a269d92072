"""The pages of a Walk over events in memory, which are kept in both orders."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from itertools import islice
from operator import itemgetter

from peers.events.created import Created
from peers.events.entry import Entry
from peers.stores.store import Place, Walk

_ADDED = itemgetter(0)


def walk_by_place(walk: Walk, places: Sequence[Place], events: Mapping[Created, Entry]) -> tuple[Entry, ...]:
    """The page of a walk in the order of (time, created), in which `places` are."""
    lowest, highest = walk.span
    start = 0 if lowest is None else bisect_right(places, lowest)
    end = len(places) if highest is None else bisect_left(places, highest)
    return _taken(walk, start, end, places, events)


def walk_by_added(
    walk: Walk, numbers: Sequence[tuple[int, Created]], events: Mapping[Created, Entry]
) -> tuple[Entry, ...]:
    """The page of a walk in the order of `added`, in which `numbers` are."""
    start, end = bisect_right(numbers, walk.since, key=_ADDED), len(numbers)
    if walk.after is not None:
        if walk.is_backward:
            end = bisect_left(numbers, walk.after.added, key=_ADDED)
        else:
            start = max(start, bisect_right(numbers, walk.after.added, key=_ADDED))
    return _taken(walk, start, end, numbers, events)


def _taken(
    walk: Walk, start: int, end: int, keys: Sequence[tuple[int, Created]], events: Mapping[Created, Entry]
) -> tuple[Entry, ...]:
    steps = range(end - 1, start - 1, -1) if walk.is_backward else range(start, end)
    found = (events[keys[step][1]] for step in steps)
    return tuple(islice((entry for entry in found if walk.fits(entry)), walk.limit))
