"""What every store of runs does with own events."""

from __future__ import annotations

import pytest

from peers.events.epoch import NO_HEAD, Parent
from peers.events.leaf import leaf_of
from peers.events.run import FURTHER, OWN, RUN_BYTES, RUN_ENTRIES, RunHash
from peers.events.signature import is_signed
from peers.stores.taken import Change
from tests.support.run_house import (
    CheckedStore,
    Writer,
    clean,
    event,
    fresh,
    own_epoch,
    piece_of,
    put,
    send,
    take,
    types,
)


def test_own_events_are_entries_of_an_epoch_of_this_opening(store: CheckedStore, anna: Writer) -> None:
    assert store.state.epoch is None

    taken = put(store, anna, event(5), event(3, "b"))

    epoch = own_epoch(store)
    assert [(each.added, each.position, each.dot) for each in taken.shown] == [(1, 1, (epoch, 1)), (2, 2, (epoch, 2))]
    assert taken.results == taken.shown
    assert taken.changes == (Change(1, (epoch, 1), 2),) == store.changes(0, 10)
    assert taken.ends == store.ends()
    assert store.ends()[epoch].seq == 2
    assert (store.state.last_added, store.state.last_position, store.state.events) == (2, 2, 2)
    assert types(store.each()) == ["b", "a"]


def test_an_own_epoch_names_the_one_before_it(store: CheckedStore, anna: Writer) -> None:
    put(store, anna, event(1))
    first = own_epoch(store)
    store.close()
    store.open()
    assert store.state.epoch is None

    put(store, anna, event(2))

    second = own_epoch(store)
    births = [store.birth(epoch) for epoch in (first, second)]
    assert [birth.parent for birth in births if birth] == [Parent(), Parent(first, 1, store.head(first, 1) or b"")]
    assert [birth.key for birth in births if birth] == [anna.signer.public] * 2
    assert store.newest(5) == [second]
    assert store.newest_of(anna.signer.public) == second


def test_a_commit_signs_its_last_head(store: CheckedStore, anna: Writer) -> None:
    events = [event(1), event(2), event(3)]
    put(store, anna, *events[:2])
    put(store, anna, events[2])

    epoch = own_epoch(store)
    run = RunHash(epoch, 1)
    run.add([OWN] * 3, [leaf_of(each.created, each.time, each.extra, each.body) for each in events])
    piece = piece_of(store, epoch)
    assert (piece.head, piece.first, piece.start, piece.last) == (run.head, 1, 1, 3)
    assert is_signed(anna.signer.public, epoch, 3, piece.head, piece.signature)
    assert store.signature(epoch) == (3, piece.signature)
    assert store.head(epoch, 0) == NO_HEAD
    assert store.head(epoch, 4) is None


def test_a_run_has_at_most_500_entries_and_each_end_is_signed(store: CheckedStore, anna: Writer) -> None:
    put(store, anna, *[event(ms) for ms in range(1, RUN_ENTRIES)])
    put(store, anna, *[event(ms) for ms in range(RUN_ENTRIES, 2 * RUN_ENTRIES + 2)])

    epoch = own_epoch(store)
    blocks = store.blocks(epoch)
    assert [(block.first, block.last) for block in blocks] == [(1001, 1001), (501, 1000), (1, 500)]
    birth = store.birth(epoch)
    assert birth is not None
    assert all(block.is_genuine(birth) for block in blocks)
    assert [store.head(epoch, block.last) for block in blocks] == [block.head(epoch) for block in blocks]
    assert [block.first for block in store.blocks(epoch, before=1001, limit=1)] == [501]
    assert [piece_of(store, epoch, start).last for start in (1, 77, 500, 501, 1001)] == [500, 500, 500, 1000, 1001]


def test_a_run_has_at_most_256_kib_of_events_or_one_entry(store: CheckedStore, anna: Writer) -> None:
    half = event(1, "x" * (RUN_BYTES // 2))
    large = [half, event(2, "y" * (RUN_BYTES // 2)), event(3), event(4, "z" * (RUN_BYTES - 20)), event(5)]
    for each in large:
        put(store, anna, each)

    assert [block.first for block in store.blocks(own_epoch(store))] == [5, 4, 2, 1]


def test_a_repeated_own_event_is_ignored(store: CheckedStore, anna: Writer) -> None:
    assert put(store, anna, event(1), event(1)).results[1] is None

    taken = put(store, anna, event(1), event(2))

    assert taken.results[0] is None
    assert [(each.added, each.dot) for each in taken.shown] == [(2, (own_epoch(store), 2))]


def test_an_own_event_that_differs_from_the_known_one_is_an_error(store: CheckedStore, anna: Writer) -> None:
    put(store, anna, event(1))

    with store.transaction(), pytest.raises(ValueError, match="is known and differs"):
        store.append([event(7), event(1, "other")], anna.pen)
    assert types(store.each()) == ["a"]

    taken = put(store, anna, event(7), event(1, "other"), event(8), is_each_alone=True)
    assert isinstance(taken.results[1], ValueError)
    assert [each.created[0] for each in taken.shown] == [7, 8]


def test_what_an_undone_transaction_wrote_is_gone(store: CheckedStore, anna: Writer, bert: Writer) -> None:
    put(store, anna, event(1))
    source, _ = fresh(bert, event(5), event(6))
    before = store.state, store.ends(), store.changes(0, 9), store.each()

    with pytest.raises(KeyError), store.transaction():
        store.append([event(2)], anna.pen)
        send_inside(source, store)
        store.clean([(1, "kitchen", 0)])
        raise KeyError

    assert (store.state, store.ends(), store.changes(0, 9), store.each()) == before
    put(store, anna, event(3))
    assert store.ends()[own_epoch(store)].seq == 2


def send_inside(source: CheckedStore, target: CheckedStore) -> None:
    for epoch in source.ends():
        target.take([piece_of(source, epoch)])


def test_writes_outside_of_a_transaction_are_refused(store: CheckedStore, anna: Writer) -> None:
    with pytest.raises(RuntimeError):
        store.append([event(1)], anna.pen)


def test_the_clock_rises_with_what_is_written_and_taken(store: CheckedStore, anna: Writer) -> None:
    with store.transaction():
        store.append([event(1)], anna.pen, clock_ms=70)
        store.take([], clock_ms=60)
    assert store.state.clock_ms == 70


def test_an_event_of_another_that_is_offered_here_too_gets_a_further_entry(
    store: CheckedStore, anna: Writer, bert: Writer
) -> None:
    source, theirs = fresh(bert, event(1), event(2))
    send(source, store)
    clean(store, (2, "kitchen", 0))

    with store.transaction():
        taken = store.offer_further([(1, "kitchen", 0), (2, "kitchen", 0), (3, "kitchen", 0)], anna.pen)

    epoch = own_epoch(store)
    assert (taken.changes, taken.shown) == ((Change(3, (epoch, 1)),), ())
    assert piece_of(store, epoch).kinds == bytes([FURTHER])
    found = store.find((1, "kitchen", 0))
    assert found is not None and found.dot == (theirs, 1)
    assert [dot for dot, _ in store.events_at([(theirs, 1), (theirs, 2), (epoch, 1)])] == [(theirs, 1), (epoch, 1)]
    assert take(source, piece_of(store, epoch)).shown == ()
    assert source.state.events == 2


def test_keep_last_of_an_own_event_cleans_the_older_ones(store: CheckedStore, anna: Writer) -> None:
    last = b'{"keep_last":"r"}'
    put(store, anna, event(1, extra=last))

    taken = put(store, anna, event(2, extra=last), event(3))

    assert [each.created[0] for each in taken.cleaning.cleaned] == [1]
    assert taken.cleaning.dropped == (1,)
    assert [each.created[0] for each in store.each()] == [2, 3]
    late = put(store, anna, event(1, "b", node="kitchen:z", extra=last))
    assert [late.shown, len(late.cleaning.cleaned)] == [(), 1]


def test_a_change_of_meta_is_no_part_of_the_leaf(store: CheckedStore, anna: Writer) -> None:
    put(store, anna, event(1, extra=b'{"k":1}'))
    piece = piece_of(store, own_epoch(store))

    with store.transaction():
        cleaning = store.change_meta((1, "kitchen", 0), b'{"k":2}')

    assert cleaning is not None and [(each.meta["k"], each.position) for each in cleaning.altered] == [(2, 1)]
    assert piece_of(store, own_epoch(store)).leaves == piece.leaves
