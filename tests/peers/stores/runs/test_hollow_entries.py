"""What every store of runs does with entries whose events did not come, and with events that were cleaned."""

from __future__ import annotations

from collections.abc import Callable

from msgspec import structs

from peers.stores.taken import Change
from tests.support.run_house import (
    CheckedStore,
    Writer,
    check,
    clean,
    event,
    fill,
    fresh,
    hollowed,
    leaf,
    own_epoch,
    piece_of,
    put,
    send,
    take,
    two_that_differ,
    types,
)


def test_an_entry_without_its_event_is_hollow_and_blocks_nothing(store: CheckedStore, bert: Writer) -> None:
    source, epoch = fresh(bert, event(1), event(2, "b"), event(3))

    taken = take(store, hollowed(piece_of(source, epoch), 2))

    assert taken.outcomes == ("taken",)
    assert taken.hollow == ((epoch, 2),) == tuple(store.hollow()) == tuple(store.hollow(epoch))
    assert [each.added for each in taken.shown] == [1, 2]
    assert taken.changes == (Change(1, (epoch, 1), 3),)
    assert store.ends() == source.ends()
    assert store.state.hollow == 1
    assert piece_of(store, epoch).items[1] == leaf(event(2, "b"))


def test_a_hollow_entry_that_gets_its_event_has_a_further_position_and_its_added(
    store: CheckedStore, bert: Writer
) -> None:
    source, epoch = fresh(bert, event(1), event(2, "b"), event(3))
    take(store, hollowed(piece_of(source, epoch), 2))

    taken = fill(source, store)

    assert taken.changes == (Change(4, (epoch, 2), is_fill=True),)
    assert [(each.added, each.position, each.dot) for each in taken.shown] == [(3, 4, (epoch, 2))]
    assert (taken.ends, taken.hollow, list(store.hollow()), store.state.hollow) == ({}, (), [], 0)
    assert store.changes(0, 9) == (Change(1, (epoch, 1), 3), Change(4, (epoch, 2), is_fill=True))
    assert types(store.each()) == ["a", "b", "a"]
    assert piece_of(store, epoch).leaves == piece_of(source, epoch).leaves


def test_a_fill_with_another_event_or_for_an_entry_that_waits_for_none_is_ignored(
    store: CheckedStore, bert: Writer
) -> None:
    source, epoch = fresh(bert, event(1), event(2))
    take(store, hollowed(piece_of(source, epoch), 2))
    before = store.state

    with store.transaction():
        taken = store.fill(
            [
                ((epoch, 2), event(2, "forged")),
                ((epoch, 1), event(1)),
                ((epoch, 9), event(2)),
                (("ab" * 16, 1), event(2)),
            ]
        )

    assert (taken.changes, taken.shown, store.state) == ((), (), before)


def test_an_event_that_comes_under_another_dot_fills_all_entries_that_wait_for_it(
    store: CheckedStore, anna: Writer, bert: Writer
) -> None:
    source, epoch = fresh(bert, event(1))
    other, further = fresh(anna, event(9))
    send(source, other)
    with other.transaction():
        other.offer_further([(1, "kitchen", 0)], anna.pen)
    take(store, hollowed(piece_of(source, epoch)))

    taken = take(store, piece_of(other, further))

    assert taken.changes == (Change(2, (further, 1), 2), Change(4, (epoch, 1), is_fill=True))
    assert (len(taken.shown), store.state.hollow, store.state.events) == (2, 0, 2)
    assert store.is_held((epoch, 1)) and store.is_held((further, 2))


def test_our_own_event_fills_the_entry_that_waits_for_it(store: CheckedStore, anna: Writer, bert: Writer) -> None:
    source, epoch = fresh(bert, event(1))
    take(store, hollowed(piece_of(source, epoch)))

    taken = put(store, anna, event(1), event(2))

    assert [each.dot for each in taken.shown] == [(own_epoch(store), 1), (own_epoch(store), 2)]
    assert taken.changes == (Change(2, (own_epoch(store), 1), 2), Change(4, (epoch, 1), is_fill=True))
    assert store.is_held((epoch, 1))


def test_a_leaf_whose_event_came_as_a_further_entry_is_held_at_once(
    store: CheckedStore, anna: Writer, bert: Writer
) -> None:
    source, epoch = fresh(bert, event(1))
    other, further = fresh(anna, event(9))
    send(source, other)
    with other.transaction():
        other.offer_further([(1, "kitchen", 0)], anna.pen)
    take(store, piece_of(other, further))

    taken = take(store, hollowed(piece_of(source, epoch)))

    assert (taken.hollow, store.state.hollow) == ((), 0)
    assert store.is_held((epoch, 1))


def test_a_refused_entry_is_covered_and_not_asked_for(store: CheckedStore, bert: Writer) -> None:
    source, epoch = fresh(bert, event(1), event(2))
    piece = structs.replace(hollowed(piece_of(source, epoch), 1), refused=frozenset([1]))

    taken = take(store, piece)

    assert (taken.hollow, list(store.hollow())) == ((), [])
    assert (store.state.refused, store.state.hollow) == (1, 0)
    assert store.ends() == source.ends()
    with store.transaction():
        store.fill([((epoch, 1), event(1))])
    assert (store.state.refused, len(store.each())) == (0, 2)


def test_a_cleaned_event_goes_as_its_leaf(store: CheckedStore, anna: Writer) -> None:
    put(store, anna, event(1), event(2, "b"))
    before = piece_of(store, own_epoch(store))

    clean(store, (2, "kitchen", 0))

    piece = piece_of(store, own_epoch(store))
    assert piece.items == (before.items[0], leaf(event(2, "b")))
    assert (piece.head, piece.leaves) == (before.head, before.leaves)
    assert [store.is_held((own_epoch(store), seq)) for seq in (1, 2)] == [True, False]
    assert (list(store.hollow()), store.state.hollow, store.state.events) == ([], 0, 1)


def test_a_cleaned_event_does_not_return_under_any_dot(store: CheckedStore, anna: Writer, bert: Writer) -> None:
    put(store, anna, event(1))
    clean(store, (1, "kitchen", 0))
    source, epoch = fresh(bert, event(1), event(2))

    taken = take(store, piece_of(source, epoch))

    assert [each.created[0] for each in taken.shown] == [2]
    assert put(store, anna, event(1)).shown == ()
    assert (store.find((1, "kitchen", 0)), store.state.events) == (None, 1)
    assert not store.is_held((epoch, 1))


def test_a_leaf_of_a_cleaned_event_is_not_wanted(store: CheckedStore, anna: Writer, bert: Writer) -> None:
    put(store, anna, event(1))
    clean(store, (1, "kitchen", 0))
    source, epoch = fresh(bert, event(1))

    taken = take(store, hollowed(piece_of(source, epoch)))

    assert (taken.hollow, store.state.hollow) == ((), 0)


def test_cleaning_takes_all_copies_and_what_waits_for_them(store: CheckedStore, anna: Writer, bert: Writer) -> None:
    winner, loser = two_that_differ()
    put(store, anna, winner, event(2))
    source, epoch = fresh(bert, loser)
    other, further = fresh(Writer(3), event(2))
    take(store, piece_of(source, epoch))
    take(store, hollowed(piece_of(other, further)))
    assert (store.state.conflicts, store.state.hollow) == (1, 1)

    clean(store, winner.created, (2, "kitchen", 0))

    assert (store.state.conflicts, store.state.hollow, store.state.events) == (0, 0, 0)
    assert (store.aside(), store.each(), list(store.hollow())) == ((), (), [])
    assert piece_of(store, epoch).leaves == [leaf(loser)]
    third, _ = fresh(Writer(4), event(1, "third"))
    assert send(third, store).shown == ()
    assert (store.each(), store.aside()) == ((), ())
    assert not any(change.is_fill for change in store.changes(0, 99))


def test_a_fill_goes_to_all_entries_that_wait_for_the_event(store: CheckedStore, anna: Writer, bert: Writer) -> None:
    sources = [fresh(anna, event(1)), fresh(bert, event(1))]
    for source, epoch in sources:
        take(store, hollowed(piece_of(source, epoch)))

    with store.transaction():
        taken = store.fill([((sources[1][1], 1), event(1))])

    assert [change.dot for change in taken.changes] == [(sources[1][1], 1), (sources[0][1], 1)]
    assert (len(taken.shown), store.state.hollow) == (1, 0)
    assert all(store.is_held((epoch, 1)) for _, epoch in sources)


def test_a_fill_of_another_copy_is_a_conflict_like_any(store: CheckedStore, anna: Writer, bert: Writer) -> None:
    winner, loser = two_that_differ()
    put(store, anna, loser)
    source, epoch = fresh(bert, winner)
    take(store, hollowed(piece_of(source, epoch)))

    taken = fill(source, store)

    assert taken.is_revised and taken.shown == ()
    assert [each.body for each in store.each()] == [winner.body]
    assert [each.body for each in store.aside()] == [loser.body]


def test_a_newcomer_to_a_log_of_which_half_was_cleaned_wants_that_half(store: CheckedStore, anna: Writer) -> None:
    source, epoch = fresh(anna, *[event(ms) for ms in range(1, 41)])
    clean(source, *[(ms, "kitchen", 0) for ms in range(1, 41, 2)])

    send(source, store)

    assert store.ends() == source.ends()
    assert list(store.hollow()) == [(epoch, seq) for seq in range(1, 41, 2)]
    assert fill(source, store).changes == ()
    before = store.state
    send(source, store)
    assert store.state == before


def test_keep_last_cleans_what_comes_late(store: CheckedStore, anna: Writer, bert: Writer) -> None:
    last = b'{"keep_last":"r"}'
    put(store, anna, event(5, extra=last))
    source, epoch = fresh(bert, event(1, extra=last))

    taken = take(store, piece_of(source, epoch))

    assert (taken.shown, [each.created[0] for each in taken.cleaning.cleaned]) == ((), [1])
    assert piece_of(store, epoch).items == (leaf(event(1, extra=last)),)


def test_many_fills_at_once_are_as_if_each_had_come_alone(
    make: Callable[[], CheckedStore], store: CheckedStore, anna: Writer, bert: Writer
) -> None:
    last = b'{"keep_last":"r"}'
    source, one = fresh(anna, event(1), event(2), event(3), event(4, extra=last))
    other, two = fresh(bert, event(2, "other"), event(3), event(5, extra=last))
    alone = make()
    alone.open()
    for each in (store, alone):
        take(each, hollowed(piece_of(source, one)), hollowed(piece_of(other, two)))
    events = [
        *source.events_at([(one, 1), (one, 2)]),
        *other.events_at([(two, 1)]),
        *source.events_at([(one, 3)]),
        *other.events_at([(two, 2), (two, 3)]),
        *source.events_at([(one, 1), (one, 4)]),
    ]

    with store.transaction():
        taken = store.fill(events)
    for fill_of in events:
        with alone.transaction():
            alone.fill([fill_of])

    assert (store.state, store.changes(0, 99)) == (alone.state, alone.changes(0, 99))
    assert (store.each(order="added"), store.aside()) == (alone.each(order="added"), alone.aside())
    assert [each.created[0] for each in taken.shown] == [1, 2, 3, 5]
    assert store.state.hollow == 0
    check(alone)
