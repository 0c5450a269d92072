"""What axe, a checker of pages for people with impairments, finds on the page: nothing."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from browser import Tab
from shop_page import MANIFEST
from stand_in import StandIn
from test_page_mesh import ATTIC, PARTITION, STUDY, peer

from mesh.bench.npm_packages import PackagesError, installed_packages

SignIn = Callable[..., Tab]
SIZES = [(1280, 800, False), (1280, 800, True), (360, 740, False), (360, 740, True)]
FOUND = """axe.run(document, {resultTypes: ["violations"]}).then(found => found.violations.map(
  rule => `${rule.id}: ${rule.help}: ${rule.nodes.map(node => node.html.slice(0, 150)).join(" | ")}`))"""


@pytest.fixture(scope="session")
def axe() -> str:
    """The script of axe-core; skips with the reason without the packages (LOGUX=require: fails instead)."""
    try:
        packages = installed_packages(MANIFEST, "peermesh-tests")
    except PackagesError as error:
        if os.environ.get("LOGUX") == "require":
            pytest.fail(f"axe-core: {error}", pytrace=False)
        pytest.skip(f"axe-core: {error}")
    return Path(packages, "node_modules", "axe-core", "axe.min.js").read_text("utf-8")


def assert_nothing_found(tab: Tab, axe: str) -> None:
    tab.evaluate(f"{axe}; true")
    assert tab.evaluate(FOUND) == []


@pytest.mark.parametrize(("width", "height", "dark"), SIZES)
def test_axe_finds_nothing_on_the_log_a_story_and_the_mesh(
    signed_in: SignIn, node: StandIn, axe: str, width: int, height: int, dark: bool
) -> None:
    for number, writer in enumerate(["ada:x", ATTIC, STUDY, "bob:y", "eve:z", *(f"user{n}:z" for n in range(12))]):
        node.add({"type": "milk", "litres": number, "shop": {"city": "Oslo"}}, node_id=writer, ago_ms=10**8 - number)
    node.undone.add("{} {} {}".format(*node.log[1][1]))
    node.peers = [peer(ATTIC, behind=3), peer(STUDY, "lost", reason="no answer")]
    node.mesh_nodes = PARTITION
    tab = signed_in()
    tab.resize(width, height, dark=dark)
    tab.wait_until("document.querySelectorAll('#log > li').length === 17")
    tab.evaluate("document.querySelector('#log .undone .type').click()")
    tab.wait_for_text(".story", "Signed by")
    tab.evaluate("document.querySelector('.tools button').click()")
    tab.evaluate("for (const e of document.querySelectorAll('#filters-toggle, #compose-toggle')) e.click()")
    assert_nothing_found(tab, axe)

    tab.evaluate("document.getElementById('about-toggle').click()")

    assert_nothing_found(tab, axe)


@pytest.mark.parametrize("dark", [False, True])
def test_axe_finds_nothing_where_a_user_signs_in(
    new_tab: Callable[[], Tab], node: StandIn, axe: str, dark: bool
) -> None:
    tab = new_tab()
    tab.resize(360, 740, dark=dark)
    tab.open(f"{node.url}#user=ada&token=wrong")
    tab.wait_for_text("#login-error", "refused")

    assert_nothing_found(tab, axe)
