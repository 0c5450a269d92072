"""Shapes of a house: who dials whom, as pairs of names, for `Cluster.start(..., links=...)`."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations, pairwise

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
