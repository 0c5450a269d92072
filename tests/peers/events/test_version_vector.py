from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peers.events.version_vector import MAX_RANGES, MAX_SEQ, Dot, VersionVector

dots = st.tuples(st.sampled_from(["a", "b", "c"]), st.integers(1, 30))
sets = st.sets(dots, max_size=40)


def vector(dots: set[Dot]) -> VersionVector:
    return VersionVector().adds(sorted(dots))


def dots_of(vector: VersionVector) -> set[Dot]:
    return {
        (epoch, seq)
        for epoch, pairs in vector.ranges.items()
        for first, last in pairs
        for seq in range(first, last + 1)
    }


@given(one=sets)
def test_covers_just_what_was_added(one: set[Dot]) -> None:
    made = vector(one)

    assert dots_of(made) == one
    assert len(made) == len(one)
    assert all(made.covers((epoch, seq)) == ((epoch, seq) in one) for epoch in "abcd" for seq in range(32))


@given(one=sets, two=sets)
def test_adding_in_pieces_is_adding_at_once(one: set[Dot], two: set[Dot]) -> None:
    made = vector(one).adds(two)

    assert made == vector(one | two) == vector(one).joins(vector(two)) == vector(two).joins(vector(one))
    assert hash(made) == hash(vector(one | two))


@given(one=sets, more=st.lists(dots))
def test_adding_one_by_one_is_adding_at_once(one: set[Dot], more: list[Dot]) -> None:
    made = vector(one)
    for dot in more:
        made = made.adds([dot])

    assert made == vector(one | set(more))


@given(one=sets, two=sets)
def test_lacks_what_only_the_other_covers(one: set[Dot], two: set[Dot]) -> None:
    lacked = list(vector(one).lacks(vector(two)))

    assert {(epoch, seq) for epoch, first, last in lacked for seq in range(first, last + 1)} == two - one
    assert vector(one).covers_all(vector(two)) == (two <= one)


@given(one=sets)
def test_is_made_again_from_its_ranges(one: set[Dot]) -> None:
    made = vector(one)

    assert VersionVector(made.ranges) == made
    assert VersionVector({epoch: [list(pair) for pair in pairs] for epoch, pairs in made.ranges.items()}) == made  # type: ignore[misc]


@given(one=sets)
def test_knows_the_highest_of_each_epoch(one: set[Dot]) -> None:
    made = vector(one)

    assert all(made.highest(epoch) == max((seq for each, seq in one if each == epoch), default=0) for epoch in "abcd")


def test_adding_leaves_the_old_one_as_it_was() -> None:
    before = VersionVector({"a": [(1, 2)]})

    after = before.adds([("a", 3), ("b", 1)])

    assert before == VersionVector({"a": [(1, 2)]})
    assert after == VersionVector({"a": [(1, 3)], "b": [(1, 1)]})


def test_beyond_the_limit_it_claims_less_but_never_more() -> None:
    seqs = range(1, 3 * MAX_RANGES, 2)

    made = VersionVector().adds([("a", seq) for seq in seqs])

    assert len(made) == MAX_RANGES
    assert made.highest("a") == 2 * MAX_RANGES - 1
    assert not made.covers(("a", 2 * MAX_RANGES + 1))


def test_at_the_limit_it_still_grows_in_a_row_and_where_gaps_close() -> None:
    full = VersionVector().adds([("a", seq) for seq in range(1, 2 * MAX_RANGES, 2)])

    longer = full.adds([("a", 2 * MAX_RANGES)])
    closed = full.adds([("a", 2), ("a", 9_999)])

    assert longer.covers(("a", 2 * MAX_RANGES))
    assert closed.covers(("a", 2))
    assert closed.covers(("a", 9_999))


def test_more_ranges_than_the_limit_are_cut_when_made() -> None:
    made = VersionVector({"a": [(seq, seq) for seq in range(1, 3 * MAX_RANGES, 2)]})

    assert len(made.ranges["a"]) == MAX_RANGES


@pytest.mark.parametrize(
    "pairs", [[(0, 1)], [(2, 1)], [(1, 2), (3, 4)], [(1, 5), (4, 9)], [(5, 6), (1, 2)], [(1, MAX_SEQ + 1)], [(-3, -1)]]
)
def test_refuses_ranges_that_are_not_sorted_and_apart(pairs: list[tuple[int, int]]) -> None:
    with pytest.raises(ValueError, match="epoch a"):
        VersionVector({"a": pairs})


def test_an_epoch_without_ranges_is_none() -> None:
    assert VersionVector({"a": []}) == VersionVector()
    assert not list(VersionVector().lacks(VersionVector({"a": ()})))


def test_one_that_claims_everything_of_many_epochs_is_as_harmless_as_any() -> None:
    greedy = VersionVector({str(number): [(1, MAX_SEQ)] for number in range(2000)})

    assert greedy
    assert greedy.covers(("7", MAX_SEQ))
    assert not VersionVector()


@given(st.lists(sets, max_size=5))
def test_a_union_covers_what_any_of_them_covers(parts: list[set[Dot]]) -> None:
    vectors = [vector(part) for part in parts]

    union = VersionVector.union(vectors)

    assert union == vector({dot for part in parts for dot in part})
    assert vectors == [vector(part) for part in parts]


@given(one=sets)
def test_knows_the_lowest_range_of_an_epoch(one: set[Dot]) -> None:
    made = vector(one)

    assert [made.first_range(epoch) for epoch in "abc"] == [made.ranges.get(epoch, ((0, 0),))[0] for epoch in "abc"]
