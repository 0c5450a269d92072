"""Two machines under one node id: what shows them, which one stays connected, and when it is over."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from mesh.lab import Cluster, Room
from mesh.lab.cluster.topology import Links, full
from mesh.membership.actions import Action, Ask, Dial, LookAgain
from mesh.membership.diagnosis.clones import (
    CHECK_PAUSE_SECONDS,
    CLONE_LOOK,
    HOLDERS_LOOK_SECONDS,
    OWN_DIAL,
    TAKEN,
    TAKEN_REASON,
)
from mesh.membership.diagnosis.runs import CLONE_SECONDS, HOLDER_SECONDS, RETURN_SECONDS, Runs
from mesh.membership.dialling.link_selection import SECOND_DIAL_SECONDS
from mesh.membership.dialling.refusals import CLONED, THIS_NODE
from mesh.settings.config import DEFAULT_MESH
from tests.support.one_node import AT, STATIC, OneNode, closes, kinds, looks, notices
from tests.support.seeds import seeds

COPY = "10.0.0.2:4000"


def clone(node: OneNode) -> tuple[str, str]:
    """Two runs of "a" alternate until they show a clone. Returns the session that stays, and one for the other run."""
    last = ""
    for boot in ("run1", "run2", "run1", "run2"):
        before, last = last, node.accept()
        node.greet(last, boot=boot)
        node.close(before)
    kept = node.accept()
    assert kinds(node.greet(kept, boot="run1")) == ["cloned"]
    node.close(last)
    return kept, node.accept()


# An announcement under our own id


def test_an_announcement_under_our_id_is_checked_by_a_dial() -> None:
    node = OneNode()

    assert node.sight("m", COPY, instance="another") == [LookAgain("m", 0.0)]
    assert node.look("m") == [Dial(OWN_DIAL, (COPY,))]
    assert closes(node.close(OWN_DIAL, f"{COPY}: refused")) == [(OWN_DIAL, "no clone")]
    assert node.close(OWN_DIAL, "no clone") == []

    assert node.membership.sessions == node.membership.members == {}
    assert node.sight("m", COPY, instance="another") == []


def test_a_copy_that_answers_under_our_id_is_reported_with_the_advice_to_stop_one() -> None:
    node = OneNode()
    node.sight("m", COPY, instance="another")
    node.look("m")

    actions = node.membership.on_refused(OWN_DIAL, "m", CLONED, 0.0)

    assert closes(actions) == [(OWN_DIAL, "refused")]
    assert kinds(actions) == ["cloned"]
    assert notices(actions)[0][1].startswith(
        "two machines run as m: stop one of the two; one is at 10.0.0.2; the one that is left goes on by itself; "
    )
    assert "delete" not in notices(actions)[0][1]


@pytest.mark.parametrize("answer", ["another node", "ourselves"])
def test_an_address_that_does_not_answer_under_our_id_is_no_clone(answer: str) -> None:
    node = OneNode()
    node.sight("m", COPY, instance="another")
    node.look("m")

    if answer == "ourselves":
        actions = node.membership.on_refused(OWN_DIAL, "m", THIS_NODE, 0.0)
    else:
        actions = node.greet(OWN_DIAL, "a", address=COPY)

    assert kinds(actions) == []
    assert [key for key, _ in closes(actions)] == [OWN_DIAL]


def test_many_announcements_under_our_id_are_checked_one_by_one_with_pauses() -> None:
    node = OneNode()
    dials = 0
    for number in range(600):
        node.sight("m", COPY, instance=f"forged-{number}")
        if Dial(OWN_DIAL, (COPY,)) in node.look("m", after=0.1):
            dials += 1
            node.close(OWN_DIAL, "refused")
            node.close(OWN_DIAL, "no clone")

    assert dials == 60 / CHECK_PAUSE_SECONDS


def test_a_retry_does_not_disturb_a_running_check() -> None:
    node = OneNode()
    node.sight("m", COPY, instance="another")
    node.look("m")

    assert node.membership.on_retry(node.now) == []


def test_our_own_announcement_and_a_withdrawn_one_are_not_checked() -> None:
    node = OneNode()

    assert node.sight("m", COPY, instance="m-run") == []
    assert node.sight("m", COPY, instance="another", is_goodbye=True) == []


def test_a_static_address_where_a_copy_of_our_home_answers_is_dialled_on_until_another_one_answers() -> None:
    node = OneNode(STATIC)
    node.membership.on_begin()
    key = f"static:{STATIC}"

    actions = node.membership.on_refused(key, "m", CLONED, 0.0)

    assert kinds(actions) == ["cloned"]
    assert "retry" not in notices(actions)[0][1]
    assert closes(actions) == []
    assert kinds(node.greet(key, "a", address=STATIC)) == ["connected"]


# Two runs of another node


def test_of_two_machines_under_one_id_the_first_stays_connected_and_the_other_is_turned_away() -> None:
    node = OneNode()
    kept, other = clone(node)

    again = node.greet(other, boot="run2")

    assert closes(again) == [(other, TAKEN_REASON)]
    assert kinds(again) == []
    assert node.membership.why_turned_away("a", "run2") == TAKEN
    assert node.membership.why_turned_away("a", "run1") == ""
    assert node.membership.sessions[kept].is_met
    assert node.membership.members["a"].is_cloned


@pytest.mark.parametrize("reason", ["lost", "goodbye"])
def test_when_the_connected_machine_has_gone_the_other_may_connect_at_once(reason: str) -> None:
    node = OneNode()
    node.sight("a", AT, instance="run1")
    kept, other = clone(node)

    actions = node.close(kept, reason)

    assert node.membership.why_turned_away("a", "run2") == ""
    assert looks(actions)["a"] <= 2.0  # it is dialled at its announced address
    assert kinds(node.greet(other, boot="run2")) == ["connected"]


def test_a_clone_is_over_after_the_other_run_was_silent_without_a_retry() -> None:
    node = OneNode()
    clone(node)
    subject = f"{CLONE_LOOK}a"

    node.now += CLONE_SECONDS - 1
    node.membership.on_turned_away("accepted:99", "a", "run2", AT, node.now)
    early = node.look(subject, after=1)
    late = node.look(subject, after=CLONE_SECONDS)

    assert early == [LookAgain(subject, CLONE_SECONDS)]
    assert notices(late) == [("note", "only one machine runs as a now")]
    assert not node.membership.members["a"].is_cloned


def test_a_dial_that_reaches_the_second_machine_ends() -> None:
    node = OneNode(STATIC)
    node.membership.on_begin()
    clone(node)

    actions = node.membership.on_turned_away(f"static:{STATIC}", "a", "run2", STATIC, node.now)
    node.close(f"static:{STATIC}", TAKEN_REASON)

    assert closes(actions) == [(f"static:{STATIC}", TAKEN_REASON)]
    node.membership.static[STATIC] = "a"
    assert node.look(STATIC, after=100) == []  # its node is connected


def test_an_address_of_a_third_node_where_the_second_machine_answers_is_not_dialled_again() -> None:
    node = OneNode()
    clone(node)
    key = node.dial("b")

    actions = node.membership.on_turned_away(key, "a", "run2", AT, node.now)
    node.close(key)

    assert closes(actions) == [(key, "another node was expected here")]
    assert node.look("b", after=100) == []


def test_an_announcement_of_another_run_does_not_remove_the_addresses_of_a_connected_node() -> None:
    node = OneNode()
    node.meet()

    node.sight("a", COPY, instance="run2")

    assert node.membership.members["a"].addresses == (COPY, AT)


def test_returns_that_are_far_apart_are_no_clone() -> None:
    runs = Runs()
    for number in range(20):
        runs = runs.greeted("run1" if number % 2 else "run2", number * (RETURN_SECONDS + 1))

    assert not runs.is_cloned


# Two runs that prove one key


def proven_clone(node: OneNode) -> list[Action]:
    """Two runs of "a" prove its key, and both answer. Returns the last actions."""
    first, second = node.accept("10.0.0.7:50000"), node.accept("10.0.0.8:50000")
    node.greet(first, boot="run1", address="10.0.0.7:50000", is_proven=True)
    node.greet(second, boot="run2", address="10.0.0.8:50000", is_proven=True)
    assert node.answer(first) == [Ask(second)]
    return node.answer(second)


def test_two_holders_of_one_key_are_called_once_both_have_answered_and_both_are_refused() -> None:
    node = OneNode()

    actions = proven_clone(node)

    assert kinds(actions) == ["disconnected", "cloned"]
    assert "they are at 10.0.0.8 and 10.0.0.7; " in notices(actions)[1][1]
    assert {key for key, _ in closes(actions)} == {"accepted:1", "accepted:2"}
    assert node.membership.why_turned_away("a", "run1") == node.membership.why_turned_away("a", "run2") == TAKEN
    assert node.membership.why_turned_away("a", "run3") == TAKEN


def test_a_second_holder_that_does_not_answer_is_no_clone() -> None:
    node = OneNode()
    first, second = node.accept(), node.accept()
    node.greet(first, boot="run1", is_proven=True)
    node.greet(second, boot="run2", is_proven=True)

    asked = node.answer(first)
    node.close(second)

    assert asked == [Ask(second)]
    assert node.membership.why_turned_away("a", "run2") == ""
    assert node.membership.sessions[first].is_met


def test_a_moved_home_whose_old_link_answers_no_more_goes_on_without_a_word() -> None:
    node = OneNode()
    old, new = node.accept("10.0.0.7:50000"), node.accept("10.0.0.8:50000")
    node.greet(old, boot="run1", is_proven=True)

    greeting = node.greet(new, boot="run2", is_proven=True)
    end = node.close(old, "no answer for 20 s")

    assert kinds([*greeting, *end]) == []
    assert node.membership.sessions[new].is_met


def test_runs_that_return_again_and_again_are_no_clone_where_keys_are_proved() -> None:
    node = OneNode()
    for boot in ("run1", "run2", "run1", "run2", "run1", "run2"):
        key = node.accept()
        assert "cloned" not in kinds(node.greet(key, boot=boot, is_proven=True))
        node.close(key)


@pytest.mark.parametrize("left", ["run1", "run2"])
def test_the_holder_that_is_left_is_let_in_once_the_other_one_was_silent(left: str) -> None:
    node = OneNode()
    proven_clone(node)
    subject = f"{CLONE_LOOK}a"
    for key in ("accepted:1", "accepted:2"):
        node.close(key)

    node.now += HOLDER_SECONDS - 2
    node.membership.on_turned_away("accepted:9", "a", left, AT, node.now)
    early = node.look(subject, after=1)
    late = node.look(subject, after=1)

    assert early == [LookAgain(subject, HOLDERS_LOOK_SECONDS)]
    assert notices(late) == [("note", "only one machine runs as a now")]
    assert looks(late) == {"a": SECOND_DIAL_SECONDS}
    assert node.membership.why_turned_away("a", left) == ""
    assert kinds(node.greet(node.accept(), boot=left, is_proven=True)) == ["connected"]


def test_two_holders_of_one_key_are_not_dialled_where_they_were_announced() -> None:
    node = OneNode()
    node.sight("a", AT, COPY)
    proven_clone(node)

    for key in ("accepted:1", "accepted:2"):
        node.close(key)

    assert kinds(node.look("a", after=100)) == ["lost"]
    assert node.look("a", after=100) == []


def test_a_dial_of_a_static_address_goes_on_until_one_of_two_holders_is_left() -> None:
    node = OneNode(STATIC)
    node.membership.on_begin()
    proven_clone(node)

    actions = node.membership.on_turned_away(f"static:{STATIC}", "a", "run2", STATIC, node.now)

    assert closes(actions) == []


# Whole nodes


def copied_kitchen(
    cluster: Cluster, mesh: str = DEFAULT_MESH, links: Links | None = None
) -> tuple[Room, Room, Room, Room]:
    """A kitchen, a study and an attic that have met, and a copy of the kitchen's home that does not run."""
    kitchen, study, attic = cluster.start("kitchen", "study", "attic", mesh=mesh, links=links)
    cluster.settle("met")
    (copy,) = cluster.start("copy", links=[], mesh=mesh)
    cluster.stop(copy)
    copy.key_of, copy.links = kitchen, kitchen.links
    return kitchen, study, attic, copy


def cloned(cluster: Cluster) -> list[str]:
    """Rooms in which two machines under one id were reported, once each time."""
    return sorted(line.split()[1].rstrip(":") for line in cluster.trace if ": cloned: " in line)


@pytest.mark.parametrize("seed", seeds(3, always=1))
@pytest.mark.parametrize("end", [Cluster.stop, Cluster.crash])
def test_a_copied_home_of_an_open_node_is_reported_once_and_the_original_stays_connected(
    seed: int, end: Callable[[Cluster, Room], None]
) -> None:
    with Cluster(seed) as cluster:
        kitchen, study, attic, copy = copied_kitchen(cluster, mesh="")

        cluster.start("copy")
        cluster.run(30)
        reported, before = cloned(cluster), len(cluster.trace)
        cluster.run(60)
        changes = [line for line in cluster.trace[before:] if ": connected: " in line or ": disconnected: " in line]
        end(cluster, copy)
        ended = cluster.seconds
        cluster.settle("alone again", limit_seconds=12)
        cluster.run(40)

        assert {"study", "attic"} <= set(reported) <= {"study", "attic", "kitchen", "copy"}
        assert len(reported) == len(set(reported))
        assert changes == []
        assert cluster.seconds - ended < 60
        for room in (study, attic):
            (row,) = [row for row in room.status()["peers"] if row["node_id"] == kitchen.node_id]
            assert (row["state"], row["session"]) == ("alive", "synchronized")


@pytest.mark.parametrize("seed", seeds(3, always=1))
@pytest.mark.parametrize("end", [Cluster.stop, Cluster.crash])
@pytest.mark.parametrize("is_copy_ended", [True, False])
@pytest.mark.parametrize("links", [None, full], ids=["discovery", "addresses"])
def test_a_home_that_was_copied_and_used_twice_is_refused_at_both_places_until_one_is_gone(
    seed: int, end: Callable[[Cluster, Room], None], is_copy_ended: bool, links: Links | None
) -> None:
    with Cluster(seed) as cluster:
        kitchen, study, attic, copy = copied_kitchen(cluster, links=links)
        cluster.start("copy")
        cluster.run(10)
        refused = cloned(cluster)
        before = [dict(room.peers) for room in (kitchen, copy, study, attic)]
        cluster.run(60)
        after = [dict(room.peers) for room in (kitchen, copy, study, attic)]
        reported = cloned(cluster)

        one, other = (copy, kitchen) if is_copy_ended else (kitchen, copy)
        end(cluster, one)
        one.links = ()
        cluster.settle("alone again", limit_seconds=10)

        assert {"study", "attic"} <= set(refused)
        assert len(reported) == len(set(reported))
        assert before == after == [{}, {}, {attic.node_id: None}, {study.node_id: None}]
        assert other.peers.keys() == {study.node_id, attic.node_id}
        for room in (study, attic):
            (sentence,) = [line for line in cluster.trace if f" {room.name}: cloned: " in line]
            assert "they are at kitchen and copy; " in sentence or "they are at copy and kitchen; " in sentence


def test_a_home_that_moved_to_another_machine_goes_on_without_a_word() -> None:
    with Cluster(3) as cluster:
        kitchen, study, attic, copy = copied_kitchen(cluster)
        cluster.crash(kitchen)
        cluster.start("copy")
        cluster.settle("the kitchen has moved")
        cluster.run(60)

        assert cloned(cluster) == []
        assert study.peers.keys() == {copy.node_id, attic.node_id}


def test_a_node_whose_copy_is_connected_shows_why_it_is_turned_away_and_connects_after_the_copy_stopped() -> None:
    with Cluster(1) as cluster:
        kitchen, _study, _attic, copy = copied_kitchen(cluster, mesh="")
        cluster.start("copy")
        cluster.run(30)
        cluster.stop(kitchen)
        cluster.run(10)
        cluster.start("kitchen")
        cluster.run(20)

        (turned_away, *_) = [line for line in cluster.trace if "kitchen: note: " in line and "turns us away" in line]
        reasons = {row["reason"] for row in kitchen.status()["peers"] if row["state"] != "found"}
        cluster.crash(copy)
        cluster.settle("alone again", limit_seconds=20)

        assert turned_away.endswith(f"it turns us away: {TAKEN_REASON}")
        assert reasons <= {"", f"it turns us away: {TAKEN_REASON}"}


def test_a_repeated_announcement_of_an_earlier_run_is_not_reported() -> None:
    with Cluster(4) as cluster:
        kitchen, study = cluster.start("kitchen", "study")
        cluster.settle("met")

        cluster.forge_sighting(kitchen, kitchen.node_id, at=study, instance="an earlier run")
        cluster.forge_sighting(study, study.node_id, at="kitchen", instance="an earlier run")
        cluster.run(60)

        assert cloned(cluster) == []
        assert cluster.dials[-1].seconds < 30
