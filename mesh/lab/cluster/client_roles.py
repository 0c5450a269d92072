"""The roles at both ends of the connection of a Logux client in the lab."""

from __future__ import annotations

from typing import Any

from mesh.gateway.clients.guard import Guard
from mesh.gateway.clients.role import ClientGatewaySync, Hooks
from mesh.gateway.clients.tokens import Pass
from mesh.gateway.saved_cursors import SavedCursors
from peers.clock import Clock
from peers.log.port import SyncLog
from peers.roles.client import ClientSync
from peers.transport.port import Connection

CURSORS = "server"
"""The name under which a client keeps its cursors: the same for all servers, as in @logux/client."""


class OpenTokens:
    """The tokens of the lab: the token of a user is the name of the user."""

    def verify(self, user: str, token: Any, now_ms: int) -> Pass | None:
        return Pass(user, "", None) if token == user else None

    def still_valid(self, held: Pass, now_ms: int) -> bool:
        return True


def clients_door(
    node_id: str, log: SyncLog, connection: Connection, *, clock: Clock, **options: Any
) -> ClientGatewaySync:
    """The role of a node at its clients' port, for `serve=` of Cluster.start.

    It is the role of the product, but the token of each user is the name of the user.

        cluster.start("kitchen", serve={5_000: clients_door})
    """
    guard = Guard(OpenTokens(), clock)
    return ClientGatewaySync(node_id, log, connection, clock=clock, guard=guard, hooks=Hooks(), **options)


class ClientRole(ClientSync):
    """The role of a Logux application: it keeps its cursors in its own log."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._cursors = SavedCursors(self, CURSORS)

    def _forget_link(self) -> None:
        super()._forget_link()
        self._cursors.save()
