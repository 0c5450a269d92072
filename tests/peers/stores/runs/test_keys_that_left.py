"""What a key writes after it has left: only what its own fact proves counts, whatever that names."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from time import process_time

import pytest
from msgspec.structs import replace

from peers.events.epoch import NO_HEAD
from peers.events.proof import Way
from peers.facts.fact import Tip
from peers.facts.fact_set import MAX_LEAVES
from peers.protocol.runs.archiving import frames_of
from peers.protocol.runs.fork_search import needed_way
from peers.stores.runs.memory import MemoryRunStore
from tests.support.disk_of_key import DiskOfKey, disk_of_dora, enter, learn, writer_of
from tests.support.mesh_of_keys import MeshOfKeys, key
from tests.support.replication.small import small
from tests.support.run_house import (
    CheckedStore,
    adopt,
    event,
    exchange,
    follow,
    outcomes,
    pieces_for,
    send,
    shown_by,
    types,
)
from tests.support.sql_store import SqlStore

Make = Callable[[], CheckedStore]
DORA = key("dora").public


@pytest.fixture(autouse=True)
def runs_of_five() -> Iterator[None]:
    with small():
        yield


def test_an_ancestor_that_no_node_has_cannot_be_written_after_leaving(home: CheckedStore, mesh: MeshOfKeys) -> None:
    dora, forged = disk_of_dora(7, 2), disk_of_dora(7, what=" forged")
    learn(home, mesh.leave("dora", (dora.tip(1, 2),)))
    send_epoch(dora, 1, home)

    for piece in pieces_for(forged.store, {}):
        assert outcomes(home, piece) == ["gap"]

    assert dora.counting_in(home) == [0, 2]
    assert types(home.each()) == ["1.1", "1.2"]


def test_ways_that_nobody_follows_up_keep_no_other_one_out(
    home: CheckedStore, mesh: MeshOfKeys, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("peers.stores.runs.ways.MAX_WAYS", 2)
    dora = disk_of_dora(6, 7, 8, 9)
    source = enter(make(), mesh)
    learn(home, mesh.leave("dora", (dora.tip(3, 9),)))
    learn(source, *home.facts())
    for _ in range(5):
        send(dora.store, source)
    assert dora.counting_in(source) == [6, 7, 8, 9]

    for epoch in reversed(dora.epochs):
        way, birth = source.way(epoch, 0), source.birth(epoch)
        assert way is not None and birth is not None
        with home.transaction():
            home.meet([birth])
        follow(home, way)
    send_epoch(dora, 0, home)
    assert dora.counting_in(home)[0] == 6
    exchange(home, source, [writer_of("emil"), writer_of("anna")])

    assert home.ends() == source.ends()


def send_epoch(source: DiskOfKey, at: int, target: CheckedStore) -> None:
    pieces = [piece for piece in pieces_for(source.store, {}) if piece.epoch == source.epochs[at]]
    outcomes(target, *pieces)


def test_beyond_what_it_had_written_nothing_can_be_written_after_leaving(home: CheckedStore, mesh: MeshOfKeys) -> None:
    dora = disk_of_dora(7)
    send(dora.store, home)

    learn(home, mesh.leave("dora", (Tip(dora.epochs[0], 1_000, bytes(32)),)))
    dora.write(event(8), event(9))

    assert outcomes(home, *pieces_for(dora.store, {})[1:]) == ["gap"]
    assert home.ends() == {}
    assert len(types(home.each())) == 7
    adopt(home, writer_of("emil"))
    assert {each.vouched for each in home.each()} == {"revoke"}
    learn(home, mesh.revoke("dora", by="anna", cut=home.tips(DORA)))
    assert dora.counting_in(home) == [7], "an admin says what was here"
    assert {each.vouched for each in home.each()} == {""}


def test_who_leaves_twice_cannot_write_between_and_all_that_was_shown_stays(
    home: CheckedStore, mesh: MeshOfKeys
) -> None:
    dora = disk_of_dora(3, 7)
    send(dora.store, home)
    learn(home, mesh.leave("dora", (dora.tip(1, 7),)))
    dora.write(event(300), event(301))

    learn(home, mesh.leave("dora", (dora.tip(1, 9),)))

    assert dora.counting_in(home) == [3, 0]
    assert "gap" not in outcomes(home, *pieces_for(dora.store, {}))
    assert dora.counting_in(home) == [3, 0]
    assert len(types(home.each())) == 10
    adopt(home, writer_of("emil"))
    assert [each.vouched for each in home.each()] == [""] * 3 + ["revoke"] * 7
    learn(home, mesh.revoke("dora", by="anna", cut=home.tips(DORA)))
    assert dora.counting_in(home) == [3, 7], "an admin says what was here"


def test_entries_of_epochs_that_wait_for_ever_are_not_read_for_each_fact(tmp_path: Path, mesh: MeshOfKeys) -> None:
    home, dora = SqlStore(tmp_path / "log.db", synchronous="OFF"), disk_of_dora(5, 5, 5)
    enter(home, mesh)
    learn(home, mesh.found(), mesh.admin("anna"), mesh.node("dora", by="anna"))
    send(dora.store, home)
    for at in range(2):
        learn(home, mesh.leave("dora", (dora.tip(at, 3 + at),)))
    statements: list[str] = []
    home.connection.set_trace_callback(statements.append)

    learn(home, mesh.node("emil", by="anna"))

    assert dora.counting_in(home) == [0, 0, 0]
    assert [statement for statement in statements if " FROM events" in statement] == []
    home.close()


def test_who_leaves_as_often_as_a_set_takes_it_has_nothing_whichever_of_these_facts_are_known(
    home: CheckedStore, mesh: MeshOfKeys, make: Make
) -> None:
    dora, other = disk_of_dora(3, 7), enter(make(), mesh)
    learn(other, *home.facts())
    leaves = [mesh.leave("dora", (dora.tip(1, 7),)) for _ in range(MAX_LEAVES)]
    for store, facts in (home, leaves), (other, [*leaves[1:], mesh.leave("dora", (dora.tip(0, 2),))]):
        send(dora.store, store)
        learn(store, *facts)

    assert dora.counting_in(home) == dora.counting_in(other) == [0, 0]
    assert shown_by(home) == shown_by(other)


@pytest.mark.parametrize("held", [0, 3, 5, 7, 10, 12])
@pytest.mark.parametrize("is_first", [True, False])
def test_all_that_an_honest_node_wrote_comes_after_its_leave_too(
    home: CheckedStore, mesh: MeshOfKeys, held: int, is_first: bool
) -> None:
    dora = disk_of_dora(12, 13)
    pieces = pieces_for(dora.store, {})
    take_up_to(home, disk_of_dora(min(held, 12)) if held else None)
    pieces.sort(key=lambda piece: dora.epochs.index(piece.epoch), reverse=not is_first)
    learn(home, mesh.leave("dora", (dora.tip(1, 12),)))

    for _ in range(3):
        for piece in pieces:
            assert outcomes(home, piece)[0] in ("taken", "gap", "known", "forked")

    assert dora.counting_in(home) == [12, 12]
    assert not home.state.has_unadopted
    assert len(types(home.each())) == 24


def take_up_to(store: CheckedStore, disk: DiskOfKey | None) -> None:
    if disk is not None:
        send(disk.store, store)


@pytest.mark.parametrize("held", [3, 8, 12])
def test_another_history_that_is_here_gives_way_to_the_one_that_the_leave_names(
    home: CheckedStore, mesh: MeshOfKeys, make: Make, held: int
) -> None:
    dora, forged = disk_of_dora(12), disk_of_dora(held, what=" forged")
    send(forged.store, home)
    learn(home, mesh.leave("dora", (dora.tip(0, 12),)))
    other = enter(make(), mesh)
    learn(other, *home.facts())
    for _ in range(2):
        send(dora.store, other)

    exchange(home, other, [writer_of("emil"), writer_of("anna")])

    assert dora.counting_in(home) == dora.counting_in(other) == [12]
    assert home.ends() == other.ends()
    assert shown_by(home) == shown_by(other)


def test_a_key_that_began_many_epochs_costs_no_more_for_each_of_them() -> None:
    mesh, dora, source, target = MeshOfKeys(), disk_of_dora(*[1] * 300), MemoryRunStore(), MemoryRunStore()
    facts = mesh.found(), mesh.admin("anna"), mesh.node("dora", by="anna"), mesh.leave("dora", (dora.tip(299, 1),))
    for store in source, target:
        learn(enter(store, mesh), *facts)
    for _ in range(2):
        send(dora.store, source)
    began = process_time()

    assert len(list(frames_of(source))) > 1
    with target.transaction():
        target.meet([birth for epoch in reversed(dora.epochs) if (birth := source.birth(epoch)) is not None])
    for epoch in dora.epochs:
        shown = needed_way(epoch, 0, frozenset(dora.epochs[1:]), source)
        assert shown is not None
        follow(target, shown.way)

    assert process_time() - began < 0.7, "it took 3 s where each one looked at all"
    send(source, target)
    assert target.ends() == source.ends()
    assert dora.counting_in(target) == [1] * 300


def test_pieces_that_fit_no_way_cost_little_however_long_the_ways_are() -> None:
    mesh, dora, home = MeshOfKeys(), disk_of_dora(*[1] * 5), MemoryRunStore()
    ways = [Way.of(epoch, 1, NO_HEAD, [(500, bytes([at] * 32))] * 5_000) for at, epoch in enumerate(dora.epochs)]
    cut = tuple(sorted([Tip(way.epoch, *list(way.heads().items())[-1]) for way in ways]))
    facts = mesh.found(), mesh.admin("anna"), mesh.node("dora", by="anna"), mesh.leave("dora", cut)
    learn(enter(home, mesh), *facts)
    with home.transaction():
        home.meet([birth for epoch in dora.epochs if (birth := dora.store.birth(epoch)) is not None])
    for way in ways:
        follow(home, way)
    pieces = pieces_for(dora.store, {})
    far = [replace(piece, first=2_001, start=2_001) for piece in pieces]
    began = process_time()

    assert outcomes(home, *(pieces + far) * 5) == ["gap"] * 50

    assert process_time() - began < 0.25, "it took 0.6 s where each one had the heads of its way computed"
