"""Attacks of a Logux client that is let in: it syncs without end."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from functools import partial
from itertools import count
from pathlib import Path

from mesh.bench.attacks.host import HostileHost
from mesh.bench.attacks.raw_socket import Opcode, RawSocket, frame
from mesh.gateway.clients.tokens import Tokens

USER = "hostile"
"""Whose token the target names."""
NODE_ID = f"{USER}:1:a"
PROTOCOL = 5
MESSAGES_AT_ONCE = 50
JUNK_TEXT = "x" * 100


class HostileClient:
    """A connection to the clients' door that greets as clients do. It answers pings and confirms events."""

    def __init__(self, socket: RawSocket) -> None:
        self.socket = socket
        self._reading: asyncio.Task[None] | None = None

    @classmethod
    async def greet(cls, host: HostileHost) -> HostileClient:
        """A new one that was let in. Raises OSError."""
        client = cls(await host.web_socket(host.target.clients))
        await client.socket.send(frame(_text("connect", PROTOCOL, NODE_ID, 0, {"token": host.target.token})))
        while not (answer := await client.socket.read_frame())[1].startswith(b'["connected"'):
            if answer[0] == Opcode.CLOSE or answer[1].startswith(b'["error"'):
                host.drop(client.socket)
                raise ConnectionRefusedError("not let in")
        client._reading = asyncio.create_task(client.socket.read_all(client._answer))
        return client

    def close(self) -> None:
        if self._reading is not None:
            self._reading.cancel()
        self.socket.close()

    def _answer(self, text: bytes) -> None:
        if text.startswith(b'["ping"'):
            self.socket.post(frame(_text("pong", 0)))
        elif text.startswith(b'["sync"'):
            self.socket.post(frame(_text("synced", json.loads(text)[1])))


def client_token(home: Path) -> str:
    """A new token of a node's home for these attacks."""
    return Tokens(home).add(USER, None, round(time.time() * 1000))


async def client_events(host: HostileHost) -> None:
    """A client that writes events without end, each in a message of its own."""
    await _flood(host, map(partial(_sync, "junk"), count(1), count(1)))


async def client_known(host: HostileHost) -> None:
    """The same event of a client in a loop, in a message each time."""
    await _flood(host, (_sync("junk", number, 1) for number in count(1)))


async def client_empty(host: HostileHost) -> None:
    """`sync` without events in a loop, of a client."""
    await _flood(host, (frame(_text("sync", number)) for number in count(1)))


async def _flood(host: HostileHost, frames: Iterator[bytes]) -> None:
    async def send(client: HostileClient) -> None:
        await client.socket.send(b"".join([next(frames) for _ in range(MESSAGES_AT_ONCE)]))

    async def greet() -> HostileClient:
        return await HostileClient.greet(host)

    await host.repeat(send, greet)


def _sync(kind: str, added: int, n: int) -> bytes:
    return frame(_text("sync", added, {"type": kind, "text": JUNK_TEXT}, {"id": [0, NODE_ID, n], "time": 0}))


def _text(*message: object) -> bytes:
    return json.dumps(message, separators=(",", ":")).encode()
