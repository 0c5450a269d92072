"""Nodes that were announced and do not answer: the notices about them, and how often they are dialled."""

from __future__ import annotations

import pytest

from mesh.lab import Cluster, Room
from mesh.membership.actions import Action, Dial, LookAgain, Notice
from mesh.membership.diagnosis.other_meshes import GATHER_SECONDS, OTHERS
from mesh.membership.diagnosis.rare_notices import SUMMARY, RareNotices
from mesh.membership.dialling.refusals import unreachable_sentence
from mesh.membership.dialling.trials import MAX_RETRY_SECONDS, MAX_TRIALS
from mesh.membership.member import LOST_SECONDS
from peers.clock import ManualClock
from peers.limits import LimitHits, Limits
from tests.support.one_node import AT, OneNode, closes, kinds, looks, notices

MINUTES = 600 / Limits().notice_seconds


def fail(node: OneNode, node_id: str = "a", why: str = f"{AT}: timed out after 3 s") -> list[Action]:
    """A dial of a found node fails, and its session ends."""
    actions = node.close(f"dial:{node_id}", why)
    node.close(f"dial:{node_id}", "no answer")
    return actions


@pytest.mark.parametrize(
    ("why", "sentence"),
    [
        (
            "timed out after 3 s",
            "timed out after 3 s; see whether it is on, and on this network; if so, let TCP port 4000 in through the "
            "firewall of that machine, or this network keeps its devices apart (as guest Wi-Fi does); it is tried again",
        ),
        (
            "no route",
            "no route; it is off, or on another network or subnet that this machine has no route to; it is tried again",
        ),
        (
            "refused",
            "refused; nothing listens there: it does not run now, or uses another port; it is tried again",
        ),
        ("not a WebSocket: it answered HTTP 404", "not a WebSocket: it answered HTTP 404; it is tried again"),
        ("", "no answer; it is tried again"),
    ],
)
def test_the_sentence_says_where_why_and_what_would_help(why: str, sentence: str) -> None:
    assert unreachable_sentence("a", (AT,), f"{AT}: {why}" if why else "") == f"cannot reach a at {AT} yet: {sentence}"
    assert unreachable_sentence(AT, (AT,), why) == f"cannot reach {AT} yet: {sentence}"


@pytest.mark.parametrize("address", ["127.0.0.1:4000", "localhost:4000", "[::1]:4000", "ws://127.0.0.1:4000"])
def test_a_program_of_this_machine_that_does_not_answer_is_behind_no_firewall(address: str) -> None:
    assert unreachable_sentence(address, (address,), "timed out after 3 s") == (
        f"cannot reach {address} yet: timed out after 3 s; a program of this machine listens there and does not answer: "
        "see whether it hangs; it is tried again"
    )


def test_a_found_node_that_does_not_answer_is_reported_once_until_its_announcement_changes() -> None:
    node = OneNode()
    node.dial()

    first = fail(node)
    node.look(after=MAX_RETRY_SECONDS)
    second = fail(node)
    node.sight("a", "10.0.0.2:4000")
    node.look(after=2)
    third = fail(node, why="10.0.0.2:4000: refused")

    assert kinds(first) == ["unreachable"]
    assert notices(first)[0][1].startswith(f"cannot reach a at {AT} yet: timed out after 3 s; ")
    assert kinds(second) == []
    assert notices(third)[0][1].startswith("cannot reach a at 10.0.0.2:4000 yet: refused; ")
    assert node.membership.members["a"].reason == "10.0.0.2:4000: refused"


def test_a_node_that_was_connected_since_is_reported_again() -> None:
    node = OneNode()
    node.dial()
    fail(node)
    node.greet(node.accept())
    assert node.membership.members["a"].reason == ""

    node.close("accepted:1", "lost: reset")
    node.look(after=LOST_SECONDS)
    node.close("dial:a", f"{AT}: refused")
    assert node.state() == "lost"
    node.sight()

    assert kinds(fail(node)) == ["unreachable"]


def test_a_node_that_was_never_connected_is_never_lost() -> None:
    node = OneNode()
    node.dial()

    reported = [kind for _ in range(20) for kind in [*kinds(fail(node)), *kinds(node.look(after=LOST_SECONDS))]]

    assert reported == ["unreachable"]
    assert node.state() == "found"


def test_a_node_that_does_not_answer_is_dialled_less_and_less_often() -> None:
    node = OneNode()
    node.dial()

    pauses = []
    for _ in range(8):
        pauses.append(looks(fail(node))["a"])
        assert node.look() == []  # not before the pause ends
        assert node.look(after=pauses[-1]) == [Dial("dial:a", (AT,))]

    assert pauses == [1, 2, 4, 8, 16, MAX_RETRY_SECONDS, MAX_RETRY_SECONDS, MAX_RETRY_SECONDS]


def test_an_error_on_the_open_link_is_the_reason_and_no_second_notice() -> None:
    node = OneNode()
    node.dial()
    node.membership.on_dialled("dial:a", "c1", 0.0)

    actions = node.close("dial:a", "it sent full", note="a: it sent full")

    assert notices(actions) == [("unreachable", f"cannot reach a at {AT} yet: it sent full; it is tried again")]


def test_a_connection_that_is_lost_by_an_error_is_one_notice() -> None:
    node = OneNode()
    key = node.meet()

    actions = node.close(key, "no answer for 5 s", note="")

    assert notices(actions) == [("disconnected", "lost the connection to a: no answer for 5 s")]


# Floods


def flood(node: OneNode, count: int, seconds: float, *, places: int) -> tuple[list[tuple[str, str]], int, int]:
    """`count` announcements of `places` addresses, within a second, of nodes that do not answer: each dial fails after 3 s.

    Returns the notices in `seconds`, the number of dials, and the highest number of dials at the same time.
    """
    due: list[tuple[float, str, str]] = []
    reported: list[tuple[str, str]] = []
    dials = at_once = 0
    running = 0
    rare = RareNotices(Limits(), LimitHits(ManualClock()))

    def show(actions: list[Action]) -> None:
        reported.extend(notices(actions))
        for action in actions:
            if isinstance(action, LookAgain):
                due.append((node.now + action.delay_seconds, "look", action.subject))

    def perform(actions: list[Action]) -> None:
        nonlocal dials, running, at_once
        for action in actions:
            if isinstance(action, Notice):
                show(rare.on_notice(action))
            elif isinstance(action, LookAgain):
                due.append((node.now + action.delay_seconds, "look", action.subject))
            elif isinstance(action, Dial):
                dials += 1
                running += 1
                at_once = max(at_once, running)
                due.append((node.now + 3, "fail", action.key))
        for key, _ in closes(actions):
            due.append((node.now, "closed", key))

    for number in range(count):
        due.append((number / count, "sight", f"forged-{number}"))
    while due:
        due.sort()
        when, what, about = due.pop(0)
        if when > seconds:
            break
        node.now = when
        if what == "sight":
            perform(node.sight(about, f"10.9.9.9:{1 + int(about.removeprefix('forged-')) % places}"))
        elif what == "look" and about.startswith(SUMMARY):
            show(rare.on_look(about))
        elif what == "look":
            perform(node.membership.on_look(about, node.now))
        elif what == "closed":
            perform(node.close(about, "no answer"))
        elif about in node.membership.sessions:
            running -= 1
            perform(node.close(about, "timed out after 3 s"))
        else:
            running -= 1
    return reported, dials, at_once


@pytest.mark.parametrize(("places", "most"), [(1, 30), (2000, 1200)])
def test_a_flood_of_forged_announcements_causes_few_notices_and_few_dials(places: int, most: int) -> None:
    reported, dials, at_once = flood(OneNode(), 1461, 600, places=places)

    assert len(reported) <= (1 if places == 1 else 1 + MINUTES)
    assert bool([text for _, text in reported if "left out" in text]) is (places > 1)
    assert at_once <= MAX_TRIALS
    assert dials <= most


def test_in_a_flood_a_node_that_answers_is_still_connected() -> None:
    node = OneNode()
    flood(node, 200, 100, places=200)

    node.sight("friend")
    assert node.look("friend", after=2) == []  # it is the next in the queue
    key = next(key for key in node.membership.sessions if key.startswith("dial:forged"))

    assert Dial("dial:friend", (AT,)) in node.close(key, "10.9.9.9:1: refused")


def test_further_trials_wait_until_a_running_one_ends() -> None:
    node = OneNode()
    names = [f"b{number}" for number in range(MAX_TRIALS + 2)]
    for name in names:
        node.sight(name, f"10.0.0.1:{name[1:]}")
    begun = [name for name in names if node.look(name)]

    opened = node.membership.on_dialled("dial:b0", "c0", node.now)
    failed = node.close("dial:b1", "10.0.0.1:1: refused")

    assert begun == names[:MAX_TRIALS]
    assert opened == [Dial("dial:b8", ("10.0.0.1:8",))]
    assert Dial("dial:b9", ("10.0.0.1:9",)) in failed


def test_at_an_address_that_did_not_answer_no_other_node_is_dialled_before_the_pause_ends() -> None:
    node = OneNode()
    node.dial()
    fail(node)

    node.sight("b")

    assert node.look("b") == [LookAgain("b", 1)]
    assert node.look("b") == []
    assert node.look("b", after=1) == [Dial("dial:b", (AT,))]


def test_a_retry_dials_them_all_again() -> None:
    node = OneNode()
    node.dial()
    for _ in range(6):
        fail(node)
        node.now += MAX_RETRY_SECONDS

    assert node.membership.on_retry(node.now) == [Dial("dial:a", (AT,))]


# Other meshes


def test_nodes_of_another_mesh_are_named_in_one_notice_that_says_how_to_join_them() -> None:
    node = OneNode()

    first = node.sight("x", other_mesh="m1")
    second = node.sight("y", other_mesh="m1")
    reported = node.look(OTHERS, after=GATHER_SECONDS)
    third = node.sight("z", other_mesh="m2")

    assert first == [LookAgain(OTHERS, GATHER_SECONDS)]
    assert second == third == []
    assert kinds(reported) == ["note"]
    assert notices(reported)[0][1].startswith("nodes of another mesh are on this network: x, y; to join one of them, ")
    assert node.membership.members == {}
    assert node.membership.other_meshes.count == 2


# Whole nodes


def lines_of(cluster: Cluster, room: Room, since: int) -> list[str]:
    """The notices in a room after so many lines of the trace."""
    return [line for line in cluster.trace[since:] if line.split(" ", 1)[1].startswith(f"{room.name}: ")]


def test_forged_announcements_of_an_address_where_another_node_answers_cause_few_notices_and_dials() -> None:
    with Cluster(3) as cluster:
        kitchen, study, attic = cluster.start("kitchen", "study", "attic")
        cluster.settle("met")
        cluster.run(1)
        since, dials = len(cluster.trace), len(cluster.dials)

        for number in range(400):
            cluster.forge_sighting(kitchen, f"ghost{number}~aaaaaaaa", at=attic)
        cluster.run(130)

        reported = lines_of(cluster, kitchen, since)
        assert len(reported) <= 2 * (1 + 130 // Limits().notice_seconds)  # of two causes
        assert len(cluster.dials) - dials <= 40
        assert kitchen.peers.keys() == {study.node_id, attic.node_id}


def test_a_connection_that_ends_by_a_timeout_is_one_notice_at_each_end() -> None:
    with Cluster(5) as cluster:
        kitchen, study = cluster.start("kitchen", "study")
        cluster.settle("met")
        cluster.run(1)
        since = len(cluster.trace)

        cluster.freeze(study)
        cluster.run(30)
        cluster.thaw(study)
        cluster.settle("thawed")

        first, second, *_ = lines_of(cluster, kitchen, since)
        assert first.endswith(f"disconnected: lost the connection to {study.node_id}: no answer for 5 s")
        assert " kitchen: connected: " in second


def test_a_node_that_hears_of_no_other_for_a_while_says_once_what_to_check() -> None:
    with Cluster(6) as cluster:
        (kitchen,) = cluster.start("kitchen")

        cluster.run(100)

        (reported,) = lines_of(cluster, kitchen, 0)
        assert (
            "no other node of this mesh was heard of in 20 s; this one listens on TCP port 4000 and looks" in reported
        )
