"""Errors that Logux roles send, and errors that they receive."""

from __future__ import annotations

from typing import Any

import pytest

from peers.errors import MAX_SHOWN, SyncError
from tests.support.logux_pair import (
    client,
    every_dialect,
    met_client,
    met_server,
    names,
    newer_dialects,
    server,
    version,
)
from tests.support.pair import sentences


@pytest.mark.parametrize("frame", ["1", '{"hi":1}', "[]", "[1]", "null", '"text"', "[null]", '[""]', '[["ping"],1]'])
@pytest.mark.parametrize("make", [server, met_server, client, met_client], ids=lambda make: make.__name__)
def test_json_that_is_no_message_gets_an_error_and_ends_the_link(make: Any, frame: str) -> None:
    stranger = make().say_raw(frame.encode())

    assert stranger.heard[-1] == ["error", "wrong-format", frame]
    assert not stranger.connected
    assert [error.type for error in stranger.errors] == ["wrong-format"]
    assert frame in str(stranger.errors[0])


@every_dialect
@pytest.mark.parametrize("frame", [b"", b"{", b"hello", b'["ping",', b"\xff\xfe", b"[" * 100_000, b"\x00"], ids=repr)
def test_text_that_is_not_json_gets_an_error_and_ends_the_link(protocol: Any, frame: bytes) -> None:
    stranger = met_server(protocol).say_raw(frame)

    assert stranger.heard[-1] == ["error", "wrong-format", frame.decode(errors="replace")[:MAX_SHOWN]]
    assert not stranger.connected


def test_bad_text_as_the_first_message_gets_an_error_too() -> None:
    stranger = client().say_raw(b"{")

    assert stranger.heard[1:] == [["error", "wrong-format", "{"]]


def test_a_long_bad_message_is_shown_in_part() -> None:
    stranger = met_server().say_raw(b"[1," + b"2," * 10_000 + b"3]")

    assert len(stranger.heard[-1][2]) == MAX_SHOWN


@every_dialect
@pytest.mark.parametrize("name", ["test", "on", "have", "constructor", "error_message"])
def test_a_message_of_an_unknown_type_gets_an_error_and_ends_the_link(protocol: Any, name: str) -> None:
    stranger = met_server(protocol).say(name, ["ping", 1])

    assert stranger.heard[-1] == ["error", "unknown-message", name]
    assert not stranger.connected


def test_a_message_of_an_unknown_type_before_the_greeting_gets_an_error_too() -> None:
    stranger = server().say("test")

    assert stranger.heard == [["error", "unknown-message", "test"]]
    assert not stranger.connected


@pytest.mark.parametrize("protocol", [(0, 1), 5], ids=str)
def test_ready_is_unknown_to_older_protocols(protocol: Any) -> None:
    stranger = met_server(protocol).say("ready", 0)

    assert stranger.heard[-1] == ["error", "unknown-message", "ready"]


@pytest.mark.parametrize(
    "message",
    [["ping"], ["ping", "1"], ["ping", None], ["pong"], ["synced"], ["synced", None], ["headers", 1], ["duilian"]],
    ids=str,
)
@every_dialect
def test_a_known_message_of_the_wrong_shape_gets_an_error(protocol: Any, message: list[Any]) -> None:
    stranger = met_server(protocol).say(*message)

    assert stranger.heard[-1][:2] == ["error", "wrong-format"]
    assert not stranger.connected


@every_dialect
def test_a_received_error_is_raised_without_a_catch_listener(protocol: Any) -> None:
    stranger = met_client(protocol, catches=False)

    with pytest.raises(SyncError, match="server sent odd") as caught:
        stranger.say("error", "odd", {"a": 1})

    assert (caught.value.type, caught.value.options, caught.value.received) == ("odd", {"a": 1}, True)


@every_dialect
def test_a_received_error_is_passed_to_catch_listeners(protocol: Any) -> None:
    stranger = met_client(protocol)
    more: list[Any] = []
    undo = stranger.role.catch(more.append)
    undo()

    stranger.say("error", "wrong-format", "[]")

    assert sentences(stranger.errors) == ["server sent wrong-format (Wrong message format in [])"]
    assert more == []


@every_dialect
def test_a_received_error_ends_the_link(protocol: Any) -> None:
    stranger = met_client(protocol).say("error", "missed-auth", "[]")

    assert not stranger.connected
    assert "error" not in names(stranger.heard)


@pytest.mark.parametrize(
    "message",
    [
        ["error", "wrong-protocol"],
        ["error", "wrong-protocol", {"supported": 5, "used": [0, 1]}],
        ["error", "wrong-protocol", {"supported": [1, 2], "used": [0, 1]}],
        ["error", "wrong-protocol", None],
        ["error", "wrong-subprotocol", 7],
        ["error", "timeout", {}],
        ["error", "", []],
        ["error", "x" * 5_000],
    ],
    ids=lambda message: str(message)[:50],
)
@every_dialect
def test_an_error_message_with_any_options_is_read(protocol: Any, message: list[Any]) -> None:
    stranger = met_client(protocol).say(*message)

    assert len(stranger.errors) == 1
    assert len(str(stranger.errors[0])) < 1_000
    assert not stranger.connected


@pytest.mark.parametrize("message", [["error"], ["error", 1], ["error", None]], ids=str)
def test_an_error_message_without_a_type_is_a_wrong_format(message: list[Any]) -> None:
    stranger = met_client().say(*message)

    assert stranger.heard[-1][:2] == ["error", "wrong-format"]


@every_dialect
def test_send_error_sends_options_and_emits_client_error(protocol: Any) -> None:
    stranger = met_client(protocol)
    told: list[Any] = []
    stranger.role.on("client_error", told.append)

    stranger.role.send_error("odd", {"a": 1})
    stranger.role.send_error("plain")

    assert stranger.heard[-2:] == [["error", "odd", {"a": 1}], ["error", "plain"]]
    assert [(error.type, error.options, error.received) for error in told] == [
        ("odd", {"a": 1}, False),
        ("plain", None, False),
    ]


@every_dialect
def test_an_error_that_the_role_finds_emits_client_error(protocol: Any) -> None:
    stranger = met_server(protocol)
    told: list[Any] = []
    stranger.role.on("client_error", told.append)

    stranger.say("test")

    assert [error.type for error in told] == ["unknown-message"]
    assert told == stranger.errors


@every_dialect
def test_sending_without_a_link_raises_an_error(protocol: Any) -> None:
    stranger = met_client(protocol)
    stranger.dialler.disconnect("lost")

    with pytest.raises(RuntimeError, match="closed connection"):
        stranger.role.send_ping()


def test_a_logux_0_1_peer_is_never_sent_what_would_crash_it() -> None:
    told: list[Any] = []
    for greeting in ([1, 0], [7, 7]):
        told += server().say("connect", greeting, "client", 0).heard
    told += client().say("connected", 5, "server", [1, 2]).heard[1:]

    assert all(isinstance(message, list) and isinstance(message[2]["supported"], list) for message in told)
    assert len(told) == 3


@newer_dialects
def test_newer_peers_get_versions_as_numbers(protocol: Any) -> None:
    stranger = client(protocol).say("connected", 4, "server", [1, 2])

    assert stranger.heard[-1] == ["error", "wrong-protocol", {"supported": protocol, "used": 4}]


def test_a_message_inside_a_message_is_not_handled() -> None:
    stranger = met_server().say("on", ["sync", 1, {"type": "a"}, [1, "client", 0]])

    assert stranger.heard == [["error", "unknown-message", "on"]]
    assert stranger.log.types == []


@every_dialect
def test_an_error_of_the_connection_is_reported(protocol: Any) -> None:
    stranger = met_client(protocol)

    stranger.connection.emit("error", ValueError("half a frame"))

    assert [error.type for error in stranger.errors] == ["wrong-format"]
    assert "half a frame" in str(stranger.errors[0])


@newer_dialects
def test_the_couplet_of_newer_servers_is_answered(protocol: Any) -> None:
    stranger = met_server(protocol).say("duilian", "金木水火土")

    assert stranger.heard[-1] == ["duilian", "板城烧锅酒"]


@every_dialect
def test_headers_and_debug_are_passed_to_listeners(protocol: Any) -> None:
    stranger = met_server(protocol)
    seen: list[Any] = []
    stranger.role.on("headers", seen.append)
    stranger.role.on("debug", lambda *told: seen.append(told))

    stranger.say("headers", {"language": "fr"}).say("headers", {}).say("debug", "error", "text")

    assert seen == [{"language": "fr"}, {}, ("error", "text")]
    assert stranger.role.other_headers == {}
    assert version(protocol) == stranger.role.other_protocol
