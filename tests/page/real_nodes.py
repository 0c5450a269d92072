"""Real nodes with a clients' port each, for the page's tests."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from mesh.gateway.clients.tokens import Tokens
from mesh.node import Node

SECONDS = 10.0


class Nodes:
    """Nodes by name. The token of a user is the same in all links of a test."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._running: dict[str, Node] = {}
        self._clients_ports: dict[str, int] = {}
        self._tokens: dict[tuple[str, str], str] = {}

    def start(self, name: str = "kitchen", *, beside: Node | None = None, **options: Any) -> Node:
        """Start a node, or start it again at its clients' port; `beside` becomes its peer."""
        home = self._path / name
        node = Node(
            name,
            home=home,
            mdns=False,
            listen="127.0.0.1:0",
            open=True,
            peers=[f"127.0.0.1:{beside.port}"] if beside is not None else (),
            clients=f"127.0.0.1:{self._clients_ports.get(name, 0)}",
            **options,
        )
        self._running[name] = node.start()
        self._clients_ports[name] = node.clients_port
        for user in ("ada", "bob"):
            if (name, user) not in self._tokens:
                self._tokens[name, user] = Tokens(home).add(user, None, time.time_ns() // 1_000_000)
        return node

    def token(self, user: str, name: str = "kitchen") -> str:
        return self._tokens[name, user]

    def link(self, user: str = "ada", name: str = "kitchen") -> str:
        """The address of the page, with the user and token in the fragment."""
        return f"{self._running[name].clients_url}#user={user}&token={self.token(user, name)}"

    def wipe(self, name: str = "kitchen") -> None:
        """Delete the log of a stopped node."""
        for file in sorted((self._path / name).glob("log*")):
            file.unlink()

    def close(self) -> None:
        for node in self._running.values():
            node.stop()


def types(node: Node) -> list[str]:
    return [event["type"] for event, _ in node.log.each()]
