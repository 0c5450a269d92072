"""Endpoints: the ports that a node opens and the addresses that it dials, for others than nodes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from mesh.gateway.turned_away import TurnedAway
from peers.codec.codec import encode_plain
from peers.codec.messages import Debug
from peers.roles.base import BaseSync
from peers.transport.port import Network
from peers.transport.web_socket import MAX_CLIENT_FRAME

CLIENTS_KEY = "clients"
"""The key of this port in `Node.door_ports` and in JSON."""
CLIENTS_DOOR = "the clients' door"
METRICS_KEY = "metrics"
"""The same of the port for metrics alone."""
METRICS_DOOR = "the metrics' door"
TOO_LONG = encode_plain(
    Debug(
        "error",
        f"not taken: a message of more than {MAX_CLIENT_FRAME} bytes; send what waits in several messages: @logux/core 0.12 "
        "does so by itself (option syncBatch), older ones send all in one, so let fewer or smaller events wait",
    )
)
"""The message to a client that sends too long a frame, before its connection ends."""

MakeGatewayRole = Callable[..., BaseSync]
"""A subclass of BaseSync, or a function that makes one from the same arguments:
(node_id, log, connection, *, clock, random, spawn, turn, **options)."""


@dataclass(frozen=True)
class Listen:
    """A port to open: each connection that is accepted there gets a session with this role."""

    key: str
    """For programs: `clients`, `metrics`, or the HOST:PORT of the option `serve`."""
    name: str
    """For people: `the clients' door`, `the door :5000`."""
    host: str
    port: int
    network: Network
    make_role: MakeGatewayRole
    options: Mapping[str, Any] = field(default_factory=dict)
    advice: Mapping[str, str] = field(default_factory=dict)
    """What an error of the other end means here, by the error's type."""


@dataclass(frozen=True)
class DialOut:
    """An address to dial: one session with this role, dialled again after each loss."""

    name: str
    url: str
    network: Network
    make_role: MakeGatewayRole
    node_id: str | None = None
    """Our node id in this session; None: that of the node."""
    options: Mapping[str, Any] = field(default_factory=dict)
    cursors_key: str | None = None
    """The name under which the log keeps the session's cursors; None: they are not kept."""
    advice: Mapping[str, str] = field(default_factory=dict)
    """What to do about an error, by the error's type."""

    @property
    def shown_url(self) -> str:
        """The URL without its query, which may hold secrets."""
        return self.url.partition("?")[0]


@dataclass(frozen=True)
class Endpoints:
    """All ports and addresses."""

    listens: tuple[Listen, ...] = ()
    dials: tuple[DialOut, ...] = ()
    turned_away: TurnedAway | None = None
    """Where refused connections are noted; None: the supervisor of the sessions makes one."""
