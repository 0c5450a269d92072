"""The greeting between nodes: who speaks first, and what it contains."""

from __future__ import annotations

from base64 import b64encode
from typing import Any

import pytest

from peers.codec.run_messages import READ_TOGETHER
from peers.errors import SyncError
from peers.later import Later
from peers.stores.runs.memory import MemoryRunStore
from tests.support.neighbour import Neighbour, hello
from tests.support.pair import NOW_MS, HeldDisk, Pair, sentences


def test_the_end_that_dialled_speaks_first() -> None:
    pair = Pair(left={"boot": "b1"}, right={"boot": "b2"}).connect()

    name = pair.left.connection_id
    keys = [b64encode(role.key).decode() for role in (pair.left, pair.right)]
    reads = {"reads_ways": True, "together": READ_TOGETHER}
    both = {"connection": name, "held": [], "newest": {}, "rest": hello()["rest"], **reads}
    greeting = {"boot": "b1", "key": keys[0], "clock_ms": NOW_MS, **both}
    assert pair.left_sent[0] == ["connect", 2, "left", 0, {"runs": greeting}]
    answer = {"boot": "b2", "key": keys[1], **both}
    assert pair.right_sent[0] == ["connected", 2, "right", [NOW_MS, NOW_MS], {"runs": answer}]
    assert pair.left_sent[1:] == pair.right_sent[1:] == [["same", {}]]


def test_each_end_knows_the_other_after_the_greeting() -> None:
    pair = Pair(left={"subprotocol": 3}, right={"subprotocol": "1.2.0"})
    assert [pair.left.other_node_id, pair.left.other_hello] == [None, None]

    pair.connect()

    assert (pair.left.other_node_id, pair.right.other_node_id) == ("right", "left")
    assert (pair.left.other_protocol, pair.right.other_protocol) == (2, 2)
    assert (pair.left.other_subprotocol, pair.right.other_subprotocol) == ("1.2.0", 3)
    assert pair.right.other_hello.boot == pair.left.boot
    assert pair.left.connection_id == pair.right.connection_id != ""


def test_the_greeting_names_the_newest_epochs_and_the_last_position() -> None:
    pair = Pair()
    for name in ("a", "b"):
        pair.left.log.add({"type": name})

    pair.connect()

    said, end = pair.left_sent[0][4]["runs"], pair.left.ends.get(pair.left.epoch)
    assert said["newest"] == {pair.left.epoch: [2, b64encode(end.head).decode(), ""]}
    assert said["last_position"] == 2


def test_of_a_greeting_only_what_others_ask_is_kept() -> None:
    pair = Pair()
    pair.left.log.add({"type": "a"})

    pair.connect()

    for kept in (pair.right.other_hello, pair.right.other_options.runs):
        assert (kept.newest, kept.yours, kept.hollow) == ({}, {}, None)
        assert kept.boot == pair.left.boot


def test_the_greeting_lists_the_connections_held_with_that_node() -> None:
    asked: list[str | None] = []

    def held(node_id: str | None) -> list[str]:
        asked.append(node_id)
        return ["c7", "c8"]

    pair = Pair(right={"held": held}).connect()

    assert pair.right_sent[0][4]["runs"]["held"] == ["c7", "c8"]
    assert asked == ["left"]


def test_each_connection_gets_a_new_id() -> None:
    pair = Pair().meet()
    before = pair.left.connection_id

    pair.cut()
    pair.connect()

    assert pair.left.connection_id == pair.right.connection_id != before


# Protocols


@pytest.mark.parametrize("version", [1, 3, 4, 6, 7, [0, 1]])
def test_another_version_is_refused_with_a_sentence_at_both_ends(version: Any) -> None:
    stranger = Neighbour().say("connect", version, "old", 0, {"runs": hello()})

    ((name, type_, options),) = stranger.heard
    assert (name, type_, options["supported"]) == ("error", "wrong-protocol", "wire 2")
    assert stranger.reasons == ["wrong-protocol"]
    assert options["why"] in sentences(stranger.errors)[0]


def test_a_node_of_the_release_before_learns_who_has_to_be_upgraded() -> None:
    stranger = Neighbour().say("connect", 5, "old", 0, {"peer": {"boot": "b", "connection": "c", "held": []}})

    ((_, type_, options),) = stranger.heard
    assert (type_, options["used"]) == (
        "wrong-protocol",
        "wire 1: upgrade peermesh on this node, which goes on writing until then",
    )


def test_the_end_that_dialled_checks_the_version_too() -> None:
    stranger = Neighbour(dials=False).say("connected", 3, "old", [1, 1], {"runs": hello()})

    assert stranger.heard[1][:2] == ["error", "wrong-protocol"]


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
    stranger = Neighbour()

    def check() -> None:
        raise SyncError("wrong-subprotocol", {"supported": object()})

    stranger.role.on("connect", check)
    stranger.say("connect", 2, "left", 0, {"runs": hello()})

    assert stranger.heard == [["error", "wrong-subprotocol"]] or stranger.heard == [
        ["error", "wrong-subprotocol", None]
    ]
    assert not stranger.connected


# Greetings out of place


def test_a_second_greeting_is_refused() -> None:
    stranger = Neighbour().greet("left")

    stranger.say("connect", 2, "other", 0, {"runs": hello()})

    assert stranger.heard == [["error", "wrong-format", "a second greeting on one connection"]]
    assert stranger.role.other_node_id == "left"
    assert not stranger.connected


def test_a_second_greeting_while_auth_decides_is_refused() -> None:
    stranger = Neighbour(auth=lambda *_: Later()).say("connect", 2, "left", 0, {"runs": hello()})

    stranger.say("connect", 2, "left", 0, {"runs": hello()})

    assert stranger.heard == [["error", "wrong-format", "a second greeting on one connection"]]


def test_a_second_greeting_while_our_own_is_made_is_refused() -> None:
    store = MemoryRunStore()
    disk = HeldDisk(store)
    stranger = Neighbour(store=store, disk=disk).greet("left")

    stranger.say("connect", 2, "left", 0, {"runs": hello()})
    disk.release()

    assert stranger.heard == [["error", "wrong-format", "a second greeting on one connection"]]
    assert not stranger.connected


def test_a_greeting_that_came_is_not_missed_while_the_disk_is_slow() -> None:
    store = MemoryRunStore()
    disk = HeldDisk(store)
    stranger = Neighbour(store=store, disk=disk, timeout=5_000).greet()

    stranger.clock.advance(20_000)
    disk.release()

    assert stranger.role.authenticated


def test_the_time_of_the_disk_is_no_time_of_the_end_that_is_dialled() -> None:
    store = MemoryRunStore()
    disk = HeldDisk(store)
    stranger = Neighbour(dials=False, store=store, disk=disk, timeout=5_000)

    stranger.clock.advance(20_000)
    assert stranger.heard == []
    disk.release()
    stranger.clock.advance(4_999)
    stranger.greet()

    assert stranger.role.authenticated


@pytest.mark.parametrize("option", ["in_filter", "out_map", "fix_time", "synced", "protocol"])
def test_an_option_of_clients_and_servers_is_refused(option: str) -> None:
    with pytest.raises(ValueError, match=f"{option} is for clients and servers: nodes keep the same events"):
        Pair(left={option: 7})


def test_connect_from_the_end_that_was_dialled_is_refused() -> None:
    stranger = Neighbour(dials=False).say("connect", 2, "left", 0, {"runs": hello()})

    assert stranger.heard[1:] == [["error", "wrong-format", "`connect` from the end that was dialled"]]


def test_connected_from_the_end_that_dialled_is_refused() -> None:
    stranger = Neighbour().say("connected", 2, "left", [1, 1], {"runs": hello()})

    assert stranger.heard == [["error", "wrong-format", "`connected` from the end that dialled"]]
    assert not stranger.role.authenticated


def test_a_greeting_without_the_option_runs_is_refused() -> None:
    stranger = Neighbour().say("connect", 2, "client", 0, {})

    assert stranger.heard == [
        ["error", "wrong-format", "a greeting without the option `runs`: only nodes are served here"]
    ]


def test_a_node_id_with_control_characters_is_refused() -> None:
    stranger = Neighbour().say("connect", 2, "evil\x1b[2J", 0, {"runs": hello()})

    assert stranger.heard == [["error", "wrong-format", "a greeting with a node id that cannot be printed"]]
    assert stranger.role.other_node_id is None
