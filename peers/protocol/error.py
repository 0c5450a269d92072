"""What one end tells the other when it cannot go on."""

from __future__ import annotations

from typing import Any

from peers.codec.messages import Debug, Error
from peers.protocol.core import SyncCore


class ErrorMessages(SyncCore):
    """`error` and `debug`."""

    def send_error(self, type: str, options: Any = None) -> None:
        self.send(Error(type, options))
        self.emitter.emit("client_error", self.error(type, options))

    def error_message(self, type: str, options: Any) -> None:
        # Unlike Logux 0.1, the link is not used after an error: that end did not take something that we sent.
        error = self.error(type, options, received=True)
        self.hang_up(type if error.is_fatal else "error")
        self.report(error)

    def send_debug(self, type: str, text: str) -> None:
        self.send(Debug(type, text))

    def debug_message(self, type: str, text: Any) -> None:
        self.emitter.emit("debug", type, text)
