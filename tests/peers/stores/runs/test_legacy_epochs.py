"""Epochs of releases without signatures: their heads alone say what fits, and no node is accused."""

from __future__ import annotations

from msgspec import structs

from peers.events.entry import Entry
from peers.events.epoch import END_BYTES, NO_HEAD, NO_KEY, EpochEnd, legacy_mark
from peers.events.leaf import leaf_of
from peers.events.piece import Piece
from peers.events.proof import Block, Proof
from peers.events.run import ADOPTED_LEGACY, OWN, RunHash
from peers.stores.run_store import Pen
from peers.stores.runs.sqlite.rebuild import legacy_birth
from peers.stores.taken import Taken
from tests.support.run_house import CheckedStore, Writer, event, fresh, outcomes, own_epoch, piece_of, put, send, types

BIRTH = legacy_birth("kitchen-1")
EPOCH = BIRTH.epoch


def legacy(*events: Entry, start: int = 1, first: int = 1, before: list[Entry] | None = None) -> Piece:
    """A piece of the first run of EPOCH."""
    of_run = RunHash(EPOCH, first)
    of_run.add(bytes(start - 1), [_leaf(each) for each in before or []])
    of_run.add(bytes(len(events)), [_leaf(each) for each in events])
    return Piece(EPOCH, BIRTH, first, start, bytes(len(events)), events, of_run.head, b"")


def _leaf(entry: Entry) -> bytes:
    return leaf_of(entry.created, entry.time, entry.extra, entry.body)


def test_a_piece_without_a_signature_is_taken_when_its_head_fits(store: CheckedStore) -> None:
    assert outcomes(store, legacy(event(1), event(2))) == ["taken"]
    assert outcomes(store, legacy(event(3), start=3, before=[event(1), event(2)])) == ["taken"]
    assert outcomes(store, legacy(event(1), event(2), event(3))) == ["known"]
    assert store.ends()[EPOCH].seq == 3


def test_it_is_passed_on(store: CheckedStore, bert: Writer) -> None:
    outcomes(store, legacy(event(1), event(2)))
    other, _ = fresh(bert, event(9))

    send(store, other)

    assert types(other.each()) == ["a", "a", "a"]
    piece = piece_of(other, EPOCH)
    assert (piece.head, piece.leaves) == (legacy(event(1), event(2)).head, [*map(_leaf, (event(1), event(2)))])


def test_what_does_not_fit_changes_nothing_and_accuses_no_node(store: CheckedStore) -> None:
    outcomes(store, legacy(event(1), event(2)))
    before = store.state, store.ends()

    assert outcomes(store, legacy(event(1), event(7))) == ["gap"]
    assert outcomes(store, legacy(event(1), event(7), event(8))) == ["gap"]
    assert outcomes(store, structs.replace(legacy(event(1), event(2), event(3)), head=b"x" * 32)) == ["gap"]
    assert outcomes(store, legacy(event(9), start=5, before=[event(ms) for ms in range(1, 5)])) == ["gap"]
    assert (store.state, store.ends()) == before


def test_a_signature_is_no_part_of_such_a_piece(store: CheckedStore) -> None:
    assert outcomes(store, structs.replace(legacy(event(1)), signature=b"s" * 64)) == ["bad"]


def test_that_such_an_epoch_forked_cannot_be_proven(store: CheckedStore) -> None:
    outcomes(store, legacy(event(1), event(2)))
    # With this key, a point of small order, a signature of zeros may verify over one text in four.
    signature = b"\1" + bytes(63)
    for ms in range(3, 60):
        one, two = (Block(1, NO_HEAD, b"\0", (_leaf(event(each)),), signature) for each in (ms, 1))
        with store.transaction():
            store.prove(Proof.of(BIRTH, one, two))

    assert BIRTH.key == NO_KEY
    assert store.proof(EPOCH) is None
    assert store.ends()[EPOCH].seq == 2


def test_after_the_cut_of_such_an_epoch_nothing_counts_and_its_events_are_adopted(
    store: CheckedStore, anna: Writer
) -> None:
    outcomes(store, legacy(event(1), event(2), event(3, "own")))
    pen = Pen(anna.signer, anna.nonce, "kitchen")

    with store.transaction():
        taken = store.part(EPOCH, 1)
    assert taken.proven == (EPOCH,)
    assert store.ends()[EPOCH] == EpochEnd(1, legacy(event(1)).head[:END_BYTES], legacy_mark(EPOCH))
    with store.transaction():
        assert store.part(EPOCH, 2) == store.part(EPOCH, 1) == store.part("00" * 16, 1) == Taken()
        store.adopt(pen)

    assert kinds_of(store, own_epoch(store)) == bytes([OWN, OWN])
    assert [entry.added for entry in store.each()] == [1, 2, 3]
    assert outcomes(store, legacy(event(1), event(2), event(3, "own"))) == ["forked"]
    assert outcomes(store, legacy(event(1))) == ["known"]


def test_events_of_others_are_adopted_as_such(store: CheckedStore, anna: Writer) -> None:
    outcomes(store, legacy(event(1), event(2)))
    with store.transaction():
        store.part(EPOCH, 0)
        store.adopt(Pen(anna.signer, anna.nonce, "hall"))

    assert kinds_of(store, own_epoch(store)) == bytes([ADOPTED_LEGACY, ADOPTED_LEGACY])


def test_a_signed_epoch_is_cut_by_nothing_but_a_proof(store: CheckedStore, anna: Writer) -> None:
    put(store, anna, event(1), event(2))
    with store.transaction():
        assert store.part(own_epoch(store), 1) == Taken()


def kinds_of(store: CheckedStore, epoch: str) -> bytes:
    return piece_of(store, epoch).kinds
