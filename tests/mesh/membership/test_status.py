"""What `mesh status` and `mesh peers` show."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import pytest

from mesh.discovery.port import Sighting
from mesh.membership.diagnosis.store_trouble import StoreTrouble
from mesh.membership.dialling.link_selection import Link
from mesh.membership.dialling.refusals import ANOTHER_MESH
from mesh.membership.membership import Membership
from mesh.membership.restart_policy import Record
from mesh.membership.session_record import LinkOutcome
from mesh.membership.status import Status, show_status
from mesh.settings.config import Settings
from mesh.terminal.tables import local_second, local_time, show_peers
from mesh.terminal.tables import show_status as tables
from peers.events.entry import Entry
from peers.events.event_error import Cause
from peers.stores.run_store import RunState
from tests.support.one_node import membership as new_membership

SETTINGS = Settings("m", "home", "run1")
NOW: Any = {"now_ms": 1_009_000, "now_seconds": 9.0}


@dataclass
class Log:
    state: RunState = field(default_factory=lambda: RunState(7, 9, 6, 5, 1))
    ahead: int = 2
    differing: list[tuple[Entry, Entry]] = field(
        default_factory=lambda: [(copy_of("ada", "b~1"), copy_of("ada", "c~1"))]
    )
    store_trouble: StoreTrouble | None = None
    refused_events: Counter[Cause] = field(default_factory=lambda: Counter({"too-large": 2, "bad-text": 1}))


def copy_of(node_id: str, origin: str) -> Entry:
    return Entry((1, node_id, 0), 1, b'{"type":"a"}', origin=origin)


def met(*, state: str = "synchronized") -> Membership:
    membership = new_membership("m", "run1", ("hall:1",))
    membership.on_begin()
    membership.on_sighting(Sighting("a", "run1", ("10.0.0.1:1",)), 0.0)
    membership.on_accepted("accepted:1", "10.0.0.1:5000")
    link = Link("accepted:1", "c1", False, "run1", 0.0)
    membership.on_greeted("accepted:1", "a", link, (), "10.0.0.1:5000", 0.0)
    membership.on_state("accepted:1", state)
    return membership


def outside(**discovery: object) -> dict[str, object]:
    return {"doors": {}, "clients": [], "paused": [], "discovery": discovery}


def show(membership: Membership, described: dict[str, object] | None = None) -> Status:
    status = show_status(SETTINGS, 4000, Log(), membership, described or {}, membership.failures, **NOW)  # type: ignore[arg-type]
    assert json.loads(json.dumps(status)) == status
    return status


def test_status_shows_the_node_and_its_log() -> None:
    status = show(new_membership("m", "run1"))

    assert status == {
        "node_id": "m",
        "log_bytes": 0,
        "oldest_ms": None,
        "newest_ms": None,
        "events_a_day": None,
        "events_a_day_over_ms": None,
        "mesh_nodes": [],
        "views": [],
        "old_log_bytes": 0,
        "out_of_mesh": "",
        "has_recovery_file": False,
        "limits": [],
        "mesh": "home",
        "port": 4000,
        "discovery": {"on": False, "interfaces": [], "since_ms": None, "why": "it does not run at the moment"},
        "last_added": 7,
        "events": 6,
        "conflicts": 1,
        "differing": [{"created": [1, "ada", 0], "shown_of": "b~1", "other_of": "c~1"}],
        "hollow": 0,
        "waiting": 0,
        "ahead": 2,
        "refused_events": {"bad-text": 1, "too-large": 2},
        "sessions": [],
        "paused": [],
        "doors": {},
        "clients": [],
        "turned_away": [],
        "refused": [],
        "other_meshes": 0,
        "peers": [],
        "clocks": [],
        "store_error": None,
    }


@pytest.mark.parametrize(
    ("discovery", "row"),
    [
        ({"on": True, "interfaces": ["eth0", "wlan0"], "since_ms": 1, "why": None}, "on eth0, wlan0\n"),
        ({"on": True, "interfaces": ["eth0"], "since_ms": 1, "why": "without IPv6"}, "on eth0, but without IPv6\n"),
        (
            {"on": False, "interfaces": [], "since_ms": 0, "why": "no network"},
            f"off since {local_time(0)}: no network\n",
        ),
        ({"on": False, "interfaces": [], "since_ms": None, "why": "it failed"}, "off: it failed\n"),
    ],
)
def test_status_shows_where_discovery_works_or_since_when_and_why_it_does_not(
    discovery: dict[str, object], row: str
) -> None:
    status = show_status(SETTINGS, 4000, Log(), new_membership("m", "run1"), {}, {}, outside(**discovery), **NOW)  # type: ignore[arg-type]

    assert status["discovery"] == discovery
    assert f"discovery           {row}" in tables(status)


def test_status_shows_each_session() -> None:
    described = {"accepted:1": {"state": "sending", "lag": 3, "missing": 2}}

    static, accepted = show(met(), described)["sessions"]

    assert static == {
        "other_node_id": None,
        "state": "connecting",
        "address": "hall:1",
        "lag": None,
        "missing": None,
        "restarts": 0,
        "dialled": True,
        "reason": "",
    }
    assert accepted == {
        "other_node_id": "a",
        "state": "sending",
        "address": "10.0.0.1:5000",
        "lag": 3,
        "missing": 2,
        "restarts": 0,
        "dialled": False,
        "reason": "",
    }


def test_a_session_that_is_too_busy_to_answer_is_shown_with_its_last_known_state() -> None:
    _, accepted = show(met(), {"accepted:1": None})["sessions"]

    assert (accepted["state"], accepted["lag"]) == ("synchronized", None)


def test_status_shows_each_peer() -> None:
    membership = met()
    assert show(membership, {"accepted:1": {"lag": 3, "missing": 2, "behind_since_seconds": 5.0}})["peers"] == [
        {
            "node_id": "a",
            "state": "alive",
            "session": "synchronized",
            "addresses": ["10.0.0.1:1"],
            "restarts": 0,
            "since_ms": 1_000_000,
            "behind": 3,
            "behind_since_ms": 1_005_000,
            "missing": 2,
            "clock_ahead_ms": None,
            "reason": "",
        }
    ]

    membership.on_closed("accepted:1", "lost", 1.0)

    (peer,) = show(membership)["peers"]
    assert (peer["state"], peer["session"], peer["since_ms"], peer["reason"]) == ("suspect", None, 1_001_000, "lost")


def test_a_disconnected_node_is_behind_by_what_it_had_not_confirmed() -> None:
    membership = met()
    assert show(membership)["peers"][0]["behind"] is None  # the session is too busy to answer

    outcome = LinkOutcome(confirmed=Log().state.last_position - 2, behind_since_seconds=0.5)
    membership.on_closed("accepted:1", "lost", 1.0, outcome=outcome)

    (peer,) = (status := show(membership))["peers"]
    assert (peer["behind"], peer["behind_since_ms"], peer["missing"]) == (2, 1_000_500, None)
    since = f"{local_second(1_001_000)}  2 since {local_second(1_000_500)}  lost\n"
    assert f"\na                suspect  {since}" in tables(status)


def test_a_node_that_had_all_events_when_it_disconnected_is_behind_since_then() -> None:
    membership = met()

    membership.on_closed("accepted:1", "lost", 1.0, outcome=LinkOutcome(confirmed=8))

    (peer,) = show(membership)["peers"]
    assert (peer["behind"], peer["behind_since_ms"]) == (1, 1_001_000)


def test_a_node_that_dialled_us_is_shown_with_the_address_from_which_it_did() -> None:
    membership = new_membership("m", "run1")
    membership.on_accepted("accepted:1", "10.0.0.1:5000")
    membership.on_greeted("accepted:1", "a", Link("accepted:1", "c1", False, "run1", 0.0), (), "10.0.0.1:5000", 0.0)

    assert show(membership)["peers"][0]["addresses"] == ["10.0.0.1:5000"]


def test_a_found_node_that_does_not_answer_is_shown_with_the_last_error() -> None:
    membership = met()
    membership.on_sighting(Sighting("b", "run1", ("10.0.0.2:1",)), 2.0)
    membership.on_look("b", 4.0)
    membership.on_closed("dial:b", "10.0.0.2:1: timed out after 3 s", 7.0)

    status = show(membership)

    (peer,) = [peer for peer in status["peers"] if peer["node_id"] == "b"]
    assert (peer["state"], peer["since_ms"], peer["reason"]) == ("found", 1_002_000, "10.0.0.2:1: timed out after 3 s")
    assert f"\nb                found  {local_second(1_002_000)}  -       10.0.0.2:1: timed out after 3 s\n" in tables(
        status
    )
    assert show_peers(status["peers"]).splitlines()[2].endswith("10.0.0.2:1: timed out after 3 s")


def test_status_counts_other_meshes() -> None:
    membership = met()
    for node_id, mark in (("b", "m1"), ("c", "m1"), ("d", "m2")):
        membership.on_sighting(Sighting(node_id, "run1", ("10.0.0.2:1",), other_mesh=mark), 0.0)
    membership.on_sighting(Sighting("d", "run1", ("10.0.0.2:1",), is_goodbye=True, other_mesh="m2"), 0.0)

    assert show(membership)["other_meshes"] == 1


def test_status_shows_which_nodes_are_paused_and_why() -> None:
    membership = met()
    membership.failures["a"] = Record(6.0, 1.0, 5, True, "a bug")

    status = show(membership)

    assert status["paused"] == [{"what": "a", "why": "a bug", "restarts": 5}]
    assert (status["peers"][0]["state"], status["peers"][0]["restarts"]) == ("paused", 5)


def test_status_shows_which_nodes_refused_us_and_why() -> None:
    membership = met()
    membership.on_sighting(Sighting("b", "run1", ("10.0.0.2:1",)), 0.0)
    membership.on_look("b", 2.0)
    membership.on_refused("dial:b", "b", ANOTHER_MESH, 2.0)
    membership.on_refused("static:hall:1", None, "no nodes here", 2.0)

    status = show(membership)

    assert status["refused"] == [{"what": "b", "why": ANOTHER_MESH}, {"what": "hall:1", "why": "no nodes here"}]
    assert "hall:1   no nodes here\n" in tables(status)
    assert "refused" not in tables({**status, "refused": []}).replace("  refused ", "")


def test_status_counts_refused_events_by_reason() -> None:
    shown = tables(show(new_membership("m", "run1")))

    assert "events not taken    1 bad-text, 2 too-large\n" in shown


def test_status_shows_which_nodes_are_cloned() -> None:
    membership = met()
    for number, boot in enumerate(("run2", "run1", "run2", "run1"), 2):
        key = f"accepted:{number}"
        membership.on_accepted(key, "x:1")
        membership.on_greeted(key, "a", Link(key, key, False, boot, 0.0), (), "x:1", 0.0)

    (peer,) = show(membership)["peers"]
    assert (peer["state"], peer["reason"]) == ("cloned", "two machines run under this id")


def test_the_tables_show_wrong_clocks() -> None:
    status = show(new_membership("m", "run1"))
    sentence = "this machine's clock stepped back by 3600 s"

    text = tables({**status, "clocks": [{"kind": "step", "node_id": None, "ms": -3_600_000, "sentence": sentence}]})

    assert sentence in text


def test_views_are_shown_with_what_they_do() -> None:
    usual = {"version": 1, "keys": 2, "events": 5, "behind": 0, "folded_without": 0}
    usual |= {"rebuild": None, "error": None, "store_error": None}
    stopped = {"created": [5, "till", 0], "type": "sold", "why": "KeyError: 'item'", "traceback": "..."}
    rows = [
        {"name": "stock", **usual, "digest": "0123456789abcdef" * 4},
        {"name": "prices", **usual, "rebuild": {"events": 7, "of": 50}},
        {"name": "chat", **usual, "store_error": "no room"},
        {"name": "till", **usual, "error": stopped},
    ]
    status = show_status(SETTINGS, 4000, Log(), new_membership("m", "run1"), {}, {}, {"views": rows}, **NOW)  # type: ignore[arg-type]

    shown = tables(status).splitlines()[-5:]
    assert [line.split()[2] for line in shown] == ["digest", "01234567", "-", "-", "-"]
    assert [line.split("  ")[-1].strip() for line in shown] == [
        "state",
        "folds",
        "folds anew: 7 events of 50",
        "the disk fails: no room",
        "stopped at an event of type 'sold', [5, 'till', 0]: KeyError: 'item'",
    ]
