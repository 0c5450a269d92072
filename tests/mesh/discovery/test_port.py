"""The notices of discovery, and discovery that finds no nodes."""

from __future__ import annotations

import pytest

from mesh.discovery.port import Announcement, Discovery, DiscoveryState
from mesh.discovery.static import StaticDiscovery
from tests.support.mdns_parts import KITCHEN


@pytest.mark.parametrize(
    ("state", "sentence"),
    [
        (DiscoveryState(True, ("eth0", "wlan0")), "looks for other nodes on eth0, wlan0"),
        (DiscoveryState(True, tuple("abcdefghij")), "looks for other nodes on a, b, c, d, e, f, g, h and 2 more"),
        (DiscoveryState(True, ("lo",), "it is alone"), "warning: looks for other nodes on lo, but it is alone"),
        (DiscoveryState(True), ""),
        (
            DiscoveryState(False, (), "no network"),
            "warning: does not look for other nodes: no network; "
            "it tries again when the network changes, and nodes given with --peer are dialled all the same",
        ),
    ],
)
def test_the_notice_names_the_interfaces_and_what_is_wrong(state: DiscoveryState, sentence: str) -> None:
    assert state.sentence == sentence


def test_static_discovery_finds_no_nodes() -> None:
    discovery: Discovery = StaticDiscovery()

    assert discovery.start(Announcement(KITCHEN, "m", "run-1", 4000), pytest.fail).get() is None
    discovery.requery()
    assert discovery.stop().get() is None
