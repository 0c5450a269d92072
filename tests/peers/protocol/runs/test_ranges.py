"""Ranges of seqs, compared with sets."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from peers.protocol.runs.other_end import Ranges, ranges_with, ranges_within, ranges_without

pieces = st.lists(st.tuples(st.integers(1, 30), st.integers(0, 5)).map(lambda pair: (pair[0], sum(pair))), max_size=5)


def covered(ranges: Ranges) -> set[int]:
    return {seq for first, last in ranges for seq in range(first, last + 1)}


@given(pieces, pieces)
def test_ranges_are_joined_and_taken_away_as_sets_are(one: Ranges, other: Ranges) -> None:
    ranges = ranges_with([], one)
    assert covered(ranges) == covered(one)
    assert all(last + 1 < first for (_, last), (first, _) in itertools.pairwise(ranges))
    assert covered(ranges_with(ranges, other)) == covered(one) | covered(other)
    assert covered(ranges_without(ranges, other)) == covered(one) - covered(other)


@given(pieces, st.integers(1, 35), st.integers(0, 9))
def test_the_part_of_ranges_between_two_seqs_is_found(one: Ranges, first: int, length: int) -> None:
    last = first + length
    assert covered(ranges_within(ranges_with([], one), first, last)) == covered(one) & set(range(first, last + 1))
