"""How many statements the store needs: what is hard is dear once, and slows nothing after it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from peers.events.entry import Entry
from peers.stores.sqlite import rows
from peers.stores.sqlite.store import SqliteStore

BODY, OTHER = b'{"type":"a"}', b'{"type":"b"}'


def foreign(ms: int, seq: int, *, epoch: str = "far", body: bytes = BODY) -> Entry:
    return Entry((ms, "kitchen", 0), ms, body, b"", (epoch, seq))


def row_of(first: int, count: int) -> list[Entry]:
    return [foreign(ms, ms) for ms in range(first, first + count)]


def put(store: SqliteStore, entries: list[Entry]) -> None:
    with store.transaction():
        store.append(entries, epoch="own")


def opened(path: Path) -> SqliteStore:
    store = SqliteStore(path, synchronous="OFF")
    store.open()
    return store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    store = opened(tmp_path / "log.db")
    yield store
    store.close()


def statements(store: SqliteStore, work: Callable[[], object]) -> int:
    """How many statements this is."""
    connection = store._connection  # nobody else sees them
    assert connection is not None
    seen: list[str] = []
    connection.set_trace_callback(seen.append)
    work()
    connection.set_trace_callback(None)
    return len(seen)


def add_a_conflict(store: SqliteStore) -> None:
    put(store, [foreign(1, 1, epoch="other"), foreign(1, 2, epoch="other", body=OTHER)])
    assert store.state.conflicts


def add_a_second_dot(store: SqliteStore) -> None:
    put(store, [foreign(1, 1, epoch="other"), foreign(2, 2, epoch="other")])
    put(store, [foreign(2, 1, epoch="another"), foreign(3, 2, epoch="another")])


def renew(store: SqliteStore) -> None:
    put(store, [foreign(1, 1, epoch="old"), foreign(2, 1, epoch="old.1.x"), foreign(3, 2, epoch="old")])
    assert store.numbers.generations


@pytest.mark.parametrize("happen", [add_a_conflict, add_a_second_dot, renew])
def test_what_is_plain_needs_no_more_statements_after_something_hard(
    store: SqliteStore, happen: Callable[[SqliteStore], None]
) -> None:
    put(store, row_of(1001, 10))
    before = statements(store, lambda: put(store, row_of(1011, 10)))

    happen(store)

    assert statements(store, lambda: put(store, row_of(1021, 10))) == before


def test_a_conflict_costs_nothing_after_a_restart_either(tmp_path: Path) -> None:
    store = opened(tmp_path / "log.db")
    before = statements(store, lambda: put(store, row_of(1001, 10)))
    add_a_conflict(store)
    store.close()
    store = opened(tmp_path / "log.db")

    assert statements(store, lambda: put(store, row_of(1011, 10))) == before
    store.close()


def test_very_many_conflicts_are_looked_for_in_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "MAX_CONFLICTING", 1)
    store = opened(tmp_path / "log.db")
    for ms in (1, 2):
        put(store, [foreign(ms, 2 * ms), foreign(ms, 2 * ms + 1, body=OTHER)])
    put(store, row_of(1001, 30))

    conflicts = store.state.conflicts
    put(store, [foreign(ms, 2000 + ms, body=b'{"type":"c"}') for ms in (1, 2, 3)])

    assert store.state.conflicts == conflicts + 2
    assert store.state.events == 33
    store.close()


def test_a_run_of_repeats_is_one_look(store: SqliteStore) -> None:
    put(store, row_of(1, 400))

    few, many = [statements(store, lambda some=some: put(store, some)) for some in (row_of(1, 2), row_of(1, 400))]

    assert few == many


def test_changes_that_are_revised_are_read_again_at_once(store: SqliteStore) -> None:
    put(store, [foreign(1, 1, body=OTHER)])
    put(store, [foreign(2, 2, body=OTHER)])

    few = statements(store, lambda: put(store, [foreign(1, 3), *row_of(2001, 500)]))
    many = statements(store, lambda: put(store, [foreign(2, 4), *row_of(3001, 1000)]))

    assert many - few < 20


def test_a_commit_of_one_plain_event_is_five_statements(store: SqliteStore) -> None:
    """To begin, to end, and one each for the row, the facts and the epoch."""
    put(store, row_of(1, 1))

    assert statements(store, lambda: put(store, row_of(2, 1))) == 5


def test_a_commit_that_changes_nothing_writes_nothing(store: SqliteStore) -> None:
    put(store, row_of(1, 5))
    before = store.writes()

    put(store, row_of(1, 5))

    assert store.writes() == before


def test_a_piece_that_fails_takes_back_no_other_of_its_transaction(store: SqliteStore) -> None:
    clash = [Entry((1, "kitchen", 0), 1, OTHER), Entry((9, "kitchen", 0), 9, OTHER)]
    put(store, row_of(1, 3))

    with store.transaction():
        for first in (4, 5):  # the first one that fails is the first of all that writes
            with pytest.raises(ValueError, match="differs"):
                store.append([*[Entry((ms, "hall", 0), ms, BODY) for ms in range(50)], *clash], epoch="own")
            store.append([foreign(first, first, epoch=f"far{first}")], epoch="own")

    assert [each.created[0] for each in store.each()] == [1, 2, 3, 4, 5]
    assert [each.added for each in store.each(order="added")] == [1, 2, 3, 4, 5]
    store.close()
    store.open()
    assert [each.dot for each in store.each()][3:] == [("far4", 4), ("far5", 5)]
