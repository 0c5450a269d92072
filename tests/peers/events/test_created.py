from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from peers.events.created import (
    MAX_DRIFT_MS,
    MAX_MS,
    Created,
    HybridTimer,
    check_created,
    created_from_key,
    created_key,
)

node_ids = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=8) | st.sampled_from(
    ["a", "aa", "a~b", "a b", "é", "z", "\U0001f600", "\uffee", "a" * 200]
)
TEN_YEARS_MS = 10 * 365 * 86_400_000

numbers = st.integers(0, MAX_MS) | st.integers(0, 3)
createds = st.tuples(numbers, node_ids.filter(str.isprintable), numbers)


class Wall:
    """A wall clock that a test sets."""

    def __init__(self, now: int = 1000) -> None:
        self.now = now

    def __call__(self) -> int:
        return self.now


@given(created=createds)
def test_a_key_gives_its_created_back(created: Created) -> None:
    check_created(created)

    assert created_from_key(created_key(created)) == created


@given(one=createds, two=createds)
def test_keys_sort_as_the_triples_do(one: Created, two: Created) -> None:
    assert (created_key(one) < created_key(two)) == (one < two)
    assert (created_key(one) == created_key(two)) == (one == two)


def test_a_node_id_that_begins_with_another_sorts_after_it() -> None:
    assert created_key((1, "a", MAX_MS)) < created_key((1, "a\x01", 0)) < created_key((1, "ab", 0))


@pytest.mark.parametrize(
    "created",
    [
        (-1, "a", 0),
        (MAX_MS + 1, "a", 0),
        (1, "a", -1),
        (1, "a", MAX_MS + 1),
        (1, "", 0),
        (1, "a" * 201, 0),
        (1, "a\0", 0),
        (1, "a\n", 0),
        (1, "\ud800", 0),
    ],
)
def test_refuses_a_created_that_is_out_of_range(created: Created) -> None:
    with pytest.raises(ValueError, match="created"):
        check_created(created)


def test_counts_within_one_ms_and_starts_again_in_the_next() -> None:
    wall = Wall()
    timer = HybridTimer("a", wall)

    first, second = timer.next(), timer.next()
    wall.now += 1

    assert [first, second, timer.next()] == [(1000, "a", 0), (1000, "a", 1), (1001, "a", 0)]


def test_never_goes_back_with_the_wall_clock() -> None:
    wall = Wall()
    timer = HybridTimer("a", wall)
    before = timer.next()

    wall.now = 5

    assert timer.next() == (before[0], "a", 1)


def test_goes_on_after_the_stored_mark() -> None:
    assert HybridTimer("a", Wall(1000), after_ms=5000).next() > (5000, "zzz", MAX_MS)


def test_moves_past_a_time_that_was_seen() -> None:
    timer = HybridTimer("a", Wall(1000))

    timer.see(1000)
    after_now = timer.next()
    timer.see(1000 + MAX_DRIFT_MS)

    assert after_now == (1001, "a", 0)
    assert timer.next() == (1001 + MAX_DRIFT_MS, "a", 0)


def test_a_time_too_far_ahead_does_not_move_it() -> None:
    timer = HybridTimer("a", Wall(1000), max_drift_ms=100)

    timer.see(1101)

    assert timer.next() == (1000, "a", 0)


def several(timer: HybridTimer, count: int) -> list[Created]:
    ms, node_id, n = timer.several(count)
    return [(ms, node_id, each) for each in range(n, n + count)]


def test_several_triples_are_those_that_single_ones_would_be_while_the_clock_stands_still() -> None:
    one, other = HybridTimer("a", Wall()), HybridTimer("a", Wall())

    assert [*several(one, 3), one.next()] == [other.next() for _ in range(4)]
    assert one.time == other.time


@example(steps=[("wall", 0), ("next", 0)])
@given(
    steps=st.lists(st.tuples(st.sampled_from(["next", "several", "see", "wall"]), st.integers(0, 3000)), max_size=40)
)
def test_is_always_larger_than_all_it_gave_and_saw_within_the_drift(steps: list[tuple[str, int]]) -> None:
    wall = Wall()
    timer = HybridTimer("a", wall, max_drift_ms=500)
    last: Created | None = None
    seen = 0

    for step, number in steps:
        if step == "wall":
            wall.now = number
        elif step == "see":
            timer.see(number)
            seen = max(seen, number if number <= wall.now + 500 else 0)
        else:
            for created in [timer.next()] if step == "next" else several(timer, 1 + number % 3):
                assert last is None or created > last
                assert created[0] > seen or seen == 0
                last = created


def test_time_does_not_go_back_by_a_step_within_the_drift() -> None:
    wall = Wall(100_000)
    timer = HybridTimer("a", wall)
    timer.next()

    wall.now -= MAX_DRIFT_MS
    timer.next()

    assert timer.time == 100_000


def test_time_follows_a_larger_step_back_to_our_clock_and_created_does_not() -> None:
    wall = Wall(1_000_000)
    timer = HybridTimer("a", wall)
    before = timer.next()

    wall.now -= MAX_DRIFT_MS + 2
    after = timer.next()

    assert timer.time == wall.now
    assert after > before


def test_a_mark_from_ten_years_ahead_makes_no_time_late() -> None:
    timer = HybridTimer("a", Wall(1000), after_ms=TEN_YEARS_MS)

    created = timer.next()

    assert (created, timer.time) == ((TEN_YEARS_MS + 1, "a", 0), 1000)


def test_with_a_mark_from_ten_years_ahead_it_still_follows_what_it_sees() -> None:
    timer = HybridTimer("a", Wall(1000), after_ms=TEN_YEARS_MS)

    timer.see(1500)
    timer.next()

    assert timer.time == 1501


def test_a_small_step_back_matters_no_more_for_a_timer_that_follows_a_fast_neighbour() -> None:
    wall = Wall(1_000_000)
    timer = HybridTimer("a", wall)
    timer.see(wall.now + MAX_DRIFT_MS)
    timer.next()
    before = timer.time

    wall.now -= MAX_DRIFT_MS - 1
    timer.next()

    assert before == timer.time == 1_000_000 + MAX_DRIFT_MS


clock_steps = st.lists(
    st.tuples(st.sampled_from(["next", "see", "step", "restart"]), st.integers(-2_000, 2_000)), max_size=40
)


@given(steps=clock_steps)
def test_time_follows_our_clock_and_goes_back_only_by_a_larger_step_of_it(steps: list[tuple[str, int]]) -> None:
    wall = Wall(100_000)
    timer = HybridTimer("a", wall, max_drift_ms=500)
    last: Created = (0, "", 0)
    time = highest = seen = 0

    for step, number in steps:
        if highest > wall.now + 500:  # a larger step
            time = highest = seen = 0
        if step == "step":
            wall.now += number
            seen = 0 if number < 0 else seen  # it may be too far ahead then
        elif step == "see":
            timer.see(wall.now + number)
            seen = max(seen, wall.now + number) if number <= 500 else seen
        elif step == "restart":  # a log finds on its disk what is not too far ahead
            near = max(time, wall.now) if time <= wall.now + 500 else wall.now
            kept = near if timer.ms > wall.now else None
            timer = HybridTimer("a", wall, after_ms=timer.ms, after_time_ms=kept, max_drift_ms=500)
            time, seen, highest = (0 if time > near else time), 0, max(near, time)
        else:
            created = timer.next()
            assert max(wall.now, time, seen) <= timer.time <= min(wall.now + 1_001, created[0])
            assert created > last
            last, time, highest = created, timer.time, max(highest, wall.now)
