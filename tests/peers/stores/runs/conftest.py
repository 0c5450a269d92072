"""Each store of runs, for the contract that all keep."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from peers.stores.runs.memory import MemoryRunStore
from tests.support.run_house import CheckedStore, Writer, check


@pytest.fixture(params=["memory"])
def make(request: pytest.FixtureRequest) -> Callable[[], CheckedStore]:
    """Makes a store that is not opened yet."""
    return MemoryRunStore


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
