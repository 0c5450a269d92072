"""What a member that lies, or vouches for others, can make stores of runs believe: nothing about the events of other nodes."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from unittest.mock import patch

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from peers.events.entry import Entry
from peers.events.epoch import NO_HEAD, key_mark
from peers.events.piece import Piece
from peers.events.proof import Block
from peers.events.run import ADOPTED_FORK, ADOPTED_REVOKE, FURTHER, OWN
from peers.facts.fact import Fact
from peers.stores.runs.memory import MemoryRunStore
from peers.stores.runs.sqlite.store import SqliteRunStore
from tests.peers.stores.runs.test_authors import name
from tests.peers.stores.runs.test_hostile_pieces import signed
from tests.support.disk_of_key import DiskOfKey, enter, learn, writer_of
from tests.support.mesh_of_keys import MeshOfKeys, key
from tests.support.run_house import (
    CheckedStore,
    Writer,
    adopt,
    check,
    clean,
    event,
    fill,
    hollowed,
    pieces_for,
    put,
    send,
    take,
    types,
)


def writer_name(of: str) -> str:
    """The node id of `key(of)` in the births of a writer without a name."""
    return f"~{key_mark(key(of).public)}"


def test_an_event_sent_for_an_epoch_that_no_node_knows_yet_lets_no_node_sign_for_another(store: CheckedStore) -> None:
    forged = event(1, "forged", node=name(2), extra=b'{"keep_last":"price"}')
    piece = signed(Writer(1), [[(OWN, forged, True)]], is_one_run=True)[0]
    with store.transaction():
        store.fill([((piece.epoch, 1), forged)])

    take(store, piece)

    assert types(store.each()) == []
    assert [standing.state for standing in store.entries(piece.epoch)] == ["refused"]


def test_a_users_event_that_a_node_vouched_for_in_an_epoch_of_its_own_that_forked_ends_nothing_when_it_adopts_that_anew(
    store: CheckedStore,
) -> None:
    older = event(1, "older", node="ada", extra=b'{"reasons":["price"]}')
    last = event(2, "last", node="ada", extra=b'{"keep_last":"price"}')
    take(store, signed(Writer(2), [[(OWN, older, True)]], is_one_run=True)[0])
    branches = [
        signed(Writer(1), [[(OWN, event(3, type_), True), (ADOPTED_FORK, last, True)]], is_one_run=True)[0]
        for type_ in "ab"
    ]
    take(store, branches[0])
    blocks = [Block(1, NO_HEAD, piece.kinds, tuple(piece.leaves), piece.signature) for piece in branches]
    with store.transaction():
        store.compare(branches[0].birth, blocks)
        store.adopt(Writer(1).pen)

    assert [(each.event["type"], each.vouched) for each in store.each()] == [("older", ""), ("last", "fork"), ("a", "")]


def stood_for(store: CheckedStore) -> dict[str, tuple[str | None, str]]:
    """Of each event that is shown: in whose epoch it is known, and why if that node vouches for it."""
    return {each.event["type"]: (each.origin, each.vouched) for each in store.each()}


def test_an_event_that_counts_again_is_known_by_its_author_and_not_by_who_vouched_for_it(
    home: CheckedStore, mesh: MeshOfKeys, dora: DiskOfKey
) -> None:
    send(dora.store, home)
    learn(home, mesh.revoke("dora", by="anna", cut=(dora.tip(0, 1),)))
    adopt(home, writer_of("emil"))
    before = stood_for(home)

    learn(home, mesh.revoke("dora", by="anna", cut=(dora.tip(0, 3),)))

    author = before["1.1"]
    assert [vouched for _, vouched in before.values()] == ["", "revoke", "revoke", "revoke", "revoke"]
    assert stood_for(home) == before | {"1.2": author, "1.3": author}


def test_a_cleaned_event_that_counts_again_is_known_by_its_author(
    home: CheckedStore, mesh: MeshOfKeys, dora: DiskOfKey
) -> None:
    send(dora.store, home)
    learn(home, mesh.revoke("dora", by="anna", cut=(dora.tip(0, 1),)))
    adopt(home, writer_of("emil"))
    clean(home, event(2).created)

    learn(home, mesh.revoke("dora", by="anna", cut=(dora.tip(0, 3),)))

    (tombstone,) = [copy for copy in home.copies() if copy.tombstone]
    assert (tombstone.dot, tombstone.vouched) == ((dora.epochs[0], 2), "")


def test_keep_last_of_an_event_that_counts_again_ends_what_is_older(home: CheckedStore, mesh: MeshOfKeys) -> None:
    dora = DiskOfKey("dora")
    dora.write(event(1, "older", extra=b'{"reasons":["price"]}'), event(2, "last", extra=b'{"keep_last":"price"}'))
    donor = MemoryRunStore()
    donor.open()
    put(donor, writer_of("emil"), event(1, "older", extra=b'{"reasons":["price"]}'))
    take(donor, *[hollowed(piece) for piece in pieces_for(dora.store, {})])
    send(donor, home)
    learn(home, mesh.revoke("dora", by="anna"))
    take(
        home,
        signed(
            writer_of("emil", 5),
            [[(ADOPTED_REVOKE, event(2, "last", extra=b'{"keep_last":"price"}'), True)]],
            is_one_run=True,
        )[0],
    )
    assert types(home.each()) == ["older", "last"]

    learn(home, mesh.revoke("dora", by="anna", cut=(dora.tip(0, 2),)))

    assert types(home.each()) == ["last"]
    assert home.state.hollow == 0


@settings(deadline=None, max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(order=st.permutations(range(6)), twice=st.booleans())
def test_whose_event_it_is_does_not_depend_on_the_order_in_which_facts_and_entries_come(
    make: Callable[[], CheckedStore], order: list[int], *, twice: bool
) -> None:
    """Dora, who is revoked, wrote four events; emil vouches for the last three, mallory for forged copies; the cut rises."""
    mesh, dora = MeshOfKeys(), DiskOfKey("dora")
    named = [event(ms, str(ms), node=writer_name("dora"), extra=b'{"reasons":["x"]}') for ms in range(1, 5)]
    dora.write(*named)
    forged = [event(ms, f"forged {ms}", node=writer_name("dora"), time=1) for ms in range(2, 5)]
    facts = [mesh.found(), mesh.admin("anna"), *(mesh.node(each, by="anna") for each in ("dora", "emil", "mallory"))]
    things: list[Fact | Piece] = [
        mesh.revoke("dora", by="anna", cut=(dora.tip(0, 1),)),
        mesh.revoke("dora", by="anna", cut=(dora.tip(0, 3),)),
        *pieces_for(dora.store, {}),
        signed(writer_of("emil"), [[(ADOPTED_REVOKE, each, True) for each in named[1:]]], is_one_run=True)[0],
        signed(writer_of("mallory"), [[(ADOPTED_REVOKE, each, True) for each in forged]], is_one_run=True)[0],
        hollowed(pieces_for(dora.store, {})[0]),
    ]
    assert len(things) == len(order)
    store = enter(make(), mesh)
    learn(store, *facts)

    for at in [*order, *order] if twice else [*order, *[at for at in order if isinstance(things[at], Piece)]]:
        thing = things[at]
        if isinstance(thing, Piece):
            take(store, thing)
            fill(dora.store, store)
        else:
            learn(store, thing)
        adopt(store, writer_of("anna"))

    own = writer_name("dora"), ""
    assert {type_: stood for type_, stood in stood_for(store).items() if type_ in "123"} == dict.fromkeys("123", own)
    check(store)
    store.close()
    store.open()
    check(store)
    store.close()


def test_of_an_event_that_does_not_count_any_more_an_entry_of_who_offered_it_goes_before_one_of_who_vouches_for_it(
    home: CheckedStore, mesh: MeshOfKeys, dora: DiskOfKey
) -> None:
    first = event(1, "1.1")
    send(dora.store, home)
    for who, kind in (("emil", FURTHER), ("anna", ADOPTED_REVOKE)):
        take(home, signed(writer_of(who), [[(kind, first, True)]], is_one_run=True)[0])

    learn(home, mesh.revoke("dora", by="anna"))
    adopt(home, writer_of("anna", 5))

    assert stood_for(home)["1.1"] == (writer_name("emil"), "")


def test_a_copy_that_is_not_shown_is_found_by_its_leaf_also_in_a_file_of_an_earlier_build(tmp_path: Path) -> None:
    store = SqliteRunStore(tmp_path / "log.db", synchronous="OFF")
    store.open()
    pieces = [
        signed(Writer(number), [[(OWN, event(1, str(number)), True)]], is_one_run=True)[0] for number in (1, 2, 3)
    ]
    take(store, *pieces)
    assert store.state.conflicts == 2
    store.close()
    with closing(sqlite3.connect(tmp_path / "log.db")) as connection, connection:
        connection.execute("DELETE FROM leaves")

    store.open()
    again = [
        signed(Writer(number), [[(OWN, event(1, str(number - 3)), True)]], is_one_run=True)[0] for number in (4, 5, 6)
    ]
    take(store, *again)

    assert (store.state.conflicts, store.state.events, store.state.hollow) == (2, 1, 0)
    check(store)
    store.close()


def test_each_further_copy_of_one_event_reads_no_more_rows_than_the_one_before(tmp_path: Path) -> None:
    """One member may sign very many of them."""
    store = SqliteRunStore(tmp_path / "log.db", synchronous="OFF")
    store.open()
    commits = [[(OWN, event(1, f"{number}.{each}"), True) for each in range(50)] for number in range(4)]
    pieces = signed(Writer(1), commits, is_one_run=False)
    with patch("peers.stores.runs.sqlite.copies.Entry", wraps=Entry) as made:
        counts = []
        for piece in pieces:
            made.reset_mock()
            take(store, piece)
            counts.append(made.call_count)
    store.close()

    assert counts[3] <= 2 * counts[1]
