"""Nodes with different versions of the wire: what each says, and that both go on writing."""

from __future__ import annotations

import json
from typing import Any

import pytest

from peers.codec.messages import Error
from peers.codec.run_messages import STRANGER_BYTES, WIRE, WIRE_1, RunConnect
from peers.codec.runs import RunProtocol
from peers.errors import MAX_SHOWN, SyncError
from tests.support.pair import Stranger, sentences

BEFORE = (
    "nodes with wire 2 and wire 1 do not understand each other: upgrade peermesh on the one with wire 1; until then both go "
    "on writing, and exchange events afterwards"
)


def refusal_of(frame: bytes, dialect: RunProtocol | None = None) -> SyncError:
    with pytest.raises(SyncError) as caught:
        (dialect or RunProtocol()).decode(frame)
    return caught.value


def test_what_such_a_node_answers_is_shown_here_with_what_to_do() -> None:
    answer = RunProtocol().decode(b'["error","wrong-protocol",{"supported":5,"used":2}]')

    assert isinstance(answer, Error)
    error = SyncError(answer.type, answer.options, received=True, other_node_id="attic")
    assert str(error) == f"attic sent wrong-protocol ({BEFORE})"


def connect_of_wire_1(vector: dict[str, list[list[int]]]) -> bytes:
    """What a node of the release before says first."""
    hello = {"boot": "b", "connection": "c", "held": [], "vector": vector, "last_position": 4}
    return json.dumps(["connect", WIRE_1, "attic", 0, {"peer": hello}]).encode()


def test_a_node_of_the_release_before_that_greets_us_is_told_what_to_do_and_we_go_on_writing() -> None:
    node = Stranger()

    node.say_raw(connect_of_wire_1({"e": [[1, 7]]}))

    assert [message[:2] for message in node.heard] == [["error", "wrong-protocol"]]
    answer = node.heard[0][2]
    assert answer["why"] == BEFORE
    # That release makes its sentence of these two, and closes the connection.
    assert (answer["supported"], answer["used"]) == (
        "wire 2",
        "wire 1: upgrade peermesh on this node, which goes on writing until then",
    )
    assert sentences(node.errors) == [BEFORE]
    assert not node.connected
    node.log.add({"type": "later"})
    assert node.log.types == ["later"]


def test_it_is_told_so_too_if_its_greeting_is_longer_than_a_strangers_may_be() -> None:
    frame = connect_of_wire_1({f"{number:020x}": [[1, 7]] for number in range(STRANGER_BYTES // 32)})

    assert len(frame) > STRANGER_BYTES
    assert str(refusal_of(frame)) == BEFORE


@pytest.mark.parametrize(
    ("version", "sentence"),
    [
        (3, "nodes with wire 2 and wire 3 do not understand each other: upgrade peermesh on the one with wire 2; "),
        (0, "nodes with wire 2 and wire 0 do not understand each other: upgrade peermesh on the one with wire 0; "),
        (10**15, "nodes with wire 2 and wire 1000000000000000 do not "),
        ([0, 1], "only nodes are served here, with wire 2, and this is Logux: use the clients' door"),
        (7, "only nodes are served here, with wire 2, and this is Logux: use the clients' door"),
    ],
    ids=str,
)
def test_any_other_version_is_named_and_the_rest_of_its_greeting_is_not_read(version: Any, sentence: str) -> None:
    error = refusal_of(json.dumps(["connect", version, {"of": "another shape"}]).encode())

    assert (error.type, error.is_fatal) == ("wrong-protocol", True)
    assert str(error).startswith(sentence)
    assert len(str(error)) <= MAX_SHOWN
    assert refusal_of(json.dumps(["connected", version]).encode()).options == error.options


def test_a_sentence_of_a_later_version_is_shown_as_it_came() -> None:
    options = {"supported": 3, "used": 2, "why": "upgrade the attic"}
    answer = RunProtocol().decode(json.dumps(["error", "wrong-protocol", options]).encode())

    assert answer == Error("wrong-protocol", options)
    assert str(SyncError("wrong-protocol", options)) == "upgrade the attic"


def test_our_own_version_is_understood() -> None:
    assert RunProtocol().why_not(WIRE) is None
    assert RunProtocol().decode(b'["connect",2,"attic",0]') == RunConnect(2, "attic")
