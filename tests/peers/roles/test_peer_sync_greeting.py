"""The greeting between nodes: who speaks first, and what it contains."""

from __future__ import annotations

from peers.errors import SyncError
from peers.later import Later
from tests.support.pair import NOW_MS, Pair, Stranger, hello, sentences


def test_the_end_that_dialled_speaks_first() -> None:
    pair = Pair(left={"boot": "b1"}, right={"boot": "b2"}).connect()

    name = pair.left.connection_id
    greeting = {"boot": "b1", "connection": name, "held": [], "vector": {}}
    assert pair.left_sent == [["connect", 5, "left", 0, {"peer": greeting}]]
    answer = {"boot": "b2", "connection": name, "held": [], "vector": {}}
    assert pair.right_sent == [["connected", 5, "right", [NOW_MS, NOW_MS], {"peer": answer}]]


def test_each_end_knows_the_other_after_the_greeting() -> None:
    pair = Pair(left={"subprotocol": 3}, right={"subprotocol": "1.2.0"})
    assert [pair.left.other_node_id, pair.left.other_hello] == [None, None]

    pair.connect()

    assert (pair.left.other_node_id, pair.right.other_node_id) == ("right", "left")
    assert (pair.left.other_protocol, pair.right.other_protocol) == (5, 5)
    assert (pair.left.other_subprotocol, pair.right.other_subprotocol) == ("1.2.0", 3)
    assert pair.right.other_hello.boot == pair.left.boot
    assert pair.left.connection_id == pair.right.connection_id != ""


def test_the_greeting_has_the_version_vector() -> None:
    pair = Pair()
    for name in ("a", "b"):
        pair.left.log.add({"type": name})

    pair.connect()

    epoch = pair.left.log.published.epoch
    assert pair.left_sent[0][4]["peer"]["vector"] == {epoch: [[1, 2]]}


def test_the_greeting_lists_the_connections_held_with_that_node() -> None:
    asked: list[str | None] = []

    def held(node_id: str | None) -> list[str]:
        asked.append(node_id)
        return ["c7", "c8"]

    pair = Pair(right={"held": held}).connect()

    assert pair.right_sent[0][4]["peer"]["held"] == ["c7", "c8"]
    assert asked == ["left"]


def test_each_connection_gets_a_new_id() -> None:
    pair = Pair().meet()
    before = pair.left.connection_id

    pair.cut()
    pair.connect()

    assert pair.left.connection_id == pair.right.connection_id != before


# Protocols


def test_an_older_protocol_is_refused() -> None:
    stranger = Stranger().say("connect", 4, "old", 0, {"peer": hello()})

    assert stranger.heard == [["error", "wrong-protocol", {"supported": 5, "used": 4}]]
    assert stranger.reasons == ["wrong-protocol"]
    assert sentences(stranger.errors) == ["Only 5 Logux protocols are supported, but you use 4"]


def test_an_old_client_gets_wrong_protocol_before_any_other_error() -> None:
    stranger = Stranger().say("connect", 3, "client", 0)

    assert stranger.heard == [["error", "wrong-protocol", {"supported": 5, "used": 3}]]


def test_a_newer_protocol_is_answered_with_our_own() -> None:
    stranger = Stranger().say("connect", 7, "new", 0, {"peer": hello()})

    assert stranger.heard[0][:2] == ["connected", 5]
    assert stranger.role.other_protocol == 7


def test_the_end_that_dialled_checks_the_protocol_too() -> None:
    stranger = Stranger(dials=False).say("connected", 2, "old", [1, 1], {"peer": hello()})

    assert stranger.heard[1] == ["error", "wrong-protocol", {"supported": 5, "used": 2}]


def test_a_listener_may_refuse_a_subprotocol() -> None:
    pair = Pair(left={"subprotocol": 1}, right={"subprotocol": 2}).catch()

    def check() -> None:
        raise SyncError("wrong-subprotocol", {"supported": 2, "used": pair.right.other_subprotocol})

    pair.right.on("connect", check)
    pair.connect()

    assert pair.right_sent == [["error", "wrong-subprotocol", {"supported": 2, "used": 1}]]
    assert pair.left_errors == [
        "the other end sent wrong-subprotocol (Only 2 application subprotocols are supported, but you use 1)"
    ]
    assert not pair.left.connected


def test_an_error_whose_options_json_cannot_express_is_sent_without_them() -> None:
    stranger = Stranger()

    def check() -> None:
        raise SyncError("wrong-subprotocol", {"supported": object()})

    stranger.role.on("connect", check)
    stranger.say("connect", 5, "left", 0, {"peer": hello()})

    assert stranger.heard == [["error", "wrong-subprotocol"]] or stranger.heard == [
        ["error", "wrong-subprotocol", None]
    ]
    assert not stranger.connected


# Greetings out of place


def test_a_second_greeting_is_refused() -> None:
    stranger = Stranger().greet("left")

    stranger.say("connect", 5, "other", 0, {"peer": hello()})

    assert stranger.heard == [["error", "wrong-format", "a second greeting on one connection"]]
    assert stranger.role.other_node_id == "left"
    assert not stranger.connected


def test_a_second_greeting_while_auth_decides_is_refused() -> None:
    stranger = Stranger(auth=lambda *_: Later()).say("connect", 5, "left", 0, {"peer": hello()})

    stranger.say("connect", 5, "left", 0, {"peer": hello()})

    assert stranger.heard == [["error", "wrong-format", "a second greeting on one connection"]]


def test_connect_from_the_end_that_was_dialled_is_refused() -> None:
    stranger = Stranger(dials=False).say("connect", 5, "left", 0, {"peer": hello()})

    assert stranger.heard[1:] == [["error", "wrong-format", "`connect` from the end that was dialled"]]


def test_connected_from_the_end_that_dialled_is_refused() -> None:
    stranger = Stranger().say("connected", 5, "left", [1, 1], {"peer": hello()})

    assert stranger.heard == [["error", "wrong-format", "`connected` from the end that dialled"]]
    assert not stranger.role.authenticated


def test_a_greeting_without_the_peer_option_is_refused() -> None:
    stranger = Stranger().say("connect", 5, "client", 0)

    assert stranger.heard == [
        ["error", "wrong-format", "a greeting without the option `peer`: only nodes are served here"]
    ]


def test_a_node_id_with_control_characters_is_refused() -> None:
    stranger = Stranger().say("connect", 5, "evil\x1b[2J", 0, {"peer": hello()})

    assert stranger.heard == [["error", "wrong-format", "a greeting with a node id that cannot be printed"]]
    assert stranger.role.other_node_id is None
