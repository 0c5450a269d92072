"""What the page says and draws of the mesh: the headline, the picture with its islands, and the list of nodes."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from browser import Tab
from real_nodes import Nodes
from stand_in import StandIn

SignIn = Callable[..., Tab]
NewTab = Callable[[], Tab]
Row = dict[str, Any]
ATTIC, STUDY, CELLAR, BARN = (f"{name}~{'a' * 16}" for name in ("attic", "study", "cellar", "barn"))


def peer(node_id: str, state: str = "alive", **others: Any) -> Row:
    session = "synchronized" if state == "alive" else None
    return {"node_id": node_id, "state": state, "session": session, "behind": 0, "missing": 0, **others}


def row(node_id: str, state: str, island: int, *ends: tuple[str, int], seen_ms: int | None = None) -> Row:
    links = [{"node_id": end, "lag": lag} for end, lag in ends]
    worst = max([lag for _, lag in ends], default=0)
    return {
        "node_id": node_id,
        "state": state,
        "island": island,
        "seen_ms": seen_ms,
        "worst_lag": worst,
        "links": links,
        "more_links": 0,
    }


PARTITION = [
    row(StandIn.node_id, "this", 0, (ATTIC, 0)),
    row(ATTIC, "linked", 0, (StandIn.node_id, 3), (STUDY, 0)),
    row(STUDY, "seen", 0, (ATTIC, 0)),
    row(CELLAR, "gone", 1, (BARN, 0), (STUDY, 0)),
    row(BARN, "gone", 1, (CELLAR, 0)),
]
"""Three nodes here, and two that had a link with one of them."""


@pytest.mark.parametrize(
    ("peers", "level", "text"),
    [
        ([], "busy", "Alone: no neighbour is known yet."),
        ([peer(ATTIC)], "good", "In step with attic."),
        ([peer(ATTIC), peer(STUDY), peer(CELLAR), peer(BARN)], "good", "In step with attic, study and 2 more."),
        ([peer(ATTIC, "lost"), peer(STUDY, "lost")], "bad", "Alone: attic and study cannot be reached"),
        ([peer(ATTIC), peer(STUDY, "suspect")], "bad", "Connected with 1 of 2 neighbours: study cannot be reached"),
        ([peer(ATTIC), peer(STUDY, "left")], "good", "In step with attic."),
        ([peer(STUDY, "left")], "busy", "Alone: no neighbour is connected now."),
    ],
)
def test_the_headline_tells_the_truth_about_neighbours(
    signed_in: SignIn, node: StandIn, peers: list[Row], level: str, text: str
) -> None:
    node.peers = peers

    tab = signed_in()

    tab.wait_for_text("#headline", text)
    assert tab.evaluate("document.getElementById('headline').dataset.level") == level
    assert tab.problems == []


def test_the_headline_says_how_long_a_neighbour_is_away(signed_in: SignIn, node: StandIn) -> None:
    node.peers = [peer(ATTIC, "lost", since_ms=time.time_ns() // 1_000_000 - 7_200_000)]

    tab = signed_in()

    tab.wait_for_text("#headline", "Alone: no contact with attic for 2 h.")
    said = tab.evaluate("document.getElementById('said').textContent")
    assert said == "Alone: attic cannot be reached."  # it is read aloud at each change


def test_does_not_say_that_the_node_looks_for_others_if_it_does_not(signed_in: SignIn, node: StandIn) -> None:
    node.discovery = {"on": False, "interfaces": [], "since_ms": None, "why": "it was started without it"}

    tab = signed_in()

    sentence = "The node does not look for others: it was started without it."
    tab.wait_for_text("#headline", f"Alone: no neighbour is known yet. {sentence}")
    assert tab.text("#no-peers") == f"None yet. {sentence}"


def test_the_headline_names_a_neighbour_that_stays_behind(signed_in: SignIn, node: StandIn) -> None:
    node.peers = [peer(ATTIC, behind=1_234), peer(STUDY, missing=5)]
    tab = signed_in()

    tab.wait_for_text("#headline", "attic lacks 1,234 events of this node; this node lacks 5 events of study")
    assert tab.evaluate("document.getElementById('headline').dataset.level") == "busy"
    tab.wait_for_text("#peers", "lacks 1,234")


def test_draws_this_node_and_its_neighbours_where_the_status_has_no_more(signed_in: SignIn, node: StandIn) -> None:
    node.peers = [peer(ATTIC), peer(STUDY, behind=12), peer(CELLAR, "lost")]

    tab = signed_in()
    tab.wait_until("document.getElementById('picture').textContent.includes('cellar')")

    assert tab.evaluate("document.querySelectorAll('#picture .island').length") == 2
    assert tab.evaluate("document.querySelectorAll('#picture .link').length") == 2
    assert tab.evaluate("document.querySelector('#picture .link.behind title').textContent").endswith(
        "12 events on the way"
    )
    assert tab.evaluate("document.querySelector('#picture .apart .node').textContent") == "cellarcellar"


def test_draws_the_parts_of_a_mesh_as_islands(signed_in: SignIn, node: StandIn) -> None:
    node.peers, node.mesh_nodes = [peer(ATTIC)], PARTITION

    tab = signed_in()
    tab.wait_for_text("#headline", "The mesh is in 2 parts: barn and cellar cannot be reached")

    islands = "[...document.querySelectorAll('#picture .island')].map(e => e.querySelectorAll('.node').length)"
    assert tab.evaluate(islands) == [3, 2]
    assert tab.evaluate("document.querySelectorAll('#picture .apart .link').length") == 1  # the old one is not drawn
    assert tab.texts("#far li strong") == ["study", "cellar", "barn"]
    assert "5 nodes in 2 parts" in tab.evaluate("document.getElementById('picture').getAttribute('aria-label')")
    assert tab.problems == []


def test_a_partition_shows_as_soon_as_the_status_has_it(signed_in: SignIn, node: StandIn) -> None:
    node.peers = [peer(ATTIC)]
    node.mesh_nodes = [{**one, "state": "seen", "island": 0} if one["state"] == "gone" else one for one in PARTITION]
    tab = signed_in()
    tab.wait_for_text("#headline", "In step with attic")
    assert tab.evaluate("document.querySelectorAll('#picture .island').length") == 1

    node.mesh_nodes = PARTITION

    tab.wait_until("document.querySelectorAll('#picture .island').length === 2", deadline=15)
    tab.wait_for_text("#headline", "The mesh is in 2 parts")


def test_names_of_nodes_are_never_read_as_markup(signed_in: SignIn, node: StandIn) -> None:
    name = "<img src=x onerror='window.harmed=1'>"
    node.peers = [peer(f"{name}~{'a' * 16}", "lost", reason=name, addresses=[name])]

    tab = signed_in()

    tab.wait_for_text("#headline", name)
    assert tab.evaluate("document.querySelectorAll('#house img').length") == 1  # our own
    assert tab.evaluate("window.harmed === undefined")


def test_a_neighbour_that_stops_is_told_of_and_one_that_comes_back(new_tab: NewTab, nodes: Nodes) -> None:
    kitchen = nodes.start("kitchen")
    attic = nodes.start("attic", beside=kitchen)
    tab = new_tab()
    tab.open(nodes.link("ada"))
    tab.wait_for_text("#headline", "In step with attic")

    attic.stop()

    tab.wait_for_text("#headline", "Alone: ")
    assert tab.text("#state") == "connected"
    nodes.start("attic", beside=kitchen)
    tab.wait_for_text("#headline", "In step with attic")


def test_does_not_say_that_all_is_well_while_the_node_does_not_answer(signed_in: SignIn, node: StandIn) -> None:
    node.peers = [peer(ATTIC)]
    tab = signed_in()
    tab.wait_for_text("#headline", "In step")

    node.stop()

    tab.wait_for_text("#state", "offline")
    tab.wait_for_text("#headline", "The node does not answer")
