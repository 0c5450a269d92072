"""Channels: what a client gets when it subscribes, what comes then, and to whom all other events go."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import pytest

from mesh import Denied, Limits, MeshError
from mesh.gateway.clients.channels import MAX_CHANNEL_CHARACTERS, Channels
from peers.log.draft import Draft
from tests.support.door_house import Client, House, house, types, wait_until

__all__ = ["house"]

TAB = "ada:laptop:tab"
STOCK = {"channel": "stock/apple"}
APPLES = {"channels": ["stock/apple"]}
Events = Sequence[Mapping[str, Any]]


def nothing(user: str, params: Mapping[str, str]) -> Events:
    return []


def stock(user: str, params: Mapping[str, str]) -> Events:
    return [{"type": "stock", "of": params["item"], "for": user}]


def wire_id(client: Client, n: int) -> tuple[Any, str]:
    """An id of an event that this client makes, on the wire and in its log."""
    if client.protocol == 7:
        return f"0{n}", f"0{n} {client.node_id}"
    return n, f"{client.base + n} {client.node_id} 0"


def ask(client: Client, n: int, event: Mapping[str, Any]) -> str:
    """Send an event of the types that are for the node itself; its id."""
    sent, log_id = wire_id(client, n)
    client.send("sync", n, event, {"id": sent, "time": n})
    return log_id


def subscribe(client: Client, n: int = 1, **event: Any) -> list[dict[str, Any]]:
    """Subscribe; what the client is sent up to the answer, without the id in it."""
    return until_answer(client, ask(client, n, {"type": "logux/subscribe", **event}))


def until_answer(client: Client, log_id: str) -> list[dict[str, Any]]:
    before = len(client.events)
    while not any(event.get("id") == log_id for event in client.events[before:]):
        client.wait_for("sync")
    return [{key: value for key, value in event.items() if key != "id"} for event in client.events[before:]]


PROCESSED = {"type": "logux/processed"}


@pytest.mark.parametrize(("node_id", "protocol"), [(TAB, 5), ("ada", 5), ("ada:1:a", 7), ("ada", 7)])
@pytest.mark.parametrize("is_async", [False, True], ids=["plain", "coroutine"])
def test_a_subscription_is_answered_with_what_load_returns_and_then_live(
    house: House, node_id: str, protocol: int, is_async: bool
) -> None:
    async def later(user: str, params: Mapping[str, str]) -> Events:
        await asyncio.sleep(0)
        return stock(user, params)

    node = house.start(channels={"stock/:item": later if is_async else stock})
    client = house.enter(node_id, protocol)

    assert subscribe(client, **STOCK) == [{"type": "stock", "of": "apple", "for": "ada"}, PROCESSED]
    node.log.add({"type": "pear"}, {"channels": ["stock/pear"]}).get(5)
    node.log.add({"type": "apple"}, APPLES).get(5)
    client.wait_for("sync")

    assert client.types[2:] == ["apple"]
    assert types(node) == ["pear", "apple"]


def test_what_was_stored_before_the_subscription_is_left_to_load(house: House) -> None:
    node = house.start(channels={"stock/:item": nothing})
    node.log.add({"type": "before"}, APPLES).get(5)
    client = house.enter(TAB)

    subscribe(client, **STOCK)
    node.log.add({"type": "after"}, APPLES).get(5)
    client.wait_for("sync")

    assert client.types == ["logux/processed", "after"]


def test_events_that_come_while_load_runs_follow_what_it_returns(house: House) -> None:
    waits: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []

    async def slow(user: str, params: Mapping[str, str]) -> Events:
        waits.append((asyncio.get_running_loop(), asyncio.Event()))
        await waits[0][1].wait()
        return stock(user, params)

    node = house.start(channels={"stock/:item": slow})
    client = house.enter(TAB)
    asked = ask(client, 1, {"type": "logux/subscribe", **STOCK})
    wait_until(lambda: waits, "load runs")
    node.log.add({"type": "meanwhile"}, APPLES).get(5)
    wait_until(lambda: house.clients()[0]["lag"] == 1, "the session knows of it")
    loop, may_answer = waits[0]
    loop.call_soon_threadsafe(may_answer.set)

    until_answer(client, asked)
    client.take(3)

    assert client.types == ["stock", "logux/processed", "meanwhile"]


def test_no_event_is_lost_between_what_load_returns_and_what_follows(house: House) -> None:
    async def everything(user: str, params: Mapping[str, str]) -> Events:
        return [{"type": "all", "n": [event["n"] async for event, _ in node.log.each()]}]

    node = house.start(channels={"stock/:item": everything})
    client = house.enter(TAB)
    added = [node.log.add({"type": "apple", "n": n}, APPLES) for n in range(300)]
    for n in range(1, 11):
        subscribe(client, n, **STOCK)
        added += [node.log.add({"type": "apple", "n": 300 * n + step}, APPLES) for step in range(300)]
        if n < 10:
            until_answer(client, ask(client, 100 + n, {"type": "logux/unsubscribe", **STOCK}))
    added[-1].get(10)
    while not client.events or client.events[-1].get("n") != 300 * 10 + 299:
        client.wait_for("sync")

    last = max(place for place, event in enumerate(client.events) if event["type"] == "all")
    first, *then = client.events[last:]
    live = [event["n"] for event in then if event["type"] == "apple"]
    assert sorted({*first["n"], *live}) == list(range(3_300))
    assert live == sorted(set(live))


@pytest.mark.parametrize(("why", "reason"), [("notYours", "notYours"), ("a\ud800", "a\\ud800"), (404, "404")])
def test_who_is_denied_gets_an_undo_with_the_reason_and_nothing_more(house: House, why: Any, reason: str) -> None:
    def only_bob(user: str, params: Mapping[str, str]) -> Events:
        if user != "bob":
            raise Denied(why)
        return []

    node = house.start(channels={"stock/:item": only_bob})
    ada, bob = house.enter(TAB), house.enter("bob:1:a")

    undone = subscribe(ada, **STOCK)
    subscribe(bob, **STOCK)
    node.log.add({"type": "apple"}, APPLES).get(5)
    bob.take(2)

    action = {"type": "logux/subscribe", **STOCK}
    assert undone == [{"type": "logux/undo", "reason": reason, "action": action}]
    wait_until(lambda: all(row["lag"] == 0 for row in house.clients()), "both have what they may see")
    ada.send("ping", 0)
    ada.wait_for("pong")
    assert ada.types == ["logux/undo"]


@pytest.mark.parametrize(
    "channel", ["stock", "stock/", "stock/apple/red", "shop/apple", "", 7, None, "stock/" + "a" * 600]
)
@pytest.mark.parametrize("name", ["logux/subscribe", "logux/unsubscribe"])
def test_an_unknown_channel_is_undone_as_wrong(house: House, channel: Any, name: str) -> None:
    node = house.start(channels={"stock/:item": nothing})
    client = house.enter(TAB)
    event = {"type": name, "channel": channel}

    answer = until_answer(client, ask(client, 1, event))

    assert answer == [{"type": "logux/undo", "reason": "wrongChannel", "action": event}]
    assert types(node) == []


def test_unsubscribe_ends_it(house: House) -> None:
    node = house.start(channels={"stock/:item": nothing})
    client = house.enter(TAB)
    subscribe(client, 1, channel="stock/apple")
    subscribe(client, 2, channel="stock/pear")

    assert until_answer(client, ask(client, 3, {"type": "logux/unsubscribe", **STOCK})) == [PROCESSED]
    node.log.add({"type": "apple"}, APPLES).get(5)
    node.log.add({"type": "both"}, {"channels": ["stock/apple", "stock/pear"]}).get(5)
    client.take(4)

    assert client.types[3:] == ["both"]


def test_an_event_without_channels_goes_to_the_clients_of_its_writer_alone(house: House) -> None:
    node = house.start(channels={"stock/:item": nothing})
    ada, tablet, bob = house.enter("ada:1:a"), house.enter("ada:2:b"), house.enter("bob:1:a")
    for n, client in enumerate((ada, tablet, bob)):
        subscribe(client, n + 1, **STOCK)

    node.log.add({"type": "of the node"}).get(5)
    ada.add(9, "own", by="ada:1:a")
    node.log.add({"type": "last"}, APPLES).get(5)

    assert tablet.take(3)[1:] == ["own", "last"]
    assert bob.take(2)[1:] == ["last"]
    assert [name for name in ada.take(3) if name != "logux/processed"] == ["last"]


@pytest.mark.parametrize("channels", ["stock/apple", [], [7], {"stock/apple": 1}, None])
def test_channels_of_an_older_release_that_are_no_list_of_text_are_none(house: House, channels: Any) -> None:
    node = house.start(channels={"stock/:item": nothing}, out_map=lambda event, meta, user: (event, meta))
    client = house.enter(TAB)
    subscribe(client, **STOCK)

    odd = node.log._log.add(Draft(b'{"type":"odd"}', msgspec.json.encode({"channels": channels})))
    node.log.undo(odd.get(5)).get(5)
    node.log.add({"type": "apple"}, APPLES).get(5)

    assert client.take(2)[1:] == ["apple"]


@pytest.mark.parametrize("options", [{}, {"channels": {"stock/:item": nothing}}], ids=["without", "with"])
def test_a_client_cannot_set_channels(house: House, options: Any) -> None:
    node = house.start(**options)
    client = house.enter("ada")

    client.send("sync", 1, {"type": "forged"}, {"id": 1, "time": 1, "channels": ["stock/apple"], "colour": "red"})
    client.wait_for("synced")

    ((_, meta),) = node.log.each()
    assert "channels" not in meta
    assert meta["colour"] == "red"


def test_in_map_sets_the_channels_and_clients_do_not_see_them(house: House) -> None:
    def sort(event: dict[str, Any], meta: dict[str, Any], user: str) -> Any:
        return event, {**meta, "channels": [f"stock/{event['type']}", "audit/secret"]}

    node = house.start(channels={"stock/:item": nothing}, in_map=sort)
    bob = house.enter("bob:1:a")
    subscribe(bob, **STOCK)
    house.enter("ada").add(1, "apple")

    name, _, event, meta = bob.wait_for("sync")

    assert (name, event) == ("sync", {"type": "apple"})
    assert "channels" not in meta
    assert next(iter(node.log.each()))[1]["channels"] == ["stock/apple", "audit/secret"]


def test_channels_travel_with_the_event_to_other_nodes(house: House) -> None:
    kitchen = house.start("kitchen")
    attic = house.start("attic", channels={"stock/:item": nothing}, peers=[f"127.0.0.1:{kitchen.port}"])
    client = house.enter(TAB, at="attic")
    subscribe(client, **STOCK)

    kitchen.log.add({"type": "apple"}, APPLES).get(5)

    assert client.take(2)[1:] == ["apple"]
    assert next(iter(attic.log.each()))[1]["channels"] == ["stock/apple"]


def test_an_error_in_load_is_logged_undoes_that_subscription_and_ends_nothing_else(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(user: str, params: Mapping[str, str]) -> Events:
        raise KeyError(params["item"])

    def cancelled(user: str, params: Mapping[str, str]) -> Events:
        raise asyncio.CancelledError

    async def later(user: str, params: Mapping[str, str]) -> Events:
        return cancelled(user, params)

    wrong: dict[str, Any] = {"odd": [{}], "none": None, "one": {"type": "stock"}}
    loads: dict[str, Any] = {name: lambda user, params, name=name: wrong[name] for name in wrong}
    loads |= {"cancelled": cancelled, "later": later}
    node = house.start(channels={"broken/:item": broken, **loads, "stock/:item": nothing})
    client = house.enter(TAB)
    subscribe(client, 1, **STOCK)

    for n, channel in enumerate(("broken/apple", *loads), 2):
        (undone,) = subscribe(client, n, channel=channel)
        assert (undone["type"], undone["reason"]) == ("logux/undo", "error")
    node.log.add({"type": "apple"}, APPLES).get(5)

    assert client.take(8)[7:] == ["apple"]
    undone_because = "its function failed for 'ada', whose subscription is undone"
    assert [line.getMessage() for line in caplog.records if "channel" in line.getMessage()] == [
        f"channel 'broken/:item': {undone_because}: KeyError: 'apple'",
        f"channel 'odd': {undone_because}: EventError: an event needs a `type` that is a string",
        f"channel 'none': {undone_because}: TypeError: it returned NoneType, and not a list of events",
        f"channel 'one': {undone_because}: TypeError: it returned dict, and not a list of events",
        f"channel 'cancelled': {undone_because}: CancelledError: ",
        f"channel 'later': {undone_because}: CancelledError: ",
    ]


def test_a_load_that_never_answers_ends_the_session(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("peers.protocol.sync.CALLBACK_MS", 300)

    async def stuck(user: str, params: Mapping[str, str]) -> Events:
        await asyncio.Event().wait()
        return []

    house.start(channels={"stock/:item": stuck})
    client = house.enter(TAB)
    ask(client, 1, {"type": "logux/subscribe", **STOCK})

    assert client.end()[-1] == ["error", "timeout", 300]


def test_one_client_has_a_limit_of_channels_and_further_ones_are_undone(house: House) -> None:
    node = house.start(channels={"stock/:item": nothing}, limits=Limits(subscriptions=3))
    client = house.enter(TAB)

    answers = [subscribe(client, n, channel=f"stock/{n}")[-1] for n in range(1, 5)]
    again = subscribe(client, 5, channel="stock/1")

    assert [answer["type"] for answer in answers] == ["logux/processed"] * 3 + ["logux/undo"]
    assert (answers[-1]["reason"], again) == ("denied", [PROCESSED])
    (row,) = [row for row in node.status().get(5)["limits"] if row["limit"] == "subscriptions"]
    assert (row["by"], row["count"]) == ("ada", 1)


def test_subscriptions_that_wait_are_limited_too(house: House) -> None:
    async def stuck(user: str, params: Mapping[str, str]) -> Events:
        await asyncio.Event().wait()
        return []

    house.start(channels={"stock/:item": stuck}, limits=Limits(subscriptions=3))
    client = house.enter(TAB)

    items = [item for n in range(1, 7) for item in ({"type": "logux/subscribe", **STOCK}, {"id": n, "time": n})]
    client.send("sync", 6, *items)
    client.take(3)

    assert [(event["type"], event["reason"]) for event in client.events] == [("logux/undo", "denied")] * 3


def test_a_client_that_confirms_nothing_gets_no_further_answers_until_it_does(house: House) -> None:
    asked: list[str] = []

    def long(user: str, params: Mapping[str, str]) -> Events:
        asked.append(params["item"])
        return [{"type": "long", "text": "x" * 200_000}] * 6

    house.start(channels={"stock/:item": long})
    client = house.enter(TAB)
    for n in range(1, 4):
        ask(client, n, {"type": "logux/subscribe", "channel": f"stock/{n}"})
    while client.receive()[0] != "sync":
        pass
    client.send("ping", 0)
    while client.receive()[0] != "pong":
        pass
    before = list(asked)

    client.send("synced", 0)
    client.take(14)

    assert before == ["1"]
    assert asked == ["1", "2", "3"]


def test_a_load_that_returns_too_much_is_undone(house: House, caplog: pytest.LogCaptureFixture) -> None:
    house.start(channels={"stock/:item": lambda user, params: [{"type": "long", "text": "x" * 200_000}] * 50})
    client = house.enter(TAB)

    assert subscribe(client, **STOCK)[0]["reason"] == "error"
    assert "divide the channel" in caplog.text


def test_subscriptions_end_with_their_session(house: House) -> None:
    node = house.start(channels={"stock/:item": stock})
    client = house.enter(TAB)
    subscribe(client, **STOCK)
    client.close()
    wait_until(lambda: house.clients() == [], "it is gone")
    node.log.add({"type": "missed"}, APPLES).get(5)

    again = house.enter(TAB, synced=1)
    node.log.add({"type": "not yet"}, APPLES).get(5)
    wait_until(lambda: house.clients()[0]["lag"] == 0, "it needs nothing")
    assert [event["type"] for event in subscribe(again, 2, **STOCK)] == ["stock", "logux/processed"]
    node.log.add({"type": "apple"}, APPLES).get(5)
    again.wait_for("sync")

    assert again.types == ["stock", "logux/processed", "apple"]


def test_a_subscription_waits_for_the_events_before_it(house: House) -> None:
    async def everything(user: str, params: Mapping[str, str]) -> Events:
        return [event async for event, _ in node.log.each()]

    node = house.start(channels={"stock/:item": everything})
    client = house.enter(TAB)

    first, second = wire_id(client, 1)[0], wire_id(client, 2)[0]
    subscription = {"type": "logux/subscribe", **STOCK}
    client.send("sync", 2, {"type": "milk"}, {"id": first, "time": 1}, subscription, {"id": second, "time": 2})
    client.take(3)

    assert client.types == ["logux/processed", "milk", "logux/processed"]


def test_a_subscription_of_another_user_is_not_taken(house: House) -> None:
    house.start(channels={"stock/:item": lambda user, params: pytest.fail("it was asked")})
    client = house.enter("ada")

    client.send("sync", 1, {"type": "logux/subscribe", **STOCK}, {"id": [1, "bob", 0], "time": 1})

    assert client.wait_for("synced") == ["synced", 1]


def test_a_subscription_that_is_spelled_with_escapes_is_one(house: House) -> None:
    node = house.start(channels={"stock/:item": nothing})
    client = house.enter(TAB)
    sent, log_id = wire_id(client, 1)

    client.wire.send(f'["sync",1,{{"type":"logux\\/subscribe","channel":"stock/apple"}},{{"id":{sent},"time":1}}]')

    assert until_answer(client, log_id) == [PROCESSED]
    assert types(node) == []


def test_a_client_of_protocol_01_gets_what_its_user_wrote(house: House) -> None:
    node = house.start(channels={"stock/:item": nothing})
    client, other = house.enter("ada:1", [0, 1]), house.enter("ada:2")

    client.send("sync", 1, {"type": "logux/subscribe", **STOCK}, [1, "ada:1", 0])
    client.wait_for("synced")
    node.log.add({"type": "apple"}, APPLES).get(5)
    other.add(1, "own")

    assert client.take(1) == ["own"]
    assert types(node) == ["apple", "own"]


# Patterns


@pytest.mark.parametrize("pattern", ["", ":", "stock/:", "a/:x/:x", "a/:x-y"])
def test_a_pattern_that_cannot_be_used_is_refused_with_a_sentence(house: House, pattern: str) -> None:
    with pytest.raises(MeshError, match="stock/:item"):
        house.make(channels={pattern: nothing})


def test_the_first_pattern_that_fits_counts() -> None:
    channels = Channels({"a/b": nothing, "a/:x": stock, ":x/:y": nothing})

    found = [channels.find(channel) for channel in ("a/b", "a/c", "d/e", "a", "a" * (MAX_CHANNEL_CHARACTERS + 1))]

    assert [(one.pattern, dict(one.params)) if one else None for one in found] == [
        ("a/b", {}),
        ("a/:x", {"x": "c"}),
        (":x/:y", {"x": "d", "y": "e"}),
        None,
        None,
    ]
