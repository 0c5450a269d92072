"""Real nodes with clients' doors, walls between them, and real Logux clients that come with a token."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from js_peer import JsPeer, StartJs
from our_end import shown_as

from mesh.gateway.clients.tokens import Tokens
from mesh.node import Node

KINDS = ("logux01", "core10", "core12")
SECONDS = 30.0
POLL_SECONDS = 0.01


def wait_until(condition: Callable[[], Any], what: str, seconds: float = SECONDS) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"it never came about: {what}"
        time.sleep(POLL_SECONDS)


class Wall:
    """A TCP forwarder between two nodes that may be shut, with all that is under way, and opened again."""

    def __init__(self, port: int) -> None:
        self._to = ("127.0.0.1", port)
        self._door = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._door.getsockname()[1]
        self._is_open = True
        self._lock = threading.Lock()
        self._sockets: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def shut(self) -> None:
        with self._lock:
            self._is_open = False
            for one in self._sockets:
                with contextlib.suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)

    def open(self) -> None:
        with self._lock:
            self._is_open = True

    def close(self) -> None:
        self.shut()
        self._door.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(SECONDS)
        for one in (self._door, *self._sockets):
            one.close()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._door.accept()
            except OSError:
                return
            with self._lock:
                if not self._is_open:
                    near.close()
                    continue
                far = socket.create_connection(self._to)
                self._sockets += [near, far]
            for pair in ((near, far), (far, near)):
                self._threads.append(threading.Thread(target=self._forward, args=pair))
                self._threads[-1].start()

    def _forward(self, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while piece := source.recv(65_536):
                target.sendall(piece)
        for one in (source, target):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)


class Town:
    """Nodes with clients' doors, walls between them, and tokens."""

    def __init__(self, path: Path, start_js: StartJs) -> None:
        self.path = path
        self._start_js = start_js
        self._ends = contextlib.ExitStack()

    def start(self, name: str, *, peers: tuple[int, ...] = (), port: int = 0, **options: Any) -> Node:
        """A node; `port` is that of its clients' door."""
        node = Node(
            name,
            home=self.path / name,
            mdns=False,
            listen="127.0.0.1:0",
            open=True,
            peers=[f"127.0.0.1:{peer}" for peer in peers],
            clients=f"127.0.0.1:{port}",
            **options,
        )
        node.start()
        self._ends.callback(node.stop)
        return node

    def wall(self, port: int) -> Wall:
        wall = Wall(port)
        self._ends.callback(wall.close)
        return wall

    def client(self, kind: str, node_id: str, node: Node, *, connects: bool = True, **options: Any) -> JsPeer:
        """A JS client that is at the door of a node, or has a token for it at least."""
        user = node_id.partition(":")[0]
        token = Tokens(node.home).add(user, None, time.time_ns() // 1_000_000)
        if kind == "client23":
            client = self._start_js(kind, user_id=user, credentials=token, **options)
        else:
            client = self._start_js(
                kind, "client", node_id=node_id, credentials=token, **{"fix_time": False, **options}
            )
        if connects:
            client.connect(door(node))
        return client

    def close(self) -> None:
        self._ends.close()


@pytest.fixture
def town(tmp_path: Path, start_js: StartJs) -> Iterator[Town]:
    town = Town(tmp_path, start_js)
    yield town
    town.close()


def door(node: Node) -> str:
    return node.clients_url.replace("http", "ws", 1)


def ids(node: Node, kind: str) -> list[Any]:
    """The ids of the log, in its order, as a JS peer of that kind shows them."""
    return [shown_as(kind, tuple(meta["created"])) for _, meta in node.log.each()]


def types(node: Node) -> list[str]:
    return [event["type"] for event, _ in node.log.each()]


def js_ids(client: JsPeer) -> list[Any]:
    return [entry.created for entry in client.log()]


def events(node: Node) -> int:
    count: int = node.status().get(SECONDS)["events"]
    return count
