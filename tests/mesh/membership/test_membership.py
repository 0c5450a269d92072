"""What Membership decides about each report: reports in, actions out."""

from __future__ import annotations

import pytest

from mesh.membership.actions import Action, Dial, LookAgain, Redial, Requery
from mesh.membership.ended_sessions import GOODBYE, PAUSED, SURPLUS
from mesh.membership.member import LOST_SECONDS
from peers.limits import Limits
from tests.support.one_node import AT, STATIC, OneNode, closes, kinds, looks, notices

# Sightings


@pytest.mark.parametrize(("node_id", "seconds"), [("z", 0.0), ("a", 2.0)])
def test_a_sighted_node_is_dialled_at_once_by_the_smaller_id_and_later_by_the_larger(
    node_id: str, seconds: float
) -> None:
    node = OneNode()

    actions = node.sight(node_id)

    assert actions == [LookAgain(node_id, seconds)]
    assert node.look(node_id, after=seconds) == [Dial(f"dial:{node_id}", (AT,))]


def test_a_node_is_not_dialled_twice() -> None:
    node = OneNode()
    node.dial()

    assert node.look() == []


def test_a_connected_node_is_not_dialled() -> None:
    node = OneNode()
    node.sight()
    node.greet(node.accept())

    assert node.look() == []
    assert node.sight() == []


def test_a_new_sighting_makes_a_waiting_dial_try_at_once() -> None:
    node = OneNode()
    node.dial()

    assert node.sight("a", "10.0.0.2:4000") == [Redial("dial:a", ("10.0.0.2:4000",))]


def test_a_withdrawn_announcement_closes_nothing() -> None:
    node = OneNode()
    node.meet()

    assert node.sight(is_goodbye=True) == []
    assert node.state() == "alive"


def test_our_own_announcement_is_ignored() -> None:
    node = OneNode()

    assert node.sight("m", instance="m-run") == []
    assert node.membership.members == {}


def test_forged_sightings_are_limited_in_memory_and_in_dials() -> None:
    node = OneNode()
    key = node.meet("a-friend")
    for number in range(3 * Limits().members):
        name = f"forged-{number:04}"
        actions = node.sight(name, *(f"10.1.1.{n}:1" for n in range(20))) + node.look(name)
        for closed, _ in closes(actions):
            node.close(closed)
        if f"dial:{name}" in node.membership.sessions:
            node.close(f"dial:{name}", "refused")
            node.close(f"dial:{name}", "no answer")
        node.now += 0.01

    assert len(node.membership.members) <= Limits().members
    assert len(node.membership.sessions) <= Limits().members
    assert all(len(member.addresses) <= Limits().addresses_of_member for member in node.membership.members.values())
    assert node.membership.sessions[key].is_met


def test_when_another_node_answers_only_the_other_addresses_are_dialled_again() -> None:
    node = OneNode()
    node.sight("a", AT, "10.0.0.2:4000")
    node.look()

    actions = node.greet("dial:a", "x", address=AT)
    again = node.close("dial:a")

    assert notices(actions) == [("note", f"x answers at {AT}, where a was expected")]
    assert Requery() in actions
    assert closes(actions) == [("dial:a", "another node was expected here")]
    assert looks(again)["a"] == 2.0
    assert node.look() == [Dial("dial:a", ("10.0.0.2:4000",))]
    assert "x" not in node.membership.members


# Connections


def test_a_session_is_reported_once_as_connected_and_once_as_synchronized() -> None:
    node = OneNode()
    key = node.dial()

    assert notices(node.greet(key)) == [("connected", f"connected to a at {AT}")]
    assert notices(node.membership.on_state(key, "synchronized")) == [("synchronized", "synchronized with a")]
    assert node.membership.on_state(key, "sending") == []
    assert node.membership.on_state(key, "synchronized") == []
    second = node.accept()
    assert kinds(node.greet(second, held=("c-dial:a",))) == []
    assert node.membership.on_state(second, "synchronized") == []


def test_a_lost_connection_is_dialled_again_and_reported_lost_after_a_minute() -> None:
    node = OneNode()
    key = node.accept()
    node.sight()
    node.greet(key)

    actions = node.close(key, "no route")

    assert notices(actions) == [("disconnected", "lost the connection to a: no route")]
    assert Requery() in actions
    assert sorted((a.subject, a.delay_seconds) for a in actions if isinstance(a, LookAgain)) == [
        ("a", 2.0),
        ("a", 60.0),
    ]
    assert node.look(after=2.0) == [Dial("dial:a", (AT,))]
    assert notices(node.look(after=LOST_SECONDS)) == [("lost", "lost a: unreachable for 62 s (no route)")]
    assert node.look(after=LOST_SECONDS) == []


def test_no_record_of_a_session_is_left_after_it_closed() -> None:
    node = OneNode()
    for key in (node.accept(), node.accept()):
        node.greet(key, "a" if key.endswith("1") else "b")
    unknown = node.accept()

    for key in (*node.membership.sessions,):
        node.close(key)

    assert unknown not in node.membership.sessions
    assert node.membership.sessions == {}
    assert node.close(unknown) == []


def test_a_dial_ends_when_the_other_end_has_connected() -> None:
    node = OneNode()
    node.dial("z")
    key = node.accept()

    actions = node.greet(key, "z")

    assert closes(actions) == [("dial:z", SURPLUS)]


def test_the_larger_id_ends_a_surplus_dial_only_between_two_attempts() -> None:
    node = OneNode()
    node.dial("a")

    assert closes(node.greet(node.accept(), "a")) == []
    assert closes(node.close("dial:a")) == [("dial:a", SURPLUS)]


def test_a_surplus_connection_that_closes_is_not_reported() -> None:
    node = OneNode()
    key = node.meet("z")
    assert closes(node.greet(node.accept(), "z", held=(f"c-{key}",))) == [("accepted:1", SURPLUS)]

    assert node.close("accepted:1", SURPLUS) == []
    assert list(node.membership.sessions) == [key]


def test_if_the_kept_connection_breaks_while_a_surplus_one_closes_the_node_is_dialled_again() -> None:
    node = OneNode()
    node.dial("z")
    node.greet(node.accept(), "z")

    node.close("accepted:1", "lost")
    actions = node.close("dial:z", SURPLUS)

    assert looks(actions)["z"] == 2.0
    assert kinds(actions) == []
    assert node.look("z", after=2.0) == [Dial("dial:z", (AT,))]


def test_a_greeting_on_a_closing_session_is_ignored() -> None:
    node = OneNode()
    key = node.dial()
    node.membership.close_all(GOODBYE)

    assert node.greet(key) == []
    assert node.state() == "found"


def test_a_greeting_names_the_connections_with_that_node_and_all_open_dials() -> None:
    node = OneNode()
    key = node.meet("a")
    node.meet("b")
    node.dial("c")
    node.membership.on_dialled("dial:c", "c-unknown", 0.0)

    assert node.membership.sessions.held("a") == ("c-dial:a", "c-unknown")
    assert node.membership.sessions.held(None) == ("c-dial:a", "c-dial:b", "c-unknown")
    node.close(key)
    assert node.membership.sessions.held("a") == ("c-unknown",)


# Goodbye


def test_a_node_that_says_goodbye_has_left_until_it_is_sighted_again() -> None:
    node = OneNode()
    key = node.meet()

    actions = node.close(key, GOODBYE)
    node.close(key, "left")

    assert notices(actions) == [("left", "a said goodbye")]
    assert closes(actions) == [(key, "left")]
    assert node.state() == "left"
    assert node.look(after=100) == []
    assert kinds(node.sight(instance="run2")) == []
    assert node.look(after=2) == [Dial("dial:a", (AT,))]


def test_a_late_goodbye_of_the_last_run_does_not_hide_the_next_run() -> None:
    node = OneNode()
    key = node.accept()
    node.greet(key)
    node.sight(instance="run2")

    node.close(key, GOODBYE)

    assert node.state() == "suspect"
    assert node.look(after=2) == [Dial("dial:a", (AT,))]


# Failures


def test_a_session_that_fails_is_restarted_after_a_delay() -> None:
    node = OneNode()
    key = node.meet()

    actions = node.fail(key)

    assert notices(actions) == [("restarted", "the session with a failed and restarts: a bug")]
    assert sorted(a.delay_seconds for a in actions if isinstance(a, LookAgain)) == [0.1, 60.0]
    assert node.look(after=0.1) == [Dial("dial:a", (AT,))]
    assert node.membership.failures["a"].restarts == 1


def test_a_session_that_fails_before_its_greeting_is_reported_with_its_address() -> None:
    node = OneNode()

    actions = node.fail(node.accept("10.0.0.9:1"))

    assert notices(actions) == [("note", "a session with 10.0.0.9:1 failed before its node was known: a bug")]
    assert node.membership.sessions == {}


def test_a_session_that_fails_while_it_closes_is_not_counted_as_a_failure() -> None:
    node = OneNode()
    key = node.meet()
    node.membership.close_all("the log restarts")

    actions = node.fail(key, "StoreError: the log is not open")

    assert kinds(actions) == []
    assert node.membership.failures == {}
    assert node.membership.sessions == {}
    assert node.look(after=2) == [Dial("dial:a", (AT,))]


def test_a_session_that_fails_again_and_again_is_paused_until_a_retry() -> None:
    node = OneNode()
    actions: list[Action] = []
    for _ in range(6):
        node.sight()
        node.look()
        key = "dial:a"
        node.greet(key)
        actions = node.fail(key)

    assert notices(actions) == [
        ("paused", "paused the session with a after too many failures: a bug; `mesh retry` starts it again")
    ]
    assert node.look(after=1000) == []
    assert node.sight() == [LookAgain("a", 2.0)]
    assert node.look(after=2) == []
    assert node.membership.on_retry(node.now) == [Dial("dial:a", (AT,))]


def test_a_paused_node_is_turned_away_when_it_connects() -> None:
    node = OneNode()
    node.pause()

    assert node.membership.why_turned_away("a", "run1") == PAUSED
    key = node.accept()
    assert closes(node.greet(key)) == [(key, PAUSED)]
    node.close(key, PAUSED)
    assert node.membership.sessions == {}


def test_another_run_of_a_paused_node_may_connect() -> None:
    node = OneNode()
    node.pause(boot="run1")

    assert node.membership.why_turned_away("a", "run2") == ""
    assert kinds(node.greet(node.accept(), boot="run2")) == ["connected"]
    assert not node.membership.failures["a"].is_paused


def test_a_sighting_of_another_run_ends_the_pause() -> None:
    node = OneNode()
    node.pause(boot="run1")

    node.sight(instance="run2")

    assert node.look(after=2) == [Dial("dial:a", (AT,))]


def test_pausing_a_node_closes_its_other_sessions_only() -> None:
    node = OneNode()
    node.meet("b")
    node.dial("a")
    for _ in range(5):
        key = node.accept()
        node.greet(key)
        node.fail(key)
    key = node.accept()
    node.greet(key)

    actions = node.fail(key)

    assert closes(actions) == [("dial:a", PAUSED)]
    assert node.membership.sessions["dial:b"].is_met


def test_sessions_that_dial_a_node_dial_an_address_or_were_accepted_have_different_keys() -> None:
    node = OneNode(STATIC)
    node.membership.on_begin()
    node.dial("a")
    node.accept()

    assert sorted(node.membership.sessions) == ["accepted:1", "dial:a", f"static:{STATIC}"]


def test_a_key_is_used_again_only_after_its_session_has_closed() -> None:
    node = OneNode()
    key = node.meet()
    node.membership.close_all("the log restarts")

    assert node.membership.on_free(node.now) == []
    node.close(key)
    assert node.membership.on_free(node.now) == [Dial(key, (AT,))]
