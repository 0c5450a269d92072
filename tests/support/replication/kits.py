"""Which stores a story uses: how to make one, and a copy of what it has on its disk and in memory."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import is_dataclass
from pathlib import Path
from typing import Any, Protocol

from peers.stores.run_store import RunStore
from peers.stores.runs.memory import MemoryRunStore
from peers.stores.runs.sqlite.store import SqliteRunStore


class Kit(Protocol):
    """Makes stores."""

    can_go_on: bool
    """Whether the copy of an open store is open, and goes on in the same epoch."""

    def new(self) -> RunStore: ...

    def copy(self, store: RunStore) -> RunStore:
        """One with the same content, and open if that is possible."""


class MemoryKit:
    """Stores in memory."""

    can_go_on = True

    def new(self) -> RunStore:
        return MemoryRunStore()

    def copy(self, store: RunStore) -> RunStore:
        twin = MemoryRunStore()
        vars(twin).update({name: copied(value) for name, value in vars(store).items()})
        return twin


class SqliteKit:
    """Stores in files of a folder."""

    can_go_on = False

    def __init__(self, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        self._folder = folder
        self._paths: dict[int, Path] = {}
        self._stores: list[SqliteRunStore] = []

    def new(self) -> RunStore:
        return self._at(self._folder / f"{len(self._stores)}.sqlite")

    def copy(self, store: RunStore) -> RunStore:
        path = self._paths[id(store)]
        twin = self._folder / f"{len(self._stores)}.sqlite"
        source, target = sqlite3.connect(path), sqlite3.connect(twin)
        with closing(source), closing(target):
            source.backup(target)
        return self._at(twin)

    def close(self) -> None:
        for store in self._stores:
            store.close()

    def _at(self, path: Path) -> RunStore:
        store = SqliteRunStore(path, synchronous="OFF")
        self._stores.append(store)
        self._paths[id(store)] = path
        return store


def copied(value: Any) -> Any:
    """Containers and what they contain, as far as it can be changed in place."""
    if isinstance(value, dict):
        return {key: copied(each) for key, each in value.items()}
    if isinstance(value, list):
        return [copied(each) for each in value]
    if isinstance(value, set):
        return set(value)
    if is_dataclass(value) and not value.__dataclass_params__.frozen:  # type: ignore[attr-defined]
        return type(value)(**{name: copied(getattr(value, name)) for name in value.__dataclass_fields__})
    return value
