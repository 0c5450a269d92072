"""What every store of runs does with epochs of keys that are not in its mesh, or not any more."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import permutations

import pytest
from msgspec import structs

from peers.events.epoch import NO_HEAD, Birth
from peers.events.run import RunHash
from peers.stores.taken import Limited
from tests.support.disk_of_key import DiskOfKey, enter, learn, writer_of
from tests.support.mesh_of_keys import MeshOfKeys, key
from tests.support.run_house import (
    CheckedStore,
    adopt,
    check,
    event,
    fill,
    hollowed,
    leaf,
    outcomes,
    piece_of,
    pieces_for,
    put,
    send,
    take,
    types,
)

Make = Callable[[], CheckedStore]
DORA = key("dora").public


def test_what_a_revoked_key_wrote_counts_up_to_its_cut_and_what_is_above_stays_shown(
    home: CheckedStore, mesh: MeshOfKeys, dora: DiskOfKey
) -> None:
    send(dora.store, home)
    assert dora.counting_in(home) == [3, 2]

    taken = learn(home, mesh.revoke("dora", by="anna", cut=(dora.tip(1, 1),)))

    assert dora.counting_in(home) == [3, 1]
    assert taken.limited == dict.fromkeys(dora.epochs, Limited(DORA))
    assert taken.ends == {dora.epochs[1]: home.ends()[dora.epochs[1]]}
    assert types(home.each()) == ["1.1", "1.2", "1.3", "2.1", "2.2"]
    assert outcomes(home, piece_of(dora.store, dora.epochs[1])) == ["forked"]


def test_without_tips_nothing_counts_and_the_epochs_are_as_if_they_were_not_there(
    home: CheckedStore, mesh: MeshOfKeys, dora: DiskOfKey
) -> None:
    send(dora.store, home)

    learn(home, mesh.revoke("dora", by="anna"))

    assert home.ends() == {}
    assert home.changes(0, 10) == ()
    assert len(home.each()) == 5
    assert outcomes(home, *pieces_for(dora.store, {})) == ["forked"] * 2


def test_of_the_epochs_of_a_revoked_key_the_newest_one_that_counts_is_named(
    home: CheckedStore, mesh: MeshOfKeys, dora: DiskOfKey
) -> None:
    send(dora.store, home)
    learn(home, mesh.revoke("dora", by="anna", cut=(dora.tip(0, 3),)))

    assert home.newest(9) == [dora.epochs[0]]


def test_who_left_counts_as_far_as_it_said_itself(home: CheckedStore, mesh: MeshOfKeys, dora: DiskOfKey) -> None:
    send(dora.store, home)

    learn(home, mesh.leave("dora", (dora.tip(1, 2),)))

    assert dora.counting_in(home) == [3, 2]
    dora.write(event(6, "2.3"))
    assert outcomes(home, piece_of(dora.store, dora.epochs[1], 3)) == ["forked"]


def test_who_leaves_with_an_epoch_that_never_was_does_not_go_on_writing(
    home: CheckedStore, mesh: MeshOfKeys, dora: DiskOfKey
) -> None:
    send(dora.store, home)
    never = DiskOfKey("dora", births=2)
    never.write(event(9, "no node has it"))

    learn(home, mesh.leave("dora", tuple(sorted((dora.tip(1, 2), never.tip(0, 1))))))

    assert dora.counting_in(home) == [3, 2]
    dora.write(event(6, "2.3"))
    assert outcomes(home, piece_of(dora.store, dora.epochs[1], 3)) == ["forked"]


def test_an_epoch_that_no_tip_goes_back_to_does_not_count(
    home: CheckedStore, mesh: MeshOfKeys, dora: DiskOfKey
) -> None:
    copy = DiskOfKey("dora", births=2)
    copy.write(event(9, "of a blank disk"))
    send(dora.store, home)
    send(copy.store, home)

    learn(home, mesh.revoke("dora", by="anna", cut=(dora.tip(1, 2),)))

    assert (dora.counting_in(home), copy.counting_in(home)) == ([3, 2], [0])


def test_an_ancestor_counts_up_to_where_its_child_went_on(home: CheckedStore, mesh: MeshOfKeys) -> None:
    dora, copy = DiskOfKey("dora"), DiskOfKey("dora")
    for disk in (dora, copy):
        disk.write(event(1, "1.1"))
    copy.write(event(7, "1.2 of a copied disk"))
    dora.write(event(2, "2.1"), is_new_epoch=True)
    send(dora.store, home)
    send(copy.store, home)
    assert dora.counting_in(home) == [2, 1]

    learn(home, mesh.revoke("dora", by="anna", cut=(dora.tip(1, 1),)))

    assert dora.counting_in(home) == [1, 1]
    piece = piece_of(home, dora.epochs[0])
    assert (piece.last, piece.signature, piece.head) == (1, b"", dora.tip(0, 1).head)


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_a_newcomer_takes_the_same_in_whatever_order_epochs_come(
    home: CheckedStore, mesh: MeshOfKeys, order: Sequence[int]
) -> None:
    dora = DiskOfKey("dora")
    for ms in (10, 20, 30):
        dora.write(event(ms), event(ms + 1), is_new_epoch=True)
    learn(home, mesh.revoke("dora", by="anna", cut=(dora.tip(2, 1),)))

    for _ in range(2):  # what was not taken before the tip was known comes once more
        for at in order:
            take(home, piece_of(dora.store, dora.epochs[at]))

    assert dora.counting_in(home) == [2, 2, 1]


def test_while_a_tip_is_not_known_epochs_of_a_revoked_key_are_taken_and_cut_when_it_comes(
    home: CheckedStore, mesh: MeshOfKeys, dora: DiskOfKey
) -> None:
    copy = DiskOfKey("dora", births=2)
    copy.write(event(9, "of a blank disk"))
    learn(home, mesh.revoke("dora", by="anna", cut=(dora.tip(1, 2),)))

    send(copy.store, home)
    assert copy.counting_in(home) == [1]
    send(dora.store, home)

    assert (dora.counting_in(home), copy.counting_in(home)) == ([3, 2], [0])
    assert outcomes(home, piece_of(copy.store, copy.epochs[0])) == ["forked"]


def test_a_birth_that_a_revoked_key_did_not_sign_is_not_kept(
    home: CheckedStore, mesh: MeshOfKeys, dora: DiskOfKey
) -> None:
    learn(home, mesh.revoke("dora", by="anna", cut=(dora.tip(1, 2),)))
    send(dora.store, home)
    birth = Birth(DORA, b"n" * 16)
    run = RunHash(birth.epoch, 1, NO_HEAD)
    run.add(b"\0", [leaf(event(8))])
    genuine = piece_of(dora.store, dora.epochs[1])
    forged = structs.replace(genuine, epoch=birth.epoch, birth=birth, kinds=b"\0", items=(event(8),), head=run.head)

    assert outcomes(home, forged) == ["bad"]

    assert home.birth(birth.epoch) is None


def test_the_piece_that_ends_at_the_cut_is_taken_without_signature_for_ever(
    home: CheckedStore, mesh: MeshOfKeys, dora: DiskOfKey, make: Make
) -> None:
    send(dora.store, home)
    learn(home, mesh.revoke("dora", by="anna", cut=(dora.tip(0, 2),)))
    newcomer = enter(make(), mesh)
    learn(newcomer, *home.facts())
    piece = piece_of(home, dora.epochs[0])
    assert (piece.last, piece.signature) == (2, b"")

    assert outcomes(newcomer, piece) == ["taken"]

    assert newcomer.ends() == home.ends()
    check(newcomer)


def test_a_proven_fork_cuts_an_epoch_unless_a_tip_goes_on_from_the_history_that_is_here(
    home: CheckedStore, mesh: MeshOfKeys, dora: DiskOfKey
) -> None:
    copy = DiskOfKey("dora")
    copy.write(event(1, "1.1"), event(8, "1.2 of a copied disk"))
    send(dora.store, home)
    birth = copy.store.birth(copy.epochs[0])
    assert birth is not None

    with home.transaction():
        home.compare(birth, copy.store.blocks(birth.epoch))
    assert dora.counting_in(home) == [1, 2]
    learn(home, mesh.revoke("dora", by="anna"))
    assert home.ends() == {}
    learn(home, mesh.revoke("dora", by="anna", cut=(dora.tip(1, 1),)))

    assert dora.counting_in(home) == [3, 1]
    assert not home.ends()[birth.epoch].mark


def test_a_later_cut_that_names_more_lets_it_count_again(home: CheckedStore, mesh: MeshOfKeys, dora: DiskOfKey) -> None:
    send(dora.store, home)
    learn(home, mesh.revoke("dora", by="anna", cut=(dora.tip(0, 1),)))
    adopt(home, writer_of("anna"))
    assert dora.counting_in(home) == [1, 0]

    taken = learn(home, mesh.revoke("dora", by="anna", cut=(dora.tip(1, 2),)))

    assert dora.counting_in(home) == [3, 2]
    assert taken.limited == dict.fromkeys(dora.epochs, Limited(DORA, counts_more=True))
    assert len(home.each()) == 5


def test_nothing_of_a_key_counts_before_its_certificate_comes(home: CheckedStore, mesh: MeshOfKeys, make: Make) -> None:
    fred = DiskOfKey("fred")
    fred.write(event(1))
    assert outcomes(home, piece_of(fred.store, fred.epochs[0])) == ["forked"]
    assert home.birth(fred.epochs[0]) is None

    learn(home, mesh.node("fred", by="anna"))

    assert outcomes(home, piece_of(fred.store, fred.epochs[0])) == ["taken"]


def test_what_is_hollow_is_wanted_only_as_far_as_it_counts(
    home: CheckedStore, mesh: MeshOfKeys, dora: DiskOfKey
) -> None:
    take(home, hollowed(piece_of(dora.store, dora.epochs[0])))
    assert home.state.hollow == 3

    learn(home, mesh.revoke("dora", by="anna", cut=(dora.tip(0, 1),)))
    assert home.state.hollow == 1
    taken = learn(home, mesh.revoke("dora", by="anna", cut=(dora.tip(0, 2),)))

    assert (home.state.hollow, taken.hollow) == (2, ((dora.epochs[0], 2),))
    fill(dora.store, home)
    assert types(home.each()) == ["1.1", "1.2"]


def test_limits_are_the_same_after_a_restart_and_after_a_commit_that_is_taken_back(
    home: CheckedStore, mesh: MeshOfKeys, dora: DiskOfKey
) -> None:
    take(home, hollowed(piece_of(dora.store, dora.epochs[0])), piece_of(dora.store, dora.epochs[1]))
    revocation = mesh.revoke("dora", by="anna", cut=(dora.tip(0, 1),))
    before = home.ends(), home.state
    with pytest.raises(ZeroDivisionError), home.transaction():
        home.learn([revocation])
        assert dora.counting_in(home) == [1, 0]
        raise ZeroDivisionError
    assert (home.ends(), home.state) == before

    learn(home, revocation)
    cut = home.ends(), home.state
    home.close()
    home.open()

    assert (home.ends(), home.state) == cut


def test_a_store_in_a_mesh_of_which_no_fact_is_known_takes_all(
    store: CheckedStore, mesh: MeshOfKeys, dora: DiskOfKey
) -> None:
    enter(store, mesh)

    send(dora.store, store)

    assert dora.counting_in(store) == [3, 2]
    assert store.roster() is None


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_a_revoked_admin_made_a_node_and_revoked_three_in_whatever_order_that_is_heard_the_same_are_members_and_count(
    store: CheckedStore, mesh: MeshOfKeys, order: Sequence[int]
) -> None:
    enter(store, mesh)
    begin = [mesh.found(), mesh.admin("anna"), mesh.admin("bert")]
    names = ("dora", "emil", "fred")
    learn(store, *begin, *(mesh.node(name, by="anna") for name in names))
    disks = [DiskOfKey(name) for name in (*names, "gina")]
    for ms, disk in enumerate(disks, 1):
        disk.write(event(ms))
    heard = (
        [mesh.node("gina", by="bert")],
        [mesh.revoke(name, by="bert") for name in names],
        [mesh.revoke_admin("bert")],
    )

    for at in order:
        for disk in disks:
            take(store, piece_of(disk.store, disk.epochs[0]))
        learn(store, *heard[at])
    for disk in disks:
        take(store, piece_of(disk.store, disk.epochs[0]))

    roster = store.roster()
    assert roster is not None
    assert set(roster.members) == {key(name).public for name in ("anna", *names)}
    assert [disk.counting_in(store) for disk in disks] == [[1], [1], [1], [0]]


def test_own_events_of_a_member_count_whatever_happens_to_others(home: CheckedStore, mesh: MeshOfKeys) -> None:
    put(home, writer_of("emil"), event(1))
    epoch = home.state.epoch

    learn(home, mesh.revoke("dora", by="anna"))
    put(home, writer_of("emil"), event(2))

    assert home.state.epoch == epoch
    assert [end.seq for end in home.ends().values()] == [2]
