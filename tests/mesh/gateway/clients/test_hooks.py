"""Filters and maps of a node for each user of the clients' port, and their errors."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from tests.support.door_house import House, house, types, wait_until

__all__ = ["house"]

Event = dict[str, Any]
Meta = dict[str, Any]

as_it_may_be = pytest.mark.parametrize("is_async", [False, True], ids=["plain", "coroutine"])


def given(hook: Callable[[Event, Meta, str], Any], is_async: bool) -> Callable[[Event, Meta, str], Any]:
    """The hook itself, or a coroutine function that answers later."""
    if not is_async:
        return hook

    async def later(event: Event, meta: Meta, user: str) -> Any:
        await asyncio.sleep(0)
        return hook(event, meta, user)

    return later


@as_it_may_be
def test_in_filter_decides_what_a_user_may_write(house: House, is_async: bool) -> None:
    node = house.start(in_filter=given(lambda event, _, user: user == "ada" or event["type"] != "secret", is_async))
    ada, bob = house.enter("ada"), house.enter("bob")

    assert ada.add(2, "secret", "milk") == ["synced", 2]
    assert bob.add(2, "secret", "bread") == ["synced", 2]

    assert sorted(types(node)) == ["bread", "milk", "secret"]


@as_it_may_be
def test_in_map_changes_what_a_user_writes(house: House, is_async: bool) -> None:
    def mark(event: Event, meta: Meta, user: str) -> tuple[Event, Meta]:
        return {**event, "by": user}, {**meta, "reasons": ["seen"]}

    node = house.start(in_map=given(mark, is_async))
    house.enter("ada").add(1, "milk")

    ((event, meta),) = node.log.each()
    assert (event, meta["reasons"]) == ({"type": "milk", "by": "ada"}, ["seen"])


@as_it_may_be
def test_out_filter_decides_what_a_user_sees_of_old_and_new_events(house: House, is_async: bool) -> None:
    node = house.start(out_filter=given(lambda event, _, user: event.get("to") in (None, user), is_async))
    for n in range(2):
        node.log.add({"type": f"ada {n}", "to": "ada"}).get(5)
        node.log.add({"type": f"all {n}"}).get(5)
        if not n:
            ada, bob = house.enter("ada"), house.enter("bob")

    assert ada.take(4) == ["ada 0", "all 0", "ada 1", "all 1"]
    assert bob.take(2) == ["all 0", "all 1"]
    wait_until(lambda: all(row["state"] == "synchronized" for row in house.clients()), "both have all they may see")


@as_it_may_be
def test_out_map_changes_what_a_user_sees(house: House, is_async: bool) -> None:
    node = house.start(out_map=given(lambda event, meta, user: ({**event, "for": user}, meta), is_async))
    ada, bob = house.enter("ada"), house.enter("bob")

    node.log.add({"type": "milk"}).get(5)
    ada.take(1), bob.take(1)

    assert (ada.events[0]["for"], bob.events[0]["for"]) == ("ada", "bob")
    assert [event for event, _ in node.log.each()] == [{"type": "milk"}]


def test_hooks_are_not_asked_about_events_of_other_users(house: House) -> None:
    asked: list[str] = []
    house.start(in_filter=lambda event, _, user: asked.append(event["type"]) or True)
    client = house.enter("ada")

    client.add(1, "forged", by="bob")
    client.add(2, "own")

    assert asked == ["own"]


# Faults


def broken(event: Event, meta: Meta, user: str) -> Any:
    if user == "ada":
        raise KeyError("price")
    return (event, meta)


def wrong(event: Event, meta: Meta, user: str) -> Any:
    return ("no event", meta) if user == "ada" else (event, meta)


def astray(event: Event, meta: Meta, user: str) -> Any:
    return (event, {**meta, "channels": "stock/apple"} if user == "ada" else meta)  # it is no list


@as_it_may_be
@pytest.mark.parametrize(
    ("way", "hook"), [("in_filter", broken), ("in_map", broken), ("in_map", wrong), ("in_map", astray)]
)
def test_an_error_in_an_in_hook_ends_that_users_session_and_stores_nothing(
    house: House, way: str, hook: Any, is_async: bool, capfd: pytest.CaptureFixture[str]
) -> None:
    node = house.start(**{way: given(hook, is_async)})
    ada, bob = house.enter("ada"), house.enter("bob")

    ada.send("sync", 1, {"type": "milk"}, ada.meta(0, "ada"))

    assert ["synced", 1] not in ada.end()
    assert bob.add(1, "bread") == ["synced", 1]
    assert types(node) == ["bread"]
    wait_until(lambda: any(line.startswith("the session with ada failed") for line in house.said()), "the reason")


@as_it_may_be
@pytest.mark.parametrize("way", ["out_filter", "out_map"])
def test_an_error_in_an_out_hook_ends_the_session_of_that_user_only(house: House, way: str, is_async: bool) -> None:
    node = house.start(**{way: given(broken, is_async)})
    ada, bob = house.enter("ada"), house.enter("bob")

    node.log.add({"type": "milk"}).get(5)

    assert ada.end() == []
    assert bob.take(1) == ["milk"]


def test_a_hook_that_always_fails_pauses_its_user_and_no_other_user_of_that_address(house: House) -> None:
    node = house.start(in_filter=broken)
    bob = house.enter("bob")

    for _ in range(6):
        ada = house.enter("ada")
        ada.send("sync", 1, {"type": "milk"}, ada.meta(0, "ada"))
        ada.end()
    house.enter("ada").end()

    assert bob.add(1, "bread") == ["synced", 1]
    assert house.enter("bob:2").take(1) == ["bread"]
    assert [row["what"] for row in node.status().get(5)["paused"]] == ["ada at the clients' door"]
    node.retry().get(5)
    assert node.status().get(5)["paused"] == []
    assert house.enter("ada", synced=0).take(1) == ["bread"]


def test_a_hook_that_never_answers_ends_the_session(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("peers.protocol.sync.CALLBACK_MS", 300)

    async def stuck(event: Event, meta: Meta, user: str) -> bool:
        if user == "ada":
            await asyncio.Event().wait()
        return True

    node = house.start(in_filter=stuck)
    ada, bob = house.enter("ada"), house.enter("bob")
    ada.send("sync", 1, {"type": "milk"}, ada.meta(0, "ada"))

    assert ada.end() == [["error", "timeout", 300]]
    assert bob.add(1, "bread") == ["synced", 1]
    assert types(node) == ["bread"]


def test_a_node_stops_while_a_hook_never_answers(house: House) -> None:
    async def stuck(event: Event, meta: Meta, user: str) -> bool:
        await asyncio.Event().wait()
        return True

    node = house.start(in_filter=stuck)
    ada = house.enter("ada")
    ada.send("sync", 1, {"type": "milk"}, ada.meta(0, "ada"))
    wait_until(lambda: house.clients()[0]["node_id"] == "ada", "ada is in")

    node.stop()

    assert ["synced", 1] not in ada.end()


def test_a_coroutine_hook_keeps_the_order_of_events(house: House) -> None:
    async def slow_at_first(event: Event, meta: Meta, user: str) -> bool:
        await asyncio.sleep(0.05 if event["type"] == "first" else 0)
        return True

    node = house.start(in_filter=slow_at_first)
    client = house.enter("ada")
    client.send("sync", 1, {"type": "first"}, client.meta(0, "ada"))
    client.send("sync", 2, {"type": "second"}, client.meta(1, "ada"))

    assert client.wait_for("synced") == ["synced", 1]
    assert client.wait_for("synced") == ["synced", 2]
    assert [event["type"] for event, _ in node.log.each(order="added")] == ["first", "second"]
