"""What an application undoes on one node is undone on all, and for the clients of each."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from mesh import Node
from peers.codec.logux_7 import to_digits
from tests.support.door_house import House, house
from tests.support.street import Street, at, wait_until

__all__ = ["house"]


def done(node: Node) -> list[str]:
    return [event["type"] for event, _ in node.log.each(undone=False)]


def test_what_one_node_undoes_is_undone_on_all(street: Street) -> None:
    kitchen = street.start("kitchen")
    study = street.start("study", peers=[at(kitchen)])
    sale = kitchen.log.add({"type": "sale"}).get()
    kitchen.log.add({"type": "milk"}).get()
    wait_until(lambda: done(study) == ["sale", "milk"], "the events on the other node")

    meta = study.log.undo(sale, "typed twice").get()

    assert meta["created"][1] == study.node_id
    for node in (kitchen, study):
        wait_until(lambda node=node: done(node) == ["milk", "logux/undo"], "the undo on each node")
        (_, _, (undo, _)) = node.log.each()
        ms, node_id, n = sale["created"]
        assert undo == {"type": "logux/undo", "id": f"{ms} {node_id} {n}", "reason": "typed twice"}


def test_what_was_undone_before_a_restart_is_undone_after_it(street: Street) -> None:
    kitchen = street.start("kitchen")
    kitchen.log.undo(kitchen.log.add({"type": "sale"}).get()).get()
    kitchen.stop()
    kitchen = street.start("kitchen")
    assert done(kitchen) == ["logux/undo"]
    assert [entry.event["type"] for entry in kitchen.log.page(undone=False, reverse=True).get()] == ["logux/undo"]


def test_an_undo_on_a_loop_of_the_application(tmp_path: Path) -> None:
    async def main() -> list[str]:
        async with Node("kitchen", home=tmp_path, listen="127.0.0.1:0", open=True, mdns=False) as node:
            meta = await node.log.add({"type": "sale"})
            await node.log.undo(meta)
            return [event["type"] async for event, _ in node.log.each(undone=False)]

    assert asyncio.run(main()) == ["logux/undo"]


def test_what_names_no_event_fails_in_its_own_result(street: Street) -> None:
    kitchen = street.start("kitchen")
    wrong: list[Any] = [None, {"type": "sale"}, "5 till 0"]
    for which in wrong:
        with pytest.raises(ValueError, match="created"):
            kitchen.log.undo(which).get()


def test_each_client_is_told_of_an_undo_by_the_id_that_it_knows(house: House) -> None:
    node = house.start()
    clients = [house.enter(f"ada:{number}", protocol) for number, protocol in enumerate(([0, 1], 5, 7))]
    sale = node.log.add({"type": "sale"}).get()
    node.log.undo(sale).get()

    for client in clients:
        client.take(2)
    ms, node_id, n = sale["created"]
    ids = [client.events[1]["id"] for client in clients]
    assert ids == [[ms, node_id, n], f"{ms} {node_id} {n}", f"{to_digits(ms)} {node_id}"]
    assert [client.events[1]["type"] for client in clients] == ["logux/undo"] * 3


@pytest.mark.parametrize("protocol", [[0, 1], 5, 7], ids=["0.1", "5", "7"])
def test_an_undo_of_a_client_is_stored_with_the_id_that_nodes_know(house: House, protocol: Any) -> None:
    node = house.start()
    client = house.enter("ada:tab", protocol)
    client.add(1, "sale")
    ((_, sale),) = node.log.each()
    ms, node_id, n = sale["created"]
    known_as = {0: [ms, node_id, n], 5: f"{ms} {node_id} {n}", 7: f"{to_digits(ms)} {node_id}"}
    undo = {"type": "logux/undo", "id": known_as[protocol if isinstance(protocol, int) else 0]}

    client.send("sync", 2, undo, client.meta(5, "ada:tab"))
    client.wait_for("synced")

    (_, (stored, _)) = node.log.each()
    assert stored == {"type": "logux/undo", "id": f"{ms} {node_id} {n}"}
    assert done(node) == ["logux/undo"]
