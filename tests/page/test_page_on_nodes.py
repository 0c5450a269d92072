"""The page of real nodes: two connected nodes, wrong tokens, restarts, and input."""

from __future__ import annotations

from collections.abc import Callable

from actions import add, rows, types, wait_for_rows, wait_until_confirmed
from browser import Tab
from real_nodes import Nodes
from real_nodes import types as types_of

from mesh.gateway.clients.tokens import Tokens

NewTab = Callable[[], Tab]


def signed_in(new_tab: NewTab, nodes: Nodes, user: str = "ada", name: str = "kitchen") -> Tab:
    tab = new_tab()
    tab.open(nodes.link(user, name))
    tab.wait_for_text("#state", "connected")
    return tab


def test_events_typed_at_two_nodes_appear_on_both_pages(new_tab: NewTab, nodes: Nodes) -> None:
    kitchen = nodes.start("kitchen")
    attic = nodes.start("attic", beside=kitchen)
    ada, bob = signed_in(new_tab, nodes, "ada", "kitchen"), signed_in(new_tab, nodes, "bob", "attic")

    add(ada, "milk", '{"litres": 2, "n": 12345678901234567890}')
    wait_for_rows(bob, 1)
    add(bob, "", '{"type": "thanks"}')
    wait_for_rows(ada, 2)

    assert rows(ada) == rows(bob)
    assert rows(bob)[0] == ["ada", "milk", "litres 2; n 12345678901234567890"]
    assert types_of(kitchen) == types_of(attic) == ["milk", "thanks"]
    assert next(iter(kitchen.log.each()))[0]["n"] == 12345678901234567890
    ada.wait_for_text("#peers", "attic")
    ada.wait_for_text("#clients", "ada")
    for tab in (ada, bob):
        assert tab.problems == tab.network_problems == []


def test_signs_in_by_auth_with_a_long_token(new_tab: NewTab, nodes: Nodes) -> None:
    secret = f"{'e' * 40}.{'y' * 900}.{'J' * 43}"
    node = nodes.start(auth=lambda user, token: (user, token) == ("carol", secret))
    tab = new_tab()
    tab.open(node.clients_url)
    tab.wait_for_text("#login", "Sign in")

    tab.fill("#user", "carol")
    tab.fill("#token", secret)
    tab.click("#sign-in")

    tab.wait_for_text("#state", "connected")
    tab.wait_for_text("#clients", "carol")
    assert tab.problems == tab.network_problems == []


def test_asks_for_user_and_token_again_after_a_wrong_token(new_tab: NewTab, nodes: Nodes) -> None:
    node = nodes.start()
    tab = new_tab()
    tab.open(node.clients_url)
    tab.wait_for_text("#login", "Sign in")
    assert tab.text("#house") == ""
    assert tab.evaluate("document.activeElement.id") == "user"
    assert tab.problems == tab.network_problems == []
    assert tab.evaluate("[...document.querySelectorAll('input')].every(input => input.labels.length === 1)")
    assert tab.evaluate("[...document.querySelectorAll('button')].every(button => button.textContent.trim() !== '')")

    tab.fill("#user", "ada:x")
    tab.fill("#token", "guessed")
    tab.press("Enter", 13, "\r")
    tab.wait_for_text("#login-error", "A user has 1 to 64")
    tab.fill("#user", "ada")
    tab.click("#sign-in")
    tab.wait_for_text("#login-error", "refused this user or token")
    tab.fill("#token", nodes.token("ada"))
    tab.click("#sign-in")

    tab.wait_for_text("#state", "connected")
    assert (tab.text("#login"), tab.text("#node")) == ("", "kitchen")
    tab.open(node.clients_url)
    tab.wait_for_text("#state", "connected")  # it stays signed in when it is loaded again
    assert tab.problems == []


def test_says_how_long_to_wait_after_too_many_wrong_tokens(new_tab: NewTab, nodes: Nodes) -> None:
    node = nodes.start()
    tab = new_tab()
    tab.open(node.clients_url)
    headers = "{headers: {Authorization: 'Bearer ada:guess'}}"
    tab.evaluate(f"(async () => {{ for (let n = 0; n < 10; n++) await fetch('/status', {headers}); }})()")

    tab.fill("#user", "ada")
    tab.fill("#token", nodes.token("ada"))
    tab.click("#sign-in")

    tab.wait_for_text("#login-error", "too many wrong tokens. Wait a minute")


def test_asks_again_when_the_token_is_revoked(new_tab: NewTab, nodes: Nodes) -> None:
    node = nodes.start()
    tab = signed_in(new_tab, nodes)

    Tokens(node.home).revoke("ada")

    tab.wait_for_text("#login-error", "refused this user or token")
    assert tab.problems == []


def test_shows_markup_in_events_as_text(new_tab: NewTab, nodes: Nodes) -> None:
    node = nodes.start()
    markup = "<img src=x onerror='window.harmed = 1'><script>window.harmed = 1</script>"
    node.log.add({"type": markup, markup: markup}).get(5)

    tab = signed_in(new_tab, nodes)
    wait_for_rows(tab, 1)

    assert rows(tab)[0][:2] == ["kitchen", markup]
    assert tab.evaluate("document.querySelectorAll('#log img, #log script').length") == 0
    assert tab.evaluate("window.harmed === undefined")
    assert tab.problems == tab.network_problems == []


def test_sends_events_that_were_typed_while_the_node_was_down_once(new_tab: NewTab, nodes: Nodes) -> None:
    node = nodes.start()
    tab = signed_in(new_tab, nodes)
    add(tab, "before")
    wait_until_confirmed(tab)
    node.stop()
    tab.wait_for_text("#state", "offline")
    add(tab, "meanwhile")
    tab.wait_until("document.querySelectorAll('#log > .waiting').length === 1")

    node = nodes.start()
    node.log.add({"type": "after"}).get(5)
    tab.click("#try-now")

    wait_for_rows(tab, 3)
    wait_until_confirmed(tab)
    assert types(tab) == types_of(node) == ["before", "meanwhile", "after"]
    assert tab.problems == []


def test_connects_by_itself_when_the_node_is_back(new_tab: NewTab, nodes: Nodes) -> None:
    node = nodes.start()
    tab = signed_in(new_tab, nodes)
    node.stop()
    tab.wait_for_text("#state", "offline")

    nodes.start()

    tab.wait_for_text("#state", "connected")


def test_shows_the_log_of_a_node_whose_disk_was_wiped(new_tab: NewTab, nodes: Nodes) -> None:
    node = nodes.start()
    for number in range(5):
        node.log.add({"type": f"old {number}"}).get(5)
    tab = signed_in(new_tab, nodes)
    wait_for_rows(tab, 5)

    node.stop()
    tab.wait_for_text("#state", "offline")
    nodes.wipe()
    node = nodes.start()
    node.log.add({"type": "new"}).get(5)
    tab.click("#try-now")

    wait_for_rows(tab, 1)
    assert types(tab) == ["new"]


def test_an_event_that_in_filter_refuses_is_not_in_the_log(new_tab: NewTab, nodes: Nodes) -> None:
    node = nodes.start(in_filter=lambda event, meta, user: event["type"] != "secret")
    ada, bob = signed_in(new_tab, nodes), signed_in(new_tab, nodes, "bob")

    add(ada, "secret")
    wait_until_confirmed(ada)
    add(ada, "milk")
    wait_for_rows(bob, 1)

    assert types(bob) == types_of(node) == ["milk"]
