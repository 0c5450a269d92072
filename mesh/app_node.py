"""AppNode: a node as an application uses it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from mesh.membership.actions import Notice
from mesh.membership.status import Status
from mesh.node_log import NodeLog
from mesh.settings.config import WAIT_SECONDS
from mesh.views.state import Apply
from mesh.views.view import View
from peers.clock import Undo
from peers.later import Later


class AppNode(Protocol):
    """What an application gets: a `mesh.Node`, or the node of a room of the lab.

    A function that takes an AppNode, starts the application on it and returns it, runs on both:

        async with Node("till-1", home="till-1-home") as node:
            till = await make(node)
        cluster.start("till-1", app=make)  # in the lab, see Cluster.start

    Each method is that of Node.
    """

    log: NodeLog

    @property
    def node_id(self) -> str: ...

    def on(self, event: str, listener: Callable[[Notice], Any]) -> Undo: ...

    def status(self) -> Later[Status]: ...

    def synchronized(self, *, peers: int = 1, timeout: float = WAIT_SECONDS) -> Later[None]: ...

    def view(self, name: str, apply: Apply, *, types: Sequence[str] | None = None, version: int = 1) -> Later[View]: ...
