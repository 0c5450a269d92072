"""Content: what tells whether a disk has changed the events of a run, in a tenth of the time of their leaves."""

from __future__ import annotations

from typing import NamedTuple
from zlib import crc32

from peers.events.columns import EventColumns, Items


class Content(NamedTuple):
    """CRC-32s of the columns of a run's events, as far as it has grown, and their node."""

    node_id: str = ""
    ms: int = 0
    n: int = 0
    bodies: int = 0

    def after(self, items: Items) -> Content | None:
        """That of the run with these too; None if they are not all plain events of the same node."""
        if not isinstance(items, EventColumns) or self.node_id not in ("", items.node_id):
            return None
        ms, n, bodies = items.texts
        return Content(
            items.node_id,
            crc32(b",", crc32(ms, self.ms)),
            crc32(b",", crc32(n, self.n)),
            crc32(b"\0", crc32(bodies, self.bodies)),
        )

    @property
    def checksum(self) -> int:
        """All of it in 32 bits."""
        return crc32(b"%d,%d,%d,%b" % (self.ms, self.n, self.bodies, self.node_id.encode()))
