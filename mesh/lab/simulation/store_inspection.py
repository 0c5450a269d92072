"""What the lab looks up on a disk beyond the port of a store, the same for every kind of store."""

from __future__ import annotations

import sqlite3
from abc import ABC, abstractmethod
from collections.abc import Iterator
from hashlib import sha256
from typing import NamedTuple

from peers.events.created import Created, created_from_key
from peers.events.version_vector import Dot
from peers.stores.memory import MemoryStore
from peers.stores.rows import Numbers
from peers.stores.sqlite.store import SqliteStore
from peers.stores.store import Store

LabStore = MemoryStore | SqliteStore
"""What a room's disk may be."""


class Copy(NamedTuple):
    """A copy of an event on a disk: shown, cleaned or kept aside."""

    created: Created
    digest: bytes
    """SHA-256 of the event; empty if it was cleaned."""


class Inspected(ABC):
    """A look at a store from outside: committed or not, whatever is in it."""

    def __init__(self, store: LabStore) -> None:
        self._rows = store

    @property
    def numbers(self) -> Numbers:
        return self._rows._numbers

    def holds(self, created: Created) -> bool:
        """Whether it has the event: shown, cleaned or aside."""
        return self._rows._shown(created) is not None or bool(self._rows._aside_of(created))

    @abstractmethod
    def copies(self) -> Iterator[Copy]:
        """All copies of all events."""

    @abstractmethod
    def cleaned(self) -> Iterator[Created]:
        """The events that were cleaned."""

    @abstractmethod
    def dots(self) -> Iterator[Dot]:
        """All dots that stand for an event."""

    @abstractmethod
    def cursors(self) -> Iterator[tuple[str, tuple[int, int]]]:
        """(name, (synced, other_synced)) of all who have cursors."""

    @abstractmethod
    def writes(self) -> int:
        """A number that changes with each write of a transaction."""


class _InMemory(Inspected):
    def __init__(self, store: MemoryStore) -> None:
        super().__init__(store)
        self._store = store

    def copies(self) -> Iterator[Copy]:
        for created, entry in self._store._events.items():
            yield Copy(created, b"" if entry.tombstone else entry.digest)
        for created, claims in self._store._claims.items():
            for _, claim in claims:
                yield Copy(created, b"" if claim.tombstone else claim.digest)

    def cleaned(self) -> Iterator[Created]:
        return (created for created, entry in self._store._events.items() if entry.tombstone)

    def dots(self) -> Iterator[Dot]:
        return iter(self._store._dots)

    def cursors(self) -> Iterator[tuple[str, tuple[int, int]]]:
        return iter(self._store._cursors.items())

    def writes(self) -> int:
        return len(self._store._undo or ())


class _InFile(Inspected):
    def __init__(self, store: SqliteStore) -> None:
        super().__init__(store)
        self._store = store

    def copies(self) -> Iterator[Copy]:
        of_events = "SELECT created, body, tombstone FROM changes WHERE added IS NOT NULL"
        of_claims = "SELECT created, body, tombstone FROM aside"
        for key, body, tombstone in self._connection.execute(f"{of_events} UNION ALL {of_claims}"):
            yield Copy(created_from_key(key), b"" if tombstone else sha256(body).digest())

    def cleaned(self) -> Iterator[Created]:
        rows = self._connection.execute("SELECT created FROM changes WHERE added IS NOT NULL AND tombstone IS NOT NULL")
        return (created_from_key(key) for (key,) in rows)

    def dots(self) -> Iterator[Dot]:
        epochs = self._store._epochs
        rows = self._connection.execute("SELECT epoch, seq FROM changes WHERE epoch IS NOT NULL")
        return ((epochs[epoch - 1], seq) for epoch, seq in rows)

    def cursors(self) -> Iterator[tuple[str, tuple[int, int]]]:
        rows = self._connection.execute("SELECT other_node_id, synced, other_synced FROM cursors ORDER BY number")
        return ((name, (synced, other_synced)) for name, synced, other_synced in rows)

    def writes(self) -> int:
        return self._connection.total_changes

    @property
    def _connection(self) -> sqlite3.Connection:
        return self._store._opened()


def inspected(store: Store) -> Inspected:
    """A look at it. Raises TypeError for a kind of store that the lab does not know."""
    if isinstance(store, MemoryStore):
        return _InMemory(store)
    if isinstance(store, SqliteStore):
        return _InFile(store)
    raise TypeError(f"the lab cannot look into a {type(store).__name__}: it knows MemoryStore and SqliteStore")
