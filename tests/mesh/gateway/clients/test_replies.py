"""The replies to the events of @logux/client, as literal frames."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.door_house import Client, House, house, types, wait_until

__all__ = ["house"]

TAB = "ada:laptop:tab"


def said(client: Client, *items: Any) -> list[Any]:
    """Send events with these ids and types; the answers to them, without their metas."""
    client.send("sync", 1, *[part for number, event in items for part in (event, {"id": number, "time": 1})])
    assert client.wait_for("synced") == ["synced", 1]
    name, added, *answers = client.receive()
    assert (name, added) == ("sync", 0)
    return answers[::2]


def logux_id(client: Client, shift: int) -> str:
    return f"{client.base + shift} {TAB} 0"


def test_an_event_is_processed_once_it_is_committed(house: House) -> None:
    node = house.start()
    client = house.enter(TAB)

    answers = said(client, (5, {"type": "milk"}), (6, {"type": "bread"}))

    assert answers == [{"type": "logux/processed", "id": logux_id(client, shift)} for shift in (5, 6)]
    assert types(node) == ["milk", "bread"]


def test_a_dropped_event_is_undone(house: House) -> None:
    node = house.start(in_filter=lambda event, meta, user: event["type"] != "secret")
    client = house.enter(TAB)

    processed, undone = said(client, (5, {"type": "milk"}), (6, {"type": "secret", "n": 1}))

    assert processed["type"] == "logux/processed"
    assert undone == {
        "type": "logux/undo",
        "id": logux_id(client, 6),
        "reason": "denied",
        "action": {"type": "secret", "n": 1},
    }
    assert types(node) == ["milk"]


def test_many_dropped_bytes_are_undone_by_their_types_alone(house: House) -> None:
    house.start(in_filter=lambda event, meta, user: False)
    client = house.enter(TAB)

    answers = said(client, *[(n, {"type": "long", "text": "x" * 200_000}) for n in range(6)])

    assert [answer["action"] for answer in answers] == [{"type": "long"}] * 6


@pytest.mark.parametrize("name", ["logux/subscribe", "logux/unsubscribe"])
def test_a_subscription_is_answered_and_not_logged(house: House, name: str) -> None:
    node = house.start()
    client = house.enter(TAB)

    (answer,) = said(client, (5, {"type": name, "channel": "posts"}))

    assert answer == {"type": "logux/processed", "id": logux_id(client, 5)}
    assert types(node) == []


def test_the_confirmation_of_a_reply_changes_nothing(house: House) -> None:
    node = house.start()
    client = house.enter(TAB)
    said(client, (5, {"type": "milk"}))
    client.send("synced", 0)
    node.log.add({"type": "bread"}).get(5)

    assert client.take(1) == ["bread"]
    wait_until(lambda: house.clients()[0]["state"] == "synchronized", "all is confirmed")
    assert house.clients()[0]["lag"] == 0


@pytest.mark.parametrize("node_id", ["ada", "ada:tab"])
def test_other_clients_get_no_replies(house: House, node_id: str) -> None:
    node = house.start()
    client = house.enter(node_id)
    client.add(1, "milk")

    node.log.add({"type": "bread"}).get(5)

    assert client.take(1) == ["bread"]


def test_an_event_with_reasons_of_its_own_gets_no_reply(house: House) -> None:
    node = house.start()
    client = house.enter(TAB)
    client.send("sync", 1, {"type": "milk"}, {"id": 5, "time": 5, "reasons": ["mine"]})
    client.wait_for("synced")

    node.log.add({"type": "bread"}).get(5)

    assert client.take(1) == ["bread"]
