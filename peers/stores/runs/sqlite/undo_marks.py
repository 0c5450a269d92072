"""The marks of undone events in a store's file; and how marks are made for what a release without them has written."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any

from peers.events.created import Created, created_from_key, created_key
from peers.stores.runs.sqlite.layout import EXCHANGED, SHOWN
from peers.stores.runs.undoing import UndoTable
from peers.stores.sqlite.many import FEW, LOOKUP, ManyRows
from peers.stores.undo import MAY_UNDO

_MARKS = ManyRows("INSERT OR IGNORE INTO undo_marks (undo, target)", 2)
_LIKELY = " OR ".join(f"instr(body, CAST('{each.decode()}' AS BLOB))" for each in MAY_UNDO)
_LIKELY_BETWEEN = f"""
    SELECT position FROM events
    WHERE position > ? AND position <= ? AND (state = {EXCHANGED} OR (state = {SHOWN} AND ({_LIKELY}))) ORDER BY position
"""


class UndoMarks(UndoTable):
    """The table `undo_marks`."""

    def __init__(self, execute: Callable[..., sqlite3.Cursor], opened: Callable[[], sqlite3.Connection]) -> None:
        self._execute = execute
        self._opened = opened

    def by(self, undos: Collection[Created]) -> dict[Created, Created]:
        rows = self._found("SELECT undo, target FROM undo_marks WHERE undo IN", undos)
        return {created_from_key(undo): created_from_key(target) for undo, target in rows}

    def marked(self, targets: Collection[Created]) -> set[Created]:
        rows = self._found("SELECT DISTINCT target FROM undo_marks WHERE target IN", targets)
        return {created_from_key(target) for (target,) in rows}

    def are_any(self) -> bool:
        return self._execute("SELECT 1 FROM undo_marks LIMIT 1").fetchone() is not None

    def put(self, marks: Mapping[Created, Created]) -> None:
        _MARKS.write(self._opened(), [created_key(each) for mark in marks.items() for each in mark])

    def remove(self, undos: Collection[Created]) -> None:
        for undo in undos:
            self._execute("DELETE FROM undo_marks WHERE undo = ?", (created_key(undo),))

    def likely(self, after: int, last: int) -> list[int]:
        """The positions, after `after` and up to `last`, of copies that are shown and may be a `logux/undo`, or replace one."""
        return [position for (position,) in self._execute(_LIKELY_BETWEEN, (after, last)).fetchall()]

    def _found(self, select: str, createds: Collection[Created]) -> Iterator[Any]:
        if not createds or not self.are_any():  # nearly always
            return
        keys = list(map(created_key, createds))
        for start in range(0, len(keys), LOOKUP):
            some: Sequence[bytes | None] = keys[start : start + LOOKUP]
            size = LOOKUP if len(some) > FEW else FEW
            values = [*some, *[None] * (size - len(some))]
            yield from self._execute(f"{select} ({', '.join('?' * size)})", values).fetchall()
