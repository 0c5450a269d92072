"""Failures around the clients' port and the recovery: its listener, a session, the log keeper, the disk, a retry."""

from __future__ import annotations

import socket
from contextlib import suppress
from typing import Any

import pykka
import pytest
from websockets.exceptions import ConnectionClosed

from mesh.actors.gateway_supervisor import GatewaySupervisor
from mesh.actors.listener import Listener
from mesh.actors.log_keeper import LogKeeper
from mesh.actors.runtime.inspection import actor_behind
from mesh.gateway.clients.role import ClientGatewaySync
from mesh.node import Node
from peers.later import Later
from peers.stores.store import PAGE_BYTES, StoreError
from tests.support.door_house import TURNED_AWAY, House, house, types, wait_until

__all__ = ["house"]


class Boom(Exception):
    """Raised in an actor by a test."""


def explode(node: Node, kind: type[Any], number: int = 0) -> None:
    """Make an actor of that kind fail; `number` counts from the newest."""
    actors = pykka.ActorRegistry.get_by_class(kind)

    def fail(_actor: Any) -> None:
        raise Boom("made to fail")

    actors[-1 - number].tell_to(fail)  # type: ignore[attr-defined]


def can_connect(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def test_a_listener_that_failed_opens_its_port_again_and_sessions_stay(house: House) -> None:
    node = house.start()
    inside, port = house.enter("ada"), node.clients_port

    explode(node, Listener)

    wait_until(lambda: any("door failed and restarts: Boom" in line for line in house.said()), "it is told")
    wait_until(lambda: can_connect(port), "the door is open again")
    entered: list[Any] = []

    def may_enter() -> bool:
        with suppress(*TURNED_AWAY):  # the socket of before may still be closing
            entered.append(house.enter("bob"))
        return bool(entered)

    wait_until(may_enter, "a client is let in")
    assert entered[0].add(1, "milk") == ["synced", 1]
    assert inside.take(1) == ["milk"]


@pytest.mark.parametrize("error", [OSError(98, "Address already in use"), UnicodeError("no such host")])
def test_a_port_that_cannot_open_again_is_paused_until_a_retry(
    house: House, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def refuse_to_open(self: Listener, host: str, port: int) -> Any:
        raise error

    monkeypatch.setattr("mesh.membership.restart_policy.MIN_DELAY_SECONDS", 0.005)
    node = house.start()
    port = node.clients_port
    listener = pykka.ActorRegistry.get_by_class(Listener)[-1]

    with pytest.MonkeyPatch.context() as blocked:
        blocked.setattr(Listener, "open", refuse_to_open)
        explode(node, Listener)
        wait_until(lambda: node.status().get(5)["paused"], "the door is paused")
    assert not listener.is_alive()
    assert not can_connect(port)

    node.retry().get(5)

    wait_until(lambda: can_connect(port), "the door is open again")
    assert house.enter("ada").add(1, "milk") == ["synced", 1]
    assert node.status().get(5)["paused"] == []


def test_a_retry_while_a_port_waits_to_open_again_opens_it_once(house: House) -> None:
    node = house.start()

    explode(node, Listener)
    for _ in range(3):
        node.retry().get(5)
    wait_until(lambda: can_connect(node.clients_port), "the door is open again")
    house.enter("ada")

    assert len(pykka.ActorRegistry.get_by_class(Listener)) == 2


def test_a_failed_log_keeper_loses_nothing_of_a_client(house: House) -> None:
    node = house.start()
    client = house.enter("ada")
    client.add(1, "before")

    explode(node, LogKeeper)
    wait_until(lambda: any("the log failed" in line for line in house.said()), "it is told")
    wait_until(lambda: can_add(node, "meanwhile"), "the log is open again")

    assert client.take(1) == ["meanwhile"]
    assert client.add(2, "after") == ["synced", 2]
    assert types(node) == ["before", "meanwhile", "after"]


def can_add(node: Node, name: str) -> bool:
    try:
        node.log.add({"type": name}).get(5)
    except StoreError:
        return False
    return True


def test_a_node_reports_that_its_gateways_failed(house: House) -> None:
    node = house.start()

    explode(node, GatewaySupervisor)

    wait_until(lambda: any(notice.kind == "failed" for notice in house.notices["kitchen"]), "it is told")
    assert any("the doors and lines of this node failed: Boom" in line for line in house.said())
    assert types(node) == []


class Grumbling(ClientGatewaySync):
    """A role of your own for the clients' port, with a message that always fails."""

    def grumble_message(self) -> None:
        raise Boom("grumbled")


def test_a_session_that_fails_does_not_affect_others(house: House) -> None:
    node = house.start(clients_role=Grumbling)
    ada, bob = house.enter("ada"), house.enter("bob")

    ada.send("grumble")

    assert ada.end() == []
    assert bob.add(1, "milk") == ["synced", 1]
    assert house.enter("ada").take(1) == ["milk"]
    assert types(node) == ["milk"]


def test_a_full_disk_ends_the_session_that_writes_and_loses_nothing(house: House) -> None:
    node = house.start()
    ada, bob = house.enter("ada"), house.enter("bob")
    wait_until(
        lambda: [row["state"] for row in house.clients()] == ["synchronized"] * 2, "both have read their cursors"
    )
    (keeper,) = pykka.ActorRegistry.get_by_class(LogKeeper)
    disk = actor_behind(keeper)._disk._disk  # type: ignore[arg-type,union-attr]  # no port makes the disk of a real node full
    work = disk.run

    def full(job: Any) -> Any:
        return Later.failed(StoreError("the disk is full"))

    disk.run = full
    ada.send("sync", 1, {"type": "milk"}, ada.meta(0, "ada"))
    assert ada.end() == [["error", "store"]]
    disk.run = work

    assert bob.add(1, "bread") == ["synced", 1]
    assert types(node) == ["bread"]


def test_a_node_that_stops_sends_its_clients_no_error(house: House) -> None:
    node = house.start()
    client = house.enter("ada")
    client.add(1, "milk")

    node.stop()

    assert client.end() == []


# Slow clients


def test_a_client_that_reads_nothing_costs_limited_memory_and_delays_no_others(house: House) -> None:
    node = house.start()
    slow, quick = house.dial("ada", is_slow=True), house.enter("bob")
    slow.send("connect", 5, "ada", 0, {"token": house.token("ada")})
    wait_until(lambda: len(house.clients()) == 2, "both are in")

    node.log.add_batch([({"type": "big", "n": n, "text": "x" * 100_000}, None) for n in range(100)]).get(5)
    node.log.add_batch([({"type": "big", "n": n, "text": "x" * 100_000}, None) for n in range(100)]).get(5)
    quick.take(200)

    lags = [client["lag"] for client in house.clients()]
    assert max(lags) > 100
    assert max(channel.queued_bytes for channel in door_network(node).channels) < 5 * PAGE_BYTES


def test_a_client_that_never_reads_its_replies_is_disconnected(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("peers.transport.channel.SEND_BYTES", 1_000_000)
    house.start(in_filter=lambda event, meta, user: user == "bob")
    slow, quick = house.dial("ada:1:tab", is_slow=True), house.enter("bob")
    slow.greet(house.token("ada"))

    with pytest.raises((ConnectionClosed, OSError)):
        for n in range(10_000):  # each is sent back whole, to be undone
            slow.send("sync", n + 1, {"type": "big", "text": "x" * 50_000}, slow.meta(n, "ada:1:tab"))

    wait_until(lambda: any(line.endswith("clients' door: too slow") for line in house.said()), "its end")
    assert quick.add(1, "still here") == ["synced", 1]


def door_network(node: Node) -> Any:
    return node._gateways.networks[0]  # no port of a node reaches its channels


def test_a_session_ends_at_once_when_its_connection_is_cut(house: House) -> None:
    house.start()
    client = house.enter("ada")

    client.wire.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    client.wire.socket.close()

    wait_until(lambda: house.clients() == [], "it is gone")
