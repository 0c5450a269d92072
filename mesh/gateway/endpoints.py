"""What a node has to do with others than nodes, as it was told at its start: doors that it opens, lines that it dials."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from mesh.gateway.turned_away import TurnedAway
from peers.roles.base import BaseSync
from peers.transport.port import Network

MakeRole = Callable[..., BaseSync]
"""Makes a role as BaseSync is made: (node_id, log, connection, *, clock, random, spawn, turn, **options)."""


@dataclass(frozen=True)
class Listen:
    """Who comes in here gets a session with this role."""

    key: str
    """For programs: `clients`, or the address as it was asked for."""
    name: str
    """For people: `the clients' door`, `the door :5000`."""
    host: str
    port: int
    network: Network
    make_role: MakeRole
    options: Mapping[str, Any] = field(default_factory=dict)
    advice: Mapping[str, str] = field(default_factory=dict)
    """What an error means at this door, by its type."""


@dataclass(frozen=True)
class DialOut:
    """One session with this role, dialled at `url` and again after each loss."""

    name: str
    url: str
    network: Network
    make_role: MakeRole
    node_id: str | None = None
    """Under which we speak; None: the node's own."""
    options: Mapping[str, Any] = field(default_factory=dict)
    cursors_key: str | None = None
    """Under which the log keeps where to go on."""
    advice: Mapping[str, str] = field(default_factory=dict)
    """What would mend an error, by its type."""

    @property
    def shown_url(self) -> str:
        """For people: a query may hold what is nobody's business."""
        return self.url.partition("?")[0]


@dataclass(frozen=True)
class Ports:
    """Where a node listens."""

    peers: int
    doors: dict[str, int]
    """By the name of the door."""


@dataclass(frozen=True)
class Endpoints:
    """All of it."""

    doors: tuple[Listen, ...] = ()
    lines: tuple[DialOut, ...] = ()
    turned_away: TurnedAway | None = None
    """Where the doors note whom they refuse; None: the supervisor of their sessions makes one."""
