"""Budgets: what is taken within a time, and for how long nothing may be."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peers.budgets import Bucket, Budgets
from peers.clock import ManualClock
from peers.limits import LimitHits, Limits

RATE, MOST = 10.0, 50.0
ERROR = 1e-6

amounts = st.floats(0, 3 * MOST)
pauses = st.floats(0, 60_000)


@given(st.lists(st.tuples(pauses, amounts), max_size=40))
def test_over_any_time_no_more_is_taken_than_the_burst_and_the_rate_and_one_excess(
    steps: list[tuple[float, float]],
) -> None:
    bucket, now, taken = Bucket(RATE, MOST), 0.0, []
    for pause, amount in steps:
        now += pause + bucket.wait_ms(0, now + pause)
        taken.append((now, amount))
        bucket.take(amount, now)

    for first, (began, _) in enumerate(taken):
        total = 0.0
        for at, amount in taken[first:]:
            assert total <= MOST + RATE * (at - began) / 1000 + ERROR
            total += amount


@given(st.lists(st.floats(0, 1), max_size=60), st.floats(1, 1_000))
def test_who_stays_below_the_rate_never_waits(shares: list[float], every_ms: float) -> None:
    bucket, now = Bucket(RATE, MOST), 0.0
    for share in shares:
        now += every_ms
        assert not bucket.take(share * RATE * every_ms / 1000, now)
        assert bucket.wait_ms(0, now) == 0


@given(st.lists(st.tuples(pauses, amounts), min_size=1, max_size=10))
def test_after_the_wait_there_is_no_debt(steps: list[tuple[float, float]]) -> None:
    bucket, now = Bucket(RATE, MOST), 0.0
    for pause, amount in steps:
        now += pause
        bucket.take(amount, now)
    wait = bucket.wait_ms(0, now)
    assert bucket.wait_ms(0, now + wait) < ERROR


def test_a_till_that_was_offline_for_a_week_brings_a_million_events_at_once() -> None:
    clock = ManualClock()
    hits = LimitHits(clock)
    budget = Budgets(Limits(), hits, clock, float).of_origin("till~1")

    for _ in range(1_000):
        budget.spend("till~1", 1_000, 150_000)

    assert budget.wait_ms() == 0
    assert hits.rows() == []


def test_a_member_that_comes_again_has_the_budget_that_it_had() -> None:
    clock = ManualClock()
    budgets = Budgets(Limits(events_per_second=10, events_at_once=100), LimitHits(clock), clock, float)
    budgets.of_origin("till~1").spend("till~1", 150, 0)

    assert budgets.of_origin("till~1").wait_ms() == pytest.approx(5_000)
    assert budgets.of_origin("study~2").wait_ms() == 0


def test_changed_limits_hold_at_once_for_links_and_members_that_are_there() -> None:
    clock = ManualClock()
    limits = Limits(events_at_once=100, other_messages_per_second=10, links_of_address=2)
    budgets = Budgets(limits, LimitHits(clock), clock, float)
    link, member = budgets.of_link(), budgets.of_origin("till~1")
    link.of_address = budgets.of_address("192.0.2.1")
    link.spend("till~1", 30, 0, 0.0)
    member.spend("till~1", 150, 0)
    assert link.is_owing
    assert (link.wait_ms(), member.wait_ms()) == (2_000, pytest.approx(25))

    limits.change(Limits(events_at_once=200, other_messages_per_second=30, links_of_address=2, members=9))
    budgets.renew()

    link.spend("till~1", 0, 0, 0.0)
    assert (link.is_owing, link.wait_ms(), member.wait_ms()) == (False, 0, 0)
    assert limits.members == Limits().members

    limits.change(Limits(events_at_once=200, other_messages_per_second=5, links_of_address=2))
    budgets.renew()

    assert (link.is_owing, link.wait_ms()) == (True, 5_000)


def test_the_budgets_of_many_members_take_no_more_memory_than_those_of_some() -> None:
    clock = ManualClock()
    budgets = Budgets(Limits(members=3, events_at_once=1), LimitHits(clock), clock, float)
    first = budgets.of_origin("n0")
    for number in range(1, 5):
        budgets.of_origin(f"n{number}")

    assert budgets.of_origin("n0") is not first
    assert budgets.of_origin("n4") is budgets.of_origin("n4")
