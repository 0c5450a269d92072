"""One contract for stores of runs: own entries, pieces of others, leaves without events."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from peers.events.epoch import Parent
from peers.stores.run_store import Change
from peers.stores.runs.memory import MemoryRunStore
from tests.support.run_house import CheckedStore, Writer, check, event, own_epoch, put


@pytest.fixture(params=["memory"])
def store(request: pytest.FixtureRequest) -> Iterator[CheckedStore]:
    store = MemoryRunStore()
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


def test_own_events_are_entries_of_an_epoch_of_this_opening(store: CheckedStore, anna: Writer) -> None:
    assert store.state.epoch is None

    taken = put(store, anna, event(5), event(3, "b"))

    epoch = own_epoch(store)
    assert [(each.added, each.position, each.dot) for each in taken.shown] == [(1, 1, (epoch, 1)), (2, 2, (epoch, 2))]
    assert taken.results == taken.shown
    assert taken.changes == (Change(1, (epoch, 1), 2),)
    birth = store.birth(epoch)
    assert birth is not None
    assert (birth.key, birth.parent) == (anna.signer.public, Parent())
    assert taken.ends == store.ends()
    assert store.ends()[epoch].seq == 2
    assert (store.state.last_added, store.state.last_position, store.state.events) == (2, 2, 2)
    assert store.signature(epoch)[0] == 2
