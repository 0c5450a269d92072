"""What every store of runs takes of others, and what it refuses."""

from __future__ import annotations

import pytest
from msgspec import structs

from peers.events.epoch import EpochEnd
from peers.events.leaf import HASH_BYTES
from peers.events.piece import Piece
from peers.events.run import KINDS, RUN_ENTRIES
from peers.events.signature import SIGNATURE_BYTES
from peers.stores.runs.memory import MemoryRunStore
from peers.stores.taken import Change
from tests.support.run_house import (
    CheckedStore,
    Writer,
    event,
    fresh,
    outcomes,
    own_epoch,
    piece_of,
    pieces_for,
    put,
    shown_by,
    take,
    two_that_differ,
    types,
)


def test_a_piece_gives_the_same_ends_and_events(store: CheckedStore, bert: Writer) -> None:
    source, epoch = fresh(bert, event(5), event(3, "b"))
    piece = piece_of(source, epoch)

    taken = take(store, piece)

    assert taken.outcomes == ("taken",)
    assert [(each.added, each.position, each.dot) for each in taken.shown] == [(1, 1, (epoch, 1)), (2, 2, (epoch, 2))]
    assert taken.changes == (Change(1, (epoch, 1), 2),)
    assert taken.ends == store.ends() == source.ends()
    assert piece_of(store, epoch) == structs.replace(piece, items=taken.shown)
    assert store.birth(epoch) == piece.birth
    assert store.signature(epoch) == (2, piece.signature)


def test_a_piece_that_is_known_changes_nothing(store: CheckedStore, bert: Writer) -> None:
    source, epoch = fresh(bert, event(1), event(2))
    first = piece_of(source, epoch)
    put(source, bert, event(3))
    whole = piece_of(source, epoch)
    take(store, whole)
    before = store.state

    assert outcomes(store, whole, first) == ["known", "known"]
    assert store.state == before


def test_what_is_known_of_a_piece_is_skipped(store: CheckedStore, bert: Writer) -> None:
    source, epoch = fresh(bert, event(1), event(2))
    take(store, piece_of(source, epoch))
    put(source, bert, event(3), event(4))

    taken = take(store, piece_of(source, epoch, 2))

    assert (taken.outcomes, taken.changes) == (("taken",), (Change(3, (epoch, 3), 2),))
    assert store.ends() == source.ends()


def test_a_piece_after_our_end_is_a_gap(store: CheckedStore, bert: Writer) -> None:
    source, epoch = fresh(bert, *[event(ms) for ms in range(1, RUN_ENTRIES + 3)])

    assert outcomes(store, piece_of(source, epoch, 2), piece_of(source, epoch, 501)) == ["gap", "gap"]
    assert store.ends() == {}
    assert outcomes(store, *pieces_for(source, {})) == ["taken", "taken"]


def test_pieces_of_one_run_in_a_row_are_taken_together(store: CheckedStore, bert: Writer) -> None:
    source, epoch = fresh(bert, event(1))
    pieces = [piece_of(source, epoch)]
    for ms in range(2, 6):
        put(source, bert, event(ms))
        pieces.append(piece_of(source, epoch, ms))

    taken = take(store, *pieces[:3], pieces[1], *pieces[3:])

    assert taken.outcomes == ("taken", "taken", "taken", "known", "taken", "taken")
    assert taken.changes == (Change(1, (epoch, 1), 5),)
    assert store.ends() == source.ends()


def test_a_bad_signature_at_the_end_of_a_row_spoils_only_its_own_piece(store: CheckedStore, bert: Writer) -> None:
    source, epoch = fresh(bert, event(1))
    first = piece_of(source, epoch)
    put(source, bert, event(2))
    second = piece_of(source, epoch, 2)
    put(source, bert, event(3))
    forged = structs.replace(piece_of(source, epoch, 3), signature=bytes(SIGNATURE_BYTES))

    assert outcomes(store, first, second, forged) == ["taken", "taken", "bad"]
    assert store.ends()[epoch].seq == 2


def test_a_missing_signature_before_a_good_one_is_a_gap_and_no_more(store: CheckedStore, bert: Writer) -> None:
    source, epoch = fresh(bert, event(1))
    first = structs.replace(piece_of(source, epoch), signature=b"")
    put(source, bert, event(2))

    assert outcomes(store, first, piece_of(source, epoch, 2)) == ["gap", "gap"]
    assert store.ends() == {}


@pytest.mark.parametrize(
    "change",
    [
        {"signature": bytes(SIGNATURE_BYTES)},
        {"signature": b"x"},
        {"head": bytes(HASH_BYTES)},
        {"head": b"short"},
        {"epoch": "00" * 16},
        {"start": 0},
        {"first": 0},
        {"first": 2},
        {"kinds": bytes(2)},
        {"kinds": bytes(4)},
        {"kinds": bytes([KINDS]) * 3},
        {"kinds": bytes([1, 0, 0])},
        {"items": ()},
        {"items": (), "kinds": b""},
        {"items": (bytes(HASH_BYTES),) * 3},
        {"items": (bytes(31),) * 3},
        {"items": (event(1), event(2), event(3, "changed"))},
        {"items": (event(1), event(3), event(2))},
        {"items": tuple(event(ms) for ms in range(1, RUN_ENTRIES + 2)), "kinds": bytes(RUN_ENTRIES + 1)},
        {"first": 2**52, "start": 2**52},
    ],
)
def test_a_piece_that_was_changed_on_its_way_changes_nothing(
    store: CheckedStore, anna: Writer, bert: Writer, change: dict[str, object]
) -> None:
    put(store, anna, event(9))
    source, epoch = fresh(bert, event(1), event(2), event(3))
    piece: Piece = structs.replace(piece_of(source, epoch), **change)
    before = store.state, store.ends()

    (outcome,) = outcomes(store, piece)

    assert outcome in ("bad", "mismatch", "gap")
    if "signature" in change or "head" in change:
        assert outcome == "bad"
    assert (store.state, store.ends()) == before


def test_a_changed_entry_under_a_good_signature_is_a_mismatch(store: CheckedStore, bert: Writer) -> None:
    source, epoch = fresh(bert, event(1), event(2))
    piece = piece_of(source, epoch)

    assert outcomes(store, structs.replace(piece, items=(event(1), event(7)))) == ["mismatch"]
    assert outcomes(store, structs.replace(piece, kinds=bytes([0, 1]))) == ["mismatch"]
    assert outcomes(store, piece) == ["taken"]


def test_a_piece_whose_known_part_has_another_head_is_a_mismatch(store: CheckedStore, bert: Writer) -> None:
    source, epoch = fresh(bert, event(1))
    twin = MemoryRunStore()
    twin.open()
    copied = Writer(2)
    with twin.transaction():
        twin.append([event(1, "other")], copied.pen)
    assert own_epoch(twin) == epoch, "the same key and the same random bytes"
    take(store, piece_of(source, epoch))

    assert outcomes(store, piece_of(twin, epoch)) == ["mismatch"]
    put(twin, copied, event(2))
    assert outcomes(store, piece_of(twin, epoch), piece_of(twin, epoch, 2)) == ["mismatch", "mismatch"]
    assert store.ends() == source.ends()


def test_a_run_that_begins_where_none_can_is_a_mismatch(store: CheckedStore, bert: Writer) -> None:
    source, epoch = fresh(bert, event(1), event(2))
    take(store, piece_of(source, epoch))
    put(source, bert, event(3))
    piece = piece_of(source, epoch, 2)

    assert outcomes(store, structs.replace(piece, first=2)) == ["mismatch"]


def test_what_others_show_of_our_epoch_ends_it(store: CheckedStore, bert: Writer) -> None:
    source, epoch = fresh(bert, event(1))
    put(store, Writer(2), event(1))
    assert own_epoch(store) == epoch
    put(source, bert, event(2))

    take(store, piece_of(source, epoch, 2))

    assert store.state.epoch is None
    put(store, bert, event(3))
    birth = store.birth(own_epoch(store))
    assert birth is not None
    assert birth.parent[:2] == (epoch, 2)


def test_other_epochs_of_our_key_are_taken_like_any(store: CheckedStore, bert: Writer) -> None:
    source, other = fresh(bert, event(1))
    put(store, bert, event(2))
    epoch = own_epoch(store)
    assert epoch != other

    take(store, piece_of(source, other))

    assert store.state.epoch == epoch
    assert {name: end.seq for name, end in store.ends().items()} == {epoch: 1, other: 1}
    assert store.newest(5) == [other]


@pytest.mark.parametrize("is_winner_first", [False, True])
def test_of_two_copies_that_differ_the_smaller_is_shown_and_the_other_kept(
    store: CheckedStore, anna: Writer, bert: Writer, is_winner_first: bool
) -> None:
    winner, loser = two_that_differ()
    sources = [fresh(anna, winner), fresh(bert, loser)]
    for source, epoch in sources if is_winner_first else sources[::-1]:
        taken = take(store, piece_of(source, epoch))

    (shown,) = store.each()
    (aside,) = store.aside()
    assert (shown.body, aside.body, shown.added) == (winner.body, loser.body, 1)
    assert (shown.dot, aside.dot) == ((sources[0][1], 1), (sources[1][1], 1))
    assert taken.shown == ()
    assert taken.is_revised == (not is_winner_first)
    assert (store.state.conflicts, store.state.events, store.state.last_added) == (1, 1, 1)
    for source, epoch in sources:
        assert piece_of(store, epoch).leaves == piece_of(source, epoch).leaves
        assert store.is_held((epoch, 1))


def test_one_event_that_is_known_does_not_hide_the_new_ones_around_it(
    store: CheckedStore, anna: Writer, bert: Writer
) -> None:
    put(store, anna, event(2), event(3, "mine"))
    source, epoch = fresh(bert, event(1), event(2), event(3), event(4))

    taken = take(store, piece_of(source, epoch))

    assert [each.created[0] for each in taken.shown] == [1, 4]
    assert taken.changes == (Change(3, (epoch, 1), 4),)
    assert types(store.each())[:2] == ["a", "a"]
    assert store.state.events == 4
    assert len(store.aside()) == 1


def test_twice_the_same_event_in_one_epoch_is_shown_once(store: CheckedStore, anna: Writer, bert: Writer) -> None:
    source, epoch = fresh(bert, event(1))
    with source.transaction():
        source.offer_further([(1, "kitchen", 0)], bert.pen)

    taken = take(store, piece_of(source, epoch))

    assert (len(taken.shown), store.ends()[epoch].seq, store.state.events) == (1, 2, 1)


def test_a_store_that_is_opened_again_knows_the_same(store: CheckedStore, anna: Writer, bert: Writer) -> None:
    put(store, anna, event(1), event(2, "mine"))
    source, epoch = fresh(bert, event(2), event(3))
    take(store, piece_of(source, epoch))
    before = store.ends(), store.changes(0, 99), store.each(), store.aside(), shown_by(store)

    store.close()
    store.open()

    assert (store.ends(), store.changes(0, 99), store.each(), store.aside(), shown_by(store)) == before
    put(source, bert, event(4))
    assert outcomes(store, piece_of(source, epoch, 3)) == ["taken"]


def test_an_end_is_the_first_16_bytes_of_its_head(store: CheckedStore, bert: Writer) -> None:
    source, epoch = fresh(bert, event(1))
    piece = piece_of(source, epoch)
    take(store, piece)

    assert store.ends() == {epoch: EpochEnd(1, piece.head[:16], b"")}


def test_changes_are_given_in_pages_without_gaps(store: CheckedStore, anna: Writer, bert: Writer) -> None:
    source, epoch = fresh(bert, event(1), event(2), event(3))
    take(store, piece_of(source, epoch))
    put(store, anna, event(5))

    assert store.changes(0, 1) == (Change(1, (epoch, 1), 3),)
    assert store.changes(1, 1) == (Change(2, (epoch, 2), 2),)
    assert store.changes(3, 9) == (Change(4, (own_epoch(store), 1)),)
    assert store.changes(4, 9) == ()
