"""Visiting: the two roles of a Logux client's visit in the lab, at the door of a room and at the client's own end."""

from __future__ import annotations

from typing import Any, cast

from mesh.gateway.clients.role import ClientGatewaySync, Guard, Hooks
from mesh.gateway.clients.tokens import Pass, Tokens
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
    guard = Guard(cast(Tokens, OpenTokens()), clock)
    return ClientGatewaySync(node_id, log, connection, clock=clock, guard=guard, hooks=Hooks(), **options)


class ClientRole(SavedCursors, ClientSync):
    """What an application of Logux runs: where it is in both logs outlives it, in its own log."""

    @property
    def cursors_key(self) -> str:
        return CURSORS
