"""Our ClientSync dials servers of the original packages."""

from __future__ import annotations

from typing import Any

import pytest
from js_peer import StartJs
from our_end import KINDS, ODD_EVENTS, PROTOCOLS, Judge, OurEnd, Row, same, theirs

from peers.errors import SyncError
from peers.roles.client import ClientSync

KNOWN = [(kind, PROTOCOLS[kind]) for kind in KINDS]
PROBED = [(kind, None) for kind in KINDS]
both = pytest.mark.parametrize(("kind", "protocol"), [*KNOWN, *PROBED])
each = pytest.mark.parametrize("kind", KINDS)


@both
def test_agrees_with_a_server_on_events_of_before_and_after(start_js: StartJs, kind: str, protocol: Any) -> None:
    server = start_js(kind, "server", node_id="server")
    url = server.listen()
    with OurEnd() as ours:
        ours.add_many(20, "ours before")
        server.add_many(20, "theirs before")

        ours.dial(url, protocol=protocol)
        ours.wait_length(40)
        ours.add_many(20, "ours after")
        server.add_many(20, "theirs after")
        ours.wait_length(80)
        server.wait(length=80)

        assert same(ours.rows(kind), theirs(server.log()))
        assert ours.length == 80
        ours.wait_state("synchronized")
        assert ours.role.lag == 0
        assert not ours.errors


@each
def test_takes_the_time_of_a_server_whose_clock_differs(start_js: StartJs, kind: str) -> None:
    server = start_js(kind, "server", node_id="server")
    url = server.listen()
    with OurEnd(clock_shift=5_000) as ours:
        ours.dial(url, protocol=PROTOCOLS[kind], fix_time=True)
        ours.wait_state("synchronized")
        ours.add({"type": "ours"})
        server.wait(length=1)
        server.add({"type": "theirs"})
        ours.wait_length(2)

        fix = ours.role.dialect.time_fix
        moved = [moved_by(kind, row, fix) for row in theirs(server.log())]

        assert 4_900 < fix < 5_100
        assert sorted(ours.rows(kind)) == sorted(moved)


def moved_by(kind: str, row: Row, fix: int) -> Row:
    """What we make of their row: in 0.1 it gets another `created`, later only another time."""
    ms, node_id, n = row.created if kind == "logux01" else (0, "", 0)
    created = (ms + fix, node_id, n) if kind == "logux01" else row.created
    return Row(created, row.time + fix, row.event)


@both
def test_is_told_by_a_server_that_the_credentials_are_wrong(start_js: StartJs, kind: str, protocol: Any) -> None:
    server = start_js(kind, "server", node_id="server", accepts="secret")
    url = server.listen()
    with OurEnd() as ours:
        client = ours.dial(url, protocol=protocol, credentials="guess")
        server.wait_event("clientError", type="wrong-credentials", received=False)
        ours.until(lambda: bool(ours.errors) and not client.connected)

        assert [(error.type, error.options, error.received) for error in ours.errors] == [
            ("wrong-credentials", None, True)
        ]
        assert not client.connection.reconnecting
        assert client.state == "disconnected"


@each
def test_turns_away_a_server_with_wrong_credentials(start_js: StartJs, kind: str) -> None:
    server = start_js(kind, "server", node_id="server", credentials="theirs")
    url = server.listen()
    judge = Judge(False)
    with OurEnd() as ours:
        server.add({"type": "secret"})
        client = ours.dial(url, protocol=PROTOCOLS[kind], auth=judge)
        error = server.wait_event("error", type="wrong-credentials", received=True)
        ours.until(lambda: not client.connected)

        assert judge.shown == [("theirs", "server")]
        assert error["options"] is None
        assert [(told.type, told.options) for told in ours.told] == [("wrong-credentials", None)]
        assert not client.connection.reconnecting
        assert ours.length == 0


@both
def test_is_told_by_a_server_that_the_subprotocol_is_wrong(start_js: StartJs, kind: str, protocol: Any) -> None:
    used, wanted = ("1.0.0", "2.x") if kind == "logux01" else (1, 2)
    server = start_js(kind, "server", node_id="server", accepts_subprotocol=wanted)
    url = server.listen()
    with OurEnd() as ours:
        client = ours.dial(url, protocol=protocol, subprotocol=used)
        server.wait_event("clientError", type="wrong-subprotocol", received=False)
        ours.until(lambda: bool(ours.errors) and not client.connected)

        (error,) = ours.errors
        assert (error.type, error.options) == ("wrong-subprotocol", {"supported": wanted, "used": used})
        assert error.received
        assert not client.connection.reconnecting


@each
def test_turns_away_a_server_with_a_wrong_subprotocol(start_js: StartJs, kind: str) -> None:
    used, wanted = ("1.0.0", "2.x") if kind == "logux01" else (1, 2)
    server = start_js(kind, "server", node_id="server", subprotocol=used)
    url = server.listen()
    with OurEnd() as ours:
        client = ours.dial(url)
        ours.call(lambda: client.on("connect", lambda: refuse(client, wanted)))
        error = server.wait_event("error", type="wrong-subprotocol", received=True)
        ours.until(lambda: not client.connected)

        assert error["options"] == {"supported": wanted, "used": used}
        assert [told.type for told in ours.told] == ["wrong-subprotocol"]
        assert not client.connection.reconnecting


def refuse(client: ClientSync, wanted: Any) -> None:
    raise SyncError("wrong-subprotocol", {"supported": wanted, "used": client.other_subprotocol})


@pytest.mark.parametrize(
    ("kind", "protocol", "told", "heard"),
    [
        ("core10", (0, 1), [], ["wrong-format"]),
        ("core12", (0, 1), [], ["wrong-format"]),
        ("core12", 5, [], ["wrong-protocol"]),
        ("core10", 7, ["wrong-protocol"], []),
    ],
)
def test_a_server_of_another_protocol_is_left_with_an_error(
    start_js: StartJs, kind: str, protocol: Any, told: list[str], heard: list[str]
) -> None:
    server = start_js(kind, "server", node_id="server")
    url = server.listen()
    with OurEnd() as ours:
        client = ours.dial(url, protocol=protocol, reconnect=False)
        ours.until(lambda: bool(ours.errors) and not client.connected)

        assert [error.type for error in ours.told] == told
        assert [error.type for error in ours.errors if error.received] == heard
        server.wait(connections=0)


JSON_CREDENTIALS = (5, {"a": [1, None]})


@each
@pytest.mark.parametrize("credentials", JSON_CREDENTIALS, ids=str)
def test_shows_credentials_of_any_json_type(start_js: StartJs, kind: str, credentials: Any) -> None:
    server = start_js(kind, "server", node_id="server", accepts=credentials, credentials=credentials)
    url = server.listen()
    judge = Judge(True)
    with OurEnd() as ours:
        ours.dial(
            url,
            protocol=PROTOCOLS[kind],
            credentials=lambda: credentials,
            auth=judge,
        )
        ours.wait_state("synchronized")

        assert judge.shown == [(credentials, "server")]


@both
def test_never_sends_back_what_came(start_js: StartJs, kind: str, protocol: Any) -> None:
    server = start_js(kind, "server", node_id="server")
    url = server.listen()
    with OurEnd() as ours:
        server.add_many(30, "theirs")
        client = ours.dial(url, protocol=protocol)
        ours.add_many(30, "ours")
        ours.wait_length(60)
        server.wait(length=60)
        ours.wait_state("synchronized")
        for round_number in range(3):
            ours.call(client.hang_up, "error")
            ours.until(lambda: not client.connected)
            server.add({"type": "theirs", "n": 100 + round_number})
            ours.wait_length(61 + round_number)
            ours.wait_state("synchronized")
        ours.add({"type": "end"})
        server.wait(length=64)

        assert same(ours.rows(kind), theirs(server.log()))
        assert ours.length == 64
        assert not [event for event in sent_events(ours) if event["type"] == "theirs"]
        assert len(sent_events(ours)) == 31


def sent_events(ours: OurEnd) -> list[dict[str, Any]]:
    return [event for message in ours.sent("sync") for event in message[2::2]]


def test_ids_with_a_counter_stay_unique_and_come_back_unchanged(start_js: StartJs) -> None:
    server = start_js("core12", "server", node_id="server")
    url = server.listen()
    with OurEnd() as ours:
        ours.add_many(500)
        client = ours.dial(url, protocol=7)
        server.wait(length=500)
        assert max(entry.created[2] for entry in ours.entries()) > 50
        with OurEnd("third") as third:
            third.dial(url, protocol=7)
            third.wait_length(500)

            assert [e.created for e in third.entries()] == [e.created for e in ours.entries()]
        ours.call(client.hang_up, "error")
        ours.until(lambda: not client.connected)
        ours.wait_state("synchronized")

        assert same(ours.rows("core12"), theirs(server.log()))
        assert ours.length == 500


@pytest.mark.parametrize(
    ("kind", "count"),
    [
        ("logux01", 10_000),
        pytest.param("core10", 3_000, marks=pytest.mark.long),
        pytest.param("core12", 3_000, marks=pytest.mark.long),
    ],
)
def test_carries_our_large_backlog(start_js: StartJs, kind: str, count: int) -> None:
    """Smaller where a JS log in memory takes 3 to 7 s for 10 000."""
    server = start_js(kind, "server", node_id="server")
    url = server.listen()
    with OurEnd() as ours:
        ours.add_many(count)
        ours.dial(url, protocol=PROTOCOLS[kind])
        ours.wait_length(count, timeout=30)
        server.wait(length=count, timeout=30)
        ours.wait_state("synchronized", timeout=30)

        assert same(ours.rows(kind), theirs(server.log()))
        assert not ours.errors


@both
def test_odd_events_do_no_harm(start_js: StartJs, kind: str, protocol: Any) -> None:
    server = start_js(kind, "server", node_id="server")
    url = server.listen()
    with OurEnd() as ours:
        for event in ODD_EVENTS:
            ours.add(event)
        ours.add({"type": "listlike", "length": 3})
        client = ours.dial(url, protocol=protocol)
        ours.add({"type": "meta"}, {"length": 5, "odd": None, "__proto__": 1})
        ours.add({"type": "last"}, {"id": "x", "reasons": ["a"], "subprotocol": "9", "keep_last": "k", "time_fix": {}})
        taken = len(ODD_EVENTS) + (3 if kind == "logux01" else 1)
        server.wait(length=taken)
        ours.wait_state("synchronized")
        links = len(ours.sent("connect"))
        ours.call(client.hang_up, "error")
        ours.until(lambda: len(ours.sent("connect")) > links)
        ours.wait_state("synchronized")

        assert len(server.log()) == taken
        assert not server.crashed
        refused = ["listlike", "meta"] if kind != "logux01" else []
        assert len(ours.refused) == len(refused)
        assert [row.event for row in theirs(server.log())] == [
            row.event for row in ours.rows(kind) if row.event["type"] not in refused
        ]
        assert not ours.errors


@each
def test_odd_node_ids_come_back_unchanged(start_js: StartJs, kind: str) -> None:
    server = start_js(kind, "server", node_id="server")
    url = server.listen()
    names = ["a b", "x", "x!11", "x!11!1-", "5", "__proto__", "length", "\u00e9\U0001f600", "!", "-"]
    with OurEnd() as ours:
        for name in names:
            for n in (0, 2, 70):
                ours.add({"type": name, "n": n}, {"created": (1_000, name, n)})
        client = ours.dial(url, protocol=PROTOCOLS[kind])
        taken = 3 * len(names) - (3 if kind == "core10" else 0)
        server.wait(length=taken)
        ours.wait_state("synchronized")
        ours.call(client.hang_up, "error")
        ours.until(lambda: len(ours.sent("connect")) > 1)
        server.add({"type": "end"})
        ours.until(lambda: "end" in ours.types())

        assert ours.length == 3 * len(names) + 1
        assert len(ours.refused) == (3 if kind == "core10" else 0)  # those with a space
        assert {row.created for row in server.log()} == {
            row.created for row in ours.rows(kind) if kind != "core10" or row.event["type"] != "a b"
        }
        assert not ours.errors


@each
def test_takes_the_odd_events_of_a_server(start_js: StartJs, kind: str) -> None:
    server = start_js(kind, "server", node_id="server")
    url = server.listen()
    with OurEnd() as ours:
        for event in (*ODD_EVENTS, {"type": "listlike", "length": 3}):
            server.add(event)
        ours.dial(url, protocol=PROTOCOLS[kind])
        ours.wait_length(len(ODD_EVENTS) + 1)

        assert same(ours.rows(kind), theirs(server.log()))
        assert not ours.errors
