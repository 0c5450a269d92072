"""A greeting alone ends no link: of two links under one id the one that was there first stays, if it answers."""

from __future__ import annotations

import pytest

from mesh.lab import Cluster
from mesh.membership.actions import Action, Ask
from mesh.membership.diagnosis.clones import CLONE_LOOK, TAKEN, TAKEN_REASON
from mesh.membership.diagnosis.runs import CLONE_SECONDS
from mesh.membership.ended_sessions import SURPLUS
from tests.support.one_node import OneNode, closes, kinds, notices

HERE, THERE = "10.0.0.1:50001", "10.0.0.2:50002"


def asks(actions: list[Action]) -> list[str]:
    return [action.key for action in actions if isinstance(action, Ask)]


def connect(
    node: OneNode, node_id: str, address: str, boot: str, held: tuple[str, ...] = ()
) -> tuple[str, list[Action]]:
    key = node.accept(address)
    return key, node.greet(key, node_id, boot=boot, address=address, held=held)


@pytest.mark.parametrize("node_id", ["a", "z"])
def test_a_greeting_under_the_id_of_a_node_that_lives_does_not_displace_it(node_id: str) -> None:
    node = OneNode()
    real, _ = connect(node, node_id, HERE, "run1")

    false, actions = connect(node, node_id, THERE, "run2")
    answered = node.answer(real)
    node.close(false, TAKEN_REASON)

    assert (closes(actions), kinds(actions), asks(actions)) == ([], [], [real])
    assert closes(answered) == [(false, TAKEN_REASON)]
    assert kinds(answered) == []
    assert list(node.membership.sessions) == [real]
    assert node.membership.members[node_id].instance == "run1"


def test_nor_does_one_that_knows_its_run_and_says_that_the_first_link_broke() -> None:
    node = OneNode()
    real, _ = connect(node, "z", HERE, "run1")

    false, actions = connect(node, "z", THERE, "run1")

    assert (closes(actions), asks(actions)) == ([], [real])
    assert closes(node.answer(real)) == [(false, SURPLUS)]


@pytest.mark.parametrize("address", [HERE, THERE], ids=["the same address", "another address"])
@pytest.mark.parametrize("node_id", ["a", "z"])
def test_a_node_that_restarted_is_connected_at_once_and_its_dead_link_ends_later(node_id: str, address: str) -> None:
    node = OneNode()
    dead, _ = connect(node, node_id, HERE, "run1")

    new, actions = connect(node, node_id, address, "run2")
    ended = node.close(dead, "no answer for 5 s")

    assert closes(actions) == [] and asks(actions) == [dead]
    assert node.membership.sessions[new].is_met
    assert ended == []
    assert node.answer(dead) == []
    assert list(node.membership.sessions) == [new]


def test_however_many_greetings_come_a_link_is_asked_once_at_a_time_and_the_first_that_answers_stays() -> None:
    node = OneNode()
    real, _ = connect(node, "a", HERE, "run1")
    asked = [asks(connect(node, "a", THERE, f"boot{number}")[1]) for number in range(3)]

    first = node.answer(real)
    second = node.answer(real)
    third = node.answer(real)

    assert [real in keys for keys in asked] == [True, False, False]
    assert [key for key, _ in closes(first)] == ["accepted:2"]
    assert [key for key, _ in closes(second)] == ["accepted:3", "accepted:4"]
    assert asks(first) == [real]
    assert third == []


def test_an_answer_on_an_earlier_link_of_a_session_decides_nothing() -> None:
    node = OneNode()
    key = node.meet("a")
    connect(node, "a", THERE, "run2")

    assert node.answer(key, "c-earlier") == []


def test_two_machines_that_both_go_on_are_named_once_with_both_addresses_until_one_is_silent() -> None:
    node = OneNode()
    real, _ = connect(node, "a", HERE, "run1")
    reported: list[tuple[str, str]] = []

    for _ in range(10):
        node.now += 1
        if node.membership.why_turned_away("a", "run2") == TAKEN:
            reported += notices(node.membership.on_turned_away("accepted:99", "a", "run2", THERE, node.now))
            reported += notices(node.answer(real))
            continue
        copy, actions = connect(node, "a", THERE, "run2")
        reported += notices([*actions, *node.answer(real)])
        node.close(copy, TAKEN_REASON)
    cloned = node.membership.members["a"].is_cloned
    early = node.look(f"{CLONE_LOOK}a", after=CLONE_SECONDS - 1)
    over = node.look(f"{CLONE_LOOK}a", after=CLONE_SECONDS)

    assert [kind for kind, _ in reported] == ["cloned"]
    assert "they are at 10.0.0.1 and 10.0.0.2; " in reported[0][1]
    assert cloned and kinds(early) == []
    assert notices(over) == [("note", "only one machine runs as a now")]
    assert node.membership.why_turned_away("a", "run2") == ""
    assert node.membership.sessions[real].is_met


def test_while_there_seem_to_be_two_machines_the_connected_one_is_asked_whether_it_lives() -> None:
    node = OneNode()
    dead, _ = connect(node, "a", HERE, "run1")
    for _ in range(2):
        copy, _ = connect(node, "a", THERE, "run2")
        node.answer(dead)
        node.close(copy, TAKEN_REASON)
    assert node.membership.why_turned_away("a", "run2") == TAKEN

    actions = node.membership.on_turned_away("accepted:99", "a", "run2", THERE, node.now)
    node.close(dead, "no answer for 5 s")

    assert asks(actions) == [dead]
    assert node.membership.why_turned_away("a", "run2") == ""


def test_sessions_that_fail_under_the_id_of_a_connected_node_do_not_pause_it() -> None:
    node = OneNode()
    real, _ = connect(node, "a", HERE, "run1")

    for _ in range(20):
        false, _ = connect(node, "a", THERE, "run2")
        assert closes(node.fail(false)) == []

    assert node.membership.failures == {}
    assert node.membership.sessions[real].is_met


def test_a_machine_that_lost_its_power_is_connected_again_at_once() -> None:
    with Cluster(2) as cluster:
        kitchen, study, attic = cluster.start("kitchen", "study", "attic")
        cluster.settle("met")

        cluster.crash(kitchen)
        cluster.start("kitchen")
        cluster.run(1.5)

        for room in (study, attic):
            assert (kitchen.node_id, "synchronized") in [
                (row["node_id"], row["session"]) for row in room.status()["peers"]
            ]
        cluster.run(10)
        assert [len(room.status()["sessions"]) for room in (kitchen, study, attic)] == [2, 2, 2]
