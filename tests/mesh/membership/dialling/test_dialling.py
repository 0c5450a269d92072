"""Static addresses, which are dialled whatever discovery finds, and nodes that refuse us."""

from __future__ import annotations

import pytest

from mesh.membership.actions import Dial, Redial
from mesh.membership.dialling.refusals import ANOTHER_MESH, THIS_NODE
from mesh.membership.ended_sessions import GOODBYE, SURPLUS
from tests.support.one_node import AT, STATIC, OneNode, closes, kinds, looks, notices

# Static addresses


def test_a_static_address_is_dialled_at_the_start_and_its_node_id_learned() -> None:
    node = OneNode(STATIC)

    assert node.membership.on_begin() == [Dial(f"static:{STATIC}", (STATIC,))]
    node.greet(f"static:{STATIC}", "a")

    assert node.membership.static == {STATIC: "a"}


def test_a_static_address_is_dialled_again_after_a_goodbye() -> None:
    node = OneNode(STATIC)
    node.membership.on_begin()
    node.greet(f"static:{STATIC}")

    actions = node.close(f"static:{STATIC}", GOODBYE)

    assert closes(actions) == []  # its session dials again by itself
    assert looks(actions)[STATIC] == 1.0


def test_a_static_address_is_dialled_when_the_connection_that_its_node_opened_is_lost() -> None:
    node = OneNode(STATIC)
    node.membership.on_begin()
    node.greet(f"static:{STATIC}", "z")
    key = node.accept()
    node.greet(key, "z", boot="run2")
    node.close(f"static:{STATIC}")  # run1 does not answer
    node.close(f"static:{STATIC}", SURPLUS)
    assert list(node.membership.sessions) == [key]

    actions = node.close(key)

    assert looks(actions)[STATIC] == 0.0
    assert node.look(STATIC) == [Dial(f"static:{STATIC}", (STATIC,))]


@pytest.mark.parametrize("why", ["Wrong credentials", "ourselves"])
def test_a_static_address_that_refuses_us_is_not_dialled_until_a_retry(why: str) -> None:
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


def test_an_unreachable_static_address_is_reported_once_until_it_answered() -> None:
    node = OneNode(STATIC)
    node.membership.on_begin()
    key = f"static:{STATIC}"

    reported = [notices(node.close(key, f"{STATIC}: refused")) for _ in range(3)]
    node.greet(key)
    node.close(key)

    sentence = (
        f"cannot reach {STATIC} yet: refused; nothing listens there: it does not run now, or uses another port; "
        "it is tried again"
    )
    assert reported == [[("unreachable", sentence)], [], []]
    assert kinds(node.close(key, f"{STATIC}: no route")) == ["unreachable"]


def test_a_link_that_ends_before_the_greeting_is_not_reported_as_unreachable() -> None:
    node = OneNode(STATIC)
    node.membership.on_begin()
    node.membership.on_dialled(f"static:{STATIC}", "c1", 0.0)

    assert node.close(f"static:{STATIC}", "error") == []


def test_a_retry_makes_every_waiting_dial_try_at_once() -> None:
    node = OneNode(STATIC)
    node.membership.on_begin()
    node.meet("b")
    node.dial("a")

    actions = node.membership.on_retry(node.now)

    assert actions == [Redial(f"static:{STATIC}", (STATIC,)), Redial("dial:a", (AT,))]


def test_a_static_address_without_an_answer_is_tried_when_a_node_of_that_host_connects() -> None:
    node = OneNode(AT, STATIC, "10.0.0.2:4000")
    node.membership.on_begin()
    for static in node.membership.static:
        node.close(f"static:{static}", f"{static}: refused")

    actions = node.greet(node.accept(), "z", address="10.0.0.1:38588")

    assert [action for action in actions if isinstance(action, Redial)] == [Redial(f"static:{AT}", (AT,))]
    node.greet(f"static:{AT}", "z")
    assert (node.membership.static[AT], node.membership.sessions[f"static:{AT}"].reason) == ("z", "")
    assert not any(isinstance(action, Redial) for action in node.greet(node.accept(), "y", address="10.0.0.1:38589"))


def test_a_host_that_connects_and_drops_does_not_make_us_dial_at_its_pace() -> None:
    node = OneNode(AT)
    node.membership.on_begin()
    node.close(f"static:{AT}", "refused")
    redials = 0

    for number in range(60):
        node.now = float(number)
        key = node.accept()
        actions = node.greet(key, f"z{number % 3}", boot=f"run{number}", address="10.0.0.1:38588")
        redials += sum(isinstance(action, Redial) for action in actions)
        node.close(key)

    assert 2 < redials < 10


def test_another_node_may_answer_at_a_static_address() -> None:
    node = OneNode(STATIC)
    node.membership.on_begin()
    key = f"static:{STATIC}"
    node.greet(key, "a")
    node.close(key)

    assert kinds(node.greet(key, "b")) == ["connected"]
    assert node.membership.static == {STATIC: "b"}
    assert (node.state("a"), node.state("b")) == ("suspect", "alive")


# Refusals


def test_a_node_that_refuses_us_is_not_dialled_until_its_announcement_changes() -> None:
    node = OneNode()
    key = node.dial()

    assert kinds(node.membership.on_refused(key, "a", "Wrong credentials", 0.0)) == ["refused"]
    node.close(key, "refused")

    assert node.state() == "refused"
    node.sight()
    assert node.look(after=100) == []
    node.sight("a", "10.0.0.7:1")
    assert node.look(after=100) == [Dial("dial:a", ("10.0.0.7:1",))]


def test_a_caller_that_is_refused_under_the_id_of_a_member_does_not_change_the_member() -> None:
    node = OneNode()
    node.sight()

    actions = node.membership.on_refused(node.accept(), "a", "Wrong credentials", 0.0)

    assert kinds(actions) == ["refused"]
    assert node.state() == "found"


def test_a_refusal_at_a_forged_address_does_not_end_a_connected_session() -> None:
    node = OneNode()
    key = node.dial("a")
    node.greet(node.accept(), "a")

    node.membership.on_refused(key, None, "Wrong credentials", 0.0)
    node.close(key, "refused")
    node.close("accepted:1")

    assert node.state() == "suspect"
    assert node.look(after=2) == [Dial("dial:a", (AT,))]
