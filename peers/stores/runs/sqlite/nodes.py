"""The numbers that stand for node ids in a store's file."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

from peers.stores.sqlite.layout import damaged

KNOWN = 4_000
"""Nodes whose numbers are kept in memory."""


class Nodes:
    """The table `nodes`, of which only what is asked for is read."""

    def __init__(self, execute: Callable[..., sqlite3.Cursor], path: Path) -> None:
        self._execute = execute
        self._path = path
        self._numbers: dict[str, int] = {}
        self._names: dict[int, str] = {}

    def forget(self) -> None:
        """The file is another one, or what was written last was taken back."""
        self._numbers.clear()
        self._names.clear()

    def number(self, name: str) -> int | None:
        """That of a node, None if it has none."""
        number = self._numbers.get(name)
        if number is None:
            row = self._execute("SELECT number FROM nodes WHERE name = ?", (name,)).fetchone()
            if row is None:
                return None
            number = self._keep(row[0], name)
        return number

    def numbered(self, name: str) -> int:
        """That of a node, which gets one if it has none."""
        number = self.number(name)
        if number is None:
            self._execute("INSERT INTO nodes (name) VALUES (?)", (name,))
            (number,) = self._execute("SELECT number FROM nodes WHERE name = ?", (name,)).fetchone()
            self._keep(number, name)
        return number

    def name(self, number: int) -> str:
        """The node with this number. Raises StoreError (damage) if there is none."""
        name = self._names.get(number)
        if name is None:
            row = self._execute("SELECT name FROM nodes WHERE number = ?", (number,)).fetchone()
            if row is None:
                raise damaged(self._path, f"the node with the number {number} has no name")
            name = row[0]
            self._keep(number, name)
        return name

    def _keep(self, number: int, name: str) -> int:
        if len(self._numbers) >= KNOWN:
            self.forget()
        self._numbers[name] = number
        self._names[number] = name
        return number
