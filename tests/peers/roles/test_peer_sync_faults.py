"""Faulty messages of the other end, and the errors that it gets."""

from __future__ import annotations

import json
from typing import Any

import pytest

from peers.errors import SyncError
from peers.events.reconcile import Differ, Part, Same
from tests.support.neighbour import Neighbour, hello, names_of
from tests.support.pair import Pair, sentences

GOOD = {"runs": hello()}


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        b"null",
        b"1",
        b'"text"',
        b"{}",
        b'{"0":"ping"}',
        b"[]",
        b"[1]",
        b"[null]",
        b'[["ping",1]]',
        b"not JSON",
        b'["ping",1',
        b'["ping",1] ["ping",2]',
        b"\xff\xfe",
        b'["ping","\xff"]',
        b'["\\ud800"]',
        b'["ping"]',
        b'["ping",null]',
        b'["ping",-1]',
        b'["ping",1.5]',
        b'["ping",true]',
        b'["ping",1e400]',
        b'["ping",99999999999999999999999]',
        b'["synced","1"]',
        b'["synced",NaN]',
        b'["error"]',
        b'["error",5]',
        b'["error",""]',
        b'["headers"]',
        b'["headers",null]',
        b'["headers",[]]',
        b'["debug"]',
        b'["connect"]',
        b'["connect",2,null,0]',
        b'["connect",2,"",0]',
        b'["connect",2,"left",-1]',
        b'["connect",2,"left",0,null]',
        b'["connect",2,"left",0,[]]',
        b'["connected",2,"left",1]',
        b'["connected",2,"left",[1]]',
        b'["connected",2,"left",[1,null]]',
        b'["",1]',
        b'["_private",1]',
        b'["__class__"]',
        b'["on\\n",1]',
        b'["two words"]',
        b'["pieces"]',
        b'["pieces",null]',
        b'["pieces",-1,[],{}]',
        b'["pieces",1,[],[]]',
        b'["pieces",1,[],{}]',
        b'["pieces",1,["AAAA"],{}]',
        b'["fill",1]',
        b'["fill",1,[[]]]',
        b'["proof"]',
        b'["heads","e",1,[]]',
        b'["show",null,[]]',
        b'["differ",{},[[]]]',
        b'["same",null]',
        b"[" * 100_000,
        b"[" * 100_000 + b"]" * 100_000,
        b'["ping",' + b"[" * 100_000 + b"]" * 100_000 + b"]",
        b'["own",' + b"[" * 100_000 + b"]" * 100_000 + b"]",
        b'["pieces",1,[],' + b"[" * 100_000 + b"]",
    ],
    ids=lambda frame: frame[:60].decode("latin-1"),
)
def test_a_message_of_the_wrong_shape_gets_an_error_and_ends_the_link(frame: bytes) -> None:
    for stranger in (Neighbour(), Neighbour().greet()):
        stranger.say_raw(frame)

        assert len(stranger.heard) == 1 and stranger.heard[0][:2] == ["error", "wrong-format"]
        shown = stranger.heard[0][2]
        assert len(shown) <= 200
        assert shown == frame.decode(errors="replace")[:200]
        assert [error.type for error in stranger.errors] == ["wrong-format"]
        assert stranger.reasons == ["error"]
        assert stranger.log.types == []
        assert stranger.role.clock.waiting == 0


HEAD = "AAAAAAAAAAAAAAAAAAAAAA=="


@pytest.mark.parametrize(
    "runs",
    [
        {},
        None,
        {**hello(), "boot": ""},
        {**hello(), "boot": "b\n"},
        {**hello(), "connection": None},
        {**hello(), "held": ["c"] * 513},
        {**hello(), "key": "A" * 48},
        {**hello(), "newest": []},
        {**hello(), "newest": {"e": [1, HEAD, ""]}},
        {**hello(), "newest": {"0" * 32: [-1, HEAD, ""]}},
        {**hello(), "newest": {"0" * 32: [1, "AAAA", ""]}},
        {**hello(), "newest": {f"{n:032x}": [1, HEAD, ""] for n in range(33)}},
        {**hello(), "rest": [1]},
        {**hello(), "yours": {"e": 1}},
        {**hello(), "hollow": [1]},
        {**hello(), "last_position": -1},
    ],
    ids=lambda runs: str(runs)[:60],
)
def test_a_bad_option_runs_gets_an_error(runs: Any) -> None:
    stranger = Neighbour().say("connect", 2, "left", 0, {"runs": runs})

    assert stranger.heard[0][:2] == ["error", "wrong-format"]
    assert not stranger.connected


@pytest.mark.parametrize(
    ("message", "why"),
    [
        (Same({"0" * 32: None}), "the other end says that we have the same, which was not due"),
        (Differ({}, (Part("", "0", {}),)), "the other end speaks of names from '' to '0', which we did not ask"),
    ],
    ids=str,
)
def test_what_no_node_says_of_what_differs_ends_the_link_with_a_sentence(message: Same | Differ, why: str) -> None:
    stranger = Neighbour()
    stranger.say("connect", 2, "stranger", 0, {"runs": {**hello(), "rest": [7, "A" * 43 + "="]}})
    stranger.heard.clear()

    stranger.tell(message)

    assert stranger.heard == [["error", "wrong-format", why]]
    assert not stranger.connected


def test_a_message_between_nodes_before_any_greeting_is_refused() -> None:
    stranger = Neighbour().brings()

    assert stranger.heard == [["error", "missed-auth", "pieces"]]
    assert stranger.log.state.last_position == 0


# Other messages


@pytest.mark.parametrize("name", ["dance", "on", "Connect", "logux/undo", "x", "dispatch", "greeting-options"])
def test_an_unknown_message_gets_an_error(name: str) -> None:
    stranger = Neighbour().greet().say(name, ["on", "message"])

    assert stranger.heard == [["error", "unknown-message", name]]
    assert sentences(stranger.errors) == [f"stranger: unknown-message (Unknown message `{name}` type)"]
    assert not stranger.connected


def test_an_error_that_is_found_is_raised_without_a_catch_listener() -> None:
    stranger = Neighbour(catches=False).greet()

    with pytest.raises(SyncError, match="stranger: unknown-message"):
        stranger.say("dance")

    assert stranger.heard == [["error", "unknown-message", "dance"]]
    assert not stranger.connected


def test_a_received_error_is_raised_without_a_catch_listener() -> None:
    stranger = Neighbour(catches=False).greet()

    with pytest.raises(SyncError, match="stranger sent wrong-format") as caught:
        stranger.say("error", "wrong-format", "[1]")

    assert (caught.value.received, caught.value.options) == (True, "[1]")
    assert stranger.heard == []
    assert not stranger.connected


def test_a_received_error_is_passed_to_catch_listeners() -> None:
    stranger = Neighbour().greet().say("error", "timeout", 5_000)

    assert sentences(stranger.errors) == ["stranger sent timeout (A timeout was reached (5000ms))"]
    assert stranger.heard == []


def test_catching_can_be_undone() -> None:
    stranger = Neighbour(catches=False).greet()
    undo = stranger.role.catch(lambda _error: None)
    undo()

    with pytest.raises(SyncError):
        stranger.say("dance")


@pytest.mark.parametrize(
    "options", ["missing", None, 5, {}, [], {"used": [1]}, {"supported": None, "used": {"a": 1}}], ids=str
)
@pytest.mark.parametrize("type_", ["wrong-protocol", "wrong-subprotocol", "wrong-format", "timeout", "own"])
def test_a_received_error_with_any_options_is_read(type_: str, options: Any) -> None:
    stranger = Neighbour().greet()

    stranger.say("error", type_, *([] if options == "missing" else [options]))

    assert [error.type for error in stranger.errors] == [type_]
    assert stranger.heard == []


def test_a_received_error_cannot_flood_or_steer_a_screen() -> None:
    stranger = Neighbour().greet().say("error", "wrong-format", "\x1b[2J" + "x" * 100_000)

    sentence = str(stranger.errors[0])
    assert len(sentence) < 400
    assert sentence.isprintable()


def test_a_received_error_with_deep_nesting_is_read() -> None:
    for depth in range(100, 1_000, 10):
        stranger = Neighbour().greet()

        stranger.say_raw(b'["error","wrong-format",' + b"[" * depth + b"]" * depth + b"]")

        assert [error.type for error in stranger.errors] == ["wrong-format"]
        assert not stranger.connected


def test_no_message_is_handled_after_an_error_was_sent() -> None:
    stranger = Neighbour(connects=False)
    said: list[list[Any]] = [
        ["connect", 2, "left", 0, GOOD],
        ["ping", 1],
        ["dance"],
        ["ping", 2],
        ["dance"],
        ["error", "own"],
    ]
    stranger.theirs.on("connect", lambda: [stranger.say(*message) for message in said])

    stranger.dialler.connect()

    assert [error.type for error in stranger.errors] == ["unknown-message"]
    assert [each for each in stranger.heard if each[0] != "same"][1:] == [
        ["pong", 0],
        ["error", "unknown-message", "dance"],
    ]


def test_no_message_is_handled_after_an_error_was_received() -> None:
    stranger = Neighbour(connects=False)
    said: list[list[Any]] = [["connect", 2, "left", 0, GOOD], ["error", "own"], ["ping", 1]]
    stranger.theirs.on("connect", lambda: [stranger.say(*message) for message in said])

    stranger.dialler.connect()

    assert names_of(stranger.heard).count("pong") == 0
    assert len(stranger.errors) == 1


def test_a_new_link_after_an_error_works() -> None:
    stranger = Neighbour().greet().say("dance")
    stranger.dialler.connect()

    stranger.greet().brings()

    assert stranger.heard == [["synced", 1]]


def test_an_error_on_one_link_does_not_affect_another() -> None:
    pair = Pair().meet()
    stranger = Neighbour(log=pair.left.log).greet().say("dance")

    pair.right.log.add({"type": "a"})

    assert not stranger.connected
    assert pair.left.log.types == ["a"]


def test_headers_are_passed_to_listeners() -> None:
    pair = Pair().meet()
    seen: list[Any] = []
    pair.right.on("headers", seen.append)

    pair.left.send_headers({"language": "en"})

    assert pair.left_sent == [["headers", {"language": "en"}]]
    assert seen == [{"language": "en"}]


def test_headers_that_json_cannot_express_raise_an_error() -> None:
    pair = Pair().meet()

    with pytest.raises(ValueError, match="headers cannot be written as JSON"):
        pair.left.send_headers({"a": object()})

    assert pair.left.connected


def test_debug_is_passed_to_listeners() -> None:
    pair = Pair().meet()
    seen: list[Any] = []
    pair.right.on("debug", lambda *args: seen.append(args))

    pair.say("left", "debug", "error", "a trace")

    assert seen == [("error", "a trace")]


def test_an_error_of_the_connection_is_reported() -> None:
    stranger = Neighbour().greet()

    stranger.connection.emit("error", ValueError("a frame of 9000 bytes"))

    assert sentences(stranger.errors) == ["stranger: wrong-format (Wrong message format in a frame of 9000 bytes)"]


def test_a_long_bad_message_is_shown_in_part() -> None:
    stranger = Neighbour().greet().say_raw(json.dumps(["pieces", "x" * 10_000]).encode())

    assert len(stranger.heard[0][2]) == 200
