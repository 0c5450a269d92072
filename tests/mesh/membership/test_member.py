"""How the row of a member changes."""

from __future__ import annotations

from dataclasses import replace
from typing import get_args

import pytest

from mesh.membership.diagnosis.runs import MAX_SEEN_RUNS
from mesh.membership.member import (
    MOVES,
    STATES,
    Member,
    MemberEvent,
    MemberState,
    greeted,
    moved,
    sighted,
    surplus_member,
)

LIMIT = 256
FOUND = Member("kitchen", addresses=("10.0.0.1:1",), instance="run1")


@pytest.mark.parametrize(
    ("state", "event", "after"),
    [
        ("found", "met", "alive"),
        ("found", "broken", "found"),
        ("found", "expired", "found"),
        ("alive", "sighted", "alive"),
        ("alive", "broken", "suspect"),
        ("alive", "expired", "alive"),
        ("alive", "goodbye", "left"),
        ("suspect", "sighted", "suspect"),
        ("suspect", "met", "alive"),
        ("suspect", "expired", "lost"),
        ("lost", "sighted", "found"),
        ("lost", "broken", "lost"),
        ("lost", "met", "alive"),
        ("left", "broken", "left"),
        ("left", "sighted", "found"),
        ("left", "met", "alive"),
        ("refused", "sighted", "refused"),
        ("refused", "broken", "refused"),
        ("refused", "renewed", "found"),
        ("refused", "met", "alive"),
    ],
)
def test_an_event_changes_the_state_of_a_member(state: MemberState, event: MemberEvent, after: MemberState) -> None:
    member = moved(replace(FOUND, state=state, since_seconds=1.0), event, 9.0)

    assert member.state == after
    assert member.since_seconds == (1.0 if state == after else 9.0)


def test_the_table_has_every_event_and_only_known_states() -> None:
    assert set(MOVES) == set(get_args(MemberEvent))
    assert {state for moves in MOVES.values() for pair in moves.items() for state in pair} == set(STATES)


@pytest.mark.parametrize(
    ("addresses", "instance", "after"),
    [
        (("10.0.0.1:1",), "run1", "refused"),
        (("10.0.0.2:1",), "run1", "found"),
        (("10.0.0.1:1",), "run2", "found"),
        ((), "run1", "refused"),
    ],
    ids=["the same again", "a new address", "a new run", "fewer addresses"],
)
def test_a_refused_node_is_found_again_when_its_announcement_changes(
    addresses: tuple[str, ...], instance: str, after: MemberState
) -> None:
    member = sighted(replace(FOUND, state="refused"), addresses, instance, 9.0, 6)

    assert (member.state, member.addresses, member.instance) == (after, addresses, instance)


def test_the_number_of_addresses_of_a_member_is_limited() -> None:
    member = sighted(FOUND, tuple(f"10.0.0.{n}:1" for n in range(99)), "run1", 9.0, 6)

    assert len(member.addresses) == 6


@pytest.mark.parametrize(
    ("boots", "is_cloned"),
    [
        (["run1"], False),
        (["run1", "run1"], False),
        (["run1", "run2", "run3", "run4", "run5", "run6"], False),
        (["run1", "run2", "run2"], False),
        (["run1", "run2", "run1", "run2"], False),
        (["run1", "run2", "run1", "run2", "run1"], True),
        (["run1", "run2", "run1", "run3", "run2", "run1"], True),
    ],
)
def test_runs_that_alternate_show_a_clone_and_one_late_greeting_does_not(boots: list[str], is_cloned: bool) -> None:
    member = FOUND
    for boot in boots:
        member = greeted(member, boot, 1.0)

    assert member.is_cloned is is_cloned
    assert len(member.runs.seen) <= MAX_SEEN_RUNS


@pytest.mark.parametrize(
    ("member", "may"),
    [
        (FOUND, True),
        (replace(FOUND, state="suspect"), True),
        (replace(FOUND, state="lost"), True),
        (replace(FOUND, state="left"), False),
        (replace(FOUND, state="refused"), False),
        (replace(FOUND, addresses=()), False),
    ],
)
def test_a_member_may_be_dialled_if_it_has_an_address_and_neither_left_nor_refused(member: Member, may: bool) -> None:
    assert member.may_be_dialled is may


@pytest.mark.parametrize(
    ("special", "forgotten"),
    [
        (Member("x", "found", 1.0), "x"),
        (Member("x", "lost", 1.0), "x"),
        (Member("x", "found", 9.0, reason="refused"), "x"),
        (Member("x", "suspect", 1.0), "m000"),
        (Member("x", "alive", 1.0), "m000"),
        (Member("x", "found", 9.0), "m000"),
    ],
)
def test_of_too_many_members_the_least_useful_one_is_dropped(special: Member, forgotten: str) -> None:
    members = {f"m{n:03}": Member(f"m{n:03}", "found", 2.0) for n in range(LIMIT)}
    assert surplus_member(members, LIMIT) is None

    members["x"] = special

    assert surplus_member(members, LIMIT) == forgotten


@pytest.mark.parametrize(("state", "forgotten"), [("suspect", "m000"), ("alive", None)])
def test_a_member_with_a_session_is_never_dropped(state: MemberState, forgotten: str | None) -> None:
    members = {f"m{n:03}": Member(f"m{n:03}", state, 2.0) for n in range(LIMIT + 1)}

    assert surplus_member(members, LIMIT) == forgotten
