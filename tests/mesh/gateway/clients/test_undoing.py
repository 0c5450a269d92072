"""Undos of clients: which ones the door takes, and who hears of them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from mesh import Node
from mesh.gateway.clients.replies import MAX_ACTION_BYTES
from peers.codec.logux_7 import to_digits
from tests.support.door_house import DIALECTS, Client, House, house, types, wait_until

__all__ = ["house"]

in_each_dialect = pytest.mark.parametrize("protocol", DIALECTS, ids=str)
as_it_may_be = pytest.mark.parametrize("is_async", [False, True], ids=["plain", "coroutine"])


def done(node: Node) -> list[str]:
    return [event["type"] for event, _ in node.log.each(undone=False)]


def created_of(node: Node, name: str) -> tuple[int, str, int]:
    return next(tuple(meta["created"]) for event, meta in node.log.each() if event["type"] == name)


def known_as(protocol: Any, created: tuple[int, str, int]) -> Any:
    """The id of an event in the log of a client."""
    ms, node_id, n = created
    return {5: f"{ms} {node_id} {n}", 7: f"{to_digits(ms)} {node_id}"}.get(
        protocol if protocol != [0, 1] else 0, [*created]
    )


def undo(client: Client, n: int, which: Any, **more: Any) -> dict[str, Any]:
    event = {"type": "logux/undo", "id": which, "reason": "mistake", **more}
    client.send("sync", n, event, client.meta(n, client.node_id))
    client.wait_for("synced")
    return event


def told(client: Client, number: int) -> list[dict[str, Any]]:
    """The first events that came, but for `logux/processed`."""
    while len(found := [event for event in client.events if event["type"] != "logux/processed"]) < number:
        client.wait_for("sync")
    return found


@in_each_dialect
def test_a_user_takes_back_what_this_user_wrote_and_all_others_hear_of_it(house: House, protocol: Any) -> None:
    node = house.start()
    phone, bob = house.enter("ada:1", protocol), house.enter("bob:1", protocol)
    house.enter("ada:2").add(1, "sale", by="ada:2")
    phone.take(1)
    sale = created_of(node, "sale")

    undo(phone, 2, known_as(protocol, sale))

    assert done(node) == ["logux/undo"]
    bob.take(2)
    shown = {"reason": "mistake", "action": {"type": "sale"}}
    assert bob.events[1] == {"type": "logux/undo", "id": known_as(protocol, sale), **shown}


@pytest.mark.parametrize("protocol", [5, 7])
@pytest.mark.parametrize("node_id", ["bob", "bob:laptop:tab"])
def test_what_another_one_wrote_is_not_undone_and_the_client_is_told(house: House, protocol: int, node_id: str) -> None:
    node = house.start()
    house.enter("ada").add(1, "sale")
    node.log.add({"type": "price"}).get(5)
    bob = house.enter(node_id, protocol)
    bob.take(2)

    for n, name in enumerate(("sale", "price"), 3):
        sent = undo(bob, n, known_as(protocol, created_of(node, name)))
        answer = told(bob, n)[-1]
        assert (answer["type"], answer["reason"], answer["action"]) == ("logux/undo", "denied", sent)

    assert done(node) == ["sale", "price"]
    assert types(node) == ["sale", "price"]


def test_a_client_of_protocol_01_cannot_undo_what_another_one_wrote(house: House) -> None:
    node = house.start()
    house.enter("ada").add(1, "sale")
    bob = house.enter("bob", [0, 1])

    undo(bob, 2, [*created_of(node, "sale")])

    assert types(node) == done(node) == ["sale"]


@pytest.mark.parametrize("which", [None, 5, "", "sale", "0Abc ada:1", ["ada"], "5 ada:1 0 "])
def test_an_undo_whose_id_cannot_be_read_is_not_taken(house: House, which: Any) -> None:
    node = house.start()
    client = house.enter("ada")

    undo(client, 1, which)

    assert told(client, 1)[0]["reason"] == "denied"
    assert types(node) == []


def test_an_undo_that_is_spelled_with_escapes_is_judged(house: House) -> None:
    node = house.start()
    house.enter("ada").add(1, "sale")
    bob = house.enter("bob")
    which = known_as(5, created_of(node, "sale"))

    bob.wire.send(f'["sync",1,{{"type":"logux\\/und\\u006f","id":"{which}"}},{{"id":1,"time":1}}]')
    bob.wait_for("synced")

    assert done(node) == ["sale"]


@pytest.mark.parametrize("options", [{}, {"may_undo": lambda user, event, meta: True}], ids=["own", "may_undo"])
def test_a_client_cannot_say_that_an_event_is_processed(house: House, options: Any) -> None:
    node = house.start(**options)
    client = house.enter("ada")

    client.send("sync", 1, {"type": "logux/processed", "id": "5 ada:1:a 0"}, client.meta(1, "ada"))
    client.wait_for("synced")

    assert told(client, 1)[0]["reason"] == "denied"
    assert types(node) == []


def test_of_a_long_undo_that_is_refused_the_type_is_sent_back(house: House) -> None:
    house.start()
    client = house.enter("bob")

    undo(client, 1, "5 ada 0", text="x" * MAX_ACTION_BYTES)

    assert told(client, 1)[0]["action"] == {"type": "logux/undo"}


@as_it_may_be
def test_may_undo_decides_by_user_event_and_meta(house: House, is_async: bool) -> None:
    asked: list[tuple[str, str, Any]] = []

    def boss(user: str, event: dict[str, Any], meta: dict[str, Any]) -> bool:
        asked.append((user, event["type"], meta["created"]))
        return user == "ada"

    async def later(user: str, event: dict[str, Any], meta: dict[str, Any]) -> bool:
        await asyncio.sleep(0)
        return boss(user, event, meta)

    node = house.start(may_undo=later if is_async else boss)
    ada, bob = house.enter("ada"), house.enter("bob")
    bob.add(1, "sale")
    sale = created_of(node, "sale")

    undo(bob, 2, known_as(5, sale))
    assert done(node) == ["sale"]
    undo(ada, 3, known_as(5, sale))

    assert done(node) == ["logux/undo"]
    assert [(user, kind, tuple(created)) for user, kind, created in asked] == [
        ("bob", "sale", sale),
        ("ada", "sale", sale),
    ]


@pytest.mark.parametrize("options", [{}, {"may_undo": lambda user, event, meta: pytest.fail("it was asked")}])
def test_of_an_event_that_is_not_known_here_the_id_says_whose_it_is(house: House, options: Any) -> None:
    node = house.start(**options)
    client = house.enter("ada")

    undo(client, 1, "5 ada:2 0")
    undo(client, 2, "5 bob:1 0")

    assert [event["id"] for event, _ in node.log.each()] == ["5 ada:2 0"]


def test_an_undo_that_was_taken_is_not_judged_again(house: House) -> None:
    answers = [True, False]
    node = house.start(may_undo=lambda user, event, meta: answers.pop(0))
    house.enter("bob").add(1, "sale")
    client = house.enter("ada")
    event = {"type": "logux/undo", "id": known_as(5, created_of(node, "sale"))}

    for n in (1, 2):
        client.send("sync", n, event, {"id": 1, "time": 1})
        client.wait_for("synced")
    client.send("sync", 3, {**event, "reason": "other"}, {"id": 1, "time": 1})
    client.wait_for("synced")

    assert answers == []
    assert types(node) == ["sale", "logux/undo"]
    assert [event["reason"] for event in client.events if event["type"] == "logux/undo"] == ["denied"]


@pytest.mark.parametrize("answer", [None, 1, "yes"])
def test_an_answer_of_may_undo_that_is_no_bool_ends_the_session(house: House, answer: Any) -> None:
    node = house.start(may_undo=lambda user, event, meta: answer)
    client = house.enter("ada")
    client.add(1, "sale")

    client.send("sync", 2, {"type": "logux/undo", "id": known_as(5, created_of(node, "sale"))}, client.meta(2, "ada"))

    assert ["synced", 2] not in client.end()
    assert done(node) == ["sale"]


def test_messages_stay_in_their_order_while_may_undo_thinks(house: House) -> None:
    async def slow(user: str, event: dict[str, Any], meta: dict[str, Any]) -> bool:
        await asyncio.sleep(0.05)
        return True

    node = house.start(may_undo=slow)
    house.enter("bob").add(1, "sale")
    client = house.enter("ada")

    event = {"type": "logux/undo", "id": known_as(5, created_of(node, "sale"))}
    client.send("sync", 1, event, client.meta(0, "ada"))
    client.send("sync", 2, {"type": "later"}, client.meta(1, "ada"))

    assert client.wait_for("synced") == ["synced", 1]
    assert client.wait_for("synced") == ["synced", 2]
    assert [event["type"] for event, _ in node.log.each(order="added")] == ["sale", "logux/undo", "later"]


def test_an_undo_that_one_door_took_counts_on_other_nodes(house: House) -> None:
    kitchen = house.start("kitchen", may_undo=lambda user, event, meta: True)
    attic = house.start("attic", peers=[f"127.0.0.1:{kitchen.port}"])
    attic.log.add({"type": "sale"}).get(5)
    wait_until(lambda: types(kitchen) == ["sale"], "the event")

    undo(house.enter("ada"), 1, known_as(5, created_of(kitchen, "sale")))

    wait_until(lambda: done(attic) == ["logux/undo"], "the undo")


def test_an_event_that_comes_after_its_undo_is_sent_to_no_client(house: House) -> None:
    node = house.start()
    live, bob = house.enter("ada:1"), house.enter("bob:1")
    made = bob.meta(0, "bob:1")
    ms, node_id, n = made["id"]
    node.log.undo((bob.base + ms, node_id, n)).get(5)
    live.take(1)

    bob.send("sync", 1, {"type": "late"}, made)
    bob.wait_for("synced")
    node.log.add({"type": "last"}).get(5)

    assert live.take(2) == house.enter("ada:2").take(2) == ["logux/undo", "last"]
    assert types(node) == ["late", "logux/undo", "last"]
    wait_until(lambda: all(row["lag"] == 0 for row in house.clients()[:1]), "nothing is left to send")


def test_the_undo_of_an_event_that_is_not_known_has_an_action_too_and_one_that_has_one_keeps_it(house: House) -> None:
    node = house.start()
    client = house.enter("ada")

    node.log.undo((5, "bob:1", 0)).get(5)
    node.log.add({"type": "logux/undo", "id": "6 bob:1 0", "n": 12345678901234567890, "action": {"x": 1}}).get(5)
    node.log.add({"type": "logux/undo", "id": "7 bob:1 0", "n": 12345678901234567890}).get(5)

    client.take(3)
    assert [event["action"] for event in client.events] == [{"type": "unknown"}, {"x": 1}, {"type": "unknown"}]
    assert [event.get("n") for event in client.events] == [None, 12345678901234567890, 12345678901234567890]
    assert "action" not in next(iter(node.log.each()))[0]


# With channels


def nothing(user: str, params: Mapping[str, str]) -> Sequence[Mapping[str, Any]]:
    return []


def sort(event: dict[str, Any], meta: dict[str, Any], user: str) -> tuple[dict[str, Any], dict[str, Any]]:
    return event, {**meta, "channels": ["stock"]} if event["type"] == "sale" else meta


def with_channels(house: House, *node_ids: str) -> tuple[Node, list[Client]]:
    """A node, and clients that have subscribed, but for the first one."""
    node = house.start(channels={"stock": nothing}, in_map=sort)
    clients = [house.enter(node_id) for node_id in node_ids]
    for client in clients[1:]:
        client.send("sync", 1, {"type": "logux/subscribe", "channel": "stock"}, {"id": 1, "time": 1})
        client.take(1)
        client.events.clear()
    return node, clients


def test_an_undo_goes_where_its_event_went_even_if_both_came_in_one_message(house: House) -> None:
    node, (ada, bob) = with_channels(house, "ada", "bob:1:a")
    made, meta = ada.meta(1, "ada"), ada.meta(2, "ada")
    ms, node_id, n = made["id"]
    which = f"{ada.base + ms} {node_id} {n}"

    ada.send("sync", 1, {"type": "sale"}, made, {"type": "logux/undo", "id": which}, meta)

    assert [event.get("id") for event in told(bob, 2)] == [None, which]
    assert done(node) == ["logux/undo"]


def test_what_a_node_undoes_is_told_to_the_writer_and_to_the_subscribers(house: House) -> None:
    node, (ada, bob, tablet) = with_channels(house, "ada", "bob:1:a", "ada:2:b")
    ada.add(1, "sale")
    ((_, meta),) = node.log.each()

    node.log.undo(meta).get(5)

    for client, count in ((ada, 1), (bob, 2), (tablet, 2)):
        which = known_as(5, tuple(meta["created"]))
        assert told(client, count)[-1] == {"type": "logux/undo", "id": which, "action": {"type": "sale"}}


def test_the_undo_of_an_event_without_channels_is_told_to_its_writer_alone(house: House) -> None:
    node, (ada, bob) = with_channels(house, "ada", "bob:1:a")
    ada.add(1, "note")
    ((_, meta),) = node.log.each()

    node.log.undo(meta).get(5)
    node.log.add({"type": "last"}, {"channels": ["stock"]}).get(5)

    assert [event["type"] for event in told(ada, 1)] == ["logux/undo"]
    assert [event["type"] for event in told(bob, 1)] == ["last"]
