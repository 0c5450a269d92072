"""The session of the page with the node: reconnection, refusals, and each event once."""

from __future__ import annotations

import time
from collections.abc import Callable

from actions import add, pass_time, types, wait_for_rows, wait_until_confirmed
from browser import Tab
from stand_in import StandIn

SignIn = Callable[..., Tab]


def test_dates_an_event_by_the_clock_of_the_node(signed_in: SignIn, node: StandIn) -> None:
    node.skew_ms = 3_600_000
    tab = signed_in()

    add(tab, "milk")
    wait_until_confirmed(tab)

    _, (ms, _, _), time_ms = node.log[0]
    assert ms == time_ms
    assert abs(node.now_ms() - ms) < 10_000


def test_does_not_take_a_slow_answer_for_a_wrong_clock(new_tab: Callable[[], Tab], node: StandIn) -> None:
    tab = new_tab()
    tab.open(node.url)
    tab.evaluate(
        """{ const [now, send] = [Date.now, WebSocket.prototype.send];
        WebSocket.prototype.send = function(text) {
          send.call(this, text);
          if (text.startsWith('["connect"')) Date.now = () => now() + 20_000;
        }; }"""
    )
    tab.evaluate("location.hash = 'user=ada&token=ada-secret'")
    tab.wait_for_text("#state", "connected")

    add(tab, "milk")
    wait_until_confirmed(tab)

    _, (ms, _, _), _ = node.log[0]
    assert abs(tab.evaluate("Date.now()") - ms) < 5_000


def test_own_events_come_after_the_events_that_it_has_seen(signed_in: SignIn, node: StandIn) -> None:
    tab = signed_in()
    node.add({"type": "a little ahead"}, ago_ms=-5_000)
    wait_for_rows(tab, 1)

    add(tab, "answer")
    add(tab, "more")
    wait_until_confirmed(tab)

    assert types(tab) == ["a little ahead", "answer", "more"]


def test_an_event_whose_confirmation_was_lost_is_stored_once(signed_in: SignIn, node: StandIn) -> None:
    tab = signed_in()
    node.answers_syncs = False
    add(tab, "jam")
    tab.wait_for_text("#state", "sending")
    node.stop()

    tab.wait_for_text("#state", "offline")
    node.answers_syncs = True
    node.start()
    tab.click("#try-now")
    wait_until_confirmed(tab)

    assert node.syncs[0] == node.syncs[1]
    assert types(tab) == node.types == ["jam"]


def test_answers_pings_and_ignores_unknown_messages(signed_in: SignIn, node: StandIn) -> None:
    tab = signed_in()

    node.send_all(["gossip", {"from": "a newer node"}])
    node.send_all(["ping", 0])
    node.add({"type": "milk"})
    wait_for_rows(tab, 1)

    assert ["pong", 0] in node.received
    assert tab.text("#state") == "connected"
    assert tab.problems == []


def test_pings_a_silent_node_and_disconnects_without_an_answer(signed_in: SignIn, node: StandIn) -> None:
    tab = signed_in()
    node.answers_pings = False

    pass_time(tab, 11)
    tab.wait_for_text("#state", "connected")
    deadline = time.monotonic() + 5
    while ["ping", 0] not in node.received:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    pass_time(tab, 21)

    tab.wait_for_text("#state", "offline")


def test_keeps_waiting_events_while_the_token_is_renewed(signed_in: SignIn, node: StandIn) -> None:
    tab = signed_in()
    node.stop()
    tab.wait_for_text("#state", "offline")
    add(tab, "jam")
    node.tokens["ada"] = "renewed"
    node.start()
    tab.click("#try-now")
    tab.wait_for_text("#login-error", "refused")

    tab.fill("#user", "bob")
    tab.fill("#token", "bob-secret")
    tab.click("#sign-in")
    complaint = tab.text("#login-error")
    tab.fill("#user", "ada")
    tab.fill("#token", "renewed")
    tab.click("#sign-in")

    wait_until_confirmed(tab)
    assert "1 event of ada" in complaint
    assert types(tab) == node.types == ["jam"]


def test_shows_an_error_of_the_node_and_connects_again(signed_in: SignIn, node: StandIn) -> None:
    tab = signed_in()

    node.send_all(["error", "timeout", 20_000])

    tab.wait_for_text("#trouble", "The node reported timeout (20000)")
    tab.click("#try-now")
    tab.wait_for_text("#state", "connected")
    assert tab.text("#trouble") == ""
