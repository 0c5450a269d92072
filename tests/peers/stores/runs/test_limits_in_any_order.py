"""Facts, pieces and proofs come in any order: the same counts in the end, and all that anybody holds is shown everywhere."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from peers.events.piece import Piece
from peers.events.proof import Way
from peers.facts.fact import Fact
from peers.stores.runs.memory import MemoryRunStore
from tests.support.disk_of_key import DiskOfKey, enter, learn, writer_of
from tests.support.mesh_of_keys import MeshOfKeys
from tests.support.replication.small import small
from tests.support.run_house import CheckedStore, check, event, exchange, pieces_for, shown_by, take

Make = Callable[[], CheckedStore]
MESH = MeshOfKeys()


def disks() -> dict[str, DiskOfKey]:
    """Of dora, who is revoked: three epochs, and a copy of the disk on which the second one forks; of hugo, ivan, and
    jane, who leave, jane twice, two, and of hugo other ones with the same names; of others one each.
    """
    dora, copy = DiskOfKey("dora"), DiskOfKey("dora")
    for disk, ms in ((dora, 10), (copy, 20)):
        disk.write(event(1), event(2))
        disk.write(event(3), event(ms), event(ms + 1), is_new_epoch=True)
    dora.write(event(14), event(15), is_new_epoch=True)
    copy.write(event(24), is_new_epoch=True)
    found = {"dora": dora, "copy": copy, "blank": DiskOfKey("dora", births=9)}
    found |= {name: DiskOfKey(name) for name in ("anna", "emil", "fred", "gina")}
    with small():  # runs of five entries
        found |= {name: DiskOfKey(name) for name in ("hugo", "ivan", "jane")} | {"forged": DiskOfKey("hugo")}
        for name, what in (("hugo", ""), ("forged", "forged"), ("ivan", ""), ("jane", "")):
            found[name].write(*[event(60 + ms, what, node=name) for ms in range(7)])
            found[name].write(*[event(80 + ms, what, node=name) for ms in range(13)], is_new_epoch=True)
    for number, name in enumerate(("blank", "anna", "emil", "fred", "gina"), 3):
        found[name].write(event(number * 10), event(number * 10 + 1))
    return found


DISKS = disks()
FACTS: list[Fact] = [
    MESH.found(),
    MESH.admin("anna"),
    MESH.admin("bert"),
    MESH.node("dora", by="anna"),
    MESH.node("emil", by="anna"),
    MESH.node("fred", by="bert"),
    MESH.revoke("emil", by="bert"),
    MESH.revoke("dora", by="anna", cut=(DISKS["dora"].tip(2, 1),)),
    MESH.revoke("dora", by="anna", cut=(DISKS["copy"].tip(1, 2),)),
    MESH.revoke_admin("bert"),
    *[MESH.node(name, by="anna") for name in ("hugo", "ivan", "jane")],
    MESH.leave("hugo", (DISKS["hugo"].tip(1, 11),)),
    MESH.leave("ivan", (DISKS["ivan"].tip(1, 11)._replace(seq=99),)),
    *[MESH.leave("jane", (DISKS["jane"].tip(at, 7),)) for at in range(2)],
]


def ways() -> list[Way]:
    """What a store says that has what dora wrote on her first disk: to the end of the epoch that forks, and of its parent; and
    what hugo wrote.
    """
    store = MemoryRunStore()
    enter(store, MESH)
    for _ in range(3):
        for name in ("dora", "copy", "hugo"):
            take(store, *pieces_for(DISKS[name].store, {}))
        learn(store, *FACTS)
    found = [store.way(epoch, 0) for epoch in (*DISKS["dora"].epochs[:2], *DISKS["hugo"].epochs)]
    return [way for way in found if way is not None]


def deliver(store: CheckedStore, thing: Fact | Piece | Way | DiskOfKey) -> None:
    if isinstance(thing, Fact):
        learn(store, thing)
    elif isinstance(thing, Piece):
        take(store, thing)
    elif isinstance(thing, Way):
        with store.transaction():
            store.follow(thing)
    else:
        for epoch in thing.epochs:
            birth = thing.store.birth(epoch)
            assert birth is not None
            if store.birth(epoch) is not None:
                with store.transaction():
                    store.compare(birth, thing.store.blocks(epoch))


def fed(store: CheckedStore, names: Sequence[str], random: Random) -> CheckedStore:
    """The store, to which all facts and what these disks have came in some order, and again until nothing changes."""
    enter(store, MESH)
    things: list[Fact | Piece | Way | DiskOfKey] = [*FACTS, *(DISKS[name] for name in names)]
    things += ways() if {"dora", "hugo"} <= set(names) else []
    for name in names:
        things += pieces_for(DISKS[name].store, {})
    before: object = None
    while before != (before := (store.ends(), store.state, store.mesh_end())):
        for _ in range(3):  # neither what may be a part of a way nor a way changes any of these
            random.shuffle(things)
            for thing in things:
                deliver(store, thing)
    return store


@settings(deadline=None, max_examples=6, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 10**6), st.sets(st.sampled_from(sorted(DISKS))))
def test_the_same_counts_in_whatever_order_facts_and_pieces_come_and_what_only_one_holds_is_adopted(
    make: Make, seed: int, missed: set[str]
) -> None:
    random = Random(seed)
    all_names = sorted(DISKS)
    one = fed(make(), all_names, random)
    other = fed(make(), all_names, random)

    assert one.ends() == other.ends()
    assert [DISKS[name].counting_in(one) for name in ("dora", "copy", "hugo", "ivan", "jane", "anna", "emil")] == [
        [2, 3, 1],
        [2, 3, 0],
        [7, 11],
        [7, 0],
        [7, 0],
        [2],
        [2],
    ]
    assert {DISKS[name].counting_in(one)[0] for name in ("fred", "gina", "blank")} == {0}
    check(one)

    third = fed(make(), [name for name in all_names if name not in missed], random)
    exchange(one, third, [writer_of("anna", 5), writer_of("emil", 5)])
    assert third.ends() == one.ends()
    assert shown_by(third) == shown_by(one)
    for store in (one, other, third):
        check(store)
        before = store.ends(), store.state.events
        store.close()
        store.open()
        assert (store.ends(), store.state.events) == before
        store.close()
