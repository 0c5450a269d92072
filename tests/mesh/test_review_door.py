"""Faults found by review at the clients' door: each of these fails until it is mended."""

from __future__ import annotations

import base64
import json
import os
import socket
import struct
from pathlib import Path
from typing import Any

import pytest
from door_house import House, house, wait_until  # noqa: F401
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from peers.base_sync import BaseSync
from peers.server_sync import ServerSync


def upgrade(port: int, more: bytes = b"") -> socket.socket:
    """A raw socket that has asked for a WebSocket, with bytes sent in one piece with the request."""
    wire = socket.create_connection(("127.0.0.1", port), timeout=10)
    key = base64.b64encode(os.urandom(16)).decode()
    wire.sendall(
        f"GET / HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode() + more
    )
    return wire


def test_a_client_cannot_clean_what_others_wrote(house: House) -> None:
    house.start()
    house.nodes["kitchen"].log.add_batch([({"type": f"mine{n}"}, None) for n in range(3)]).get(10)
    ada = house.enter("ada")

    ada.send("sync", 1, {"type": "x"}, {**ada.meta(0, "ada"), "keepLast": "log"})
    ada.wait_for("synced")

    assert [event["type"] for event, _ in house.nodes["kitchen"].log.each()] == ["mine0", "mine1", "mine2", "x"]


def test_a_stranger_cannot_send_a_large_frame_that_begins_with_the_handshake(house: House) -> None:
    node = house.start()
    size = 8 * 1024 * 1024
    header = b"\x81\xff" + struct.pack(">Q", size) + b"\0\0\0\0"

    wire = upgrade(node.clients_port, header[:2])
    answer = wire.recv(4096)
    assert b"101" in answer
    wire.settimeout(5)
    body = json.dumps(["connect", 5, "ada", 0, {"token": "x" * (size - 100)}]).encode().ljust(size)
    wire.sendall(header[2:] + body)
    answer = wire.recv(4096)
    wire.close()

    assert b"wrong-credentials" not in answer, "the frame of 8 MiB was taken and read"
