"""Fixtures of the page's tests: one browser for all, and tabs and a node for each test."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from browser import Browser, Tab, find_chromium
from real_nodes import Nodes
from shop_page import ShopServer, put_page
from stand_in import StandIn

from mesh.bench.npm_packages import PackagesError

DESK = (1280, 800)
"""The size of a new tab, in pixels."""


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """A headless browser; skips with the reason where there is none (CHROMIUM=require: fails instead)."""
    reason = find_chromium()
    if reason is not None:
        if os.environ.get("CHROMIUM") == "require":
            pytest.fail(f"chromium: {reason}", pytrace=False)
        pytest.skip(f"chromium: {reason}")
    browser = Browser()
    yield browser
    browser.close()


@pytest.fixture(scope="session")
def idle_tabs() -> list[Tab]:
    """Tabs of earlier tests, for reuse: a new one takes 0.25 s."""
    return []


@pytest.fixture
def new_tab(chromium: Browser, idle_tabs: list[Tab]) -> Iterator[Callable[[], Tab]]:
    """Opens empty tabs. Their storage of earlier tests is of other ports, and so of other origins."""
    tabs: list[Tab] = []

    def open_tab() -> Tab:
        tabs.append(idle_tabs.pop() if idle_tabs else chromium.tab())
        tabs[-1].resize(*DESK)
        return tabs[-1]

    yield open_tab
    for tab in tabs:
        if tab.leave():
            idle_tabs.append(tab)
        else:
            tab.close()


@pytest.fixture
def node() -> Iterator[StandIn]:
    """A running stand-in for a node, with the users ada and bob."""
    stand_in = StandIn({"ada": "ada-secret", "bob": "bob-secret"})
    stand_in.start()
    yield stand_in
    stand_in.stop()


@pytest.fixture
def nodes(tmp_path: Path) -> Iterator[Nodes]:
    """Real nodes, with the users ada and bob."""
    nodes = Nodes(tmp_path)
    yield nodes
    nodes.close()


@pytest.fixture
def signed_in(new_tab: Callable[[], Tab], node: StandIn) -> Callable[..., Tab]:
    """Opens the page in a tab of its own, signed in and connected."""

    def sign_in(user: str = "ada") -> Tab:
        tab = new_tab()
        tab.open(f"{node.url}#user={user}&token={user}-secret")
        tab.wait_for_text("#state", "connected")
        return tab

    return sign_in


@pytest.fixture(scope="session")
def bundled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the bundled page; skips with the reason without the packages (LOGUX=require: fails instead)."""
    folder = tmp_path_factory.mktemp("shop")
    try:
        put_page(folder)
    except PackagesError as error:
        if os.environ.get("LOGUX") == "require":
            pytest.fail(f"logux: {error}", pytrace=False)
        pytest.skip(f"logux: {error}")
    return folder


@pytest.fixture
def shop(bundled: Path) -> Iterator[ShopServer]:
    """The server of a page with @logux/client, which is not the node's own page."""
    server = ShopServer(bundled)
    yield server
    server.close()
