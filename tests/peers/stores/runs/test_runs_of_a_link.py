"""What a link asks of every store of runs: where runs begin, where an entry stands, and to leave an epoch."""

from __future__ import annotations

from peers.events.epoch import NO_HEAD
from peers.events.run import RUN_ENTRIES
from tests.support.run_house import CheckedStore, Writer, event, own_epoch, put


def test_where_runs_begin_and_the_head_before_is_said_the_last_run_first(store: CheckedStore, anna: Writer) -> None:
    put(store, anna, *[event(ms) for ms in range(1, 2 * RUN_ENTRIES + 2)])
    epoch = own_epoch(store)
    second, third = RUN_ENTRIES + 1, 2 * RUN_ENTRIES + 1
    begins = [(third, store.head(epoch, third - 1)), (second, store.head(epoch, second - 1)), (1, NO_HEAD)]

    assert store.begins(epoch, third + 1, 9) == begins
    assert store.begins(epoch, third, 9) == begins[1:]
    assert store.begins(epoch, third + 1, 2) == begins[:2]
    assert store.begins("0" * 32, 5, 9) == []


def test_the_position_of_an_entry_is_known(store: CheckedStore, anna: Writer) -> None:
    put(store, anna, event(1), event(2))
    first = own_epoch(store)
    store.close()
    store.open()
    put(store, anna, event(3))

    assert [store.position((first, seq)) for seq in (1, 2, 3)] == [1, 2, None]
    assert store.position((own_epoch(store), 1)) == 3
    assert store.position(("0" * 32, 1)) is None


def test_an_epoch_that_is_left_is_not_written_in_again(store: CheckedStore, anna: Writer) -> None:
    put(store, anna, event(1))
    first = own_epoch(store)

    with store.transaction():
        store.leave("0" * 32)
    assert store.state.epoch == first
    with store.transaction():
        taken = store.leave(first)

    assert (taken.ends, store.state.epoch) == ({}, None)
    put(store, anna, event(2))
    assert own_epoch(store) != first
    birth = store.birth(own_epoch(store))
    assert birth is not None
    assert birth.parent.epoch == first
