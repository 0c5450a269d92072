"""UpstreamSync: the role of a node that is a client of a Logux server, and bridges it with the mesh."""

from __future__ import annotations

from typing import Any

from mesh.kept_cursors import KeptCursors
from peers.client_sync import ClientSync
from peers.connections.connection import Connection
from peers.entry import Entry
from peers.log import SyncLog

LOGUX_SERVER = "server:"
"""How the node id of a @logux/server begins. Such a one takes only events under the id of the client that sends them."""
CONTROL = "logux/"
"""How the types of a @logux/server's own events begin: they answer one client, and are no news for anybody else."""
MARK = "~"
"""Only ids of nodes have it."""


class UpstreamSync(KeptCursors, ClientSync):
    """What the mesh writes goes up, and what the server's other clients write comes down.

    Towards a @logux/server each event travels under an id of ours that ends with its own one, and with no meta but id and
    time. An id of ours says that it is of a node, so whatever comes back is known by its id alone: an event from the server
    that was created by a node is dropped, as one that a stranger made up in a node's name is.
    """

    def __init__(self, node_id: str, log: SyncLog, connection: Connection, *, url: str, **options: Any) -> None:
        self._url = url
        self._is_told = False
        super().__init__(
            node_id, log, connection, in_filter=self._is_news, out_map=self._under_our_id, resends=False, **options
        )
        self.on("connect", self._on_met)

    @property
    def cursors_key(self) -> str | None:
        return f"upstream:{self._url}"

    @property
    def is_strict(self) -> bool:
        """Whether the other end takes only events under our own id."""
        return (self.other_node_id or "").startswith(LOGUX_SERVER)

    def is_due(self, entry: Entry) -> bool:
        if not super().is_due(entry):
            return False
        return not (self.is_strict and entry.event["type"].startswith(CONTROL))

    def _on_met(self) -> None:
        self.dialect.bare_meta = self.is_strict

    def _under_our_id(self, event: dict[str, Any], meta: dict[str, Any]) -> Any:
        ms, node_id, n = meta["created"]
        if self.is_strict and node_id != self.node_id:
            meta = {**meta, "created": (ms, f"{self.node_id}:{node_id}", n)}
        return event, meta

    def _is_news(self, event: dict[str, Any], meta: dict[str, Any]) -> bool:
        if event["type"] == "logux/undo":
            self.emitter.emit(
                "refused", f"{self.other_node_id} refused an event: {event.get('reason', 'it did not say why')}"
            )
        return MARK not in meta["created"][1] and not event["type"].startswith(CONTROL)
