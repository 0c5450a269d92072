"""ServerSync: the role of whoever was dialled by a Logux client."""

from __future__ import annotations

from typing import Any

from peers.base_sync import BaseSync
from peers.connections.connection import Connection
from peers.entry import Entry
from peers.log import SyncLog
from peers.wire.dialect import Dialect
from peers.wire.dialects import dialect_of
from peers.wire.messages import Connect, Message, Version
from peers.wire.protocol_1 import Protocol1

TIMEOUT_MS = 20_000
PING_MS = 10_000


class ServerSync(BaseSync):
    """Waits for `connect`, answers it in the client's dialect, and is destroyed with the connection.

    Where to go on is what the client says, so `synced` and `other_synced` are no options here, and neither is `fix_time`
    (ValueError). A client is not sent what it wrote itself, unless it starts from nothing.
    """

    def __init__(
        self,
        node_id: str,
        log: SyncLog,
        connection: Connection,
        *,
        timeout: int | None = TIMEOUT_MS,
        ping: int | None = PING_MS,
        **options: Any,
    ) -> None:
        if options.get("fix_time"):
            raise ValueError("a server does not fix time: set fix_time at the client")
        for name in ("synced", "other_synced", "protocol"):
            if options.get(name):
                raise ValueError(f"{name} is what the client says: it is no option of a server")
        self._is_chosen = False
        super().__init__(node_id, log, connection, timeout=timeout, ping=ping, **options)
        self.state = "connecting"

    def make_dialect(self) -> Dialect:
        """Until the client has greeted, what everybody understands."""
        self._is_chosen = False
        return Protocol1(self.node_id)

    def on_connect(self) -> None:
        super().on_connect()
        self.start_timeout()

    def on_disconnect(self, reason: str) -> None:
        try:
            super().on_disconnect(reason)
        finally:  # a listener may fail
            self.destroy(reason)

    def decode(self, frame: bytes) -> Message:
        message = super().decode(frame)
        if self._is_chosen or not isinstance(message, Connect):
            return message
        self._is_chosen = True
        self.dialect = dialect_of(message.protocol, self.node_id)
        return super().decode(frame)

    def connected_message(self, protocol: Version, node_id: str, times: Any, options: Any) -> None:
        # Unlike Logux 0.1, an answer that nobody asked for lets nobody in.
        raise self.error("wrong-format", "`connected` from the end that dialled")

    def send_sync(self, added: int, entries: tuple[Entry, ...], *, confirms: int | None = None) -> None:
        # What begins before the stated mark does not say a smaller one: that would mean that our log was lost.
        super().send_sync(max(added, self.stated or 0), entries, confirms=added if confirms is None else confirms)

    def sent_up_to(self) -> int:
        return max(super().sent_up_to(), self.stated or 0)

    def is_due(self, entry: Entry) -> bool:
        is_own = bool(self.stated) and entry.created[1] == self.other_node_id
        return super().is_due(entry) and not is_own
