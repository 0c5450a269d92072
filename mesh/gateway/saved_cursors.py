"""SavedCursors: saves how far a session has got in both logs, in the node's own log, so that the next session resumes there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from peers.clock import Undo
from peers.later import Later
from peers.log.port import SyncLog
from peers.stores.store import StoreError

SAVE_MS = 1_000
"""How long a change may wait to be saved. What a crash loses is exchanged again, and recognised as known."""


class Resumable(Protocol):
    """What SavedCursors needs of a role; every BaseSync has it."""

    log: SyncLog
    synced: int
    other_synced: int

    def on(self, event: str, listener: Callable[..., Any], /) -> Undo: ...
    def call_later(self, delay_ms: float, reaction: Callable[[], None], /) -> Undo: ...


class SavedCursors:
    """Saves `synced` and `other_synced` of a role, `save_ms` after they change. The role calls `save` in `_forget_link`."""

    def __init__(self, role: Resumable, key: str | None = None, *, save_ms: int = SAVE_MS) -> None:
        self.key = key
        """The name under which they are saved; None: not known yet, so that nothing is saved."""
        self.saved: tuple[int, int] | None = (role.synced, role.other_synced)
        """What needs no saving: what the log has under that name. None after a failure."""
        self._role = role
        self._save_ms = save_ms
        self._undo_save: Undo | None = None
        role.on("synced", self._on_synced)

    def save(self) -> None:
        """Save them now, if they changed."""
        if self._undo_save is not None:
            self._undo_save()
            self._undo_save = None
        cursors = (self._role.synced, self._role.other_synced)
        if self.key is not None and cursors != self.saved:
            self.saved = cursors
            self.save_as(self.key, *cursors)

    def save_as(self, key: str, first: int, second: int) -> None:
        """Save two numbers under a name of their own."""
        self._role.log.keep_cursors(key, first, second).then(self._on_saved)

    def _on_saved(self, done: Later[None]) -> None:
        """A store that fails now costs a repeated exchange later; the failure is reported where events are added."""
        if done.exception is not None:
            self.saved = None
            if not isinstance(done.exception, StoreError):
                raise done.exception

    def _on_synced(self) -> None:
        if self._undo_save is None and self.key is not None:
            self._undo_save = self._role.call_later(self._save_ms, self.save)
