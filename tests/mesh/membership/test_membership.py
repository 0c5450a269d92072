"""What a node decides about its neighbours: reports in, actions out."""

from __future__ import annotations

import pytest

from mesh.membership.actions import Action, Dial, LookAgain, Redial, Requery
from mesh.membership.dialling.refusals import ANOTHER_MESH, THIS_NODE
from mesh.membership.member import LOST_SECONDS, MAX_MEMBER_ADDRESSES, MAX_MEMBERS
from mesh.membership.membership import GOODBYE, PAUSED, SURPLUS
from tests.support.neighbour_house import AT, STATIC, House, closes, kinds, looks, notices

# Sightings


@pytest.mark.parametrize(("node_id", "seconds"), [("z", 0.0), ("a", 2.0)])
def test_a_sighted_node_is_dialled_at_once_by_the_smaller_id_and_later_by_the_larger(
    node_id: str, seconds: float
) -> None:
    house = House()

    actions = house.sight(node_id)

    assert actions == [LookAgain(node_id, seconds)]
    assert house.look(node_id, after=seconds) == [Dial(f"dial:{node_id}", (AT,))]


def test_a_node_is_not_dialled_twice() -> None:
    house = House()
    house.dial()

    assert house.look() == []


def test_a_node_that_is_met_is_not_dialled() -> None:
    house = House()
    house.sight()
    house.greet(house.accept())

    assert house.look() == []
    assert house.sight() == []


def test_a_new_sighting_hurries_the_dial_that_waits() -> None:
    house = House()
    house.dial()

    assert house.sight("a", "10.0.0.2:4000") == [Redial("dial:a", ("10.0.0.2:4000",))]


def test_a_withdrawn_announcement_closes_nothing() -> None:
    house = House()
    house.meet()

    assert house.sight(is_goodbye=True) == []
    assert house.state() == "alive"


def test_our_own_announcement_is_nobody() -> None:
    house = House()

    assert house.sight("m", instance="m-run") == []
    assert house.inside.members == {}


def test_forged_sightings_fill_neither_memory_nor_the_network() -> None:
    house = House()
    key = house.meet("a-friend")
    for number in range(3 * MAX_MEMBERS):
        name = f"forged-{number:04}"
        actions = house.sight(name, *(f"10.1.1.{n}:1" for n in range(20))) + house.look(name)
        for closed, _ in closes(actions):
            house.close(closed)
        if f"dial:{name}" in house.inside.sessions:
            house.close(f"dial:{name}", "refused")
            house.close(f"dial:{name}", "no answer")
        house.now += 0.01

    assert len(house.inside.members) <= MAX_MEMBERS
    assert len(house.inside.sessions) <= MAX_MEMBERS
    assert all(len(member.addresses) <= MAX_MEMBER_ADDRESSES for member in house.inside.members.values())
    assert house.inside.sessions[key].is_met


def test_another_node_that_answers_makes_us_dial_the_other_addresses() -> None:
    house = House()
    house.sight("a", AT, "10.0.0.2:4000")
    house.look()

    actions = house.greet("dial:a", "x", address=AT)
    again = house.close("dial:a")

    assert notices(actions) == [("note", f"x answers at {AT}, where a was expected")]
    assert Requery() in actions
    assert closes(actions) == [("dial:a", "another node was expected here")]
    assert looks(again)["a"] == 2.0
    assert house.look() == [Dial("dial:a", ("10.0.0.2:4000",))]
    assert "x" not in house.inside.members


# Connections


def test_a_session_is_connected_then_synchronized_and_both_are_news_once() -> None:
    house = House()
    key = house.dial()

    assert notices(house.greet(key)) == [("connected", f"connected to a at {AT}")]
    assert notices(house.inside.on_state(key, "synchronized")) == [("synchronized", "synchronized with a")]
    assert house.inside.on_state(key, "sending") == []
    assert house.inside.on_state(key, "synchronized") == []
    second = house.accept()
    assert kinds(house.greet(second, held=("c-dial:a",))) == []
    assert house.inside.on_state(second, "synchronized") == []


def test_a_lost_connection_is_dialled_again_and_reported_lost_after_a_minute() -> None:
    house = House()
    key = house.accept()
    house.sight()
    house.greet(key)

    actions = house.close(key, "no route")

    assert notices(actions) == [("disconnected", "lost the connection to a: no route")]
    assert Requery() in actions
    assert sorted((a.subject, a.delay_seconds) for a in actions if isinstance(a, LookAgain)) == [
        ("a", 2.0),
        ("a", 60.0),
    ]
    assert house.look(after=2.0) == [Dial("dial:a", (AT,))]
    assert notices(house.look(after=LOST_SECONDS)) == [("lost", "lost a: unreachable for 62 s (no route)")]
    assert house.look(after=LOST_SECONDS) == []


def test_no_record_of_a_session_is_left_after_it_closed() -> None:
    house = House()
    for key in (house.accept(), house.accept()):
        house.greet(key, "a" if key.endswith("1") else "b")
    unknown = house.accept()

    for key in (*house.inside.sessions,):
        house.close(key)

    assert unknown not in house.inside.sessions
    assert house.inside.sessions == {}
    assert house.close(unknown) == []


def test_a_dial_is_surplus_once_the_other_end_came_in() -> None:
    house = House()
    house.dial("z")
    key = house.accept()

    actions = house.greet(key, "z")

    assert closes(actions) == [("dial:z", SURPLUS)]


def test_the_larger_id_ends_a_surplus_dial_only_between_two_attempts() -> None:
    house = House()
    house.dial("a")

    assert closes(house.greet(house.accept(), "a")) == []
    assert closes(house.close("dial:a")) == [("dial:a", SURPLUS)]


def test_a_surplus_connection_that_closes_is_no_news() -> None:
    house = House()
    key = house.meet("z")
    assert closes(house.greet(house.accept(), "z", held=(f"c-{key}",))) == [("accepted:1", SURPLUS)]

    assert house.close("accepted:1", SURPLUS) == []
    assert list(house.inside.sessions) == [key]


def test_when_the_kept_connection_breaks_while_a_surplus_one_closes_somebody_dials() -> None:
    house = House()
    house.dial("z")
    house.greet(house.accept(), "z")

    house.close("accepted:1", "lost")
    actions = house.close("dial:z", SURPLUS)

    assert looks(actions)["z"] == 2.0
    assert kinds(actions) == []
    assert house.look("z", after=2.0) == [Dial("dial:z", (AT,))]


def test_a_greeting_on_a_session_that_is_being_closed_counts_for_nothing() -> None:
    house = House()
    key = house.dial()
    house.inside.close_all(GOODBYE)

    assert house.greet(key) == []
    assert house.state() == "found"


def test_a_greeting_names_what_is_held_with_that_node_and_every_dial_under_way() -> None:
    house = House()
    key = house.meet("a")
    house.meet("b")
    house.dial("c")
    house.inside.on_dialled("dial:c", "c-unknown", 0.0)

    assert house.inside.sessions.held("a") == ("c-dial:a", "c-unknown")
    assert house.inside.sessions.held(None) == ("c-dial:a", "c-dial:b", "c-unknown")
    house.close(key)
    assert house.inside.sessions.held("a") == ("c-unknown",)


# Goodbye


def test_a_node_that_says_goodbye_has_left_until_it_is_sighted_again() -> None:
    house = House()
    key = house.meet()

    actions = house.close(key, GOODBYE)
    house.close(key, "left")

    assert notices(actions) == [("left", "a said goodbye")]
    assert closes(actions) == [(key, "left")]
    assert house.state() == "left"
    assert house.look(after=100) == []
    assert kinds(house.sight(instance="run2")) == []
    assert house.look(after=2) == [Dial("dial:a", (AT,))]


def test_a_late_goodbye_of_the_run_before_does_not_hide_the_next() -> None:
    house = House()
    key = house.accept()
    house.greet(key)
    house.sight(instance="run2")

    house.close(key, GOODBYE)

    assert house.state() == "suspect"
    assert house.look(after=2) == [Dial("dial:a", (AT,))]


# Static peers


def test_a_static_peer_is_dialled_at_the_start_and_its_node_id_learned() -> None:
    house = House(STATIC)

    assert house.inside.on_begin() == [Dial(f"static:{STATIC}", (STATIC,))]
    house.greet(f"static:{STATIC}", "a")

    assert house.inside.static == {STATIC: "a"}


def test_a_static_peer_is_dialled_again_after_it_said_goodbye() -> None:
    house = House(STATIC)
    house.inside.on_begin()
    house.greet(f"static:{STATIC}")

    actions = house.close(f"static:{STATIC}", GOODBYE)

    assert closes(actions) == []  # the session goes on dialling by itself
    assert looks(actions)[STATIC] == 1.0


def test_a_static_peer_that_came_in_by_itself_is_dialled_after_it_was_lost() -> None:
    house = House(STATIC)
    house.inside.on_begin()
    house.greet(f"static:{STATIC}", "z")
    key = house.accept()
    house.greet(key, "z", boot="run2")
    house.close(f"static:{STATIC}", SURPLUS)
    assert list(house.inside.sessions) == [key]

    actions = house.close(key)

    assert looks(actions)[STATIC] == 0.0
    assert house.look(STATIC) == [Dial(f"static:{STATIC}", (STATIC,))]


@pytest.mark.parametrize("why", ["Wrong credentials", "ourselves"])
def test_a_static_peer_that_refuses_is_left_alone_until_a_retry(why: str) -> None:
    house = House(STATIC)
    house.inside.on_begin()
    key = f"static:{STATIC}"

    actions = house.inside.on_refused(key, None, why, 0.0)
    house.close(key, "refused")

    assert closes(actions) == [(key, "refused")]
    assert notices(actions) == [("refused", f"refused: {STATIC}: {why}")]
    assert house.look(STATIC, after=1000) == []
    assert house.inside.on_retry(house.now) == [Dial(key, (STATIC,))]


@pytest.mark.parametrize(
    ("why", "notice"),
    [
        (ANOTHER_MESH, ("refused", f"{STATIC} {ANOTHER_MESH}")),
        (THIS_NODE, ("refused", f"{STATIC} is this node itself: leave it out of --peer")),
    ],
)
def test_a_refusal_says_what_to_do(why: str, notice: tuple[str, str]) -> None:
    house = House(STATIC)
    house.inside.on_begin()

    assert notices(house.inside.on_refused(f"static:{STATIC}", None, why, 0.0)) == [notice]


def test_a_static_address_that_cannot_be_reached_is_told_once_until_it_worked() -> None:
    house = House(STATIC)
    house.inside.on_begin()
    key = f"static:{STATIC}"

    told = [notices(house.close(key, f"{STATIC}: refused")) for _ in range(3)]
    house.greet(key)
    house.close(key)

    sentence = (
        f"cannot reach {STATIC} yet: refused; nothing listens there: it does not run now, or uses another port; "
        "it is tried again"
    )
    assert told == [[("unreachable", sentence)], [], []]
    assert kinds(house.close(key, f"{STATIC}: no route")) == ["unreachable"]


def test_a_link_that_ends_before_the_greeting_is_not_called_unreachable() -> None:
    house = House(STATIC)
    house.inside.on_begin()
    house.inside.on_dialled(f"static:{STATIC}", "c1", 0.0)

    assert house.close(f"static:{STATIC}", "error") == []


def test_a_retry_hurries_every_dial_that_waits() -> None:
    house = House(STATIC)
    house.inside.on_begin()
    house.meet("b")
    house.dial("a")

    actions = house.inside.on_retry(house.now)

    assert actions == [Redial(f"static:{STATIC}", (STATIC,)), Redial("dial:a", (AT,))]


def test_a_static_address_may_change_hands() -> None:
    house = House(STATIC)
    house.inside.on_begin()
    key = f"static:{STATIC}"
    house.greet(key, "a")
    house.close(key)

    assert kinds(house.greet(key, "b")) == ["connected"]
    assert house.inside.static == {STATIC: "b"}
    assert (house.state("a"), house.state("b")) == ("suspect", "alive")


# Refusals


def test_a_node_that_refuses_us_is_not_dialled_until_something_about_it_changes() -> None:
    house = House()
    key = house.dial()

    assert kinds(house.inside.on_refused(key, "a", "Wrong credentials", 0.0)) == ["refused"]
    house.close(key, "refused")

    assert house.state() == "refused"
    house.sight()
    assert house.look(after=100) == []
    house.sight("a", "10.0.0.7:1")
    assert house.look(after=100) == [Dial("dial:a", ("10.0.0.7:1",))]


def test_a_stranger_who_is_refused_under_a_friends_name_does_the_friend_no_harm() -> None:
    house = House()
    house.sight()

    actions = house.inside.on_refused(house.accept(), "a", "Wrong credentials", 0.0)

    assert kinds(actions) == ["refused"]
    assert house.state() == "found"


def test_a_refusal_at_a_forged_address_does_not_end_a_living_session() -> None:
    house = House()
    key = house.dial("a")
    house.greet(house.accept(), "a")

    house.inside.on_refused(key, None, "Wrong credentials", 0.0)
    house.close(key, "refused")
    house.close("accepted:1")

    assert house.state() == "suspect"
    assert house.look(after=2) == [Dial("dial:a", (AT,))]


# Failures


def test_a_session_that_fails_starts_again_after_a_moment() -> None:
    house = House()
    key = house.meet()

    actions = house.fail(key)

    assert notices(actions) == [("restarted", "the session with a failed and restarts: a bug")]
    assert sorted(a.delay_seconds for a in actions if isinstance(a, LookAgain)) == [0.1, 60.0]
    assert house.look(after=0.1) == [Dial("dial:a", (AT,))]
    assert house.inside.failures["a"].restarts == 1


def test_a_session_that_fails_before_it_is_known_whose_it_was_is_a_note() -> None:
    house = House()

    actions = house.fail(house.accept("10.0.0.9:1"))

    assert notices(actions) == [("note", "a session with 10.0.0.9:1 failed before it was known whose it was: a bug")]
    assert house.inside.sessions == {}


def test_a_session_that_fails_while_it_is_closed_is_no_failure() -> None:
    house = House()
    key = house.meet()
    house.inside.close_all("the log restarts")

    actions = house.fail(key, "StoreError: the log is not open")

    assert kinds(actions) == []
    assert house.inside.failures == {}
    assert house.inside.sessions == {}
    assert house.look(after=2) == [Dial("dial:a", (AT,))]


def test_a_session_that_fails_on_and_on_is_paused_until_a_retry() -> None:
    house = House()
    actions: list[Action] = []
    for _ in range(6):
        house.sight()
        house.look()
        key = "dial:a"
        house.greet(key)
        actions = house.fail(key)

    assert notices(actions) == [
        ("paused", "paused the session with a after too many failures: a bug; `mesh retry` starts it again")
    ]
    assert house.look(after=1000) == []
    assert house.sight() == [LookAgain("a", 2.0)]
    assert house.look(after=2) == []
    assert house.inside.on_retry(house.now) == [Dial("dial:a", (AT,))]


def test_a_paused_node_is_turned_away_when_it_comes_by_itself() -> None:
    house = House()
    house.pause()

    assert house.inside.why_turned_away("a", "run1") == PAUSED
    key = house.accept()
    assert closes(house.greet(key)) == [(key, PAUSED)]
    house.close(key, PAUSED)
    assert house.inside.sessions == {}


def test_another_run_of_a_paused_node_gets_a_new_chance() -> None:
    house = House()
    house.pause(boot="run1")

    assert house.inside.why_turned_away("a", "run2") == ""
    assert kinds(house.greet(house.accept(), boot="run2")) == ["connected"]
    assert not house.inside.failures["a"].is_paused


def test_a_sighting_of_another_run_ends_the_pause_too() -> None:
    house = House()
    house.pause(boot="run1")

    house.sight(instance="run2")

    assert house.look(after=2) == [Dial("dial:a", (AT,))]


def test_pausing_one_node_closes_its_other_sessions_and_nobody_elses() -> None:
    house = House()
    house.meet("b")
    house.dial("a")
    for _ in range(5):
        key = house.accept()
        house.greet(key)
        house.fail(key)
    key = house.accept()
    house.greet(key)

    actions = house.fail(key)

    assert closes(actions) == [("dial:a", PAUSED)]
    assert house.inside.sessions["dial:b"].is_met


def test_a_node_id_an_address_and_a_stranger_have_keys_of_their_own() -> None:
    house = House(STATIC)
    house.inside.on_begin()
    house.dial("a")
    house.accept()

    assert sorted(house.inside.sessions) == ["accepted:1", "dial:a", f"static:{STATIC}"]


def test_a_key_is_free_only_after_its_session_has_closed() -> None:
    house = House()
    key = house.meet()
    house.inside.close_all("the log restarts")

    assert house.inside.on_free(house.now) == []
    house.close(key)
    assert house.inside.on_free(house.now) == [Dial(key, (AT,))]
