"""Shapes of a cluster: which rooms dial each other, as pairs of names for `Cluster.start(..., links=...)`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import combinations, pairwise
from random import Random
from typing import Protocol, TypeVar

R = TypeVar("R")
Pairs = list[tuple[str, str]]
Links = Iterable[tuple[str, str]] | Callable[[Sequence[str]], Iterable[tuple[str, str]]]
"""Pairs of names that dial each other, or a shape: a function that makes the pairs from the names."""


def line(names: Sequence[str]) -> Pairs:
    """Each room is linked with the next one."""
    return list(pairwise(names))


def ring(names: Sequence[str]) -> Pairs:
    """A line whose ends are linked too."""
    return [*line(names), *([(names[-1], names[0])] if len(names) > 2 else [])]


def star(names: Sequence[str]) -> Pairs:
    """All are linked with the first one only."""
    return [(names[0], name) for name in names[1:]]


def full(names: Sequence[str]) -> Pairs:
    """Each is linked with all others."""
    return list(combinations(names, 2))


def two_lans(names: Sequence[str]) -> Pairs:
    """Two halves, in each of which all are linked; the first room is in both."""
    bridge, *others = names
    middle = (len(others) + 1) // 2
    return [*full([bridge, *others[:middle]]), *full([bridge, *others[middle:]])]


def chords(names: Sequence[str], *, random: Random, links_each: int = 4) -> Pairs:
    """A ring and random links across it, until each room has `links_each` on average, or all are linked."""
    links = dict.fromkeys(tuple(sorted(pair)) for pair in ring(names))
    wanted = min(len(names) * links_each, len(names) * (len(names) - 1)) // 2
    while len(links) < wanted:
        links[tuple(sorted(random.sample(names, 2)))] = None
    return [(one, other) for one, other in links]


def partners_of(name: str, pairs: Pairs) -> tuple[str, ...]:
    """The other name of each pair that this one is in."""
    return tuple(b if a == name else a for a, b in pairs if name in (a, b))


def read_links(names: Sequence[str], links: Links | None) -> Pairs | None:
    """The pairs that `links` gives for these names; None stays None. Raises ValueError for names or links that are none."""
    for name in names:
        if not isinstance(name, str):
            raise ValueError(f'start takes names, as in start("kitchen", "study"), not {name!r}')
        if list(names).count(name) > 1:
            raise ValueError(f"start: {name} is named twice")
    if links is None:
        return None
    made = links(names) if callable(links) else links
    pairs = [] if isinstance(made, str) else [(*pair,) for pair in made]
    if isinstance(made, str) or any(len(pair) != 2 or pair[0] == pair[1] for pair in pairs):
        raise ValueError(
            "start: `links` are pairs of names or a shape (line, ring, star, full, two_lans), "
            f'as in [("kitchen", "study")], not {made!r}'
        )
    return [(one, other) for one, other in pairs]


class Linked(Protocol):
    """A room, by its links."""

    name: str
    links: tuple[str, ...] | None


def may_be_linked(one: Linked, other: Linked) -> bool:
    """Whether two rooms may connect: a room with links uses no discovery, so one of the two must name the other."""
    if one.links is None and other.links is None:
        return True
    return other.name in (one.links or ()) or one.name in (other.links or ())


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
