"""SavedCursors: a role whose place in both logs outlives it, in the node's own log."""

from __future__ import annotations

from typing import Any

from peers.clock import Undo
from peers.later import Later
from peers.log.log import SyncLog
from peers.roles.base import BaseSync
from peers.stores.store import StoreError
from peers.transport.port import Connection

KEEP_MS = 1_000
"""How long a change may wait to be written: what is lost by a crash is exchanged again, and known then."""


class SavedCursors(BaseSync):
    """Writes `synced` and `other_synced` down under `cursors_key`, a while after they change, and at the end."""

    keep_ms = KEEP_MS

    def __init__(self, node_id: str, log: SyncLog, connection: Connection, **options: Any) -> None:
        self._undo_keep: Undo | None = None
        super().__init__(node_id, log, connection, **options)
        self._written: tuple[int, int] | None = (self.synced, self.other_synced)
        self.on("synced", self._on_synced)

    @property
    def cursors_key(self) -> str | None:
        """Under what name; None: they are not kept now."""
        raise NotImplementedError

    def destroy(self, reason: str = "") -> None:
        if not self.is_destroyed:
            self.keep()
        super().destroy(reason)

    def on_disconnect(self, reason: str) -> None:
        self.keep()
        super().on_disconnect(reason)

    def keep(self) -> None:
        """Write them down now."""
        if self._undo_keep is not None:
            self._undo_keep()
            self._undo_keep = None
        cursors = (self.synced, self.other_synced)
        if self.cursors_key is not None and cursors != self._written:
            self._written = cursors
            self.let_keep(self.cursors_key, *cursors)

    def let_keep(self, key: str, synced: int, other_synced: int) -> None:
        """Write two numbers down."""
        self.log.keep_cursors(key, synced, other_synced).then(self._on_kept)

    def _on_kept(self, kept: Later[None]) -> None:
        """A disk that takes nothing now costs a repeat; whoever adds events says so."""
        if kept.exception is not None:
            self._written = None
            if not isinstance(kept.exception, StoreError):
                raise kept.exception

    def _on_synced(self) -> None:
        if self._undo_keep is None and self.cursors_key is not None:
            self._undo_keep = self.clock.call_later(self.keep_ms, self._turn(self.keep))
