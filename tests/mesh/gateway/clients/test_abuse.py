"""What unauthenticated connections, clients and pages of other sites can do at an open port."""

from __future__ import annotations

import base64
import os
import socket
from contextlib import ExitStack

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from mesh import Limits
from mesh.gateway.clients.guard import MAX_WRONG, WrongAttempts
from peers.roles.server import ServerSync
from tests.support.door_house import SECONDS, TURNED_AWAY, House, house, wait_until  # noqa: F401

SERVED = "127.0.0.1:0"
EVIL = "https://evil.example"


def upgrade(port: int) -> socket.socket:
    """A raw socket that was accepted as a WebSocket."""
    wire = socket.create_connection(("127.0.0.1", port), timeout=10)
    key = base64.b64encode(os.urandom(16)).decode()
    wire.sendall(
        f"GET / HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
    )
    assert b"101" in wire.recv(4096)
    return wire


def test_headers_that_would_fill_the_memory_end_the_link(house: House) -> None:  # noqa: F811
    house.start()
    ada = house.enter("ada")

    ada.send("headers", {"a": [[]] * 500_000})  # 2 MB on the wire, 30 MB of lists that stay with the session
    with pytest.raises(ConnectionClosed):
        ada.send("ping", 0)
        ada.wait_for("pong")


def test_refused_events_of_one_message_cause_few_notices(house: House) -> None:  # noqa: F811
    house.start()
    ada = house.enter("ada")

    ada.send("sync", 1, *[item for n in range(2_000) for item in ({"type": "a"}, {"id": [n, "", 1], "time": 1})])
    ada.wait_for("synced")

    house.clients()  # the supervisor has handled what came before
    assert len(house.said()) < 200


def test_a_page_of_another_site_cannot_connect_to_a_served_port(house: House) -> None:  # noqa: F811
    node = house.start(serve={SERVED: ServerSync})

    with pytest.raises(InvalidStatus), connect(f"ws://127.0.0.1:{node.door_ports[SERVED]}/", origin=EVIL, proxy=None):
        pass


def test_a_page_of_another_site_cannot_connect_to_the_port_of_nodes(house: House) -> None:  # noqa: F811
    node = house.start()

    with pytest.raises(InvalidStatus), connect(f"ws://127.0.0.1:{node.port}/", origin=EVIL, proxy=None):
        pass


def test_an_unauthenticated_client_that_pings_and_never_reads_is_disconnected(house: House) -> None:  # noqa: F811
    node = house.start(limits=Limits(other_messages_per_second=10**9, other_bytes_per_second=10**9))
    wire = upgrade(node.clients_port)
    pings = (b"\x89\xfd\0\0\0\0" + b"x" * 125) * 8_000

    with wire, pytest.raises(ConnectionError):
        for _ in range(60):  # 63 MB, and as many answers wait in the memory of the node
            wire.sendall(pings)


def test_unauthenticated_connections_of_one_address_do_not_use_up_all_sessions(house: House) -> None:  # noqa: F811
    node = house.start()

    with ExitStack() as strangers:
        for _ in range(512):
            strangers.enter_context(socket.create_connection(("127.0.0.1", node.clients_port)))

        def is_let_in() -> bool:
            try:
                return bool(house.enter("ada"))
            except TURNED_AWAY:
                return False

        wait_until(is_let_in, "a place for ada")


def test_a_client_cannot_clean_events_of_another_user(house: House) -> None:  # noqa: F811
    node = house.start()
    bob, ada = house.enter("bob"), house.enter("ada")
    bob.send("sync", 1, {"type": "bobs"}, {**bob.meta(0, "bob"), "reasons": ["todo/1"]})
    bob.wait_for("synced")

    ada.send("sync", 1, {"type": "adas"}, {**ada.meta(1, "ada"), "keepLast": "todo/1"})
    ada.wait_for("synced")

    assert [event["type"] for event, _ in node.log.each()] == ["bobs", "adas"]


def test_the_token_of_an_unreadable_greeting_is_not_logged(house: House) -> None:  # noqa: F811
    house.start()
    ada = house.dial("ada")

    ada.send("connect", 5, "ada", None, {"token": house.token("ada")})
    ada.end()

    house.clients()
    assert house.token("ada") not in str(house.said())


def test_one_machine_of_a_lan_does_not_lock_out_the_others_of_its_ipv6_network() -> None:
    wrong = WrongAttempts()

    for _ in range(MAX_WRONG):
        wrong.count("[fe80::1%eth0]:4000", 0)

    assert not wrong.is_refused("[fe80::2%eth0]:4000", 1)  # every machine of a LAN has the same /64


def test_a_client_that_asks_without_end_is_answered_slowly_and_named_by_its_user(house: House) -> None:  # noqa: F811
    # Both come from one address, and what one read brings may exceed the limit of a link many times.
    node = house.start(limits=Limits(other_messages_per_second=20, links_of_address=100))
    ada, bob = house.enter("ada:1"), house.enter("bob:1")

    for _ in range(100):
        ada.send("ping", 0)
        ada.wire.ping()
    assert bob.add(1, "milk") == ["synced", 1]

    rows = node.status().get(SECONDS)["limits"]
    assert [(row["limit"], row["by"]) for row in rows] == [("other_messages_per_second", "ada")]
    assert [message[0] for message in ada.heard].count("pong") < 100
