"""How many statements the store needs: what is hard is dear once, and slows nothing after it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from peers.events.entry import Entry
from peers.events.piece import Piece
from tests.support.run_house import Writer, event, fresh, piece_of, put, send
from tests.support.sql_store import SqlStore

ANNA = Writer(1)


def row_of(first: int, count: int) -> list[Entry]:
    return [event(ms) for ms in range(first, first + count)]


def opened(path: Path) -> SqlStore:
    store = SqlStore(path, synchronous="OFF")
    store.open()
    return store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqlStore]:
    store = opened(tmp_path / "log.db")
    yield store
    store.close()


def statements(store: SqlStore, work: Callable[[], object]) -> int:
    """How many statements this is."""
    seen: list[str] = []
    store.connection.set_trace_callback(seen.append)
    work()
    store.connection.set_trace_callback(None)
    return len(seen)


def add_a_conflict(store: SqlStore) -> None:
    for number, type_ in ((2, "one"), (3, "two")):
        send(fresh(Writer(number), event(1, type_))[0], store)
    assert store.state.conflicts


def add_further_entries(store: SqlStore) -> None:
    for number in (2, 3):
        send(fresh(Writer(number), event(1), event(2))[0], store)
    assert store.state.last_position > store.state.last_added


@pytest.mark.parametrize("happen", [add_a_conflict, add_further_entries])
def test_what_is_plain_needs_no_more_statements_after_something_hard(
    store: SqlStore, happen: Callable[[SqlStore], None]
) -> None:
    put(store, ANNA, *row_of(1001, 10))
    before = statements(store, lambda: put(store, ANNA, *row_of(1011, 10)))

    happen(store)
    put(store, ANNA, *row_of(1021, 10))

    assert statements(store, lambda: put(store, ANNA, *row_of(1031, 10))) <= before


def test_a_conflict_costs_nothing_after_a_restart_either(tmp_path: Path) -> None:
    store = opened(tmp_path / "log.db")
    put(store, ANNA, *row_of(1001, 10))
    before = statements(store, lambda: put(store, ANNA, *row_of(1011, 10)))
    add_a_conflict(store)
    store.close()
    store = opened(tmp_path / "log.db")
    put(store, ANNA, *row_of(1021, 10))

    assert statements(store, lambda: put(store, ANNA, *row_of(1031, 10))) <= before
    store.close()


def test_repeats_take_few_statements_however_many_they_are(store: SqlStore) -> None:
    put(store, ANNA, *row_of(1, 400))

    few, many = [
        statements(store, lambda some=some: put(store, ANNA, *some)) for some in (row_of(1, 2), row_of(1, 400))
    ]

    assert many < few + 10


def test_a_commit_of_one_plain_event_is_few_statements(store: SqlStore) -> None:
    """To begin, to end, and one each for the event, its place, the facts, the run and the epoch."""
    put(store, ANNA, event(1))
    put(store, ANNA, event(2))

    assert statements(store, lambda: put(store, ANNA, event(3))) <= 10


def test_each_further_piece_of_a_commit_is_few_statements(store: SqlStore) -> None:
    """For its savepoint, to begin and to end it, and one each for its events, the run and what tells of its content."""
    sources = [fresh(Writer(number), *row_of(number * 1000, 9)) for number in range(2, 8)]
    pieces = [piece_of(source, epoch) for source, epoch in sources]

    def take(some: list[Piece]) -> None:
        with store.transaction():
            for piece in some:
                store.take([piece])

    take(pieces[:1])
    few, many = [statements(store, lambda some=some: take(some)) for some in (pieces[1:2], pieces[2:])]

    assert (many - few) / 3 <= 8  # and two for the places of an epoch that is new


def test_a_commit_that_changes_nothing_writes_nothing(store: SqlStore) -> None:
    put(store, ANNA, *row_of(1, 5))
    before = store.writes()

    put(store, ANNA, *row_of(1, 5))

    assert store.writes() == before


def test_a_piece_that_fails_takes_back_no_other_of_its_transaction(store: SqlStore) -> None:
    put(store, ANNA, *row_of(1, 3))
    clash = [*[event(ms, node="hall") for ms in range(50, 100)], event(1, "other"), event(9, "other")]

    with store.transaction():
        for first in (4, 5):  # the first one that fails is the first of all that writes
            with pytest.raises(ValueError, match="differs"):
                store.append(clash, ANNA.pen)
            source, epoch = fresh(Writer(first), event(first))
            store.take([piece_of(source, epoch)])

    assert [each.created[0] for each in store.each()] == [1, 2, 3, 4, 5]
    assert [each.added for each in store.each(order="added")] == [1, 2, 3, 4, 5]
    store.close()
    store.open()
    assert [each.created[0] for each in store.each()] == [1, 2, 3, 4, 5]
