"""What a link does where epochs do not count, or not any more, by the facts of the mesh: homes with real stores."""

from __future__ import annotations

import pytest

from peers.codec.run_messages import Decline, Facts, Pieces
from peers.events.epoch import NOTHING
from peers.facts.fact import Fact
from tests.support.disk_of_key import DiskOfKey
from tests.support.mesh_of_keys import MeshOfKeys, key
from tests.support.replication.home import Home
from tests.support.replication.mesh_stage import learn, stage_of
from tests.support.run_house import event, pieces_for, shown_by, types


@pytest.fixture
def mesh() -> MeshOfKeys:
    return MeshOfKeys()


def begin(mesh: MeshOfKeys) -> list[Fact]:
    return [mesh.found(), mesh.admin("anna"), mesh.node("dora", by="anna"), mesh.node("emil", by="anna")]


def seqs(home: Home, of: DiskOfKey) -> list[int]:
    """Up to where the epochs of a disk count."""
    return of.counting_in(home.store)


def seq_of(home: Home, of: Home) -> int:
    """How many entries of a node with one epoch count."""
    epoch = of.store.newest_of(of.signer.public)
    return home.store.ends().get(epoch or "", NOTHING).seq


def give(home: Home, disk: DiskOfKey, *order: int) -> None:
    """The home takes the epochs of a disk, in this order."""
    pieces = pieces_for(disk.store, {})
    for at in order:
        home.write(lambda store, at=at: [store.take([pieces[at]])])
    while home.mailbox.is_busy:
        home.mailbox.step()


def adopt(home: Home) -> None:
    home.adopt()
    while home.mailbox.is_busy:
        home.mailbox.step()


def test_a_revoked_node_returns_through_a_third_that_missed_it_what_is_above_the_cut_is_vouched_for_the_rest_refused(
    mesh: MeshOfKeys,
) -> None:
    stage, (anna, dora, emil), _ = stage_of(mesh, 3)
    learn(anna, *begin(mesh))
    stage.write(dora, 2)
    for home in (anna, emil):
        stage.meet(dora, home)
        stage.meet(anna, emil)
    learn(anna, mesh.revoke("dora", by="anna", cut=anna.store.tips(dora.signer.public)))
    stage.write(dora, 3)
    stage.meet(dora, emil)
    assert (seq_of(anna, dora), seq_of(emil, dora)) == (2, 5)

    stage.meet(emil, anna)
    adopt(emil)
    stage.write(dora, 1)  # it does not know yet
    stage.meet(dora, emil)
    stage.meet(emil, anna)

    assert emil.store.ends() == anna.store.ends()
    assert seq_of(anna, dora) == 2
    assert [each.vouched for each in anna.store.each()] == ["", "", "revoke", "revoke", "revoke"]
    assert shown_by(anna.store) == shown_by(emil.store)
    assert len(dora.store.each()) == 6


def test_two_ends_that_learn_a_revocation_while_they_are_connected_lack_nothing_and_send_no_event(
    mesh: MeshOfKeys,
) -> None:
    stage, (anna, dora, emil), said = stage_of(mesh, 3)
    learn(anna, *begin(mesh))
    stage.write(dora, 5)
    stage.meet(dora, anna)
    wire = stage.connect(anna, emil)
    stage.quiet()
    said.clear()

    epoch = dora.store.newest_of(dora.signer.public) or ""
    tip = dora.store.tips(dora.signer.public)[0]._replace(seq=2, head=dora.store.head(epoch, 2) or b"")
    learn(anna, mesh.revoke("dora", by="anna", cut=(tip,)))
    stage.quiet()

    assert anna.store.ends() == emil.store.ends()
    assert seq_of(emil, dora) == 2
    assert all(end.replication.is_idle and not end.replication.missing for end in wire.ends)
    pieces = [piece for _, _, message in said if isinstance(message, Pieces) for piece in message.pieces]
    assert epoch not in {piece.epoch for piece in pieces}, "only what is adopted goes over the link"

    learn(emil, mesh.revoke("dora", by="anna", cut=dora.store.tips(dora.signer.public)))
    stage.quiet()
    assert (seq_of(anna, dora), seq_of(emil, dora)) == (5, 5)
    assert all(end.replication.is_idle and not end.replication.missing for end in wire.ends)


def test_an_end_whose_limit_rises_is_sent_what_it_did_not_take_before(mesh: MeshOfKeys) -> None:
    stage, (anna, _, emil), _ = stage_of(mesh, 3)
    disk = DiskOfKey("dora")
    disk.write(event(1), event(2), event(3))
    facts = begin(mesh)
    learn(anna, *facts)
    give(anna, disk, 0)
    first = mesh.revoke("dora", by="anna", cut=(disk.tip(0, 1),))
    learn(anna, first)
    wire = stage.connect(anna, emil)
    stage.quiet()
    assert seqs(emil, disk) == [1]

    learn(emil, mesh.revoke("dora", by="anna", cut=(disk.tip(0, 3),)))
    stage.quiet()

    assert seqs(emil, disk) == seqs(anna, disk) == [3]
    assert wire.is_up


@pytest.mark.parametrize("order", [(2, 0, 1, 3), (3, 0, 1, 2), (3, 2, 1, 0), (0, 1, 2, 3)])
def test_a_newcomer_gets_all_epochs_of_a_revoked_node_over_one_link_in_whatever_order_they_come(
    mesh: MeshOfKeys, order: tuple[int, ...]
) -> None:
    stage, (anna, _, emil), said = stage_of(mesh, 3)
    disk = DiskOfKey("dora")
    for ms in (10, 20, 30, 40):
        disk.write(event(ms), event(ms + 1), is_new_epoch=True)
    learn(anna, *begin(mesh))
    give(anna, disk, *order)
    learn(anna, mesh.revoke("dora", by="anna", cut=(disk.tip(3, 1),)))

    stage.meet(anna, emil)

    assert seqs(emil, disk) == [2, 2, 2, 1]
    assert anna.store.ends() == emil.store.ends()
    assert sum(isinstance(message, Pieces) for _, _, message in said) <= 6


def test_an_epoch_of_a_key_without_certificate_is_declined_and_comes_when_the_fact_does(mesh: MeshOfKeys) -> None:
    stage, (anna, _, emil), said = stage_of(mesh, 3)
    disk = DiskOfKey("fred")
    disk.write(event(1, "f"), event(2, "f"))
    common, fact = begin(mesh), mesh.node("fred", by="anna")
    learn(anna, *common, fact)
    learn(emil, *common)
    give(anna, disk, 0)
    note = anna.twist
    assert note is not None
    anna.twist = lambda session, message: [] if isinstance(message, Facts) and message.facts else note(session, message)
    wire = stage.connect(anna, emil)
    stage.quiet()
    assert seqs(emil, disk) == [0]
    assert [message.keys for home, _, message in said if isinstance(message, Decline)] == [(key("fred").public,)]

    learn(emil, fact)
    stage.quiet()

    assert types(emil.store.each()) == ["f", "f"]
    assert wire.is_up
    assert anna.store.ends() == emil.store.ends()


def test_a_proof_of_a_fork_of_which_nothing_counts_ends_no_link(mesh: MeshOfKeys) -> None:
    stage, (anna, _, emil), _ = stage_of(mesh, 3)
    disk, copy = DiskOfKey("dora"), DiskOfKey("dora")
    for each, ms in ((disk, 5), (copy, 6)):
        each.write(event(1), event(ms))
    learn(anna, *begin(mesh))
    give(anna, disk, 0)
    birth = copy.store.birth(copy.epochs[0])
    assert birth is not None
    anna.write(lambda store: [store.compare(birth, copy.store.blocks(birth.epoch))])
    blank = DiskOfKey("dora", births=9)
    blank.write(event(9))
    learn(emil, *anna.store.facts(), mesh.revoke("dora", by="anna", cut=(blank.tip(0, 1),)))
    give(emil, blank, 0)
    give(emil, disk, 0)
    assert seqs(emil, disk) == [0]
    wire = stage.connect(anna, emil)

    stage.quiet()

    assert wire.is_up
    assert anna.store.ends() == emil.store.ends()


def test_what_counts_more_since_our_greeting_is_sent_though_the_other_end_had_the_same_then(mesh: MeshOfKeys) -> None:
    stage, (anna, _, emil), _ = stage_of(mesh, 3)
    disk = DiskOfKey("dora")
    disk.write(event(1), event(2), event(3))
    learn(anna, *begin(mesh))
    give(anna, disk, 0)
    learn(anna, mesh.revoke("dora", by="anna", cut=(disk.tip(0, 1),)))
    stage.meet(anna, emil)

    stage.connect(anna, emil)
    learn(anna, mesh.revoke("dora", by="anna", cut=(disk.tip(0, 3),)))  # its greeting is on its way
    stage.quiet()

    assert seqs(anna, disk) == seqs(emil, disk) == [3]
