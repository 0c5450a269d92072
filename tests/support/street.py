"""Nodes in one process, with real sockets on the loopback interface and homes on disk."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pykka

from mesh.membership.actions import Notice
from mesh.node import Node
from mesh.settings.paths import CERTIFICATES_FILE

SECONDS = 15.0


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as door:
        port: int = door.getsockname()[1]
        return port


def wait_until(condition: Callable[[], Any], what: str) -> None:
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"it did not happen in time: {what}"
        time.sleep(0.005)


def types(node: Node) -> list[str]:
    return [event["type"] for event, _ in node.log.each()]


class Street:
    """Starts nodes, open ones unless a home has certificates.

    At the end all are stopped, and no actor and no thread may be left.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.nodes: list[Node] = []
        self.notices: dict[str, list[Notice]] = {}
        self.threads = set(threading.enumerate())

    def make(self, name: str, *, port: int = 0, peers: list[str] | None = None, **options: Any) -> Node:
        home = options.setdefault("home", self.path / name)
        options.setdefault("open", not (home / CERTIFICATES_FILE).exists())
        node = Node(name, listen=f"127.0.0.1:{port}", peers=peers or (), mdns=False, **options)
        self.notices[name] = []
        node.on("change", self.notices[name].append)
        return node

    def start(self, name: str, *, port: int = 0, peers: list[str] | None = None, **options: Any) -> Node:
        node = self.make(name, port=port, peers=peers, **options).start()
        self.nodes.append(node)
        return node

    def kinds(self, name: str) -> list[str]:
        return [notice.kind for notice in self.notices[name]]

    def converge(self, *nodes: Node, events: int) -> None:
        wait_until(lambda: all(len(types(node)) == events for node in nodes), f"{events} events on all")
        assert len({tuple(types(node)) for node in nodes}) == 1

    def close(self) -> None:
        for node in self.nodes:
            node.stop()
        assert pykka.ActorRegistry.get_all() == []
        wait_until(lambda: set(threading.enumerate()) <= self.threads, "the end of all threads")


def at(node: Node) -> str:
    return f"127.0.0.1:{node.port}"
