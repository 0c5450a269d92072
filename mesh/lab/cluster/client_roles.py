"""Visiting: the two roles of a Logux client's visit in the lab, at the door of a room and at the client's own end."""

from __future__ import annotations

from typing import Any

from mesh.gateway.clients.guard import Guard
from mesh.gateway.clients.role import ClientGatewaySync, Hooks
from mesh.gateway.clients.tokens import Pass
from mesh.gateway.saved_cursors import SavedCursors
from peers.clock import Clock
from peers.log.log import SyncLog
from peers.roles.client import ClientSync
from peers.transport.port import Connection

CURSORS = "server"
"""Under what name a client keeps where it is: of whatever server, as @logux/client does."""


class OpenTokens:
    """The tokens of the lab: the token of every user is the name of that user."""

    def verify(self, user: str, token: Any, now_ms: int) -> Pass | None:
        return Pass(user, "", None) if token == user else None

    def still_valid(self, held: Pass, now_ms: int) -> bool:
        return True


def clients_door(
    node_id: str, log: SyncLog, connection: Connection, *, clock: Clock, **options: Any
) -> ClientGatewaySync:
    """The role of a node's clients' door, for `serve=`: the product's own, but for its tokens."""
    guard = Guard(OpenTokens(), clock)
    return ClientGatewaySync(node_id, log, connection, clock=clock, guard=guard, hooks=Hooks(), **options)


class ClientRole(ClientSync):
    """The role of an application of Logux: its log keeps how far it has got in both logs."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._cursors = SavedCursors(self, CURSORS)

    def _forget_link(self) -> None:
        super()._forget_link()
        self._cursors.save()
