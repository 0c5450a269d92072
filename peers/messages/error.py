"""What one end tells the other when it cannot go on."""

from __future__ import annotations

from typing import Any

from peers.sync_core import SyncCore
from peers.wire.messages import Error


class ErrorMessages(SyncCore):
    """`error` and `debug`."""

    def send_error(self, type: str, options: Any = None) -> None:
        self.send(Error(type, options))

    def error_message(self, type: str, options: Any) -> None:
        error = self.error(type, options, received=True)
        self.hang_up(type if error.is_fatal else "error")
        self.report(error)

    def debug_message(self, type: str, text: Any) -> None:
        self.emitter.emit("debug", type, text)
