"""What every store of runs does when an epoch was written twice."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from msgspec import structs

from peers.events.dot import Epoch
from peers.events.entry import Entry
from peers.events.epoch import END_BYTES, NO_HEAD
from peers.events.piece import Piece
from peers.events.proof import Proof
from peers.events.run import ADOPTED_FORK, OWN
from peers.stores.runs import writing
from peers.stores.runs.memory import MemoryRunStore
from tests.support.run_house import (
    CheckedStore,
    Writer,
    adopt,
    event,
    exchange,
    fill,
    fresh,
    hollowed,
    outcomes,
    own_epoch,
    piece_of,
    pieces_for,
    put,
    shown_by,
    take,
    types,
)

Make = Callable[[], CheckedStore]


def branch(common: list[Entry], *branches: list[Entry]) -> tuple[Epoch, list[MemoryRunStore]]:
    """An epoch of one key that was written several times; each branch in a commit of its own, after the common one."""
    stores = []
    for events in branches:
        writer = Writer(9)
        store, epoch = fresh(writer, *common)
        put(store, writer, *events)
        stores.append(store)
    return epoch, stores


def proof_of(epoch: Epoch, one: MemoryRunStore, other: MemoryRunStore) -> Proof:
    birth = one.birth(epoch)
    assert birth is not None
    with one.transaction():
        one.compare(birth, other.blocks(epoch))
    proof = one.proof(epoch)
    assert proof is not None
    return proof


COMMON = [event(1), event(2)]
LEFT = [event(3, "left"), event(4, "left")]
RIGHT = [event(5, "right")]


@pytest.fixture
def forked(store: CheckedStore) -> tuple[Epoch, Proof, Piece]:
    """The store took the left branch. What proves the fork, and the piece of the right one."""
    epoch, (left, right) = branch(COMMON, LEFT, RIGHT)
    piece = piece_of(right, epoch)
    take(store, piece_of(left, epoch))
    return epoch, proof_of(epoch, right, left), piece


def test_a_proof_cuts_the_epoch_where_its_branches_part(
    store: CheckedStore, forked: tuple[Epoch, Proof, Piece]
) -> None:
    epoch, proof, piece = forked
    assert outcomes(store, piece) == ["mismatch"]

    with store.transaction():
        taken = store.prove(proof)

    end = store.ends()[epoch]
    assert (end.seq, end.mark) == (2, proof.mark)
    assert (taken.proven, taken.ends) == ((epoch,), {epoch: end})
    assert store.proof(epoch) == proof
    head = store.head(epoch, 2)
    assert head is not None and end.head == head[:END_BYTES]
    assert [store.is_held((epoch, seq)) for seq in (1, 2, 3, 4)] == [True, True, False, False]
    assert types(store.each()) == ["a", "a", "left", "left"], "what was shown is shown"
    assert outcomes(store, piece) == ["forked"]
    with store.transaction():
        assert store.prove(proof).proven == ()


def test_the_forks_of_each_key_are_counted_and_that_is_kept(
    store: CheckedStore, forked: tuple[Epoch, Proof, Piece]
) -> None:
    _, proof, _ = forked
    with pytest.raises(ZeroDivisionError), store.transaction():
        store.prove(proof)
        assert store.forks() == {proof.birth.key: 1}
        raise ZeroDivisionError
    assert store.forks() == {}

    for _ in range(2):
        with store.transaction():
            taken = store.prove(proof)
    assert (taken.forks, store.forks()) == ({}, {proof.birth.key: 1})
    store.close()
    store.open()

    assert store.forks() == {proof.birth.key: 1}


def test_the_last_piece_of_a_forked_epoch_ends_at_the_cut_without_a_signature(
    store: CheckedStore, make: Make, forked: tuple[Epoch, Proof, Piece]
) -> None:
    epoch, proof, _ = forked
    with store.transaction():
        store.prove(proof)
    newcomer = make()
    newcomer.open()
    piece = piece_of(store, epoch)
    assert (piece.last, piece.signature, piece.head) == (2, b"", store.head(epoch, 2))

    assert outcomes(newcomer, piece) == ["gap"]
    with newcomer.transaction():
        newcomer.prove(proof)
    assert outcomes(newcomer, piece, piece) == ["taken", "known"]
    assert newcomer.ends() == store.ends()
    assert newcomer.signature(epoch) == (0, b"")


def test_a_newcomer_takes_a_longer_piece_up_to_the_cut(
    store: CheckedStore, forked: tuple[Epoch, Proof, Piece], make: Make
) -> None:
    epoch, proof, piece = forked
    newcomer = make()
    newcomer.open()
    with newcomer.transaction():
        newcomer.prove(proof)

    assert outcomes(newcomer, piece) == ["taken"]
    assert newcomer.ends()[epoch].seq == 2
    assert len(newcomer.each()) == 2


def test_what_stood_after_the_cut_is_adopted_once(
    store: CheckedStore, anna: Writer, forked: tuple[Epoch, Proof, Piece]
) -> None:
    epoch, proof, _ = forked
    assert all(not step.changes for step in adopt(store, anna))
    assert not store.state.has_unadopted
    with store.transaction():
        store.prove(proof)
    assert store.state.has_unadopted

    steps = adopt(store, anna)

    assert not store.state.has_unadopted
    own = own_epoch(store)
    piece = piece_of(store, own)
    assert piece.kinds == bytes([ADOPTED_FORK] * 2)
    assert types([item for item in piece.items if isinstance(item, Entry)]) == ["left", "left"]
    assert [step.shown for step in steps] == [()] * len(steps)
    assert [entry.dot for entry in store.each()] == [(epoch, 1), (epoch, 2), (own, 1), (own, 2)]
    assert all(not step.changes for step in adopt(store, anna))
    store.close()
    store.open()
    assert all(not step.changes for step in adopt(store, anna))


def test_our_own_branch_is_adopted_as_our_own(store: CheckedStore) -> None:
    writer = Writer(9)
    put(store, writer, *COMMON)
    epoch = own_epoch(store)
    put(store, writer, *LEFT)
    same, (right,) = branch(COMMON, RIGHT)
    assert same == epoch
    birth = store.birth(epoch)
    assert birth is not None

    with store.transaction():
        taken = store.compare(birth, right.blocks(epoch))

    assert (taken.proven, store.state.epoch) == ((epoch,), None)
    adopt(store, writer)
    assert piece_of(store, own_epoch(store)).kinds == bytes([OWN] * 2)
    mine = store.birth(own_epoch(store))
    assert mine is not None and mine.parent.epoch == epoch


def test_an_event_that_came_in_another_epoch_too_is_not_adopted(
    store: CheckedStore, anna: Writer, bert: Writer, forked: tuple[Epoch, Proof, Piece]
) -> None:
    _, proof, _ = forked
    other, theirs = fresh(bert, *LEFT)
    take(store, piece_of(other, theirs))
    with store.transaction():
        store.prove(proof)

    assert all(not step.changes for step in adopt(store, anna))
    assert [entry.dot for entry in store.each()][2:] == [(theirs, 1), (theirs, 2)]


def test_two_events_of_two_branches_under_one_created_are_a_conflict(make: Make) -> None:
    epoch, branches = branch(COMMON, [event(3, "left")], [event(3, "right")])
    stores = [make(), make()]
    for store, source in zip(stores, branches, strict=True):
        store.open()
        take(store, piece_of(source, epoch))

    exchange(stores[0], stores[1], (Writer(1), Writer(2)))

    assert stores[0].ends() == stores[1].ends()
    assert shown_by(stores[0]) == shown_by(stores[1])
    assert [len(store.aside()) for store in stores] == [1, 1]


def test_the_proof_with_the_smaller_cut_replaces_the_other(store: CheckedStore, anna: Writer) -> None:
    epoch, (left, right, early) = branch(COMMON, LEFT, [LEFT[0], event(6)], RIGHT)
    late_proof = proof_of(epoch, left, right)
    proofs = [late_proof, proof_of(epoch, early, left)]
    take(store, piece_of(right, epoch))
    with store.transaction():
        store.prove(proofs[0])
    assert store.ends()[epoch].seq == 3
    adopt(store, anna)

    with store.transaction():
        taken = store.prove(proofs[1])

    assert taken.proven == (epoch,)
    assert store.ends()[epoch].seq == 2
    adopt(store, anna)
    assert piece_of(store, own_epoch(store)).kinds == bytes([ADOPTED_FORK] * 2)
    with store.transaction():
        assert store.prove(proofs[0]).proven == ()


def test_a_store_whose_branch_contradicts_a_proof_makes_the_better_one(store: CheckedStore) -> None:
    epoch, (left, right, early) = branch(COMMON, LEFT, [LEFT[0], event(6)], RIGHT)
    take(store, piece_of(early, epoch))

    with store.transaction():
        store.prove(proof_of(epoch, left, right))

    assert store.ends()[epoch].seq == 2


def test_a_proof_that_proves_nothing_changes_nothing(store: CheckedStore, forked: tuple[Epoch, Proof, Piece]) -> None:
    _, proof, _ = forked
    before = store.state, store.ends()
    broken = [
        structs.replace(proof, other=proof.one),
        structs.replace(proof, one=structs.replace(proof.one, signature=bytes(64))),
        structs.replace(proof, one=structs.replace(proof.one, kinds=bytes([9]) * len(proof.one.kinds))),
    ]
    for each in broken:
        with store.transaction():
            assert store.prove(each).proven == ()
    assert (store.state, store.ends()) == before


def test_blocks_of_one_history_prove_nothing(store: CheckedStore, bert: Writer) -> None:
    source, epoch = fresh(bert, event(1))
    blocks = source.blocks(epoch)
    put(source, bert, event(2))
    take(store, piece_of(source, epoch))
    birth = source.birth(epoch)
    assert birth is not None

    with store.transaction():
        taken = store.compare(birth, [*blocks, *source.blocks(epoch)])

    assert (taken.proven, store.proof(epoch)) == ((), None)


def test_after_a_cut_what_is_hollow_is_said_again_and_what_stood_after_it_is_wanted_no_more(
    store: CheckedStore, bert: Writer
) -> None:
    epoch, (left, right) = branch(COMMON, LEFT, RIGHT)
    take(store, hollowed(piece_of(left, epoch), 2, 3))
    assert store.state.hollow == 2

    with store.transaction():
        taken = store.prove(proof_of(epoch, right, left))

    assert taken.hollow == ((epoch, 2),) == tuple(store.hollow())
    assert store.state.hollow == 1
    with store.transaction():
        assert store.fill([((epoch, 3), LEFT[0])]).changes == ()
    assert len(fill(left, store).changes) == 1


def test_a_proof_of_an_epoch_that_is_not_known_is_kept(store: CheckedStore, bert: Writer) -> None:
    epoch, (left, right) = branch(COMMON, LEFT, RIGHT)
    proof = proof_of(epoch, left, right)

    with store.transaction():
        store.prove(proof)

    assert (store.ends()[epoch].seq, store.ends()[epoch].mark) == (0, proof.mark)
    assert store.newest(5) == []
    store.close()
    store.open()
    assert store.proof(epoch) == proof
    assert outcomes(store, piece_of(left, epoch)) == ["taken"]


def test_changes_leave_out_what_is_after_a_cut(
    store: CheckedStore, bert: Writer, forked: tuple[Epoch, Proof, Piece]
) -> None:
    epoch, proof, _ = forked
    put(store, bert, event(7))
    with store.transaction():
        store.prove(proof)

    assert [(change.dot, change.length) for change in store.changes(0, 9)] == [
        ((epoch, 1), 2),
        ((own_epoch(store), 1), 1),
    ]
    assert [change.position for change in store.changes(2, 1)] == [5]


def test_a_wrong_signature_at_a_cut_is_not_kept(
    store: CheckedStore, forked: tuple[Epoch, Proof, Piece], make: Make
) -> None:
    epoch, proof, _ = forked
    with store.transaction():
        store.prove(proof)
    newcomer = make()
    newcomer.open()
    with newcomer.transaction():
        newcomer.prove(proof)

    piece = structs.replace(piece_of(store, epoch), signature=bytes(64))
    assert outcomes(newcomer, piece) == ["taken"]

    assert newcomer.signature(epoch) == (0, b"")
    assert newcomer.blocks(epoch) == []


def test_what_was_not_adopted_before_a_restart_is_adopted_after_it(
    store: CheckedStore, anna: Writer, forked: tuple[Epoch, Proof, Piece]
) -> None:
    with store.transaction():
        store.prove(forked[1])
    store.close()
    store.open()

    adopt(store, anna)

    assert store.ends()[own_epoch(store)].seq == 2


def test_what_an_undone_transaction_adopted_is_adopted_later(
    store: CheckedStore, anna: Writer, forked: tuple[Epoch, Proof, Piece]
) -> None:
    with store.transaction():
        store.prove(forked[1])
    with pytest.raises(KeyError), store.transaction():
        store.adopt(anna.pen)
        raise KeyError

    adopt(store, anna)

    assert store.ends()[own_epoch(store)].seq == 2


def test_branches_of_many_runs_are_cut_exactly_if_their_first_runs_are_shown(
    store: CheckedStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writing, "RUN_ENTRIES", 2)
    epoch, (left, right) = branch([event(1), event(2), event(9)], [*LEFT, event(6)], [*RIGHT, event(7), event(8)])
    take(store, *pieces_for(left, {}))
    assert store.signature(epoch)[0] == 6
    birth = store.birth(epoch)
    assert birth is not None

    with store.transaction():
        store.compare(birth, right.blocks(epoch))

    assert store.ends()[epoch].seq == 3
    assert store.signature(epoch)[0] == 2
    assert [block.last for block in store.blocks(epoch)] == [6, 4, 2]


def test_a_run_that_does_not_follow_ours_cuts_all(store: CheckedStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writing, "RUN_ENTRIES", 2)
    epoch, (left, right) = branch([event(1)], [event(2)], [event(3), event(4)])
    take(store, piece_of(left, epoch))
    birth = store.birth(epoch)
    assert birth is not None

    with store.transaction():
        store.compare(birth, right.blocks(epoch, limit=1))

    assert (store.ends()[epoch].seq, store.ends()[epoch].head) == (0, NO_HEAD[:END_BYTES])
    assert len(store.each()) == 2
