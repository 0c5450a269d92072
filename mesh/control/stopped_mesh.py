"""StoppedMesh: what ControlClient does with the mesh of a node, for a home in which none runs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from time import time_ns

from mesh.control.mesh_texts import MeshTexts, read_texts
from mesh.control.messages import CutTip
from mesh.errors import MeshError
from mesh.settings.home import Home, read_signer
from mesh.trust.certificates import mesh_key_of
from mesh.trust.ending import leave_by
from mesh.trust.founding import log_of
from peers.facts.fact import checked_fact
from peers.stores.runs.sqlite.store import SqliteRunStore


class StoppedMesh:
    """Other members hear of what is stated here when the node runs, and is connected to them."""

    def __init__(self, home: Home, mesh_key: bytes, store: SqliteRunStore) -> None:
        self._home, self._mesh_key, self._store = home, mesh_key, store

    def texts(self) -> MeshTexts:
        """As in ControlClient."""
        return read_texts(self._store)

    def cut(self, key: bytes) -> Sequence[CutTip]:
        """How far this home holds what a key has written."""
        return self._store.tips(key)

    def state(self, facts: list[bytes]) -> None:
        """Take facts into the log. Raises MeshError."""
        with self._store.transaction():
            taken = self._store.learn([checked_fact(fact) for fact in facts])
            if len(taken.facts) < len(facts):
                raise MeshError("this log does not take it: its signer has stated as many facts as one may")

    def leave(self) -> int:
        """State that this node leaves; none has heard it."""
        with self._store.transaction():
            leave_by(self._home.signer, self._store, self._mesh_key, time_ns() // 1_000_000)
        return 0


@contextmanager
def stopped_mesh(path: Path) -> Iterator[StoppedMesh]:
    """The mesh of a home, which no node can use meanwhile. Raises MeshError for a home in no mesh, or one that is in use."""
    mesh_key = mesh_key_of(path, read_signer(path).public)
    if not mesh_key:
        raise MeshError(f"the home {path} is in no mesh yet: `mesh found` makes one")
    home = Home(path)
    try:
        with log_of(home, mesh_key, "nothing was changed") as store:
            yield StoppedMesh(home, mesh_key, store)
    finally:
        home.close()
