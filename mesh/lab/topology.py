"""Shapes of a house: who dials whom, as pairs of names for `Cluster.start(..., links=...)`; and who is left together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import combinations, pairwise
from random import Random
from typing import TypeVar

R = TypeVar("R")
Links = list[tuple[str, str]]


def line(names: Sequence[str]) -> Links:
    """Each knows the next one."""
    return list(pairwise(names))


def ring(names: Sequence[str]) -> Links:
    """A line whose ends meet."""
    return [*line(names), *([(names[-1], names[0])] if len(names) > 2 else [])]


def star(names: Sequence[str]) -> Links:
    """All know the first one only."""
    return [(names[0], name) for name in names[1:]]


def full(names: Sequence[str]) -> Links:
    """All know all."""
    return list(combinations(names, 2))


def two_lans(names: Sequence[str]) -> Links:
    """Two halves in which all know all; the first one is in both."""
    bridge, *others = names
    middle = (len(others) + 1) // 2
    return [*full([bridge, *others[:middle]]), *full([bridge, *others[middle:]])]


def chords(names: Sequence[str], *, random: Random, links_each: int = 4) -> Links:
    """A ring, and links across it at random until each has `links_each` on average; all, if there are not so many."""
    links = dict.fromkeys(tuple(sorted(pair)) for pair in ring(names))
    wanted = min(len(names) * links_each, len(names) * (len(names) - 1)) // 2
    while len(links) < wanted:
        links[tuple(sorted(random.sample(names, 2)))] = None
    return [(one, other) for one, other in links]


def groups_of(rooms: Sequence[R], can_talk: Callable[[R, R], bool]) -> list[list[R]]:
    """The rooms that can talk, directly or through others, in groups."""
    left = list(rooms)
    groups: list[list[R]] = []
    while left:
        group = [left.pop(0)]
        for room in group:
            near = [other for other in left if can_talk(room, other)]
            group += near
            left = [other for other in left if other not in near]
        groups.append(group)
    return groups
