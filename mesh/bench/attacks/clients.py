"""Attacks of a Logux client that is let in: it syncs without end."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from functools import partial
from itertools import count
from pathlib import Path

from mesh.bench.attacks.host import HostileHost
from mesh.bench.attacks.raw_socket import RawSocket, frame
from mesh.gateway.clients.tokens import Tokens

USER = "hostile"
"""Whose token the target names."""
NODE_ID = f"{USER}:1:a"
PROTOCOL = 5
MESSAGES_AT_ONCE = 50
JUNK_TEXT = "x" * 100


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
    async def send(client: RawSocket) -> None:
        await client.send(b"".join([next(frames) for _ in range(MESSAGES_AT_ONCE)]))

    await host.repeat(send, partial(_greet, host))


async def _greet(host: HostileHost) -> RawSocket:
    """A connection to the clients' door that was let in, answers pings and confirms events. Raises OSError."""
    client = await host.web_socket(host.target.clients)
    await client.send(frame(_text("connect", PROTOCOL, NODE_ID, 0, {"token": host.target.token})))
    if not await client.is_let_in(partial(_answer, client)):
        host.drop(client)
        raise ConnectionRefusedError("not let in")
    return client


def _answer(client: RawSocket, text: bytes) -> None:
    if text.startswith(b'["ping"'):
        client.post(frame(_text("pong", 0)))
    elif text.startswith(b'["sync"'):
        client.post(frame(_text("synced", json.loads(text)[1])))


def _sync(kind: str, added: int, n: int) -> bytes:
    return frame(_text("sync", added, {"type": kind, "text": JUNK_TEXT}, {"id": [0, NODE_ID, n], "time": 0}))


def _text(*message: object) -> bytes:
    return json.dumps(message, separators=(",", ":")).encode()
