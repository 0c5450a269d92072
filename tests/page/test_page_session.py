"""The page's conversation with the node: lost, found again, refused, and nothing doubled."""

from __future__ import annotations

import time
from collections.abc import Callable

from browser import Tab
from stand_in import StandIn

from tests.support.reading import add, pass_time, types, wait_for_rows, wait_until_confirmed

SignIn = Callable[..., Tab]


def test_dates_an_event_by_the_clock_of_the_node(signed_in: SignIn, node: StandIn) -> None:
    node.skew_ms = 3_600_000
    tab = signed_in()

    add(tab, "milk")
    wait_until_confirmed(tab)

    _, (ms, _, _), time_ms = node.log[0]
    assert ms == time_ms
    assert abs(node.now_ms() - ms) < 10_000


def test_writes_after_what_it_has_seen(signed_in: SignIn, node: StandIn) -> None:
    tab = signed_in()
    node.add({"type": "a little ahead"}, ago_ms=-5_000)
    wait_for_rows(tab, 1)

    add(tab, "answer")
    add(tab, "more")
    wait_until_confirmed(tab)

    assert types(tab) == ["a little ahead", "answer", "more"]


def test_doubles_nothing_when_the_answer_to_an_event_was_lost(signed_in: SignIn, node: StandIn) -> None:
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


def test_answers_pings_and_ignores_what_it_does_not_know(signed_in: SignIn, node: StandIn) -> None:
    tab = signed_in()

    node.tell(["gossip", {"from": "a newer node"}])
    node.tell(["ping", 0])
    node.add({"type": "milk"})
    wait_for_rows(tab, 1)

    assert ["pong", 0] in node.heard
    assert tab.text("#state") == "synchronized"
    assert tab.problems == []


def test_asks_a_silent_node_for_a_sign_of_life_and_hangs_up_without_one(signed_in: SignIn, node: StandIn) -> None:
    tab = signed_in()
    node.answers_pings = False

    pass_time(tab, 11)
    tab.wait_for_text("#state", "synchronized")
    deadline = time.monotonic() + 5
    while ["ping", 0] not in node.heard:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    pass_time(tab, 21)

    tab.wait_for_text("#state", "offline")


def test_keeps_what_waits_while_the_token_is_renewed(signed_in: SignIn, node: StandIn) -> None:
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


def test_says_what_the_node_complains_about_and_connects_again(signed_in: SignIn, node: StandIn) -> None:
    tab = signed_in()

    node.tell(["error", "timeout", 20_000])

    tab.wait_for_text("#trouble", "The node reported timeout (20000)")
    tab.click("#try-now")
    tab.wait_for_text("#state", "synchronized")
    assert tab.text("#trouble") == ""
