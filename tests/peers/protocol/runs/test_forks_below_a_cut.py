"""A revoked key signs another history from below its cut: honest logs end with the one that the revocation names."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import permutations

import pytest

from peers.events.epoch import key_mark
from peers.facts.fact import Fact
from tests.support.disk_of_key import DiskOfKey
from tests.support.mesh_of_keys import MeshOfKeys
from tests.support.replication.home import Home
from tests.support.replication.mesh_stage import learn, settle, stage_of
from tests.support.replication.small import small
from tests.support.run_house import event, pieces_for, shown_by, types

CUT = 12


def begin(mesh: MeshOfKeys) -> list[Fact]:
    names = ("dora", "emil", "fred")
    return [mesh.found(), mesh.admin("anna"), *[mesh.node(name, by="anna") for name in names]]


def histories(forged: int, fork: int = 7) -> tuple[DiskOfKey, DiskOfKey]:
    """What dora wrote; and what who has her key writes after the entry `fork`, up to `forged`: other events of hers."""
    true, other = DiskOfKey("dora"), DiskOfKey("dora")
    node = f"~{key_mark(true.writer.signer.public)}"
    for ms in range(1, CUT + 3):
        true.write(event(ms, f"{ms}", node=node))
    for ms in range(1, forged + 1):
        other.write(event(ms, f"{ms}" if ms <= fork else f"{ms} forged", node=node))
    return true, other


def give(home: Home, disk: DiskOfKey, upto: int = 10**9) -> None:
    pieces = [piece for piece in pieces_for(disk.store, {}) if piece.last <= upto]
    home.write(lambda store: [store.take(pieces)])
    while home.mailbox.is_busy:
        home.mailbox.step()


@pytest.mark.parametrize(("order", "forged"), [*zip(permutations(range(3)), [9, CUT, CUT + 2] * 2, strict=True)])
def test_logs_end_with_the_history_that_the_cut_names_in_whatever_order_all_comes(
    order: Sequence[int], forged: int
) -> None:
    mesh = MeshOfKeys()
    with small():
        stage, (anna, _, emil, fred), _ = stage_of(mesh, 4)
        learn(anna, *begin(mesh))
        settle(stage, anna, emil, fred)
        true, other = histories(forged)
        give(anna, true)
        give(emil, other)
        revocation = mesh.revoke("dora", by="anna", cut=(true.tip(0, CUT),))
        steps = [
            lambda: stage.meet(fred, anna),
            lambda: stage.meet(fred, emil),
            lambda: learn(fred, revocation),
        ]

        for at in order:
            steps[at]()
        settle(stage, anna, emil, fred)

    homes = (anna, emil, fred)
    assert [home.troubles for home in homes] == [[]] * 3
    assert [true.counting_in(home.store) for home in homes] == [[CUT]] * 3
    assert anna.store.ends() == emil.store.ends() == fred.store.ends()
    assert shown_by(anna.store) == shown_by(emil.store) == shown_by(fred.store)
    assert {f"{ms}" for ms in range(1, CUT + 1)} <= set(types(fred.store.each()))


@pytest.mark.parametrize("forged", [11, CUT + 2])
def test_who_has_the_end_of_that_history_without_a_signature_shows_the_way_too(forged: int) -> None:
    mesh = MeshOfKeys()
    with small():
        stage, (anna, _, emil, fred), _ = stage_of(mesh, 4)
        true, other = histories(forged, fork=10)
        learn(anna, *begin(mesh), mesh.revoke("dora", by="anna", cut=(true.tip(0, CUT),)))
        give(anna, true)
        stage.meet(anna, fred)
        assert fred.store.signature(true.epochs[0])[0] == 10
        learn(emil, *begin(mesh))
        give(emil, other)

        settle(stage, emil, fred)

    assert emil.troubles == fred.troubles == []
    assert true.counting_in(emil.store) == [CUT]
    assert emil.store.ends() == fred.store.ends()
    assert shown_by(emil.store) == shown_by(fred.store)
