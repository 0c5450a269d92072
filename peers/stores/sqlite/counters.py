"""The numbers of a store in its file: facts, and what it has of each epoch."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from peers.events.version_vector import Epoch, VersionVector
from peers.stores.event_rows import EventNumbers
from peers.stores.rows import Numbers
from peers.stores.sqlite.file import explain
from peers.stores.sqlite.layout import damaged
from peers.stores.sqlite.many import ManyRows

_FACTS = ("last_added", "last_position", "events", "clock_ms", "conflicts")
_SAVE_FACTS = ManyRows(
    "INSERT INTO facts (key, value)",
    2,
    "ON CONFLICT (key) DO UPDATE SET value = excluded.value",
    sizes=range(8, 0, -1),
)
_SAVE_EPOCHS = ManyRows(
    "INSERT INTO epochs (id, epoch, highest, is_cut, ranges)",
    5,
    "ON CONFLICT (id) DO UPDATE SET highest = excluded.highest, is_cut = excluded.is_cut, ranges = excluded.ranges",
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


def load_numbers(connection: sqlite3.Connection, path: Path) -> tuple[Numbers, list[Epoch]]:
    """The numbers in a file, and its epochs: the one with the id i + 1 at i. Raises StoreError if they are unreadable."""
    try:
        facts = load_facts(connection)
        rows = connection.execute("SELECT epoch, highest, is_cut, ranges, id FROM epochs ORDER BY id").fetchall()
        vector = VersionVector({epoch: json.loads(ranges) for epoch, _, _, ranges, _ in rows})
        if [row[-1] for row in rows] != list(range(1, len(rows) + 1)):
            raise ValueError("an epoch is missing")
    except sqlite3.Error as error:
        raise explain(path, error) from error
    except (ValueError, TypeError) as error:
        raise damaged(path, f"its numbers are unreadable ({error})") from error
    numbers = Numbers(
        **{key: facts.get(key, 0) for key in _FACTS},
        vector=vector,
        highest={epoch: highest for epoch, highest, _, _, _ in rows},
    )
    numbers.heed_known()
    numbers.cut = frozenset(epoch for epoch, _, is_cut, _, _ in rows if is_cut or numbers.is_renewed(epoch))
    return numbers, [epoch for epoch, *_ in rows]


def save_numbers(
    connection: sqlite3.Connection, before: Numbers, now: Numbers, touched: Sequence[tuple[int, Epoch]]
) -> None:
    """Write what changed; `touched` are the epochs that may have changed, with their ids."""
    save_facts(connection, _FACTS, before, now)
    ranges, old_ranges = now.vector.ranges, before.vector.ranges
    epochs: list[int | str] = []
    for number, epoch in touched:
        state = now.highest[epoch], epoch in now.cut, ranges.get(epoch, ())
        if state != (before.highest.get(epoch), epoch in before.cut, old_ranges.get(epoch, ())):
            highest, is_cut, held = state
            epochs += (number, epoch, highest, is_cut, json.dumps(held))
    _SAVE_EPOCHS.write(connection, epochs)
