"""VersionVector: the events that a node has, as ranges of sequence numbers by epoch; and the names of epochs."""

from __future__ import annotations

import re
import sys
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping

Epoch = str
Dot = tuple[Epoch, int]
"""(epoch, seq): the label of the node that first accepted an event."""
Ranges = tuple[tuple[int, int], ...]
"""Sorted, apart from each other, both ends included: ((1, 7), (9, 9))."""
_SUCCESSOR = re.compile(r"(.+)\.([1-9][0-9]{0,8})\.[^.]+")

MAX_RANGES = 256
"""Ranges of one epoch; more are dropped, the highest first. To claim less than one has costs a repeated event, never a lost
one."""
MAX_SEQ = 2**53 - 1
MAX_FOREIGN_SEQ = 2**52
"""The largest seq that is accepted from others: above what they claim of our epochs there are numbers left for us."""


class VersionVector:
    """An immutable set of dots, (epoch, seq), stored as ranges. It can be shared between threads.

    vector = VersionVector({"e1": [(1, 7), (9, 9)]})
    vector.covers(("e1", 9))                     # True
    list(VersionVector().lacks(vector))          # [("e1", 1, 7), ("e1", 9, 9)]
    """

    __slots__ = ("_ranges",)

    def __init__(self, ranges: Mapping[Epoch, Iterable[tuple[int, int]]] | None = None) -> None:
        """`ranges` has a list of (first, last) for each epoch, both included.

        Raises ValueError unless they are sorted, apart from each other, and from 1 to MAX_SEQ. Of more than MAX_RANGES
        ranges of an epoch the first are kept.
        """
        self._ranges: dict[Epoch, Ranges] = {}
        if not ranges:
            return
        for epoch, pairs in ranges.items():
            checked = tuple((first, last) for first, last in pairs)
            _check_ranges(epoch, checked)
            if checked:
                self._ranges[epoch] = checked[:MAX_RANGES]

    @property
    def ranges(self) -> dict[Epoch, Ranges]:
        """The ranges by epoch, as a new dict."""
        return dict(self._ranges)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, VersionVector) and self._ranges == other._ranges

    def __hash__(self) -> int:
        return hash(frozenset(self._ranges.items()))

    def __repr__(self) -> str:
        return f"VersionVector({self._ranges})"

    def __len__(self) -> int:
        """How many dots it covers, at most sys.maxsize."""
        return min(sys.maxsize, sum(last - first + 1 for ranges in self._ranges.values() for first, last in ranges))

    def __bool__(self) -> bool:
        """Whether it covers any dot."""
        return bool(self._ranges)

    def covers(self, dot: Dot) -> bool:
        """Whether `dot` is in it."""
        epoch, seq = dot
        ranges = self._ranges.get(epoch)
        if ranges is None:
            return False
        first, last = ranges[0]
        if seq <= last:
            return seq >= first
        index = bisect_right(ranges, (seq, MAX_SEQ)) - 1
        first, last = ranges[index]
        return first <= seq <= last

    def covers_all(self, other: VersionVector) -> bool:
        """Whether all dots of `other` are in it."""
        return not any(True for _ in self.lacks(other))

    def highest(self, epoch: Epoch) -> int:
        """The largest seq of `epoch` in it, 0 if there is none."""
        ranges = self._ranges.get(epoch)
        return ranges[-1][1] if ranges else 0

    def first_range(self, epoch: Epoch) -> tuple[int, int]:
        """(first, last) of the lowest range of `epoch` in it, (0, 0) if there is none."""
        ranges = self._ranges.get(epoch)
        return ranges[0] if ranges else (0, 0)

    def adds(self, dots: Iterable[Dot]) -> VersionVector:
        """A vector that covers what this one covers, and `dots`."""
        runs: dict[Epoch, list[tuple[int, int]]] = {}
        epoch, first, following = "", 0, 0
        for each, seq in dots:
            if seq == following and each == epoch:  # nearly always: the next one of a row
                following = seq + 1
                continue
            if following:
                runs.setdefault(epoch, []).append((first, following - 1))
            epoch, first, following = each, seq, seq + 1
        if not following:
            return self
        runs.setdefault(epoch, []).append((first, following - 1))
        return self._with({each: pairs if len(pairs) == 1 else _merged(pairs) for each, pairs in runs.items()})

    def joins(self, other: VersionVector) -> VersionVector:
        """A vector that covers what this one or `other` covers."""
        if not other._ranges:
            return self
        return self._with(other._ranges) if self._ranges else other

    @classmethod
    def union(cls, vectors: Iterable[VersionVector]) -> VersionVector:
        """A vector that covers what any of them covers."""
        result = cls.__new__(cls)
        joined: dict[Epoch, Ranges] = {}
        for vector in vectors:
            for epoch, ranges in vector._ranges.items():
                ours = joined.get(epoch)
                joined[epoch] = ranges if ours is None else _joined(ours, ranges)
        result._ranges = joined
        return result

    def lacks(self, other: VersionVector) -> Iterator[tuple[Epoch, int, int]]:
        """The dots that `other` covers and this one does not, as ranges (epoch, first, last)."""
        for epoch, theirs in other._ranges.items():
            ours = self._ranges.get(epoch, ())
            for first, last in theirs:
                for gap_first, gap_last in _gaps(ours, first, last):
                    yield epoch, gap_first, gap_last

    def _with(self, more: Mapping[Epoch, Ranges | list[tuple[int, int]]]) -> VersionVector:
        result = VersionVector.__new__(VersionVector)
        joined = result._ranges = self._ranges.copy()
        for epoch, runs in more.items():
            joined[epoch] = _joined(joined.get(epoch, ()), runs)
        return result


def lineage(epoch: Epoch) -> tuple[str, int]:
    """The root and the generation of an epoch: `ROOT` is generation 0, and `ROOT.3.ANYTHING` is one of generation 3.

    An epoch replaces every epoch of the same root and a smaller generation.
    """
    match = _SUCCESSOR.fullmatch(epoch)
    return (match[1], int(match[2])) if match else (epoch, 0)


def successor(epoch: Epoch, mark: str) -> Epoch:
    """An epoch that replaces this one; `mark`, without a full stop, makes its name different from others that do."""
    root, generation = lineage(epoch)
    return f"{root}.{generation + 1}.{mark}"


def stands_in(new: Epoch, old: Epoch) -> bool:
    """Whether `new` replaces `old`."""
    (new_root, new_generation), (old_root, old_generation) = lineage(new), lineage(old)
    return new_root == old_root and new_generation > old_generation


def _check_ranges(epoch: Epoch, ranges: Ranges) -> None:
    before = -1
    for first, last in ranges:
        if not 1 <= first <= last <= MAX_SEQ or first <= before + 1:
            raise ValueError(
                f"epoch {epoch}: [{first}, {last}] is not a range from 1 that is apart from the one before"
            )
        before = last


def _merged(ranges: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """The same in order and apart from each other."""
    merged: list[tuple[int, int]] = []
    for first, last in sorted(ranges):
        if merged and first <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(last, merged[-1][1]))
        else:
            merged.append((first, last))
    return merged


def _joined(ours: Ranges, more: Ranges | list[tuple[int, int]]) -> Ranges:
    if len(more) == 1 and ours:  # nearly always: the next ones in a row, or what is covered already
        (first, last), (more_first, more_last) = ours[-1], more[0]
        if first <= more_first <= last + 1:
            return ours if more_last <= last else (*ours[:-1], (first, more_last))
    return tuple(_merged([*ours, *more])[:MAX_RANGES])


def _gaps(ours: Ranges, first: int, last: int) -> Iterator[tuple[int, int]]:
    for our_first, our_last in ours:
        if our_last < first:
            continue
        if our_first > last:
            break
        if our_first > first:
            yield first, our_first - 1
        first = our_last + 1
        if first > last:
            return
    yield first, last
