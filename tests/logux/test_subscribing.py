"""@logux/client at a node that knows its users by `auth` and has channels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from js_peer import JsError, JsPeer, StartJs
from town import Town, door, town, types, wait_until

from mesh import Denied, Node

__all__ = ["town"]

APPLES = {"channels": ["stock/apple"]}


def stock(user: str, params: Mapping[str, str]) -> list[dict[str, Any]]:
    if params["item"] == "gold":
        raise Denied
    return [{"type": "stock", "item": params["item"], "for": user}]


def enter(start_js: StartJs, node: Node, user: str) -> JsPeer:
    """A client without a token of the node's home."""
    client = start_js("client23", user_id=user, credentials=f"{user}-secret")
    client.connect(door(node))
    client.wait(state="synchronized")
    return client


def auth(user: str, token: str) -> bool:
    return token == f"{user}-secret"


def heard(client: JsPeer) -> list[str]:
    """The types of the events that came from the node, but for its answers."""
    frames = [message for way, message in client.frames() if way == "in" and message[0] == "sync"]
    return [
        event["type"]
        for message in frames
        for event in message[2::2]
        if not event["type"].startswith("logux/processed")
    ]


def test_logux_client_gets_what_load_returns_and_then_the_events_of_its_channel(town: Town, start_js: StartJs) -> None:
    node = town.start("kitchen", auth=auth, channels={"stock/:item": stock})
    ada, bob = enter(start_js, node, "10"), enter(start_js, node, "20")

    ada.subscribe("stock/apple")
    bob.subscribe("stock/pear")
    node.log.add({"type": "sold"}, APPLES).get(5)
    node.log.add({"type": "secret"}).get(5)
    ada.wait_event("add", type="sold")
    bob.add({"type": "own"}, how="sync")
    node.log.add({"type": "pears"}, {"channels": ["stock/pear"]}).get(5)
    bob.wait_event("add", type="pears")

    assert heard(ada) == ["stock", "sold"]
    assert heard(bob) == ["stock", "pears"]


def test_logux_client_is_told_that_a_subscription_is_denied_or_its_channel_unknown(
    town: Town, start_js: StartJs
) -> None:
    node = town.start("kitchen", auth=auth, channels={"stock/:item": stock})
    client = enter(start_js, node, "10")

    for channel, reason in (("stock/gold", "denied"), ("shop/apple", "wrongChannel")):
        with pytest.raises(JsError, match=f"Server undid logux/subscribe because of {reason}"):
            client.subscribe(channel)

    assert types(node) == []


def test_logux_client_ends_a_subscription(town: Town, start_js: StartJs) -> None:
    node = town.start("kitchen", auth=auth, channels={"stock/:item": stock})
    client = enter(start_js, node, "10")
    client.subscribe("stock/apple")
    client.subscribe("stock/pear")

    client.add({"type": "logux/unsubscribe", "channel": "stock/apple"}, how="sync")
    node.log.add({"type": "apple"}, APPLES).get(5)
    node.log.add({"type": "pear"}, {"channels": ["stock/pear"]}).get(5)
    client.wait_event("add", type="pear")

    assert heard(client) == ["stock", "stock", "pear"]


def test_logux_client_subscribes_again_by_itself_and_gets_what_load_returns_then(town: Town, start_js: StartJs) -> None:
    node = town.start("kitchen", auth=auth, channels={"stock/:item": stock})
    client = enter(start_js, node, "10")
    client.subscribe("stock/apple")
    port = node.clients_port
    node.stop()
    client.wait(state="disconnected")

    node = town.start("kitchen", port=port, auth=auth, channels={"stock/:item": stock})
    wait_until(lambda: heard(client) == ["stock", "stock"], "it has subscribed again")
    node.log.add({"type": "sold"}, APPLES).get(5)
    client.wait_event("add", type="sold")

    assert heard(client) == ["stock", "stock", "sold"]


def test_logux_client_without_a_right_token_is_refused_by_auth(town: Town, start_js: StartJs) -> None:
    node = town.start("kitchen", auth=auth)
    client = start_js("client23", user_id="10", credentials="guess")

    client.connect(door(node))

    client.wait_event("error", type="wrong-credentials", received=True)


# Undo


def test_logux_client_takes_back_what_its_user_wrote_and_others_hear_of_it(town: Town, start_js: StartJs) -> None:
    node = town.start("kitchen", auth=auth)
    ada, bob = enter(start_js, node, "10"), enter(start_js, node, "20")
    ada.add({"type": "sale"}, how="sync")
    bob.wait_event("add", type="sale")
    ((_, meta),) = node.log.each()
    sale = " ".join(map(str, meta["created"]))

    with pytest.raises(JsError, match="Server undid logux/undo because of denied"):
        bob.add({"type": "logux/undo", "id": sale, "reason": "mine", "action": {"type": "sale"}}, how="sync")
    undo = {"type": "logux/undo", "id": sale, "reason": "mistake", "action": {"type": "sale"}}
    ada.add(undo, how="sync")

    (heard_by_bob,) = [event for event in bob.events if event["event"] == "add" and event["type"] == "sale"]
    bob.wait_event("add", type="logux/undo", action=undo)
    assert " ".join(map(str, heard_by_bob["created"])) == sale
    assert [event["type"] for event, _ in node.log.each(undone=False)] == ["logux/undo"]


def test_logux_client_hears_that_a_node_took_back_what_it_wrote(town: Town, start_js: StartJs) -> None:
    node = town.start("kitchen", auth=auth, channels={"stock/:item": stock})
    client = enter(start_js, node, "10")
    client.add({"type": "sale"}, how="sync")
    ((_, meta),) = node.log.each()

    node.log.undo(meta, "typed twice").get(5)

    undone = client.wait_event("add", type="logux/undo")
    assert undone["action"]["id"] == " ".join(map(str, meta["created"]))
