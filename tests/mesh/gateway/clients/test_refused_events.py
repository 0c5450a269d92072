"""Events of clients that are refused: the client and the node are informed, and no other event is lost."""

from __future__ import annotations

import json
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed

from peers.codec.logux_7 import to_digits
from peers.roles.server import ANSWERS_A_MESSAGE, MAX_DEBUGS
from tests.support.door_house import SECONDS, Client, House, house, types, wait_until

__all__ = ["house"]

LIMIT = 262_144
BAD: dict[str, tuple[str, str]] = {
    "too large": ('{"type":"bad","x":"' + "x" * 400_000 + '"}', "too-large"),
    "too deep": ('{"type":"bad","x":' + "[" * 3_000 + "]" * 3_000 + "}", "too-deep"),
    "a little too deep": ('{"type":"bad","x":' + "[" * 40 + "]" * 40 + "}", "too-deep"),
    "half a character": ('{"type":"bad","x":"\\ud83d"}', "bad-text"),
    "half a character before a bracket": ('{"x":"\\ud83d]},\\"","type":"bad"}', "bad-text"),
    "no number": ('{"type":"bad","x":NaN}', "bad-text"),
    "a type that is a number": ('{"type":5}', "bad-type"),
    "no object": ("null", "bad-type"),
}
BAD_METAS: dict[str, tuple[str, str]] = {
    "half a character": ('"time":0,"x":"\\ud83d"', "bad-text"),
    "too deep": ('"time":0,"x":' + "[" * 3_000 + "]" * 3_000, "too-deep"),
    "too large": ('"time":0,"x":"' + "x" * 20_000 + '"', "too-large"),
    "reasons that are no list": ('"time":0,"reasons":5', "bad-type"),
    "no time": ('"tim":0', "bad-time"),
    "a time that is far too large": ('"time":1e300', "bad-time"),
}
newer = pytest.mark.parametrize("protocol", [5, 7])


def wire_id(client: Client, shift: int) -> Any:
    return shift if client.protocol == 5 else to_digits(client.base + shift)


def log_id(client: Client, shift: int) -> str:
    if client.protocol == 5:
        return f"{client.base + shift} {client.node_id} 0"
    return f"{to_digits(client.base + shift)} {client.node_id}"


def pair(client: Client, shift: int, event: str, meta: str = '"time":0') -> str:
    return f'{event},{{"id":{json.dumps(wire_id(client, shift))},{meta}}}'


def send(client: Client, *pairs: str) -> None:
    client.wire.send(f'["sync",9,{",".join(pairs)}]')


def told(client: Client, events: int) -> tuple[list[dict[str, Any]], list[str]]:
    """What follows the confirmation: that many events for this client alone, and sentences for its developer."""
    assert client.wait_for("synced") == ["synced", 9]
    client.take(events)
    client.send("ping", 0)
    client.wait_for("pong")
    debugs = [message for message in client.heard if message[0] == "debug"]
    assert all(message[1] == "error" for message in debugs)
    return client.events, [message[2] for message in debugs]


@newer
@pytest.mark.parametrize(("event", "cause"), BAD.values(), ids=BAD)
def test_a_bad_event_is_undone_and_its_neighbours_are_taken(
    house: House, protocol: int, event: str, cause: str
) -> None:
    node = house.start()
    client = house.enter("ada", protocol)

    send(client, *(pair(client, n, one) for n, one in enumerate(['{"type":"a"}', event, '{"type":"c"}'])))

    (undo,), (sentence,) = told(client, 1)
    kind = {"a type that is a number": {"type": 5}, "no object": {}}
    action = next((kind[name] for name, bad in BAD.items() if bad == (event, cause) and name in kind), {"type": "bad"})
    assert undo == {"type": "logux/undo", "id": log_id(client, 1), "reason": cause, "action": action}
    assert types(node) == ["a", "c"]
    assert node.status().get(SECONDS)["refused_events"] == {cause: 1}
    assert [line for line in house.said() if "not taken" in line] != []
    assert cause != "too-large" or f"at most {LIMIT}" in sentence


@newer
@pytest.mark.parametrize(("meta", "cause"), BAD_METAS.values(), ids=BAD_METAS)
def test_an_event_with_a_bad_meta_is_undone_and_its_neighbours_are_taken(
    house: House, protocol: int, meta: str, cause: str
) -> None:
    node = house.start()
    client = house.enter("ada", protocol)
    good = '{"type":"a"}'

    send(client, pair(client, 0, good), pair(client, 1, '{"type":"bad"}', meta), pair(client, 2, good))

    (undo,), _ = told(client, 1)
    assert undo == {"type": "logux/undo", "id": log_id(client, 1), "reason": cause, "action": {"type": "bad"}}
    assert types(node) == ["a", "a"]


@newer
@pytest.mark.parametrize(
    "meta", ["null", "{}", '{"id":null,"time":0}', '{"id":"\\ud83d","time":0}', '{"id":[-1,"x",-1]}']
)
def test_an_event_with_a_bad_id_causes_a_debug_message_only(house: House, protocol: int, meta: str) -> None:
    node = house.start()
    client = house.enter("ada", protocol)

    send(client, f'{{"type":"bad"}},{meta}', pair(client, 2, '{"type":"c"}'))

    undone, sentences = told(client, 0)
    assert (undone, len(sentences)) == ([], 1)
    assert types(node) == ["c"]
    assert node.status().get(SECONDS)["refused_events"] == {"bad-id": 1}


def test_the_id_of_another_event_is_a_bad_id(house: House) -> None:
    node = house.start()
    client = house.enter("ada")
    send(client, pair(client, 1, '{"type":"first"}'))
    client.wait_for("synced")

    send(client, pair(client, 1, '{"type":"second"}'))

    undone, (sentence,) = told(client, 0)
    assert undone == []
    assert "is known and differs" in sentence
    assert types(node) == ["first"]


def test_a_client_of_protocol_01_gets_no_message_that_would_end_its_connection(house: House) -> None:
    node = house.start()
    client = house.enter("ada", [0, 1])

    client.wire.send(
        '["sync",9,{"type":"a"},[1,"ada",0],{"type":"b","x":"\\ud83d"},[2,"ada",0],{"type":"c"},[3,"ada",0]]'
    )
    assert client.wait_for("synced") == ["synced", 9]
    client.send("ping", 0)

    assert client.wait_for("pong")[0] == "pong"
    assert client.heard[1:] == [["synced", 9], client.heard[-1]]
    assert types(node) == ["a", "c"]
    assert node.status().get(SECONDS)["refused_events"] == {"bad-text": 1}


def test_many_refused_events_are_all_undone_with_a_limited_number_of_debug_messages(house: House) -> None:
    node = house.start()
    client = house.enter("ada")
    count = 2 * ANSWERS_A_MESSAGE

    send(client, *(pair(client, n, '{"type":"bad","x":"\\ud83d"}') for n in range(count)))

    undone, sentences = told(client, count)
    assert [undo["id"] for undo in undone] == [log_id(client, n) for n in range(count)]
    assert len(sentences) == MAX_DEBUGS + 1
    assert sentences[-1] == f"not taken: {count - MAX_DEBUGS} more events of the same message"
    assert node.status().get(SECONDS)["refused_events"] == {"bad-text": count}


def test_a_refused_event_that_a_logux_client_waits_for_is_answered_too(house: House) -> None:
    house.start()
    client = house.enter("ada:laptop:tab")

    send(client, pair(client, 1, '{"type":"bad","x":"\\ud83d"}'), pair(client, 2, '{"type":"good"}'))

    answers, _ = told(client, 2)
    assert [(answer["type"], answer["id"]) for answer in answers] == [
        ("logux/undo", log_id(client, 1)),
        ("logux/processed", log_id(client, 2)),
    ]


def test_a_frame_that_is_no_list_of_events_still_ends_the_link(house: House) -> None:
    house.start()
    client = house.enter("ada")

    client.wire.send('["sync",1,{"type":"a","x":"\\ud83d"}]')

    assert client.end()[-1][:2] == ["error", "wrong-format"]
    wait_until(lambda: house.clients() == [], "the session ended")
    with pytest.raises(ConnectionClosed):
        client.wire.recv()
