"""What `mesh doctor` says of the home, the disk, the store and the clock."""

from __future__ import annotations

from typing import Any

import pytest

from mesh.membership.diagnosis.doctor.home import (
    HomeFile,
    StoreFacts,
    clock_finding,
    disk_finding,
    home_finding,
    mistake_finding,
    node_finding,
    store_finding,
    views_finding,
)
from mesh.membership.diagnosis.links import LinkRow
from peers.limits import Limits
from tests.support.links import link

FOLDER, KEY, LOG = HomeFile("h", 0o700), HomeFile("h/node.key", 0o600, is_private=True), HomeFile("h/log.sqlite", 0o644)


def test_whether_a_node_runs() -> None:
    assert node_finding({"node_id": "kitchen~a"}, "").found == "kitchen~a runs, and answers"
    assert node_finding(None, "").state == "look"
    assert node_finding(None, "it has not answered").state == "wrong"


@pytest.mark.parametrize(
    ("files", "state", "part"),
    [
        ([], "look", "there is no home in h yet"),
        ([FOLDER, KEY, LOG], "ok", "only its user"),
        ([FOLDER, HomeFile("h/node.key", 0o640, is_private=True)], "wrong", "others may read or write h/node.key"),
        (
            [FOLDER, KEY, HomeFile("h/log.sqlite", 0o600, owner="root")],
            "wrong",
            "h/log.sqlite belongs to the user root",
        ),
        ([FOLDER, KEY, HomeFile("h/log.sqlite", 0o400, is_writable=False)], "wrong", "h/log.sqlite cannot be written"),
        ([HomeFile("h", 0o777), KEY], "wrong", "others may change what is in h"),
        ([HomeFile("h", 0o755), KEY, LOG], "look", "others may look into h"),
    ],
)
def test_the_rights_of_a_home(files: list[HomeFile], state: str, part: str) -> None:
    found = home_finding("h", files)

    assert (found.state, part in found.found) == (state, True), found
    assert bool(found.remedy) is (state != "ok")


def test_mistakes_are_wrong_and_all_are_named() -> None:
    found = mistake_finding("options", ["mesh.toml:1: a", "mesh.toml:2: b"], "fine", "correct it")

    assert (found.state, found.found, found.remedy) == ("wrong", "mesh.toml:1: a; mesh.toml:2: b", "correct it")
    assert mistake_finding("options", [], "fine", "correct it").remedy == ""


@pytest.mark.parametrize(
    ("share", "state", "part"),
    [
        (0.5, "ok", "50% of the disk with h is in use, 12 MB are free"),
        (0.86, "look", "from 90% on"),
        (0.9, "wrong", "from 90% on events of other nodes are not taken"),
        (0.98, "wrong", "from 98% on no events are taken"),
    ],
)
def test_the_disk_is_judged_by_the_limits(share: float, state: str, part: str) -> None:
    found = disk_finding(share, 12_000_000, Limits(), "h")

    assert (found.state, part in found.found) == (state, True), found


def test_other_limits_of_the_disk_count() -> None:
    limits = Limits(disk_share_for_others=0.2, disk_share_for_own=0.4)

    assert disk_finding(0.3, 1, limits, "h").state == "wrong"


@pytest.mark.parametrize(
    ("store", "trouble", "state", "part"),
    [
        (StoreFacts(size=2_000_000), None, "ok", "all 2.0 MB are intact"),
        (StoreFacts(is_there=False), None, "ok", "the first start makes one"),
        (StoreFacts("the log is damaged: page 3"), None, "wrong", "page 3"),
        (StoreFacts(is_old=True), None, "look", "an older release"),
        (StoreFacts(is_unclean=True), None, "look", "the node was killed"),
        (StoreFacts(tables=(3, 9), size=10**9), None, "ok", "3 of 9 tables (1000 MB in all)"),
        (StoreFacts(), {"error": "no space left", "since_ms": 1}, "wrong", "the disk fails: no space left"),
    ],
)
def test_the_store(store: StoreFacts, trouble: Any, state: str, part: str) -> None:
    found = store_finding(store, trouble)

    assert (found.state, part in found.found) == (state, True), found


@pytest.mark.parametrize(
    ("error", "trouble", "state", "found"),
    [
        (None, None, "ok", "names, stock: none has stopped"),
        (
            {"created": [5, "till~a", 0], "type": "sold", "why": "KeyError: 'item'"},
            "the disk is full",
            "wrong",
            "the view 'stock' has stopped at the event [5, 'till~a', 0] of type 'sold': KeyError: 'item'",
        ),
        ({"why": "MemoryError: "}, None, "wrong", "the view 'stock' has stopped: MemoryError: "),
        (None, "the disk is full", "wrong", "the disk fails for the view 'stock': the disk is full"),
    ],
)
def test_the_views_of_the_application(error: Any, trouble: Any, state: str, found: str) -> None:
    views = [
        {"name": "names", "error": None, "store_error": None},
        {"name": "stock", "error": error, "store_error": trouble},
    ]

    finding = views_finding(views)

    assert (finding.state, finding.found, bool(finding.remedy)) == (state, found, state != "ok")


@pytest.mark.parametrize(
    ("kinds", "links", "state", "part"),
    [
        ([], [link()], "ok", "as that of 1 neighbour"),
        ([], [link(), link(clock_ahead_ms=-2_400)], "ok", "at most 2 s from that of 2 neighbours"),
        ([], [link(clock_ahead_ms=None)], "look", "no other node"),
        ([], [], "look", "no other node is connected"),
        (["step"], [link()], "look", "a step"),
        (["neighbour"], [link()], "wrong", "a neighbour"),
        (["step", "own"], [link()], "wrong", "a step; a own"),
        (["lead"], [], "wrong", "a lead"),
    ],
)
def test_the_clock(kinds: list[str], links: list[LinkRow], state: str, part: str) -> None:
    found = clock_finding([{"kind": kind, "sentence": f"a {kind}"} for kind in kinds], links)

    assert (found.state, part in found.found) == (state, True), found
