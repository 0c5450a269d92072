"""The greeting between a Logux client and a Logux server."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.logux_pair import (
    Asked,
    client,
    every_dialect,
    logux,
    met_client,
    met_server,
    names,
    newer_dialects,
    server,
    version,
)
from tests.support.pair import NOW_MS, sentences


@every_dialect
def test_a_client_sends_connect_as_soon_as_the_connection_is_open(protocol: Any) -> None:
    assert client(protocol).heard == [["connect", version(protocol), "home", 0]]


def test_connect_states_up_to_which_mark_the_other_log_is_known() -> None:
    assert client(other_synced=7).heard == [["connect", [0, 1], "home", 7]]


def test_connect_has_credentials_and_subprotocol_as_in_logux_0_1() -> None:
    heard = client(credentials="key", subprotocol="1.0.0").heard

    assert heard == [["connect", [0, 1], "home", 0, {"credentials": "key", "subprotocol": "1.0.0"}]]


@newer_dialects
def test_connect_has_token_and_subprotocol_as_in_newer_protocols(protocol: Any) -> None:
    heard = client(protocol, credentials="key", subprotocol=3).heard

    assert heard == [["connect", protocol, "home", 0, {"token": "key", "subprotocol": 3}]]


@every_dialect
def test_a_server_answers_connect_with_connected(protocol: Any) -> None:
    stranger = server().say("connect", version(protocol), "client", 0)

    assert stranger.heard[0] == ["connected", version(protocol), "home", [NOW_MS, NOW_MS]]


def test_connected_has_the_times_of_arrival_and_of_the_answer() -> None:
    auth = Asked()
    stranger = server(auth=auth).say("connect", [0, 1], "client", 0)

    stranger.clock.advance(30)
    auth.answer(True)

    assert stranger.heard == [["connected", [0, 1], "home", [NOW_MS, NOW_MS + 30]]]


def test_connected_does_not_use_the_timer_of_events() -> None:
    stranger = met_server()

    stranger.log.add({"type": "a"})

    assert stranger.heard == [["sync", 1, {"type": "a"}, [NOW_MS, "home", 0]]]


def test_the_times_in_connected_never_go_back() -> None:
    auth = Asked()
    stranger = server(auth=auth).say("connect", [0, 1], "client", 0)

    stranger.clock.wall_ms -= 500
    auth.answer(True)

    assert stranger.heard == [["connected", [0, 1], "home", [NOW_MS, NOW_MS]]]


@every_dialect
def test_each_end_knows_the_other_after_the_greeting(protocol: Any) -> None:
    pair = logux(protocol, left={"subprotocol": 3}, right={"subprotocol": 4})
    before = [(role.other_node_id, role.other_protocol, role.other_subprotocol) for role in (pair.left, pair.right)]

    pair.connect()

    assert before == [(None, None, None)] * 2
    assert (pair.left.other_node_id, pair.right.other_node_id) == ("right", "left")
    assert pair.left.other_protocol == pair.right.other_protocol == version(protocol)
    assert (pair.left.other_subprotocol, pair.right.other_subprotocol) == (4, 3)


@pytest.mark.parametrize(
    ("greeted", "options"),
    [
        ([1, 0], {"supported": [0], "used": [1, 0]}),
        ([2, 5], {"supported": [0], "used": [2, 5]}),
        (2, {"supported": 5, "used": 2}),
        (4, {"supported": 5, "used": 4}),
    ],
    ids=str,
)
def test_another_major_version_of_the_protocol_is_refused(greeted: Any, options: Any) -> None:
    stranger = server().say("connect", greeted, "client", 0)
    reached = stranger.connected

    assert stranger.heard == [["error", "wrong-protocol", options]]
    assert not reached
    assert stranger.role.is_destroyed
    assert [error.type for error in stranger.errors] == ["wrong-protocol"]


def test_no_message_is_handled_after_a_refused_greeting() -> None:
    stranger = server()
    stranger.connection.on("message", lambda _frame: None)

    stranger.say("connect", [1, 0], "client", 0)
    with pytest.raises(RuntimeError, match="started before sending"):
        stranger.say("sync", 1, {"type": "a"}, [1, "client", 0])

    assert stranger.log.types == []


@pytest.mark.parametrize("greeted", [[0, 0], [0, 1], [0, 9]], ids=str)
def test_another_minor_version_of_the_protocol_is_accepted(greeted: Any) -> None:
    stranger = server().say("connect", greeted, "client", 0)

    assert stranger.heard == [["connected", [0, 1], "home", [NOW_MS, NOW_MS]]]
    assert stranger.role.other_protocol == greeted


@pytest.mark.parametrize(
    ("protocol", "answered", "options"),
    [
        ((0, 1), [1, 0], {"supported": [0], "used": [1, 0]}),
        ((0, 1), 5, {"supported": [0], "used": 5}),
        (5, 4, {"supported": 5, "used": 4}),
        (7, 5, {"supported": 7, "used": 5}),
        (7, [0, 1], {"supported": 7, "used": [0, 1]}),
    ],
    ids=str,
)
def test_a_client_checks_the_protocol_of_the_answer(protocol: Any, answered: Any, options: Any) -> None:
    stranger = client(protocol).say("connected", answered, "server", [1, 2])

    assert stranger.heard[1:] == [["error", "wrong-protocol", options]]
    assert not stranger.connected
    assert not stranger.role.authenticated


@every_dialect
def test_connected_without_a_connect_does_not_authenticate(protocol: Any) -> None:
    stranger = server(credentials="key").say("connected", version(protocol), "client", [1, 2])

    assert stranger.heard == [["error", "wrong-format", "`connected` from the end that dialled"]]
    assert not stranger.connected
    assert not stranger.role.authenticated


@every_dialect
def test_a_server_does_not_greet_a_client(protocol: Any) -> None:
    stranger = client(protocol).say("connect", version(protocol), "server", 0)

    assert stranger.heard[1:] == [["error", "wrong-format", "`connect` from the end that was dialled"]]
    assert not stranger.connected


@pytest.mark.parametrize(
    "greeting",
    [
        ["connect"],
        ["connect", [0, 1]],
        ["connect", [0, 1], "client"],
        ["connect", None, "client", 0],
        ["connect", "0.1", "client", 0],
        ["connect", [0], "client", 0],
        ["connect", [0, "1"], "client", 0],
        ["connect", {}, "client", 0],
        ["connect", [0, 1], None, 0],
        ["connect", [0, 1], "", 0],
        ["connect", [0, 1], "client", "0"],
        ["connect", [0, 1], "client", -1],
        ["connect", [0, 1], "client", 0, "key"],
        ["connect", 5, "cli\nent", 0],
    ],
    ids=str,
)
def test_a_greeting_of_the_wrong_shape_gets_an_error(greeting: Any) -> None:
    stranger = server().say(*greeting)

    assert names(stranger.heard) == ["error"]
    assert stranger.heard[0][1] == "wrong-format"
    assert not stranger.connected


def test_a_node_id_of_logux_0_1_may_be_a_number() -> None:
    stranger = server().say("connect", [0, 1], 7, 0)

    assert stranger.role.other_node_id == "7"


@every_dialect
def test_a_second_greeting_is_refused(protocol: Any) -> None:
    stranger = met_server(protocol).say("connect", version(protocol), "another", 0)

    assert stranger.heard[-1] == ["error", "wrong-format", "a second greeting on one connection"]
    assert stranger.role.other_node_id == "client"
    assert not stranger.connected


def test_a_second_connected_is_refused() -> None:
    stranger = met_client().say("connected", [0, 1], "another", [1, 2])

    assert stranger.heard == [["error", "wrong-format", "a second greeting on one connection"]]
    assert stranger.role.other_node_id == "server"


@every_dialect
def test_a_client_gives_up_on_a_server_that_does_not_answer(protocol: Any) -> None:
    stranger = client(protocol, timeout=1_000)

    stranger.clock.advance(999)
    assert stranger.connected
    stranger.clock.advance(1)

    assert stranger.heard[1:] == [["error", "timeout", 1_000]]
    assert sentences(stranger.errors) == ["A timeout was reached (1000ms)"]
    assert not stranger.connected


def test_a_server_gives_up_on_a_client_that_does_not_greet() -> None:
    stranger = server(timeout=1_000)

    stranger.clock.advance(1_000)

    assert stranger.heard == [["error", "timeout", 1_000]]
    assert stranger.role.is_destroyed
    assert stranger.connection.listeners == 0


@every_dialect
def test_no_timeout_runs_after_the_greeting(protocol: Any) -> None:
    pair = logux(protocol, timeout=1_000, ping=None).connect()

    pair.clock.advance(100_000)

    assert pair.left.connected
    assert pair.left_errors == pair.right_errors == []


@every_dialect
def test_after_the_greeting_each_end_sends_what_the_other_lacks(protocol: Any) -> None:
    pair = logux(protocol)
    pair.left.log.add({"type": "l"})
    pair.right.log.add({"type": "r"})

    pair.connect()

    assert names(pair.left_sent).count("sync") == names(pair.right_sent).count("sync") == 1
    assert pair.left.log.types == pair.right.log.types == ["l", "r"]
    assert (pair.left.state, pair.right.state) == ("synchronized", "synchronized")


@every_dialect
def test_the_state_is_synchronized_at_once_when_no_end_lacks_events(protocol: Any) -> None:
    pair = logux(protocol).connect()

    assert "sync" not in names(pair.left_sent + pair.right_sent)
    assert (pair.left.state, pair.right.state) == ("synchronized", "synchronized")
