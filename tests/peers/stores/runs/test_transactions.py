"""Transactions: all or nothing, one at a time, and only while the store is open."""

from __future__ import annotations

import pytest

from peers.stores.store import StoreError
from tests.support.run_house import CheckedStore, Writer, event, put, types


def test_transactions_do_not_nest(store: CheckedStore) -> None:
    with store.transaction(), pytest.raises(RuntimeError, match="do not nest"), store.transaction():
        pass


def test_what_an_append_refused_is_taken_back_though_the_transaction_goes_on(store: CheckedStore, anna: Writer) -> None:
    put(store, anna, event(1))

    with store.transaction():
        store.append([event(2)], anna.pen)
        with pytest.raises(ValueError, match="differs"):
            store.append([event(3), event(1, "differs")], anna.pen)
        store.append([event(4)], anna.pen)

    assert [each.created[0] for each in store.each()] == [1, 2, 4]
    assert [end.seq for end in store.ends().values()] == [3]


def test_a_closed_store_says_so(store: CheckedStore, anna: Writer) -> None:
    store.close()
    store.close()

    for use in (store.each, lambda: store.find((1, "a", 0)), store.aside, lambda: put(store, anna, event(1))):
        with pytest.raises(StoreError, match="open"):
            use()
    store.open()


def test_closing_in_a_transaction_takes_it_back(store: CheckedStore, anna: Writer) -> None:
    put(store, anna, event(1))

    with pytest.raises(StoreError), store.transaction():
        store.append([event(2, "b")], anna.pen)
        store.close()

    assert store.open().events == 1
    assert types(store.each()) == ["a"]
