"""The page in a browser: what a person sees and does, against a stand-in for the node."""

from __future__ import annotations

from collections.abc import Callable

from browser import Tab
from reading import add, rows, types, wait_for_rows, wait_until_confirmed
from stand_in import StandIn

SignIn = Callable[..., Tab]
NewTab = Callable[[], Tab]


def test_opens_without_complaints_and_asks_who_one_is(new_tab: NewTab, node: StandIn) -> None:
    tab = new_tab()

    tab.open(node.url)
    tab.wait_for_text("#login", "Sign in")

    assert tab.problems == tab.network_problems == []
    assert tab.text("#house") == ""
    assert tab.evaluate("document.activeElement.id") == "user"


def test_signs_in_by_the_form(new_tab: NewTab, node: StandIn) -> None:
    tab = new_tab()
    tab.open(node.url)

    tab.fill("#user", "ada")
    tab.fill("#token", "ada-secret")
    tab.press("Enter", 13, "\r")

    tab.wait_for_text("#state", "synchronized")
    assert tab.text("#login") == ""
    assert tab.text("#node") == "kitchen"
    assert tab.problems == tab.network_problems == []


def test_signs_in_by_the_fragment_and_removes_it_from_the_address(new_tab: NewTab, node: StandIn) -> None:
    tab = new_tab()

    tab.open(f"{node.url}#user=ada&token=ada%2Dsecret")
    tab.wait_for_text("#state", "synchronized")

    assert tab.evaluate("location.href") == node.url
    assert tab.problems == tab.network_problems == []


def test_stays_signed_in_when_the_page_is_loaded_again(signed_in: SignIn, node: StandIn) -> None:
    tab = signed_in()

    tab.open(node.url)

    tab.wait_for_text("#state", "synchronized")


def test_forgets_the_token_when_one_signs_out(signed_in: SignIn) -> None:
    tab = signed_in()

    tab.click("#sign-out")

    tab.wait_for_text("#login", "Sign in")
    assert tab.evaluate("sessionStorage.length") == 0


def test_says_that_a_token_is_wrong_and_asks_again(new_tab: NewTab, node: StandIn) -> None:
    tab = new_tab()

    tab.open(f"{node.url}#user=ada&token=guessed")
    tab.wait_for_text("#login-error", "refused this user or token")
    tab.fill("#token", "ada-secret")
    tab.click("#sign-in")

    tab.wait_for_text("#state", "synchronized")
    assert tab.problems == []


def test_explains_a_user_that_cannot_be(new_tab: NewTab, node: StandIn) -> None:
    tab = new_tab()
    tab.open(node.url)

    tab.fill("#user", "ada:x")
    tab.fill("#token", "ada-secret")
    tab.click("#sign-in")

    assert "A user has 1 to 64" in tab.text("#login-error")


def test_shows_an_event_in_every_open_page(signed_in: SignIn, node: StandIn) -> None:
    ada, bob = signed_in("ada"), signed_in("bob")

    add(ada, "milk", '{"litres": 2}')
    wait_for_rows(bob, 1)

    wait_until_confirmed(ada)
    assert rows(ada) == rows(bob) == [["ada", "milk", '{"litres":2}']]
    assert node.types == ["milk"]
    assert ada.problems == bob.problems == []


def test_takes_a_whole_event_as_one_line_of_json(signed_in: SignIn, node: StandIn) -> None:
    tab = signed_in()

    add(tab, "", '{"type": "milk", "litres": 2}')
    wait_until_confirmed(tab)
    add(tab, '{"type": "bread"}')
    wait_until_confirmed(tab)

    assert [event for event, _, _ in node.log] == [{"type": "milk", "litres": 2}, {"type": "bread"}]


def test_shows_events_by_time_whenever_they_come(signed_in: SignIn, node: StandIn) -> None:
    tab = signed_in()

    node.add({"type": "third"})
    node.add({"type": "first"}, ago_ms=7_000, node_id="study~a5f4jykt")
    node.add({"type": "second"}, ago_ms=5_000, node_id="attic~b2c3d4e5", n=4)

    wait_for_rows(tab, 3)
    assert [row[:2] for row in rows(tab)] == [["study", "first"], ["attic", "second"], ["kitchen", "third"]]


def test_shows_markup_as_text_and_runs_none_of_it(signed_in: SignIn, node: StandIn) -> None:
    tab = signed_in()
    markup = "<img src=x onerror='window.harmed = 1'><script>window.harmed = 1</script>"

    node.add({"type": markup, markup: markup}, node_id=f"{markup}~a5f4jykt")
    wait_for_rows(tab, 1)

    assert rows(tab)[0][:2] == [markup, markup]
    assert tab.evaluate("document.querySelectorAll('#log img, #log script').length") == 0
    assert tab.evaluate("window.harmed === undefined")
    assert tab.problems == tab.network_problems == []


def test_writes_out_characters_that_would_turn_the_line_round(signed_in: SignIn, node: StandIn) -> None:
    tab = signed_in()

    node.add({"type": "abc\u202edef\u0007"})
    wait_for_rows(tab, 1)

    assert types(tab) == ["abc\\u202edef\\u0007"]


def test_keeps_numbers_that_javascript_would_round(signed_in: SignIn, node: StandIn) -> None:
    ada, bob = signed_in("ada"), signed_in("bob")

    add(ada, "count", '{"n": 12345678901234567890}')
    wait_for_rows(bob, 1)

    assert node.log[0][0]["n"] == 12345678901234567890
    assert rows(bob)[0][2] == rows(ada)[0][2] == '{"n":12345678901234567890}'


def test_keeps_a_bounded_number_of_rows(signed_in: SignIn, node: StandIn) -> None:
    for number in range(1_500):
        node.add({"type": f"event {number}"}, ago_ms=1_500 - number)

    tab = signed_in()

    tab.wait_for_text("#count", "1,500 events; the 500 oldest are not shown")
    shown = types(tab)
    assert len(shown) == 1_000
    assert (shown[0], shown[-1]) == ("event 500", "event 1499")


def test_keeps_its_rows_bounded_while_events_come_live(signed_in: SignIn, node: StandIn) -> None:
    tab = signed_in()

    for number in range(1_100):
        node.add({"type": f"event {number}"}, ago_ms=1_100 - number)

    tab.wait_for_text("#count", "1,100 events; the 100 oldest are not shown")
    assert len(rows(tab)) == 1_000


def test_follows_the_newest_event_unless_one_reads_older_ones(signed_in: SignIn, node: StandIn) -> None:
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


def test_explains_what_is_no_event(signed_in: SignIn, node: StandIn) -> None:
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
    assert shown == [["kitchen~zzzzzzzz", "lost"], ["study", "synchronized"]]
    assert tab.text("#node") == "kitchen~7f3q2x5a"  # two have that name
    tab.wait_for_text("#clients", "ada")


def test_names_every_input_and_button(signed_in: SignIn) -> None:
    tab = signed_in()

    assert tab.evaluate("[...document.querySelectorAll('input')].every(input => input.labels.length === 1)")
    assert tab.evaluate("[...document.querySelectorAll('button')].every(button => button.textContent.trim() !== '')")


def test_fits_a_phone(signed_in: SignIn, node: StandIn) -> None:
    node.add({"type": "w" * 300, "text": "x" * 2_000}, node_id=f"{'n' * 64}~a5f4jykt")
    tab = signed_in()

    tab.resize(380, 700)
    tab.click("#about-toggle")

    tab.wait_for_text("#about", "This node")
    assert tab.evaluate("document.documentElement.scrollWidth") == 380
    assert tab.evaluate("document.getElementById('scroll').scrollWidth <= 380")
