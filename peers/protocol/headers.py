"""Free key-value pairs that one end tells the other, at any time; the newest set replaces the one before."""

from __future__ import annotations

from typing import Any

from peers.codec.messages import Duilian, Headers
from peers.protocol.core import SyncCore

COUPLETS = {"金木水火土": "板城烧锅酒"}
"""First line and second line, as Logux knows them."""


class HeadersMessages(SyncCore):
    """`headers` and `duilian`."""

    def send_headers(self, headers: dict[str, Any]) -> None:
        self.send(Headers(headers))

    def headers_message(self, headers: dict[str, Any]) -> None:
        self.other_headers = headers
        self.emitter.emit("headers", headers)

    def send_duilian(self, line: str) -> None:
        self.send(Duilian(line))

    def duilian_message(self, line: str) -> None:
        if line in COUPLETS:
            self.send_duilian(COUPLETS[line])
