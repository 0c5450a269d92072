"""Faulty messages of the other end, and the errors that it gets."""

from __future__ import annotations

import json
from typing import Any

import pytest

from peers.codec.messages import MAX_BATCH
from peers.errors import SyncError
from tests.support.pair import Pair, Stranger, hello, sentences, wire_event

GOOD = {"peer": hello()}


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
        b'["connect",[0],"left",0]',
        b'["connect","5","left",0]',
        b'["connect",-99999999999999999999999,"left",0]',
        b'["connect",5,null,0]',
        b'["connect",5,"",0]',
        b'["connect",5,"left"]',
        b'["connect",5,"left",0,null]',
        b'["connect",5,"left",0,[]]',
        b'["connected",5,"left",1]',
        b'["connected",5,"left",[1]]',
        b'["connected",5,"left",[1,null]]',
        b'["",1]',
        b'["_private",1]',
        b'["__class__"]',
        b'["on\\n",1]',
        b'["two words"]',
        b'["sync"]',
        b'["sync",null]',
        b'["sync",-1]',
        b'["sync",1,{"type":"a"}]',
        b"[" * 100_000,
        b"[" * 100_000 + b"]" * 100_000,
        b'["ping",' + b"[" * 100_000 + b"]" * 100_000 + b"]",
        b'["own",' + b"[" * 100_000 + b"]" * 100_000 + b"]",
        b'["sync",1,' + b"[" * 100_000 + b',{"id":1,"time":1}]',
    ],
    ids=lambda frame: frame[:60].decode("latin-1"),
)
def test_a_message_of_the_wrong_shape_gets_an_error_and_ends_the_link(frame: bytes) -> None:
    for stranger in (Stranger(), Stranger().greet()):
        stranger.say_raw(frame)

        assert len(stranger.heard) == 1 and stranger.heard[0][:2] == ["error", "wrong-format"]
        shown = stranger.heard[0][2]
        assert len(shown) <= 200
        assert shown == frame.decode(errors="replace")[:200]
        assert [error.type for error in stranger.errors] == ["wrong-format"]
        assert stranger.reasons == ["error"]
        assert stranger.log.types == []
        assert stranger.role.clock.waiting == 0


def test_a_bad_vector_in_a_greeting_gets_an_error() -> None:
    for vector in ({"e": [[3, 1]]}, {"e": [[1, 2], [2, 3]]}, {"e": [[1, 1], [2, 2]]}):
        stranger = Stranger().say("connect", 5, "left", 0, {"peer": hello(vector)})

        assert stranger.heard[0][:2] == ["error", "wrong-format"]
        assert "epoch e" in stranger.heard[0][2]


@pytest.mark.parametrize(
    "peer",
    [
        {},
        None,
        {**hello(), "boot": ""},
        {**hello(), "boot": "b\n"},
        {**hello(), "connection": None},
        {**hello(), "held": ["c"] * 513},
        {**hello(), "vector": []},
        {**hello(), "vector": {"e": [[0, 1]]}},
        {**hello(), "vector": {"e": [[1, 2, 3]]}},
        {**hello(), "vector": {"e e": [[1, 2]]}},
        {**hello(), "vector": {"e": [[2 * n, 2 * n] for n in range(1, 300)]}},
    ],
    ids=lambda peer: str(peer)[:60],
)
def test_a_bad_peer_option_gets_an_error(peer: Any) -> None:
    stranger = Stranger().say("connect", 5, "left", 0, {"peer": peer})

    assert stranger.heard[0][:2] == ["error", "wrong-format"]
    assert not stranger.connected


@pytest.mark.parametrize(
    "pair",
    [
        '{"type":"a"},null',
        '{"type":"a"},[]',
        '{"type":"a"},{}',
        '{"type":"a"},{"id":1}',
        '{"type":"a"},{"id":1,"time":1}',
        '{"type":"a"},{"id":null,"time":1,"dot":["e",2]}',
        '{"type":"a"},{"id":[],"time":1,"dot":["e",2]}',
        '{"type":"a"},{"id":[1],"time":1,"dot":["e",2]}',
        '{"type":"a"},{"id":["a",1],"time":1,"dot":["e",2]}',
        '{"type":"a"},{"id":[1,"a"],"time":1,"dot":["e",2]}',
        '{"type":"a"},{"id":[1,2,3],"time":1,"dot":["e",2]}',
        '{"type":"a"},{"id":[1,"a",2,3],"time":1,"dot":["e",2]}',
        '{"type":"a"},{"id":1,"time":"1","dot":["e",2]}',
        '{"type":"a"},{"id":1,"time":1,"dot":["e",0]}',
        '{"type":"a"},{"id":1,"time":1,"dot":["",2]}',
        '{"type":"a"},{"id":1,"time":1,"dot":["e\\n",2]}',
        '{"type":"a"},{"id":1,"time":1,"dot":["e"]}',
        '{"type":"a"},{"id":1,"time":1,"dot":"e"}',
        '{"type":"a","x":"\\ud83d"},{"id":1,"time":1,"dot":["e",2]}',
        '{"type":"a"},{"id":1,"time":1,"dot":["e",2],"app":{"x":"\\ud83d"}}',
        '{"type":"a","n":NaN},{"id":1,"time":1,"dot":["e",2]}',
        '{"type":"a","x":' + "[" * 3_000 + "]" * 3_000 + '},{"id":1,"time":1,"dot":["e",2]}',
        "[" * 100_000 + "]" * 100_000 + ',{"id":1,"time":1,"dot":["e",2]}',
        '{"type":"a"},{"id":1,"time":1,"dot":["e",2],"app":' + "[" * 3_000 + "]" * 3_000 + "}",
    ],
    ids=lambda pair: pair[:60],
)
def test_an_event_of_the_wrong_shape_stays_missing_and_its_neighbours_are_taken(pair: str) -> None:
    first, last = (f'{{"type":"a"}},{{"id":{n},"time":1,"dot":["e",{n}]}}' for n in (1, 3))
    stranger = Stranger().greet()
    refused: list[str] = []
    stranger.role.on("refused", refused.append)

    stranger.say_raw(f'["sync",3,{first},{pair},{last}]'.encode())

    assert stranger.heard == [["synced", 3]]
    assert stranger.role.log.published.state.vector.ranges == {"e": ((1, 1), (3, 3))}
    assert len(refused) == 1


def test_as_many_events_as_a_batch_may_have_are_taken() -> None:
    stranger = Stranger().greet()

    items = [item for number in range(1, MAX_BATCH + 1) for item in wire_event(number)]
    stranger.say("sync", MAX_BATCH, *items)

    assert stranger.heard == [["synced", MAX_BATCH]]
    assert len(stranger.log.types) == MAX_BATCH


@pytest.mark.parametrize("count", [MAX_BATCH + 1, 70_000])
def test_more_events_than_a_batch_may_have_are_refused(count: int) -> None:
    stranger = Stranger().greet()

    items = [item for number in range(1, count + 1) for item in wire_event(number)]
    stranger.say("sync", count, *items)

    assert stranger.heard[0][:2] == ["error", "wrong-format"]
    assert stranger.log.types == []


@pytest.mark.parametrize("name", ["dance", "on", "Connect", "logux/undo", "x", "dispatch", "greeting-options"])
def test_an_unknown_message_gets_an_error(name: str) -> None:
    stranger = Stranger().greet().say(name, ["on", "message"])

    assert stranger.heard == [["error", "unknown-message", name]]
    assert sentences(stranger.errors) == [f"stranger: unknown-message (Unknown message `{name}` type)"]
    assert not stranger.connected


def test_an_error_that_is_found_is_raised_without_a_catch_listener() -> None:
    stranger = Stranger(catches=False).greet()

    with pytest.raises(SyncError, match="stranger: unknown-message"):
        stranger.say("dance")

    assert stranger.heard == [["error", "unknown-message", "dance"]]
    assert not stranger.connected


def test_a_received_error_is_raised_without_a_catch_listener() -> None:
    stranger = Stranger(catches=False).greet()

    with pytest.raises(SyncError, match="stranger sent wrong-format") as caught:
        stranger.say("error", "wrong-format", "[1]")

    assert (caught.value.received, caught.value.options) == (True, "[1]")
    assert stranger.heard == []
    assert not stranger.connected


def test_a_received_error_is_passed_to_catch_listeners() -> None:
    stranger = Stranger().greet().say("error", "timeout", 5_000)

    assert sentences(stranger.errors) == ["stranger sent timeout (A timeout was reached (5000ms))"]
    assert stranger.heard == []


def test_catching_can_be_undone() -> None:
    stranger = Stranger(catches=False).greet()
    undo = stranger.role.catch(lambda _error: None)
    undo()

    with pytest.raises(SyncError):
        stranger.say("dance")


@pytest.mark.parametrize(
    "options", ["missing", None, 5, {}, [], {"used": [1]}, {"supported": None, "used": {"a": 1}}], ids=str
)
@pytest.mark.parametrize("type_", ["wrong-protocol", "wrong-subprotocol", "wrong-format", "timeout", "own"])
def test_a_received_error_with_any_options_is_read(type_: str, options: Any) -> None:
    stranger = Stranger().greet()

    stranger.say("error", type_, *([] if options == "missing" else [options]))

    assert [error.type for error in stranger.errors] == [type_]
    assert stranger.heard == []


def test_a_received_error_cannot_flood_or_steer_a_screen() -> None:
    stranger = Stranger().greet().say("error", "wrong-format", "\x1b[2J" + "x" * 100_000)

    sentence = str(stranger.errors[0])
    assert len(sentence) < 400
    assert sentence.isprintable()


def test_a_received_error_with_deep_nesting_is_read() -> None:
    for depth in range(100, 1_000, 10):
        stranger = Stranger().greet()

        stranger.say_raw(b'["error","wrong-format",' + b"[" * depth + b"]" * depth + b"]")

        assert [error.type for error in stranger.errors] == ["wrong-format"]
        assert not stranger.connected


def test_no_message_is_handled_after_an_error_was_sent() -> None:
    stranger = Stranger(connects=False)
    said: list[list[Any]] = [
        ["connect", 5, "left", 0, GOOD],
        ["sync", 1, *wire_event(1, "before")],
        ["dance"],
        ["sync", 2, *wire_event(2, "after")],
        ["dance"],
        ["error", "own"],
    ]
    stranger.theirs.on("connect", lambda: [stranger.say(*message) for message in said])

    stranger.dialler.connect()

    assert stranger.log.types == ["before"]
    assert [error.type for error in stranger.errors] == ["unknown-message"]
    assert stranger.heard[1:] == [["synced", 1], ["error", "unknown-message", "dance"]]


def test_no_message_is_handled_after_an_error_was_received() -> None:
    stranger = Stranger(connects=False)
    said: list[list[Any]] = [["connect", 5, "left", 0, GOOD], ["error", "own"], ["sync", 1, *wire_event(1)]]
    stranger.theirs.on("connect", lambda: [stranger.say(*message) for message in said])

    stranger.dialler.connect()

    assert stranger.log.types == []
    assert len(stranger.errors) == 1


def test_a_new_link_after_an_error_works() -> None:
    stranger = Stranger().greet().say("dance")
    stranger.dialler.connect()

    stranger.greet().say("sync", 1, *wire_event(1))

    assert stranger.heard == [["synced", 1]]


def test_an_error_on_one_link_does_not_affect_another() -> None:
    pair = Pair().meet()
    stranger = Stranger(log=pair.left.log).greet().say("dance")

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
    stranger = Stranger().greet()

    stranger.connection.emit("error", ValueError("a frame of 9000 bytes"))

    assert sentences(stranger.errors) == ["stranger: wrong-format (Wrong message format in a frame of 9000 bytes)"]


def test_a_long_bad_message_is_shown_in_part() -> None:
    stranger = Stranger().greet().say_raw(json.dumps(["sync", "x" * 10_000]).encode())

    assert len(stranger.heard[0][2]) == 200
