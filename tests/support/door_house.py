"""Real nodes with an open clients' port, and plain Logux clients that send what a test says."""

from __future__ import annotations

import http.client
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

import pykka
import pytest
from websockets.exceptions import ConnectionClosed, InvalidMessage, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from mesh.gateway.clients.tokens import Tokens
from mesh.membership.actions import Notice
from mesh.node import Node
from peers.codec.logux_7 import to_digits
from peers.limits import Limits

SECONDS = 15.0
TURNED_AWAY = (InvalidStatus, InvalidMessage, ConnectionClosed, OSError, AssertionError)
"""What a client may see that a door turns away unread: the answer may be lost, or come before the client has asked, for which
its library has an assertion.
"""
_OPTIONS: Any = {"max_size": None, "compression": None, "proxy": None, "close_timeout": 0.5}
DIALECTS: tuple[Any, ...] = ([0, 1], 5, 7)


def wait_until(condition: Callable[[], Any], what: str, seconds: float = SECONDS) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"it never came about: {what}"
        time.sleep(0.005)


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def types(node: Node) -> list[str]:
    return [event["type"] for event, _ in node.log.each()]


def slow_reading(url: str) -> dict[str, Any]:
    """Options of a connection with a small receive buffer.

    The buffer is set before the socket connects: Linux stalls both directions of one that shrinks later.
    """
    address = urlsplit(url)
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.connect((address.hostname, address.port))
    return {"sock": sock, "max_queue": 1}


class Client:
    """One connection that speaks one dialect, frame by frame."""

    def __init__(
        self, url: str, node_id: str, protocol: Any = 5, *, ssl: Any = None, is_slow: bool = False, **headers: str
    ) -> None:
        """`is_slow`: little is read from the socket before it is asked for."""
        self.node_id = node_id
        self.protocol = protocol
        self.base = 0
        self.events: list[dict[str, Any]] = []
        """What came in `sync` messages, as it came."""
        self.heard: list[list[Any]] = []
        self._stack = ExitStack()
        self.wire: ClientConnection = self._stack.enter_context(
            connect(url, ssl=ssl, additional_headers=headers, **(slow_reading(url) if is_slow else {}), **_OPTIONS)
        )

    def greet(self, token: Any, synced: int = 0, *, since: int | None = None) -> list[Any]:
        """Send `connect`; the result is the answer of any kind."""
        if since is not None:
            self.send("headers", {"since": since})
        key = "credentials" if self.protocol == [0, 1] else "token"
        self.send("connect", self.protocol, self.node_id, synced, *([{key: token}] if token is not None else []))
        answer = self.receive()
        if answer[0] == "connected":
            self.base = answer[3][1]
        return answer

    def send(self, *message: Any) -> None:
        self.wire.send(json.dumps(message))

    def receive(self) -> list[Any]:
        """The next message. Raises ConnectionClosed when there is none."""
        message: list[Any] = json.loads(self.wire.recv(timeout=SECONDS))
        self.heard.append(message)
        return message

    def wait_for(self, name: str) -> list[Any]:
        """The next message of that name; events that arrive before it are confirmed."""
        while True:
            message = self.receive()
            if message[0] == "sync":
                self.events += message[2::2]
                self.send("synced", message[1])
            if message[0] == name:
                return message

    def take(self, number: int) -> list[str]:
        """Wait until that many events have arrived in all; their types."""
        while len(self.events) < number:
            self.wait_for("sync")
        return self.types

    @property
    def types(self) -> list[str]:
        return [event["type"] for event in self.events]

    def add(self, added: int, *names: str, by: str | None = None) -> list[Any]:
        """Send events of those types in one `sync`; what confirmed it."""
        items = [item for n, name in enumerate(names) for item in ({"type": name}, self.meta(n, by or self.node_id))]
        self.send("sync", added, *items)
        return self.wait_for("synced")

    def meta(self, n: int, by: str) -> Any:
        """What stands beside an event of this ms, the n-th of it, that `by` created."""
        ms = now_ms()
        if self.protocol == [0, 1]:
            return [ms, by, n]
        if self.protocol == 5:
            return {"id": [ms - self.base, by, n], "time": ms - self.base}
        return {"id": f"{to_digits(ms + n)} {by}", "time": ms + n - self.base}

    def end(self) -> list[list[Any]]:
        """Wait until the node closes the connection; the messages before that."""
        before = len(self.heard)
        with pytest.raises(ConnectionClosed):
            while True:
                self.receive()
        return self.heard[before:]

    def close(self) -> None:
        self._stack.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


class House:
    """Nodes with a clients' port each. At the end all are stopped, and no actor or thread may be left."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.nodes: dict[str, Node] = {}
        self.notices: dict[str, list[Notice]] = {}
        self.tokens: dict[str, str] = {}
        self._clients: list[Client] = []
        self._threads = set(threading.enumerate())

    def make(self, name: str = "kitchen", **options: Any) -> Node:
        given: dict[str, Any] = {
            "home": self.path / name,
            "listen": "127.0.0.1:0",
            "open": True,
            "clients": "127.0.0.1:0",
            "mdns": False,
        }
        given |= {"limits": Limits(connects_of_address_per_second=1_000, connects_per_second=1_000)} | options
        node = Node(name, **given)
        self.notices.setdefault(name, [])
        node.on("change", self.notices[name].append)
        return node

    def start(self, name: str = "kitchen", **options: Any) -> Node:
        """Start a node; `ada` and `bob` have tokens for all of them."""
        node = self.nodes[name] = self.make(name, **options)
        if not (node.home / "tokens.json").exists():
            for user in ("ada", "bob"):
                self.tokens[f"{user}@{name}"] = Tokens(node.home).add(user, None, now_ms())
        return node.start()

    def token(self, user: str, name: str = "kitchen") -> str:
        return self.tokens[f"{user}@{name}"]

    def dial(self, node_id: str, protocol: Any = 5, *, at: str = "kitchen", **options: Any) -> Client:
        """A connection to that node's clients' port that has sent nothing yet."""
        url = self.nodes[at].clients_url.replace("http", "ws", 1)
        self._clients.append(Client(url, node_id, protocol, **options))
        return self._clients[-1]

    def enter(
        self, node_id: str, protocol: Any = 5, synced: int = 0, *, at: str = "kitchen", since: int | None = None
    ) -> Client:
        """A client that is accepted."""
        client = self.dial(node_id, protocol, at=at)
        answer = client.greet(self.token(node_id.partition(":")[0], at), synced, since=since)
        assert answer[0] == "connected", answer
        return client

    def clients(self, name: str = "kitchen") -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = self.nodes[name].status().get(SECONDS)["clients"]
        return rows

    def said(self, name: str = "kitchen") -> list[str]:
        return [notice.sentence for notice in self.notices[name]]

    def http(
        self, method: str, path: str, headers: dict[str, str] | None = None, body: bytes | None = None
    ) -> tuple[int, dict[str, str], bytes]:
        """One request to the clients' port of the kitchen: status, headers by lower-case name, body."""
        connection = http.client.HTTPConnection("127.0.0.1", self.nodes["kitchen"].clients_port, timeout=SECONDS)
        try:
            connection.request(method, path, body=body, headers=headers or {})
            answer = connection.getresponse()
            return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
        finally:
            connection.close()

    def close(self) -> None:
        for client in self._clients:
            client.close()
        for node in self.nodes.values():
            node.stop()
        assert pykka.ActorRegistry.get_all() == []
        wait_until(lambda: set(threading.enumerate()) <= self._threads, "the end of all threads")


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    house = House(tmp_path)
    try:
        yield house
    finally:
        house.close()
