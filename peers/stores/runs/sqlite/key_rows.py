"""The table `keys` of a store's file: what is kept of adds with keys."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from peers.events.dot import Epoch
from peers.stores.runs.sqlite.nodes import Nodes
from peers.stores.sqlite.many import ManyRows
from peers.stores.store import MAX_ADD_KEYS, KeyRow

_INSERT = ManyRows("INSERT INTO keys (key, event, ms, node, n, time, added, epoch, seq)", 9)
_FORGET = "DELETE FROM keys WHERE number <= (SELECT max(number) FROM keys) - ?"
KEY_COLUMNS = "key, event, ms, node, n, time, added, epoch, seq"


def key_row(row: Sequence[Any], nodes: Nodes, name_of: Callable[[int], Epoch]) -> KeyRow:
    """What a row of KEY_COLUMNS says."""
    key, event, ms, node, n, time, added, epoch, seq = row
    return KeyRow(key, event, (ms, nodes.name(node), n), ms if time is None else time, added, (name_of(epoch), seq))


def insert_keys(
    connection: sqlite3.Connection, rows: Iterable[KeyRow], nodes: Nodes, number_of: Callable[[Epoch], int]
) -> None:
    """Add rows with new keys, and delete those that are too many: the numbers follow each other."""
    values: list[Any] = []
    for key, event, (ms, node, n), time, added, (epoch, seq) in rows:
        values += (key, event, ms, nodes.numbered(node), n, None if time == ms else time, added, number_of(epoch), seq)
    _INSERT.write(connection, values)
    connection.execute(_FORGET, (MAX_ADD_KEYS,))
