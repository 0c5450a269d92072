"""What does not count by the facts of a mesh is adopted, in every store of runs."""

from __future__ import annotations

import pytest

from peers.events.epoch import NOTHING
from peers.stores.runs.memory import MemoryRunStore
from tests.support.disk_of_key import DiskOfKey, enter, learn, writer_of
from tests.support.mesh_of_keys import MeshOfKeys
from tests.support.run_house import (
    CheckedStore,
    adopt,
    clean,
    event,
    send,
    types,
)


def adopted(store: CheckedStore) -> list[tuple[str, str]]:
    """The events that are vouched for: their types, and why."""
    return [(each.event["type"], each.vouched) for each in store.each() if each.vouched]


def test_what_is_above_the_cut_is_adopted_once(home: CheckedStore, mesh: MeshOfKeys, dora: DiskOfKey) -> None:
    send(dora.store, home)
    learn(home, mesh.revoke("dora", by="anna", cut=(dora.tip(0, 2),)))

    for _ in range(2):
        adopt(home, writer_of("emil"))
        home.close()
        home.open()

    assert adopted(home) == [("1.3", "revoke"), ("2.1", "revoke"), ("2.2", "revoke")]
    assert home.state.last_position == 8
    emil = next(epoch for epoch in home.ends() if epoch not in dora.epochs)
    assert home.ends()[emil].seq == 3


def test_who_is_revoked_adopts_nothing(home: CheckedStore, mesh: MeshOfKeys, dora: DiskOfKey) -> None:
    send(dora.store, home)
    learn(home, mesh.revoke("dora", by="anna"))

    steps = adopt(home, dora.writer)

    assert not steps[0].is_unfinished
    assert home.state.last_position == 5


def test_what_a_node_of_a_revoked_admin_wrote_is_adopted_for_want_of_a_certificate(
    home: CheckedStore, mesh: MeshOfKeys
) -> None:
    learn(home, mesh.admin("bert"), mesh.node("fred", by="bert"))
    fred = DiskOfKey("fred")
    fred.write(event(1, "f"))
    send(fred.store, home)

    learn(home, mesh.revoke_admin("bert"))
    adopt(home, writer_of("emil"))

    assert adopted(home) == [("f", "certificate")]
    assert fred.counting_in(home) == [0]


@pytest.mark.parametrize(("name", "why"), [("anna", "found"), ("emil", "certificate")])
def test_a_log_from_before_the_mesh_is_adopted(store: CheckedStore, mesh: MeshOfKeys, name: str, why: str) -> None:
    others, own = DiskOfKey("fred"), DiskOfKey(name)
    others.write(event(1, "f"))
    own.write(event(2, "own"))
    send(others.store, store)
    send(own.store, store)
    enter(store, mesh)
    learn(store, mesh.found(), mesh.admin("anna"), mesh.node("emil", by="anna"))
    assert others.counting_in(store) == [0]

    adopt(store, writer_of(name))

    assert adopted(store) == [("f", why)]
    assert types(store.each()) == ["f", "own"]


def test_who_joined_without_its_log_keeps_it_for_itself(home: CheckedStore, mesh: MeshOfKeys) -> None:
    fred, gina = DiskOfKey("fred"), DiskOfKey("gina")
    for disk, ms in ((fred, 1), (gina, 2)):
        disk.write(event(ms, disk.name))
    home.close()
    home.enter_mesh(MeshOfKeys("none").public)
    home.open()
    send(fred.store, home)
    send(gina.store, home)
    enter(home, mesh)
    learn(home, mesh.admin("bert"), mesh.node("gina", by="bert"), mesh.revoke_admin("bert"))

    with home.transaction():
        taken = home.adopt(writer_of("emil").pen, adopts_unknown=False)

    assert not taken.is_unfinished
    assert adopted(home) == [("gina", "certificate")]
    assert types(home.each()) == ["fred", "gina"]


def test_an_event_that_was_adopted_and_counts_again_is_no_damage(
    home: CheckedStore, mesh: MeshOfKeys, dora: DiskOfKey
) -> None:
    send(dora.store, home)
    learn(home, mesh.revoke("dora", by="anna"))
    adopt(home, writer_of("emil"))

    learn(home, mesh.revoke("dora", by="anna", cut=(dora.tip(1, 2),)))

    newcomer = MemoryRunStore()
    enter(newcomer, mesh)
    learn(newcomer, *home.facts())
    send(home, newcomer)
    assert newcomer.ends() == home.ends()
    assert len(newcomer.each()) == 5


def test_a_cleaned_event_above_the_cut_is_not_adopted(home: CheckedStore, mesh: MeshOfKeys, dora: DiskOfKey) -> None:
    send(dora.store, home)
    clean(home, event(5).created)
    learn(home, mesh.revoke("dora", by="anna", cut=(dora.tip(1, 1),)))

    adopt(home, writer_of("emil"))

    assert adopted(home) == []
    assert NOTHING not in home.ends().values()
