"""Each store of runs, for the contract that all keep."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pytest

from peers.stores.runs.memory import MemoryRunStore
from peers.stores.runs.sqlite.store import SqliteRunStore
from tests.support.run_house import CheckedStore, Writer, check


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
