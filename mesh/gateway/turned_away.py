"""TurnedAway: who was refused at the ports of a node, and why: rows for `status`, and lines for people."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from mesh.gateway.clients.access import MAX_SHOWN_CHARACTERS
from peers.clock import Clock
from peers.transport.address import address_key

MAX_REFUSED_ROWS = 50
"""Limit of remembered rows; a further one replaces the row that was refused longest ago."""


@dataclass
class _Row:
    count: int = 0
    last_ms: int = 0


class TurnedAway:
    """Set `tell`, which gets a line for each refusal: clients try again every few seconds, and it must not show all of them."""

    def __init__(self, clock: Clock) -> None:
        self.tell: Callable[[str], None] = lambda _line: None
        self.counts: Counter[str] = Counter()
        """All refusals, by port; of those at none of ours by the name of the line."""
        self._clock = clock
        self._rows: dict[tuple[str, str, str, str], _Row] = {}
        """By port, address, name and reason; the newest last."""

    def note(self, door: str, address: str, name: str, why: str) -> None:
        """A connection from `address` was refused at `door`; `name` is the node id that it claimed, empty without one."""
        self.counts[door] += 1
        shown = name if len(name) <= MAX_SHOWN_CHARACTERS else f"{name[:MAX_SHOWN_CHARACTERS]}..."
        key = (door, address_key(address), shown, why)
        row = self._rows.pop(key, None) or _Row()
        self._rows[key] = row
        while len(self._rows) > MAX_REFUSED_ROWS:
            del self._rows[next(iter(self._rows))]
        row.count += 1
        row.last_ms = self._clock.now_ms()
        self.tell(f"refused at {door}: {shown or 'a client'} from {address_key(address)}: {why}")

    def rows(self) -> list[dict[str, Any]]:
        """The rows of `status`, the newest first; `last` in ms of the wall clock."""
        return [
            {"at": door, "address": address, "name": name or None, "why": why, "count": row.count, "last": row.last_ms}
            for (door, address, name, why), row in reversed(self._rows.items())
        ]
