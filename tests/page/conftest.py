"""The fixtures of the page's tests: a browser for all of them, and for each its own tabs and node."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

import pytest
from browser import Browser, Tab, find_chromium
from stand_in import StandIn


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


@pytest.fixture
def new_tab(chromium: Browser) -> Iterator[Callable[[], Tab]]:
    """Opens empty tabs, each with storage of its own; they are closed after the test."""
    tabs: list[Tab] = []

    def open_tab() -> Tab:
        tabs.append(chromium.tab())
        return tabs[-1]

    yield open_tab
    for tab in tabs:
        tab.close()


@pytest.fixture
def node() -> Iterator[StandIn]:
    """A running stand-in for a node, with the users ada and bob."""
    stand_in = StandIn({"ada": "ada-secret", "bob": "bob-secret"})
    stand_in.start()
    yield stand_in
    stand_in.stop()


@pytest.fixture
def signed_in(new_tab: Callable[[], Tab], node: StandIn) -> Callable[..., Tab]:
    """Opens the page in a tab of its own, signed in and connected."""

    def sign_in(user: str = "ada") -> Tab:
        tab = new_tab()
        tab.open(f"{node.url}#user={user}&token={user}-secret")
        tab.wait_for_text("#state", "synchronized")
        return tab

    return sign_in
