"""What every store of runs does with another history of an epoch than the cut of a revocation names."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec import structs

from peers.events.epoch import key_mark
from peers.events.proof import Way
from peers.stores.runs.memory import MemoryRunStore
from peers.stores.runs.sqlite.checks.verifying import verify_log
from peers.stores.runs.sqlite.store import SqliteRunStore
from tests.support.disk_of_key import DiskOfKey, enter, learn, writer_of
from tests.support.mesh_of_keys import MeshOfKeys, key
from tests.support.replication.small import small
from tests.support.run_house import (
    CheckedStore,
    adopt,
    clean,
    event,
    follow,
    hollowed,
    outcomes,
    own_epoch,
    piece_of,
    pieces_for,
    put,
    send,
    shown_by,
    take,
    types,
)

CUT = 17
FORK = 11
NODE = f"~{key_mark(key('dora').public)}"


@pytest.fixture(autouse=True)
def runs_of_five() -> Iterator[None]:
    with small():
        yield


def disk(last: int, fork: int = 0, what: str = "forged") -> DiskOfKey:
    """Dora's, up to the entry `last`; other events from the entry after `fork` on."""
    dora = DiskOfKey("dora")
    for ms in range(1, last + 1):
        dora.write(event(ms, what if fork and ms > fork else f"{ms}", node=NODE))
    return dora


def led(home: CheckedStore) -> MemoryRunStore:
    """A store that has what the same facts name."""
    store = MemoryRunStore()
    enter(store, MeshOfKeys())
    learn(store, *home.facts())
    send(disk(CUT).store, store)
    return store


def revoked(home: CheckedStore, mesh: MeshOfKeys, by: str = "anna") -> tuple[str, MemoryRunStore]:
    """Learn where the epoch of dora is cut. Returns its name, and a store that has it up to there."""
    true = disk(CUT + 2)
    learn(home, mesh.revoke("dora", by=by, cut=(true.tip(0, CUT),)))
    return true.epochs[0], led(home)


def way_to(source: CheckedStore, epoch: str) -> Way:
    way = source.way(epoch, FORK)
    assert way is not None
    return way


def prove(store: CheckedStore, source: CheckedStore, epoch: str) -> None:
    """Both have another history of the epoch."""
    birth = source.birth(epoch)
    assert birth is not None
    with store.transaction():
        store.compare(birth, source.blocks(epoch))


@pytest.mark.parametrize("last", [FORK + 2, CUT + 3])
def test_another_history_is_put_aside_and_what_both_have_stays(
    home: CheckedStore, mesh: MeshOfKeys, last: int, tmp_path: Path
) -> None:
    send(disk(last, FORK).store, home)
    clean(home, (3, NODE, 0))
    before = types(home.each())
    epoch, source = revoked(home, mesh)

    follow(home, way_to(source, epoch))

    assert home.ends()[epoch].seq == 10
    assert home.ends()[epoch].head == (source.head(epoch, 10) or b"")[:16]
    assert types(home.each()) == before
    assert outcomes(home, *pieces_for(source, home.ends())) == ["taken"] * 2
    assert home.ends() == source.ends()
    adopt(home, writer_of("emil"))
    own = [each for each in home.each() if each.vouched]
    assert {(each.event["type"], each.vouched) for each in own} <= {("forged", "revoke")}
    assert {f"{ms}" for ms in range(1, CUT + 1)} - {"3"} <= set(types(home.each()))
    for _ in range(2):
        state, ends, shown = home.state, home.ends(), shown_by(home)
        home.close()
        if isinstance(home, SqliteRunStore):
            found = verify_log(home._path, is_in_use=False, mesh=mesh.public, is_deep=True, on_entries=lambda *_: None)
            assert list(found) == []
        home.open()
        assert (home.state.events, home.ends(), shown_by(home)) == (state.events, ends, shown)


def test_what_is_hollow_or_refused_is_so_in_the_history_that_goes_on(home: CheckedStore, mesh: MeshOfKeys) -> None:
    other = disk(FORK + 2, FORK)
    pieces = pieces_for(other.store, {})
    take(home, hollowed(pieces[0], 2), structs.replace(hollowed(pieces[1], 7), refused=frozenset({7})), *pieces[2:])
    epoch, source = revoked(home, mesh)
    assert (home.state.hollow, home.state.refused) == (1, 1)

    follow(home, way_to(source, epoch))

    assert (home.state.hollow, home.state.refused) == (1, 1)
    assert list(home.hollow()) == [(epoch, 2)]
    send(source, home)
    assert home.state.hollow == 0
    assert home.ends() == source.ends()


def test_along_a_way_nobody_can_give_another_history_again(home: CheckedStore, mesh: MeshOfKeys) -> None:
    send(disk(FORK + 2, FORK).store, home)
    epoch, source = revoked(home, mesh)
    follow(home, way_to(source, epoch))
    forged, more = disk(CUT, FORK, "more"), piece_of(source, epoch, 11)

    assert outcomes(home, piece_of(forged.store, epoch, 11)) == ["forked"]
    unsigned = structs.replace(more, items=(*more.items[:2], *more.items[:3]))
    assert outcomes(home, unsigned) == ["bad"]
    assert outcomes(home, piece_of(disk(CUT - 3).store, epoch, 11)) == ["gap"]
    assert home.ends()[epoch].seq == 10
    assert outcomes(home, more) == ["taken"]


def test_a_way_that_leads_elsewhere_changes_nothing(home: CheckedStore, mesh: MeshOfKeys) -> None:
    send(disk(CUT, FORK).store, home)
    epoch, source = revoked(home, mesh)
    way, before = way_to(source, epoch), home.ends()
    steps = way.steps[: len(way.steps) // 2]

    for each in (
        structs.replace(way, steps=steps),
        structs.replace(way, steps=steps + bytes(len(steps))),
        structs.replace(way, steps=way.steps[:-1]),
        structs.replace(way, before=bytes(32)),
        structs.replace(way, epoch="ab" * 16),
    ):
        follow(home, each)
    assert home.ends() == before
    assert home.way(epoch, FORK) is None
    assert source.way(epoch, CUT) is None


def test_a_step_that_is_taken_back_leaves_all_as_it_was(home: CheckedStore, mesh: MeshOfKeys) -> None:
    send(disk(CUT, FORK).store, home)
    epoch, source = revoked(home, mesh)
    before = home.ends(), home.state, shown_by(home), [each.dot for each in home.each()]

    with pytest.raises(ZeroDivisionError), home.transaction():
        home.follow(way_to(source, epoch))
        home.take_over(epoch)
        home.take(pieces_for(source, home.ends()))
        assert home.ends() == source.ends()
        raise ZeroDivisionError

    assert (home.ends(), home.state, shown_by(home), [each.dot for each in home.each()]) == before
    follow(home, way_to(source, epoch))
    send(source, home)
    assert home.ends() == source.ends()


def test_after_a_restart_in_the_middle_it_goes_on_along_the_same_way(home: CheckedStore, mesh: MeshOfKeys) -> None:
    other = disk(CUT, FORK)
    send(other.store, home)
    epoch, source = revoked(home, mesh)
    prove(home, source, epoch)
    assert home.ends()[epoch].mark
    follow(home, way_to(source, epoch))
    take(home, pieces_for(source, home.ends())[0])
    assert (home.ends()[epoch].seq, home.ends()[epoch].mark) == (15, b"")

    home.close()
    home.open()
    assert (home.ends()[epoch].seq, bool(home.ends()[epoch].mark)) == (FORK, True)
    follow(home, way_to(source, epoch))

    assert (home.ends()[epoch].seq, home.ends()[epoch].mark) == (15, b"")
    send(source, home)
    assert home.ends() == source.ends()


def test_a_long_part_is_taken_over_in_steps_and_what_lacks_after_a_crash_comes_from_others(
    home: CheckedStore, mesh: MeshOfKeys
) -> None:
    send(disk(CUT, FORK).store, home)
    epoch, source = revoked(home, mesh)
    with home.transaction():
        taken = home.follow(way_to(source, epoch))
    assert (taken.over, taken.anew, home.ends()[epoch].seq) == ((epoch,), (), 5)
    assert not adopt(home, writer_of("emil"))[0].changes, "what is taken over later is not adopted"

    home.close()
    home.open()
    follow(home, way_to(source, epoch))
    send(source, home)

    assert home.ends() == source.ends()
    adopt(home, writer_of("emil"))
    assert types(home.each()) == [f"{ms}" for ms in range(1, CUT + 1)]
    assert not any(each.vouched for each in home.each())


def test_what_was_put_aside_never_counts_again_also_if_the_revocation_does_not_hold(
    home: CheckedStore, mesh: MeshOfKeys
) -> None:
    learn(home, mesh.admin("bert"))
    send(disk(FORK + 2, FORK).store, home)
    epoch, source = revoked(home, mesh, by="bert")
    follow(home, way_to(source, epoch))
    send(source, home)

    learn(home, mesh.revoke_admin("bert"))

    assert home.ends().keys() == {epoch}
    assert home.newest_of(key("dora").public) == epoch
    put(home, writer_of("dora", 5), event(99))
    birth = home.birth(own_epoch(home))
    assert birth is not None and birth.parent.epoch == epoch
