"""The numbers of a store in its file."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any

from peers.stores.event_rows import EventNumbers
from peers.stores.sqlite.many import ManyRows

_SAVE_FACTS = ManyRows(
    "INSERT INTO facts (key, value)",
    2,
    "ON CONFLICT (key) DO UPDATE SET value = excluded.value",
    sizes=range(8, 0, -1),
)


def load_facts(connection: sqlite3.Connection) -> dict[str, Any]:
    """All facts of a file. Raises ValueError if one is no number."""
    facts = dict(connection.execute("SELECT key, value FROM facts").fetchall())
    odd = [key for key, value in facts.items() if not isinstance(value, int) or value < 0]
    if odd:
        raise ValueError(f"the fact {odd[0]} is no number")
    return facts


def save_facts(connection: sqlite3.Connection, keys: Sequence[str], before: EventNumbers, now: EventNumbers) -> None:
    """Write those of these numbers that changed."""
    facts = [(key, value) for key in keys if (value := getattr(now, key)) != getattr(before, key)]
    _SAVE_FACTS.write(connection, [part for fact in facts for part in fact])
