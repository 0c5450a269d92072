"""What a node shows of itself."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field

from mesh.config import Settings
from mesh.discovery.discovery import Sighting
from mesh.neighbourhood import Neighbourhood
from mesh.refusals import ANOTHER_MESH
from mesh.restart_policy import Record
from mesh.show import show_status as tables
from mesh.status import Status, show_status
from mesh.topology import Link
from peers.event_error import Cause
from peers.log import Published
from peers.stores.store import StoreState

SETTINGS = Settings("m", "home", "run1")


@dataclass
class Log:
    published: Published = field(default_factory=lambda: Published(StoreState(7, 9, 6, 5, 1), "epoch"))
    ahead: int = 2
    refused_events: Counter[Cause] = field(default_factory=lambda: Counter({"too-large": 2, "bad-text": 1}))


def met(*, state: str = "synchronized") -> Neighbourhood:
    around = Neighbourhood("m", "run1", ("hall:1",))
    around.on_begin()
    around.on_sighting(Sighting("a", "run1", ("10.0.0.1:1",)), 0.0)
    around.on_accepted("accepted:1", "10.0.0.1:5000")
    link = Link("accepted:1", "c1", False, "run1", 0.0)
    around.on_greeted("accepted:1", "a", link, (), "10.0.0.1:5000", 0.0)
    around.on_state("accepted:1", state)
    return around


def show(around: Neighbourhood, described: dict[str, object] | None = None) -> Status:
    status = show_status(SETTINGS, 4000, Log(), around, described or {}, around.failures)  # type: ignore[arg-type]
    assert json.loads(json.dumps(status)) == status
    return status


def test_status_tells_of_the_node_and_its_log() -> None:
    status = show(Neighbourhood("m", "run1"))

    assert status == {
        "node_id": "m",
        "mesh": "home",
        "port": 4000,
        "last_added": 7,
        "events": 6,
        "conflicts": 1,
        "ahead": 2,
        "refused_events": {"bad-text": 1, "too-large": 2},
        "sessions": [],
        "paused": [],
        "doors": {},
        "clients": [],
        "turned_away": [],
        "refused": [],
        "peers": [],
    }


def test_status_tells_of_each_session() -> None:
    described = {"accepted:1": {"state": "sending", "lag": 3}}

    static, accepted = show(met(), described)["sessions"]

    assert static == {
        "other_node_id": None,
        "state": "connecting",
        "address": "hall:1",
        "lag": None,
        "restarts": 0,
        "dialled": True,
    }
    assert accepted == {
        "other_node_id": "a",
        "state": "sending",
        "address": "10.0.0.1:5000",
        "lag": 3,
        "restarts": 0,
        "dialled": False,
    }


def test_a_session_too_busy_to_answer_is_shown_by_what_it_last_told() -> None:
    _, accepted = show(met(), {"accepted:1": None})["sessions"]

    assert (accepted["state"], accepted["lag"]) == ("synchronized", None)


def test_status_tells_of_each_peer() -> None:
    around = met()
    assert show(around)["peers"] == [
        {"node_id": "a", "state": "alive", "session": "synchronized", "addresses": ["10.0.0.1:1"], "restarts": 0}
    ]

    around.on_closed("accepted:1", "lost", 1.0)

    (peer,) = show(around)["peers"]
    assert (peer["state"], peer["session"]) == ("suspect", None)


def test_status_says_who_is_paused_and_why() -> None:
    around = met()
    around.failures["a"] = Record(6.0, 1.0, 5, True, "a bug")

    status = show(around)

    assert status["paused"] == [{"what": "a", "why": "a bug", "restarts": 5}]
    assert (status["peers"][0]["state"], status["peers"][0]["restarts"]) == ("paused", 5)


def test_status_says_who_is_refused_and_why() -> None:
    around = met()
    around.on_sighting(Sighting("b", "run1", ("10.0.0.2:1",)), 0.0)
    around.on_look("b", 2.0)
    around.on_refused("dial:b", "b", ANOTHER_MESH, 2.0)
    around.on_refused("static:hall:1", None, "no nodes here", 2.0)

    status = show(around)

    assert status["refused"] == [{"what": "b", "why": ANOTHER_MESH}, {"what": "hall:1", "why": "no nodes here"}]
    assert "hall:1   no nodes here\n" in tables(status)
    assert "refused" not in tables({**status, "refused": []}).replace("  refused ", "")


def test_status_tells_how_many_events_were_not_taken_and_why() -> None:
    shown = tables(show(Neighbourhood("m", "run1")))

    assert "events not taken    1 bad-text, 2 too-large\n" in shown


def test_status_says_who_is_cloned() -> None:
    around = met()
    for number, boot in enumerate(("run2", "run1", "run2", "run1"), 2):
        key = f"accepted:{number}"
        around.on_accepted(key, "x:1")
        around.on_greeted(key, "a", Link(key, key, False, boot, 0.0), (), "x:1", 0.0)

    assert show(around)["peers"][0]["state"] == "cloned"
