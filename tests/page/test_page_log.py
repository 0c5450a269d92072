"""The log on the page: read on as the user scrolls, searched, and the story of one event."""

from __future__ import annotations

import time
from collections.abc import Callable

from actions import add, rows, types, wait_for_rows
from browser import Tab
from real_nodes import Nodes
from stand_in import StandIn

from mesh.gateway.clients.event_pages import MAX_LOOKED
from mesh.node import Node

SignIn = Callable[..., Tab]
NewTab = Callable[[], Tab]
SECONDS = 60.0
AT_END = "(e => e.scrollHeight - e.scrollTop - e.clientHeight < 2)(document.getElementById('scroll'))"


def filled(nodes: Nodes, number: int) -> Node:
    """A node with events of the types `event 0` and so on, one a minute."""
    node = nodes.start()
    for start in range(0, number, 1_000):
        some = range(start, min(number, start + 1_000))
        times = [({"type": f"event {n}", "n": n}, {"time": 1_700_000_000_000 + 60_000 * n}) for n in some]
        node.log.add_batch(times).get(10)
    return node


def signed_in_at(new_tab: NewTab, nodes: Nodes) -> Tab:
    tab = new_tab()
    tab.open(nodes.link("ada"))
    tab.wait_for_text("#state", "connected")
    return tab


def scroll_to(tab: Tab, top: str) -> None:
    """Scroll, and wait until the page has taken notice."""
    tab.evaluate(f"{{ const e = document.getElementById('scroll'); e.scrollTop = {top}; }}")
    tab.wait_until("new Promise(done => requestAnimationFrame(() => setTimeout(() => done(true))))")


def scroll_until(tab: Tab, top: str, is_there: Callable[[], bool]) -> None:
    """Scroll there again and again, as more is read."""
    deadline = time.monotonic() + SECONDS
    while not is_there():
        assert time.monotonic() < deadline, types(tab)
        scroll_to(tab, top)


def test_every_event_is_reached_by_scrolling_and_few_rows_are_kept(new_tab: NewTab, nodes: Nodes) -> None:
    filled(nodes, 1_500)
    tab = signed_in_at(new_tab, nodes)
    tab.wait_until("document.querySelectorAll('#log > li').length >= 60")
    assert types(tab)[-1] == "event 1499"

    scroll_until(tab, "0", lambda: types(tab)[:1] == ["event 0"])
    shown = types(tab)

    assert shown == [f"event {n}" for n in range(len(shown))]
    assert len(shown) <= 300
    scroll_to(tab, "0")
    tab.wait_until("document.getElementById('older').hidden")
    scroll_until(tab, "e.scrollHeight", lambda: types(tab)[-1:] == ["event 1499"])
    shown = types(tab)
    assert shown == [f"event {n}" for n in range(1_500 - len(shown), 1_500)]


def test_what_is_looked_at_stays_in_its_place_while_older_events_come(new_tab: NewTab, nodes: Nodes) -> None:
    filled(nodes, 500)
    tab = signed_in_at(new_tab, nodes)
    tab.wait_until("document.querySelectorAll('#log > li').length >= 60")
    place = "[...document.querySelectorAll('#log > li')].find(e => e.innerText.includes('event 460'))"
    tab.wait_until(f"{place} !== undefined")

    tab.evaluate(f"{place}.scrollIntoView()")
    before = tab.evaluate(f"{place}.getBoundingClientRect().top")
    tab.wait_until("document.querySelectorAll('#log > li').length > 100")

    assert abs(tab.evaluate(f"{place}.getBoundingClientRect().top") - before) < 3


def test_what_is_looked_at_stays_in_its_place_while_newer_events_come(new_tab: NewTab, nodes: Nodes) -> None:
    filled(nodes, 1_000)
    tab = signed_in_at(new_tab, nodes)
    scroll_until(tab, "0", lambda: "Newest events" in tab.text("#newest"))

    while types(tab)[-1] != "event 999":
        last = types(tab)[-1]
        scroll_to(tab, "e.scrollHeight - e.clientHeight - 200")
        tab.wait_until(f"document.querySelector('#log > li:last-child .type').textContent !== '{last}'")
        in_sight = tab.evaluate(
            "(e => [...document.querySelectorAll('#log > li')].filter(li => li.offsetTop >= e.scrollTop"
            " && li.offsetTop < e.scrollTop + e.clientHeight).map(li => li.querySelector('.type').textContent))"
            "(document.getElementById('scroll'))"
        )

        assert int(last.removeprefix("event ")) - int(in_sight[-1].removeprefix("event ")) in range(12), in_sight


MOST_ROWS = 240
"""MOST_ENTRIES of window.js."""
HOLD_ANSWERS = """(() => {
  const ask = window.fetch;
  const gate = new Promise(open => { window.letThrough = open; });
  window.held = 0;
  window.fetch = async (...given) => {
    const answer = await ask(...given);
    if (String(given[0]).includes("/events")) { window.held += 1; await gate; }
    return answer;
  };
})()"""


def test_what_is_looked_at_stays_although_older_events_that_were_wanted_before_come(
    new_tab: NewTab, nodes: Nodes
) -> None:
    filled(nodes, 500)
    tab = signed_in_at(new_tab, nodes)
    scroll_until(tab, "0", lambda: len(types(tab)) == MOST_ROWS)
    scroll_to(tab, "e.scrollHeight / 2")
    first = types(tab)[0]
    tab.evaluate(HOLD_ANSWERS)
    scroll_until(tab, "0", lambda: tab.evaluate("window.held") > 0)
    scroll_to(tab, "e.scrollHeight")
    tab.evaluate("window.seen = document.querySelector('#log > li:last-child'); window.letThrough()")
    tab.wait_until(f"document.querySelector('#log > li .type').textContent !== '{first}' || !window.seen.isConnected")

    assert tab.evaluate("window.seen.isConnected")


def test_the_newest_events_are_one_click_away(new_tab: NewTab, nodes: Nodes) -> None:
    node = filled(nodes, 1_500)
    tab = signed_in_at(new_tab, nodes)
    scroll_until(tab, "0", lambda: "Newest events" in tab.text("#newest"))
    node.log.add({"type": "brand new"}).get(5)
    tab.wait_for_text("#newest", "1 new event")

    tab.click("#newest")

    tab.wait_until(AT_END)
    tab.wait_until("document.querySelector('#log > li:last-child .type').textContent === 'brand new'")
    assert types(tab)[-2] == "event 1499"


def test_searches_by_type_node_text_and_time(new_tab: NewTab, nodes: Nodes) -> None:
    node = filled(nodes, 300)
    node.log.add({"type": "shop/sold", "what": "Käse & Brot"}).get(5)
    tab = signed_in_at(new_tab, nodes)

    for selector, text, found in [
        ("#find-text", "KÄSE", ["shop/sold"]),
        ("#find-type", "shop/*", ["shop/sold"]),
        ("#find-type", "event 7, event 8", ["event 7", "event 8"]),
        ("#find-text", "Event 42", ["event 42"]),
        ("#find-node", "attic", []),
    ]:
        tab.fill(selector, text)
        wait_for_rows(tab, len(found))
        assert types(tab) == found, text
        tab.click("#find-clear")
        tab.wait_until("document.querySelectorAll('#log > li').length >= 60")

    tab.evaluate("document.getElementById('find-since').value = '2023-11-14T00:00'")
    tab.evaluate("document.getElementById('find-until').value = '2023-11-15T00:00'")
    tab.evaluate("document.getElementById('find-until').dispatchEvent(new Event('input', {bubbles: true}))")
    tab.wait_until("!document.getElementById('log').textContent.includes('shop/sold')")
    assert tab.problems == tab.network_problems == []


def test_a_search_goes_on_to_the_end_of_a_long_log(new_tab: NewTab, nodes: Nodes) -> None:
    node = filled(nodes, MAX_LOOKED + 500)
    node.log.add({"type": "needle"}, {"time": 1}).get(5)
    tab = signed_in_at(new_tab, nodes)

    tab.fill("#find-text", "needle")

    wait_for_rows(tab, 1)
    assert types(tab) == ["needle"]


def test_events_that_come_live_are_shown_only_if_they_fit_the_search(signed_in: SignIn, node: StandIn) -> None:
    tab = signed_in()
    tab.fill("#find-type", "milk")
    tab.wait_until("document.getElementById('log').dataset.empty === 'No event fits this search.'")

    node.add({"type": "bread"})
    node.add({"type": "milk"}, n=1)

    wait_for_rows(tab, 1)
    assert types(tab) == ["milk"]


def test_an_event_that_is_added_while_the_search_hides_it_ends_the_search(signed_in: SignIn, node: StandIn) -> None:
    node.add({"type": "milk"}, ago_ms=1_000)
    tab = signed_in()
    tab.fill("#find-type", "milk")
    tab.wait_until("location.hash === '' && document.getElementById('find-clear').hidden === false")

    add(tab, "bread")

    wait_for_rows(tab, 2)
    assert types(tab) == ["milk", "bread"]
    assert tab.evaluate("document.getElementById('find-type').value") == ""


def test_shows_fields_as_names_and_values(signed_in: SignIn, node: StandIn) -> None:
    inner = {"city": "Oslo", "deep": {"er": {"x": 1}}}
    node.add({"type": "order", "paid": True, "note": "two\nlines", "of": None, "items": [1, "two"], "shop": inner})

    tab = signed_in()
    wait_for_rows(tab, 1)

    fields = 'paid true; note two\\u000alines; of (none); items 1, two; shop.city Oslo; shop.deep.er {"x":1}'
    assert rows(tab) == [["kitchen", "order", fields]]


def test_tells_the_story_of_an_event_and_its_json_on_demand(new_tab: NewTab, nodes: Nodes) -> None:
    node = nodes.start()
    node.log.add({"type": "milk", "<b>litres</b>": 2}, {"reasons": ["cart"], "time": 1_700_000_000_123}).get(5)
    tab = signed_in_at(new_tab, nodes)
    wait_for_rows(tab, 1)

    tab.click("#log .type")

    tab.wait_for_text(".story", "Signed by")
    story = tab.text(".story")
    for part in (node.node_id, "cart", ".123", "2023", "<b>litres</b>"):
        assert part in story, part
    assert "{" not in story
    tab.click(".story .tools button")
    tab.wait_for_text(".json", '"<b>litres</b>": 2')
    assert tab.evaluate("document.querySelector('#log .type').getAttribute('aria-expanded')") == "true"
    assert tab.problems == []


def test_the_keyboard_alone_opens_and_closes_a_story(signed_in: SignIn, node: StandIn) -> None:
    node.add({"type": "milk"})
    tab = signed_in()
    wait_for_rows(tab, 1)

    tab.evaluate("document.querySelector('#log .type').focus()")
    tab.press("Enter", 13, "\r")
    tab.wait_for_text(".story", "Written by")
    tab.press("Enter", 13, "\r")

    tab.wait_until("document.querySelector('.story') === null")
    assert tab.evaluate("document.activeElement.className") == "type"


def test_a_story_leads_to_events_like_it(signed_in: SignIn, node: StandIn) -> None:
    for name in ("milk", "bread", "milk"):
        node.add({"type": name}, n=len(node.log))
    tab = signed_in()
    wait_for_rows(tab, 3)

    tab.click("#log .type")
    tab.wait_for_text(".story", "Signed by")
    tab.evaluate(
        "[...document.querySelectorAll('.tools button')].find(e => e.textContent === 'Only this type').click()"
    )

    wait_for_rows(tab, 2)
    assert types(tab) == ["milk", "milk"]
    assert tab.evaluate("document.getElementById('find-type').value") == "milk"


def test_events_that_are_undone_are_marked_those_of_before_and_those_that_are_undone_now(
    new_tab: NewTab, nodes: Nodes
) -> None:
    node = nodes.start()
    node.log.undo(node.log.add({"type": "before"}).get(5)).get(5)
    later = node.log.add({"type": "later"}).get(5)
    tab = signed_in_at(new_tab, nodes)
    wait_for_rows(tab, 3)
    marked = "[...document.querySelectorAll('#log > .undone .type')].map(e => e.textContent)"
    assert tab.evaluate(marked) == ["before"]

    node.log.undo(later).get(5)

    wait_for_rows(tab, 4)
    assert tab.evaluate(marked) == ["before", "later"]


def test_without_pages_the_newest_events_come_over_the_socket(new_tab: NewTab, nodes: Nodes) -> None:
    from mesh.gateway.clients.role import ClientGatewaySync

    class Own(ClientGatewaySync):
        """A role of the application."""

    node = nodes.start(clients_role=Own)
    node.log.add({"type": "milk"}).get(5)

    tab = signed_in_at(new_tab, nodes)

    wait_for_rows(tab, 1)
    assert types(tab) == ["milk"]


def test_the_log_that_could_not_be_read_is_read_when_the_node_is_back(signed_in: SignIn, node: StandIn) -> None:
    for number in range(130):
        node.add({"type": f"event {number}"}, ago_ms=200 - number)
    tab = signed_in()
    tab.wait_until("document.querySelectorAll('#log > li').length >= 60")
    node.stop()
    tab.wait_for_text("#state", "offline")
    tab.click("#find-text")
    tab.fill("#find-text", "event")
    tab.wait_for_text("#progress", "The log cannot be read now", deadline=20)

    node.start()
    tab.click("#try-now")

    tab.wait_until("document.querySelectorAll('#log > li').length >= 60")


def test_a_story_that_is_read_stays_in_its_place_also_when_events_come(signed_in: SignIn, node: StandIn) -> None:
    for number in range(12):
        node.add({"type": f"event {number}"}, n=number)
    tab = signed_in()
    wait_for_rows(tab, 12)
    place = "Math.round(document.querySelectorAll('#log > li')[3].getBoundingClientRect().top)"
    top = tab.evaluate(place)

    tab.evaluate("document.querySelectorAll('#log .type')[3].click()")
    tab.wait_for_text(".story", "Signed by")
    node.add({"type": "late"}, n=99)
    node.forward()

    tab.wait_for_text("#newest", "1 new event")
    assert tab.evaluate(place) == top


def test_the_story_of_the_last_event_is_scrolled_into_sight(signed_in: SignIn, node: StandIn) -> None:
    for number in range(40):
        node.add({"type": f"event {number}"}, n=number)
    tab = signed_in()
    wait_for_rows(tab, 40)

    tab.evaluate("[...document.querySelectorAll('#log .type')].at(-1).click()")

    tab.wait_for_text(".story", "Signed by")
    ends = "[...document.querySelectorAll('.tools, #scroll')].map(e => e.getBoundingClientRect().bottom)"
    tab.wait_until(f"(([scroll, tools]) => tools <= scroll)({ends})")
