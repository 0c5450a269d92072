"""The page in a browser: what a user sees and does, with a stand-in for the node."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from actions import add, rows, types, wait_for_rows
from browser import Tab
from stand_in import StandIn

SignIn = Callable[..., Tab]
NewTab = Callable[[], Tab]


def test_signs_in_by_the_fragment_and_removes_it_from_the_address(new_tab: NewTab, node: StandIn) -> None:
    tab = new_tab()

    tab.open(f"{node.url}#user=ada&token=ada%2Dsecret")
    tab.wait_for_text("#state", "connected")

    assert tab.evaluate("location.href") == node.url
    assert tab.problems == tab.network_problems == []


def test_forgets_the_token_when_the_user_signs_out(signed_in: SignIn) -> None:
    tab = signed_in()

    tab.click("#sign-out")

    tab.wait_for_text("#login", "Sign in")
    assert tab.evaluate("sessionStorage.length") == 0


def test_shows_events_in_order_of_time_whenever_they_arrive(signed_in: SignIn, node: StandIn) -> None:
    tab = signed_in()

    node.add({"type": "third"})
    node.add({"type": "first"}, ago_ms=7_000, node_id="study~a5f4jykt")
    node.add({"type": "second"}, ago_ms=5_000, node_id="attic~b2c3d4e5", n=4)

    wait_for_rows(tab, 3)
    assert [row[:2] for row in rows(tab)] == [["study", "first"], ["attic", "second"], ["kitchen", "third"]]


def test_escapes_characters_that_would_change_the_direction_of_text(signed_in: SignIn, node: StandIn) -> None:
    tab = signed_in()

    node.add({"type": "abc\u202edef\u0007"})
    wait_for_rows(tab, 1)

    assert types(tab) == ["abc\\u202edef\\u0007"]


def test_follows_the_newest_event_unless_the_user_scrolls_back(signed_in: SignIn, node: StandIn) -> None:
    tab = signed_in()
    for number in range(100):
        node.add({"type": f"event {number}"}, ago_ms=100 - number)
    wait_for_rows(tab, 100)
    at_end = "(e => e.scrollHeight - e.scrollTop - e.clientHeight < 2)(document.getElementById('scroll'))"
    tab.wait_until(at_end)

    tab.evaluate("document.getElementById('scroll').scrollTop = 0")
    tab.wait_until("new Promise(done => requestAnimationFrame(() => setTimeout(() => done(true))))")
    node.add({"type": "unread"})
    tab.wait_for_text("#newest", "1 new event")
    tab.click("#newest")

    tab.wait_until(at_end)
    assert tab.text("#newest") == ""


def test_follows_the_newest_event_when_the_screen_turns(signed_in: SignIn, node: StandIn) -> None:
    tab = signed_in()
    tab.resize(1200, 800)
    for number in range(60):
        node.add({"type": f"event {number}", "text": "word " * 30}, ago_ms=100 - number)
    wait_for_rows(tab, 60)

    tab.resize(380, 700)

    tab.wait_until("(e => e.scrollHeight - e.scrollTop - e.clientHeight < 2)(document.getElementById('scroll'))")


def test_says_why_an_input_is_not_an_event(signed_in: SignIn, node: StandIn) -> None:
    tab = signed_in()

    for kind, fields, sentence in [
        ("jam", '{"jars": 1', "This is not JSON"),
        ("jam", "[1]", "Fields must be a JSON object"),
        ("", "", "An event needs a type"),
        ("", '{"jars": 1}', "An event needs a type"),
        ("", '{"type": 5}', "must be a string"),
        ("jam", '{"type": "milk"}', "The type is given twice"),
        ("jam", '{"n": 1e999}', "A number is too large"),
        ("jam", '{"t": "\\ud800"}', "half a character"),
        ("jam", '{"a": ' + "[" * 40 + "]" * 40 + "}", "nested deeper than 32"),
        ("jam", '{"a": "' + "x" * 270_000 + '"}', "at most 262144"),
    ]:
        add(tab, kind, fields)
        assert sentence in tab.text("#composer-error"), (kind, fields[:40])

    assert node.log == []
    assert tab.problems == []


def test_shows_the_neighbours_of_the_node(signed_in: SignIn, node: StandIn) -> None:
    far = {"node_id": "kitchen~zzzzzzzz", "state": "lost", "session": None, "addresses": ["192.168.1.9:40307"]}
    near = {"node_id": "study~a5f4jykt", "state": "alive", "session": "synchronized", "addresses": []}
    node.peers = [far, near]

    tab = signed_in()

    shown = [text.split() for text in tab.texts("#peers li")]
    assert shown == [["kitchen~zzzzzzzz", "lost"], ["study", "in", "step"]]
    assert tab.text("#node") == "kitchen~7f3q2x5a"  # two nodes have that name


@pytest.mark.parametrize("width", [360, 380, 800])
def test_fits_a_narrow_screen(signed_in: SignIn, node: StandIn, width: int) -> None:
    node.add({"type": "w" * 300, "text": "x" * 2_000}, node_id=f"{'n' * 64}~a5f4jykt")
    node.peers = [{"node_id": f"{'p' * 64}~a5f4jykt", "state": "lost", "session": None, "reason": "r" * 200}]
    tab = signed_in()
    wait_for_rows(tab, 1)

    tab.resize(width, 640)
    tab.click("#log .type")
    tab.wait_for_text(".story", "Written by")
    for part in ("html", "#scroll", "#desk", "header"):
        assert tab.evaluate(f"document.querySelector('{part}').scrollWidth") <= width, part
    tab.click("#about-toggle")

    tab.wait_for_text("#about", "This node")
    assert tab.evaluate("(e => e.scrollWidth <= e.clientWidth)(document.getElementById('about'))")
    tab.click("#sign-out")
    tab.wait_for_text("#login", "Sign in")


def test_the_form_for_new_events_leaves_the_small_screen_to_the_log_until_it_is_wanted(signed_in: SignIn) -> None:
    tab = signed_in()

    tab.resize(360, 640)
    assert tab.text("#composer") == ""
    assert tab.evaluate("document.getElementById('scroll').clientHeight > 0.6 * innerHeight")
    tab.click("#compose-toggle")
    add(tab, "milk")

    wait_for_rows(tab, 1)
    assert types(tab) == ["milk"]
