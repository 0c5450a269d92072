"""What every store of runs says of the epochs of a key that is to be revoked."""

from __future__ import annotations

from peers.events.epoch import Birth, Parent
from peers.events.leaf import leaves_of
from peers.events.piece import Piece
from peers.events.run import OWN, RunHash
from peers.facts.fact import MAX_TIPS
from peers.stores.run_store import RunStore
from tests.support.disk_of_key import DiskOfKey, learn
from tests.support.mesh_of_keys import MeshOfKeys, key
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
    send,
    take,
    types,
)


def restart(store: RunStore) -> None:
    """The next own entry begins a new epoch."""
    store.close()
    store.open()


def test_a_chain_of_epochs_has_one_tip_with_its_last_entry_and_whole_head(store: CheckedStore, anna: Writer) -> None:
    for ms in (1, 2, 3):
        put(store, anna, event(ms), event(10 + ms))
        restart(store)
    put(store, anna, event(4))
    last = own_epoch(store)

    assert store.tips(anna.signer.public) == ((last, 1, store.head(last, 1)),)


def test_a_key_that_wrote_nothing_here_has_no_tip(store: CheckedStore, anna: Writer, bert: Writer) -> None:
    put(store, anna, event(1))

    assert store.tips(bert.signer.public) == ()


def test_an_epoch_that_grew_after_another_one_went_on_from_it_is_a_tip_too(store: CheckedStore, anna: Writer) -> None:
    home, first = fresh(anna, event(1))
    restart(home)
    put(home, anna, event(2))
    second = own_epoch(home)
    copy, _ = fresh(Writer(1), event(1))  # the same disk before it was restarted
    put(copy, Writer(1), event(3))

    take(store, *pieces_for(home, {}))
    assert [tip.epoch for tip in store.tips(anna.signer.public)] == [second]
    take(store, piece_of(copy, first))

    assert [tip[:2] for tip in store.tips(anna.signer.public)] == sorted([(first, 2), (second, 1)])


def test_of_many_tips_the_newest_are_named_in_the_order_of_their_names(store: CheckedStore) -> None:
    epochs = []
    writer = Writer(1)
    for ms in range(1, MAX_TIPS + 3):
        copy, epoch = fresh(writer, event(ms))  # each on a blank disk
        take(store, piece_of(copy, epoch))
        epochs.append(epoch)

    tips = store.tips(writer.signer.public)

    assert [tip.epoch for tip in tips] == sorted(epochs[2:])


def born(birth: Birth, ms: int) -> Piece:
    """The first entry of dora's epoch with this birth."""
    run, leaves = RunHash(birth.epoch, 1), leaves_of([event(ms, str(ms))])
    run.add(bytes([OWN]), leaves)
    signature = key("dora").sign(birth.epoch, 1, run.head)
    return Piece(birth.epoch, birth, 1, 1, bytes([OWN]), (event(ms, str(ms)),), run.head, signature)


def test_an_epoch_that_goes_on_from_what_no_node_has_leaves_its_key_no_room_to_write_that_after_its_revocation(
    home: CheckedStore, mesh: MeshOfKeys, dora: DiskOfKey
) -> None:
    send(dora.store, home)
    unseen = Birth(key("dora").public, b"u" * 16)
    seen = Birth(key("dora").public, b"s" * 16, Parent(unseen.epoch, 10**9, b"h" * 32))
    longer = Birth(key("dora").public, b"l" * 16, Parent(dora.epochs[1], 10**9, b"h" * 32))
    child = Birth(key("dora").public, b"c" * 16, Parent(seen.epoch, 1, born(seen, 10).head))
    assert outcomes(home, born(seen, 10), born(longer, 11), born(child, 12)) == ["taken"] * 3

    tips = home.tips(key("dora").public)
    learn(home, mesh.revoke("dora", by="anna", cut=tips))

    assert tips == (dora.tip(1, 2),)
    dora.write(event(6, "6"))
    later = [born(unseen, 13), piece_of(dora.store, dora.epochs[1], 3)]
    assert outcomes(home, *later) == ["forked"] * 2
    assert types(home.each()) == ["1.1", "1.2", "1.3", "2.1", "2.2", "10", "11", "12"]


def test_an_epoch_that_goes_on_after_the_cut_of_a_fork_is_a_tip(store: CheckedStore, anna: Writer) -> None:
    home, first = fresh(anna, event(1))
    put(home, anna, event(2))
    restart(home)
    put(home, anna, event(3))
    copy, _ = fresh(Writer(1), event(1))
    put(copy, Writer(1), event(4))
    take(store, *pieces_for(home, {}))
    birth = store.birth(first)
    assert birth is not None
    with store.transaction():
        store.compare(birth, copy.blocks(first))

    assert store.tips(anna.signer.public) == ((own_epoch(home), 1, home.head(own_epoch(home), 1)),)
