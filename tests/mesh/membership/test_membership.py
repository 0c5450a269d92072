"""What a node decides about its neighbours: reports in, actions out."""

from __future__ import annotations

import pytest

from mesh.membership.actions import Action, Dial, LookAgain, Redial, Requery
from mesh.membership.dialling.refusals import ANOTHER_MESH, THIS_NODE
from mesh.membership.member import LOST_SECONDS, MAX_MEMBER_ADDRESSES, MAX_MEMBERS
from mesh.membership.membership import GOODBYE, PAUSED, SURPLUS
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


def test_a_node_that_is_met_is_not_dialled() -> None:
    node = OneNode()
    node.sight()
    node.greet(node.accept())

    assert node.look() == []
    assert node.sight() == []


def test_a_new_sighting_hurries_the_dial_that_waits() -> None:
    node = OneNode()
    node.dial()

    assert node.sight("a", "10.0.0.2:4000") == [Redial("dial:a", ("10.0.0.2:4000",))]


def test_a_withdrawn_announcement_closes_nothing() -> None:
    node = OneNode()
    node.meet()

    assert node.sight(is_goodbye=True) == []
    assert node.state() == "alive"


def test_our_own_announcement_is_nobody() -> None:
    node = OneNode()

    assert node.sight("m", instance="m-run") == []
    assert node.membership.members == {}


def test_forged_sightings_fill_neither_memory_nor_the_network() -> None:
    node = OneNode()
    key = node.meet("a-friend")
    for number in range(3 * MAX_MEMBERS):
        name = f"forged-{number:04}"
        actions = node.sight(name, *(f"10.1.1.{n}:1" for n in range(20))) + node.look(name)
        for closed, _ in closes(actions):
            node.close(closed)
        if f"dial:{name}" in node.membership.sessions:
            node.close(f"dial:{name}", "refused")
            node.close(f"dial:{name}", "no answer")
        node.now += 0.01

    assert len(node.membership.members) <= MAX_MEMBERS
    assert len(node.membership.sessions) <= MAX_MEMBERS
    assert all(len(member.addresses) <= MAX_MEMBER_ADDRESSES for member in node.membership.members.values())
    assert node.membership.sessions[key].is_met


def test_another_node_that_answers_makes_us_dial_the_other_addresses() -> None:
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


def test_a_session_is_connected_then_synchronized_and_both_are_news_once() -> None:
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


def test_a_dial_is_surplus_once_the_other_end_came_in() -> None:
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


def test_a_surplus_connection_that_closes_is_no_news() -> None:
    node = OneNode()
    key = node.meet("z")
    assert closes(node.greet(node.accept(), "z", held=(f"c-{key}",))) == [("accepted:1", SURPLUS)]

    assert node.close("accepted:1", SURPLUS) == []
    assert list(node.membership.sessions) == [key]


def test_when_the_kept_connection_breaks_while_a_surplus_one_closes_somebody_dials() -> None:
    node = OneNode()
    node.dial("z")
    node.greet(node.accept(), "z")

    node.close("accepted:1", "lost")
    actions = node.close("dial:z", SURPLUS)

    assert looks(actions)["z"] == 2.0
    assert kinds(actions) == []
    assert node.look("z", after=2.0) == [Dial("dial:z", (AT,))]


def test_a_greeting_on_a_session_that_is_being_closed_counts_for_nothing() -> None:
    node = OneNode()
    key = node.dial()
    node.membership.close_all(GOODBYE)

    assert node.greet(key) == []
    assert node.state() == "found"


def test_a_greeting_names_what_is_held_with_that_node_and_every_dial_under_way() -> None:
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


def test_a_late_goodbye_of_the_run_before_does_not_hide_the_next() -> None:
    node = OneNode()
    key = node.accept()
    node.greet(key)
    node.sight(instance="run2")

    node.close(key, GOODBYE)

    assert node.state() == "suspect"
    assert node.look(after=2) == [Dial("dial:a", (AT,))]


# Static peers


def test_a_static_peer_is_dialled_at_the_start_and_its_node_id_learned() -> None:
    node = OneNode(STATIC)

    assert node.membership.on_begin() == [Dial(f"static:{STATIC}", (STATIC,))]
    node.greet(f"static:{STATIC}", "a")

    assert node.membership.static == {STATIC: "a"}


def test_a_static_peer_is_dialled_again_after_it_said_goodbye() -> None:
    node = OneNode(STATIC)
    node.membership.on_begin()
    node.greet(f"static:{STATIC}")

    actions = node.close(f"static:{STATIC}", GOODBYE)

    assert closes(actions) == []  # the session goes on dialling by itself
    assert looks(actions)[STATIC] == 1.0


def test_a_static_peer_that_came_in_by_itself_is_dialled_after_it_was_lost() -> None:
    node = OneNode(STATIC)
    node.membership.on_begin()
    node.greet(f"static:{STATIC}", "z")
    key = node.accept()
    node.greet(key, "z", boot="run2")
    node.close(f"static:{STATIC}", SURPLUS)
    assert list(node.membership.sessions) == [key]

    actions = node.close(key)

    assert looks(actions)[STATIC] == 0.0
    assert node.look(STATIC) == [Dial(f"static:{STATIC}", (STATIC,))]


@pytest.mark.parametrize("why", ["Wrong credentials", "ourselves"])
def test_a_static_peer_that_refuses_is_left_alone_until_a_retry(why: str) -> None:
    node = OneNode(STATIC)
    node.membership.on_begin()
    key = f"static:{STATIC}"

    actions = node.membership.on_refused(key, None, why, 0.0)
    node.close(key, "refused")

    assert closes(actions) == [(key, "refused")]
    assert notices(actions) == [("refused", f"refused: {STATIC}: {why}")]
    assert node.look(STATIC, after=1000) == []
    assert node.membership.on_retry(node.now) == [Dial(key, (STATIC,))]


@pytest.mark.parametrize(
    ("why", "notice"),
    [
        (ANOTHER_MESH, ("refused", f"{STATIC} {ANOTHER_MESH}")),
        (THIS_NODE, ("refused", f"{STATIC} is this node itself: leave it out of --peer")),
    ],
)
def test_a_refusal_says_what_to_do(why: str, notice: tuple[str, str]) -> None:
    node = OneNode(STATIC)
    node.membership.on_begin()

    assert notices(node.membership.on_refused(f"static:{STATIC}", None, why, 0.0)) == [notice]


def test_a_static_address_that_cannot_be_reached_is_told_once_until_it_worked() -> None:
    node = OneNode(STATIC)
    node.membership.on_begin()
    key = f"static:{STATIC}"

    told = [notices(node.close(key, f"{STATIC}: refused")) for _ in range(3)]
    node.greet(key)
    node.close(key)

    sentence = (
        f"cannot reach {STATIC} yet: refused; nothing listens there: it does not run now, or uses another port; "
        "it is tried again"
    )
    assert told == [[("unreachable", sentence)], [], []]
    assert kinds(node.close(key, f"{STATIC}: no route")) == ["unreachable"]


def test_a_link_that_ends_before_the_greeting_is_not_called_unreachable() -> None:
    node = OneNode(STATIC)
    node.membership.on_begin()
    node.membership.on_dialled(f"static:{STATIC}", "c1", 0.0)

    assert node.close(f"static:{STATIC}", "error") == []


def test_a_retry_hurries_every_dial_that_waits() -> None:
    node = OneNode(STATIC)
    node.membership.on_begin()
    node.meet("b")
    node.dial("a")

    actions = node.membership.on_retry(node.now)

    assert actions == [Redial(f"static:{STATIC}", (STATIC,)), Redial("dial:a", (AT,))]


def test_a_static_address_may_change_hands() -> None:
    node = OneNode(STATIC)
    node.membership.on_begin()
    key = f"static:{STATIC}"
    node.greet(key, "a")
    node.close(key)

    assert kinds(node.greet(key, "b")) == ["connected"]
    assert node.membership.static == {STATIC: "b"}
    assert (node.state("a"), node.state("b")) == ("suspect", "alive")


# Refusals


def test_a_node_that_refuses_us_is_not_dialled_until_something_about_it_changes() -> None:
    node = OneNode()
    key = node.dial()

    assert kinds(node.membership.on_refused(key, "a", "Wrong credentials", 0.0)) == ["refused"]
    node.close(key, "refused")

    assert node.state() == "refused"
    node.sight()
    assert node.look(after=100) == []
    node.sight("a", "10.0.0.7:1")
    assert node.look(after=100) == [Dial("dial:a", ("10.0.0.7:1",))]


def test_a_stranger_who_is_refused_under_a_friends_name_does_the_friend_no_harm() -> None:
    node = OneNode()
    node.sight()

    actions = node.membership.on_refused(node.accept(), "a", "Wrong credentials", 0.0)

    assert kinds(actions) == ["refused"]
    assert node.state() == "found"


def test_a_refusal_at_a_forged_address_does_not_end_a_living_session() -> None:
    node = OneNode()
    key = node.dial("a")
    node.greet(node.accept(), "a")

    node.membership.on_refused(key, None, "Wrong credentials", 0.0)
    node.close(key, "refused")
    node.close("accepted:1")

    assert node.state() == "suspect"
    assert node.look(after=2) == [Dial("dial:a", (AT,))]


# Failures


def test_a_session_that_fails_starts_again_after_a_moment() -> None:
    node = OneNode()
    key = node.meet()

    actions = node.fail(key)

    assert notices(actions) == [("restarted", "the session with a failed and restarts: a bug")]
    assert sorted(a.delay_seconds for a in actions if isinstance(a, LookAgain)) == [0.1, 60.0]
    assert node.look(after=0.1) == [Dial("dial:a", (AT,))]
    assert node.membership.failures["a"].restarts == 1


def test_a_session_that_fails_before_it_is_known_whose_it_was_is_a_note() -> None:
    node = OneNode()

    actions = node.fail(node.accept("10.0.0.9:1"))

    assert notices(actions) == [("note", "a session with 10.0.0.9:1 failed before it was known whose it was: a bug")]
    assert node.membership.sessions == {}


def test_a_session_that_fails_while_it_is_closed_is_no_failure() -> None:
    node = OneNode()
    key = node.meet()
    node.membership.close_all("the log restarts")

    actions = node.fail(key, "StoreError: the log is not open")

    assert kinds(actions) == []
    assert node.membership.failures == {}
    assert node.membership.sessions == {}
    assert node.look(after=2) == [Dial("dial:a", (AT,))]


def test_a_session_that_fails_on_and_on_is_paused_until_a_retry() -> None:
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


def test_a_paused_node_is_turned_away_when_it_comes_by_itself() -> None:
    node = OneNode()
    node.pause()

    assert node.membership.why_turned_away("a", "run1") == PAUSED
    key = node.accept()
    assert closes(node.greet(key)) == [(key, PAUSED)]
    node.close(key, PAUSED)
    assert node.membership.sessions == {}


def test_another_run_of_a_paused_node_gets_a_new_chance() -> None:
    node = OneNode()
    node.pause(boot="run1")

    assert node.membership.why_turned_away("a", "run2") == ""
    assert kinds(node.greet(node.accept(), boot="run2")) == ["connected"]
    assert not node.membership.failures["a"].is_paused


def test_a_sighting_of_another_run_ends_the_pause_too() -> None:
    node = OneNode()
    node.pause(boot="run1")

    node.sight(instance="run2")

    assert node.look(after=2) == [Dial("dial:a", (AT,))]


def test_pausing_one_node_closes_its_other_sessions_and_nobody_elses() -> None:
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


def test_a_node_id_an_address_and_a_stranger_have_keys_of_their_own() -> None:
    node = OneNode(STATIC)
    node.membership.on_begin()
    node.dial("a")
    node.accept()

    assert sorted(node.membership.sessions) == ["accepted:1", "dial:a", f"static:{STATIC}"]


def test_a_key_is_free_only_after_its_session_has_closed() -> None:
    node = OneNode()
    key = node.meet()
    node.membership.close_all("the log restarts")

    assert node.membership.on_free(node.now) == []
    node.close(key)
    assert node.membership.on_free(node.now) == [Dial(key, (AT,))]
