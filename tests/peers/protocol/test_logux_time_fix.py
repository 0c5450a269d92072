"""A client that takes times by its server's clock."""

from __future__ import annotations

from typing import Any

import pytest

from peers.codec.logux_7 import to_digits
from tests.support.logux_pair import client, met_client, version
from tests.support.pair import NOW_MS, Stranger


def fixing(protocol: Any = (0, 1), *, came: int, answered: int, round_trip: int = 0, **options: Any) -> Stranger:
    """A client that fixes time, after the answer of a server."""
    stranger = client(protocol, fix_time=True, **options)
    stranger.clock.advance(round_trip + answered - came)
    stranger.say("connected", version(protocol), "server", [came, answered])
    stranger.heard.clear()
    return stranger


@pytest.mark.parametrize(
    ("came", "answered", "round_trip", "fix"),
    [
        (NOW_MS, NOW_MS, 0, 0),
        (NOW_MS - 1_000, NOW_MS - 1_000, 0, 1_000),
        (NOW_MS + 1_000, NOW_MS + 1_000, 0, -1_000),
        (NOW_MS + 10, NOW_MS + 10, 20, 0),
        (NOW_MS - 1_000 + 10, NOW_MS - 1_000 + 15, 20, 1_000),
        (NOW_MS - 1_000, NOW_MS - 1_000, 5, 1_002),
        (NOW_MS + 1_000, NOW_MS + 1_000, 5, -998),
    ],
)
@pytest.mark.parametrize("protocol", [(0, 1), 5, 7], ids=str)
def test_a_client_measures_by_how_much_its_clock_is_ahead(
    protocol: Any, came: int, answered: int, round_trip: int, fix: int
) -> None:
    stranger = fixing(protocol, came=came, answered=answered, round_trip=round_trip)

    assert stranger.role.dialect.time_fix == fix


@pytest.mark.parametrize("protocol", [(0, 1), 5, 7], ids=str)
def test_without_fix_time_no_time_is_changed(protocol: Any) -> None:
    stranger = client(protocol).say("connected", version(protocol), "server", [1, 2])

    assert stranger.role.dialect.time_fix == 0


def test_in_logux_0_1_fix_time_changes_created_of_sent_events() -> None:
    stranger = fixing(came=NOW_MS - 1_000, answered=NOW_MS - 1_000)

    stranger.log.add({"type": "a"}, {"created": (NOW_MS + 5, "home", 3)})

    assert stranger.heard == [["sync", 1, {"type": "a"}, [NOW_MS - 995, "home", 3]]]


def test_in_logux_0_1_fix_time_changes_created_of_received_events() -> None:
    stranger = fixing(came=NOW_MS - 1_000, answered=NOW_MS - 1_000)

    stranger.say("sync", 1, {"type": "a"}, [NOW_MS - 1_000, "server", 3])

    assert stranger.heard == [["synced", 1]]
    assert [(entry.created, entry.time) for entry in stranger.log.entries] == [((NOW_MS, "server", 3), NOW_MS)]


def test_fix_time_changes_every_event_of_a_message() -> None:
    stranger = fixing(came=NOW_MS - 1_000, answered=NOW_MS - 1_000)

    stranger.say("sync", 2, {"type": "a"}, [100, "server", 0], {"type": "b"}, [200, "server", 0])

    assert [entry.created[0] for entry in stranger.log.entries] == [1_100, 1_200]


@pytest.mark.parametrize(("protocol", "wire_id"), [(5, 1_005), (7, to_digits(NOW_MS + 5))], ids=str)
def test_in_newer_protocols_fix_time_changes_the_time_and_never_the_id(protocol: Any, wire_id: Any) -> None:
    stranger = fixing(protocol, came=NOW_MS - 1_000, answered=NOW_MS - 1_000)

    stranger.log.add({"type": "a"}, {"created": (NOW_MS + 5, "home", 0)})
    stranger.say("sync", 1, {"type": "b"}, {"id": wire_id, "time": 7})

    sent = next(message for message in stranger.heard if message[0] == "sync")
    assert sent[3] == {"id": wire_id, "time": 5, "reasons": ["log"]}
    assert [(entry.created[1], entry.time) for entry in stranger.log.entries] == [
        ("home", NOW_MS + 5),
        ("server", NOW_MS + 7),
    ]


@pytest.mark.parametrize(
    ("protocol", "wire_id", "created"),
    [
        (5, [5, "author", 2], (NOW_MS - 772, "author", 2)),
        (5, 5, (NOW_MS - 772, "server", 0)),
        (7, f"{to_digits(NOW_MS)} author", (NOW_MS, "author", 0)),
        (7, to_digits(NOW_MS), (NOW_MS, "server", 0)),
    ],
    ids=str,
)
def test_ids_are_the_same_at_both_ends_whatever_the_fix(protocol: Any, wire_id: Any, created: Any) -> None:
    stranger = fixing(protocol, came=NOW_MS - 777, answered=NOW_MS - 777)

    stranger.say("sync", 1, {"type": "b"}, {"id": wire_id, "time": 0})

    assert [entry.created for entry in stranger.log.entries] == [created]


def test_a_time_with_half_a_ms_from_javascript_is_taken() -> None:
    stranger = met_client().say("sync", 1, {"type": "a"}, [1_795_394.5, "server", 0])

    assert [entry.created for entry in stranger.log.entries] == [(1_795_394, "server", 0)]


@pytest.mark.parametrize("protocol", [(0, 1), 5, 7], ids=str)
def test_an_event_that_fix_time_puts_out_of_range_is_refused_alone(protocol: Any) -> None:
    stranger = fixing(protocol, came=NOW_MS + 1_000, answered=NOW_MS + 1_000)
    refused: list[str] = []
    stranger.role.on("refused", refused.append)
    base = NOW_MS + 1_000
    seconds: dict[Any, tuple[Any, Any]] = {
        (0, 1): ([5, "server", 0], [base, "server", 0]),
        5: ({"id": [0, 1], "time": -base}, {"id": 0, "time": 0}),
        7: ({"id": "0", "time": -base}, {"id": "1", "time": 0}),
    }
    bad, good = seconds[protocol]

    stranger.say("sync", 2, {"type": "bad"}, bad, {"type": "good"}, good)

    assert stranger.heard[-1] == ["synced", 2]
    assert stranger.log.types == ["good"]
    assert len(refused) == 1
    assert "server sent an event that is not taken" in refused[0]


def test_each_link_measures_the_clocks_anew() -> None:
    stranger = fixing(came=NOW_MS - 1_000, answered=NOW_MS - 1_000)
    stranger.dialler.disconnect("lost")
    stranger.dialler.connect()

    before = stranger.role.dialect.time_fix
    stranger.say("connected", [0, 1], "server", [NOW_MS - 50, NOW_MS - 50])

    assert (before, stranger.role.dialect.time_fix) == (0, 50)


def test_a_sent_event_does_not_return_as_another_one_when_the_measured_offset_changes() -> None:
    stranger = fixing(came=NOW_MS - 1_000, answered=NOW_MS - 1_000)
    stranger.log.add({"type": "a"})
    stranger.say("synced", 1)
    stranger.say("sync", 1, {"type": "b"}, [5, "server", 0]).dialler.disconnect("lost")
    stranger.heard.clear()
    stranger.dialler.connect()

    stranger.say("connected", [0, 1], "server", [NOW_MS, NOW_MS])

    assert stranger.heard == [["connect", [0, 1], "home", 1]]
    assert stranger.log.types == ["b", "a"]
