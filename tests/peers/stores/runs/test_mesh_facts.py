"""What every store of runs does with the facts of its mesh."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from peers.facts.fact import Fact
from peers.facts.fact_set import FactSet
from peers.stores.runs.sqlite.reader import SqliteRunReader
from peers.stores.runs.sqlite.store import SqliteRunStore
from peers.stores.store import StoreError
from tests.support.mesh_of_keys import MeshOfKeys, key
from tests.support.run_house import CheckedStore, Writer, event, put, types


def enter(store: CheckedStore, mesh: MeshOfKeys) -> None:
    """Open the store as one of this mesh."""
    store.close()
    store.enter_mesh(mesh.public)
    store.open()


def learn(store: CheckedStore, *facts: Fact) -> list[str]:
    """The kinds of what was new."""
    with store.transaction():
        return [fact.kind for fact in store.learn(facts).facts]


def test_facts_are_kept_over_a_restart_in_the_order_in_which_they_can_be_sent(
    store: CheckedStore, mesh: MeshOfKeys
) -> None:
    enter(store, mesh)
    found, anna, dora = mesh.found(), mesh.admin("anna"), mesh.node("dora", by="anna")

    assert learn(store, found, dora) == ["found"]
    assert learn(store, anna) == ["certificate", "certificate"]  # also the one that waited
    assert learn(store, found, anna, dora) == []

    end = store.mesh_end()
    store.close()
    store.open()
    assert (store.facts(), store.mesh_end()) == ((found, anna, dora), end)
    assert learn(store, mesh.leave("dora")) == ["leave"]


def test_two_stores_with_the_same_facts_have_one_digest_and_a_store_without_any_has_another(
    store: CheckedStore, mesh: MeshOfKeys
) -> None:
    enter(store, mesh)
    empty = store.mesh_end()
    facts = [mesh.found(), mesh.admin("anna")]
    other = FactSet(mesh.public)
    for fact in reversed(facts):
        other.add(fact)

    learn(store, *facts)

    assert store.mesh_end() == other.end != empty


def test_a_store_without_a_mesh_or_of_another_one_keeps_no_facts(store: CheckedStore, mesh: MeshOfKeys) -> None:
    assert learn(store, mesh.found()) == []
    assert store.facts() == ()

    enter(store, MeshOfKeys("other"))

    assert learn(store, mesh.found()) == []
    assert store.facts() == ()


def test_of_facts_that_came_only_the_unknown_ones_of_the_same_mesh_need_a_look(
    store: CheckedStore, mesh: MeshOfKeys
) -> None:
    found, anna, other = mesh.found(), mesh.admin("anna"), MeshOfKeys("other").found()
    texts = [fact.data for fact in (found, anna, other)]

    assert store.unknown_facts([*texts, b"x"]) == []  # it has no mesh

    enter(store, mesh)
    learn(store, found)
    assert store.unknown_facts(texts) == [anna]
    with pytest.raises(ValueError, match="no fact that this release knows"):
        store.unknown_facts([*texts, b"x"])


def test_facts_of_a_commit_that_is_taken_back_are_not_there(store: CheckedStore, mesh: MeshOfKeys) -> None:
    enter(store, mesh)
    found = mesh.found()
    learn(store, found)

    with pytest.raises(RuntimeError), store.transaction():
        store.learn([mesh.admin("anna")])
        assert len(store.facts()) == 2
        raise RuntimeError

    assert store.facts() == (found,)
    store.close()
    store.open()
    assert store.facts() == (found,)


def test_facts_are_no_events_and_leave_the_log_as_it_is(store: CheckedStore, anna: Writer, mesh: MeshOfKeys) -> None:
    anna.signer = key("anna")
    put(store, anna, event(1))
    enter(store, mesh)
    before = store.state, store.ends()

    learn(store, mesh.found(), mesh.admin("anna"))

    assert (store.state, store.ends()) == before
    assert types(store.each()) == ["a"]


# In SQLite


def written(path: Path, mesh: MeshOfKeys) -> None:
    store = SqliteRunStore(path, synchronous="OFF")
    enter(store, mesh)
    learn(store, mesh.found(), mesh.admin("anna"))
    put(store, Writer(1), event(1))
    store.close()


def run(path: Path, statement: str) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(statement)


def test_a_file_of_an_earlier_release_gets_its_table_when_it_is_opened(tmp_path: Path, mesh: MeshOfKeys) -> None:
    path = tmp_path / "log.db"
    written(path, mesh)
    run(path, "DROP TABLE mesh_facts")

    reader = SqliteRunReader(path)
    reader.enter_mesh(mesh.public)
    reader.open()
    assert reader.facts() == ()  # it changes nothing
    reader.close()

    store = SqliteRunStore(path, synchronous="OFF")
    enter(store, mesh)
    assert learn(store, mesh.found()) == ["found"]
    assert types(store.each()) == ["a"]
    store.close()


@pytest.mark.parametrize("column", ["id", "fact"])
def test_a_fact_that_the_disk_has_changed_is_called_damage(tmp_path: Path, mesh: MeshOfKeys, column: str) -> None:
    path = tmp_path / "log.db"
    written(path, mesh)
    run(path, f"UPDATE mesh_facts SET {column} = CAST(x'00' || substr({column}, 2) AS BLOB) WHERE number = 2")
    store = SqliteRunStore(path, synchronous="OFF")

    with pytest.raises(StoreError, match=r"a fact of the mesh is not what was written.*it is damaged"):
        enter(store, mesh)
    store.close()
