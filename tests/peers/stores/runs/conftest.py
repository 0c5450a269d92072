"""Each store of runs, for the contract that all keep."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pytest

from peers.stores.runs.memory import MemoryRunStore
from peers.stores.runs.sqlite.store import SqliteRunStore
from tests.support.disk_of_key import DiskOfKey, enter, learn
from tests.support.mesh_of_keys import MeshOfKeys
from tests.support.run_house import CheckedStore, Writer, check, event


@pytest.fixture(params=["memory", "sqlite"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], CheckedStore]:
    """Makes a store that is not opened yet."""
    numbers = count(1)
    makers: dict[str, Callable[[], CheckedStore]] = {
        "memory": MemoryRunStore,
        "sqlite": lambda: SqliteRunStore(tmp_path / f"{next(numbers)}.db", synchronous="OFF"),
    }
    return makers[request.param]


@pytest.fixture
def store(make: Callable[[], CheckedStore]) -> Iterator[CheckedStore]:
    store = make()
    store.open()
    yield store
    check(store)
    store.close()


@pytest.fixture
def anna() -> Writer:
    return Writer(1)


@pytest.fixture
def bert() -> Writer:
    return Writer(2)


@pytest.fixture
def mesh() -> MeshOfKeys:
    return MeshOfKeys()


@pytest.fixture
def dora() -> DiskOfKey:
    """Two epochs: of three events, and of two."""
    dora = DiskOfKey("dora")
    dora.write(event(1, "1.1"), event(2, "1.2"), event(3, "1.3"))
    dora.write(event(4, "2.1"), event(5, "2.2"), is_new_epoch=True)
    return dora


@pytest.fixture
def home(store: CheckedStore, mesh: MeshOfKeys) -> CheckedStore:
    """A store of a mesh in which anna is an admin, and dora and emil are nodes."""
    enter(store, mesh)
    learn(store, mesh.found(), mesh.admin("anna"), mesh.node("dora", by="anna"), mesh.node("emil", by="anna"))
    return store
