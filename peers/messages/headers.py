"""Free key-value pairs that one end tells the other, at any time; the newest set replaces the one before."""

from __future__ import annotations

from typing import Any

from peers.sync_core import SyncCore
from peers.wire.messages import Headers


class HeadersMessages(SyncCore):
    """`headers`."""

    def send_headers(self, headers: dict[str, Any]) -> None:
        self.send(Headers(headers))

    def headers_message(self, headers: dict[str, Any]) -> None:
        self.emitter.emit("headers", headers)
