"""Which stores a story uses: how to make one, and a copy of what it has on its disk and in memory."""

from __future__ import annotations

from dataclasses import is_dataclass
from typing import Any, Protocol

from peers.stores.runs.memory import MemoryRunStore

from peers.stores.run_store import RunStore


class Kit(Protocol):
    """Makes stores."""

    def new(self) -> RunStore: ...

    def copy(self, store: RunStore) -> RunStore:
        """One that goes on as the other would. Nothing is written in between."""


class MemoryKit:
    """Stores in memory."""

    def new(self) -> RunStore:
        return MemoryRunStore()

    def copy(self, store: RunStore) -> RunStore:
        twin = MemoryRunStore()
        vars(twin).update({name: copied(value) for name, value in vars(store).items()})
        return twin


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
