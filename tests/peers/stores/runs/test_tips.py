"""What every store of runs says of the epochs of a key that is to be revoked."""

from __future__ import annotations

from peers.facts.fact import MAX_TIPS
from peers.stores.run_store import RunStore
from tests.support.run_house import CheckedStore, Writer, event, fresh, own_epoch, piece_of, pieces_for, put, take


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
