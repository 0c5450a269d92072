"""The pages of walks over a store of runs in SQLite, whose indexes have numbers for the names of nodes."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from peers.events.created import Created
from peers.events.entry import Entry
from peers.stores.runs.sqlite import order
from peers.stores.runs.sqlite.store import SqliteRunStore
from peers.stores.store import Place
from tests.support.run_house import ALL, Writer, clean, event, put

NODES = ("zoo", "attic", "Ä-room", "kitchen")
"""The order of their numbers is not that of their names."""
PLACES = st.tuples(st.integers(0, 5), st.tuples(st.integers(0, 4), st.sampled_from(NODES), st.integers(0, 9)))


def place(entry: Entry) -> Place:
    return entry.time, entry.created


def pages(store: SqliteRunStore, **options: Any) -> list[Entry]:
    found: list[Entry] = []
    after = None
    while page := store.each(after=after, **options):
        assert len(page) <= options["limit"]
        found += page
        after = page[-1]
    return found


def tabled(store: SqliteRunStore, after: Place | None, until: int, limit: int) -> list[Created]:
    found: list[Created] = []
    while True:
        table, after = store.table(after, until=until, limit=limit, max_bytes=ALL)
        found += table.createds
        if after is None:
            return found


def filled(folder: str, events: Sequence[Entry]) -> SqliteRunStore:
    store = SqliteRunStore(Path(folder) / "log.db", synchronous="OFF")
    store.open()
    put(store, Writer(1), *events)
    return store


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    keys=st.sets(st.tuples(st.integers(1, 3), st.sampled_from(NODES), st.integers(0, 9)), min_size=1),
    time=st.integers(0, 4),
    limit=st.integers(1, 6),
    ahead=st.integers(0, 2),
    lowest=st.one_of(st.none(), PLACES),
    highest=st.one_of(st.none(), PLACES),
    since=st.integers(0, 12),
    gone=st.integers(1, 9),
)
def test_walks_are_in_the_order_of_names_whatever_is_in_one_ms(
    keys: set[tuple[int, str, int]],
    time: int,
    limit: int,
    ahead: int,
    lowest: Place | None,
    highest: Place | None,
    since: int,
    gone: int,
) -> None:
    events = [event(ms, node=node, n=n, time=time if n % 3 == 0 else 0) for ms, node, n in keys]
    with TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(order, "AHEAD", ahead)
        store = filled(folder, events)
        clean(store, *[each.created for each in events[::gone] if gone > 1])
        left = [
            each
            for each in store.each(order="added", limit=ALL)
            if each.added > since
            and (lowest is None or place(each) > lowest)
            and (highest is None or place(each) < highest)
        ]
        bounds: dict[str, Any] = {"younger_than": lowest, "older_than": highest, "since": since, "limit": limit}

        assert pages(store, **bounds) == sorted(left, key=place)
        assert pages(store, reverse=True, **bounds) == sorted(left, key=place, reverse=True)
        assert pages(store, order="added", **bounds) == left
        until = store.state.last_added - since
        older = [each for each in store.each(limit=ALL) if lowest is None or place(each) > lowest]
        assert tabled(store, lowest, until, limit) == [each.created for each in older if each.added <= until]
        assert pages(store, order="added", reverse=True, **bounds) == left[::-1]
        store.close()


def test_one_ms_that_holds_more_than_a_page_is_walked_node_by_node() -> None:
    events = [event(5, node=node, n=n) for n in range(400) for node in NODES]
    with TemporaryDirectory() as folder:
        store = filled(folder, [event(4), *events, event(6)])

        expected = sorted([event(4), *events, event(6)], key=place)
        for limit in (150, 1_000):
            for reverse in (False, True):
                found = pages(store, limit=limit, reverse=reverse)
                assert [each.created for each in found] == [
                    each.created for each in (reversed(expected) if reverse else expected)
                ]
        store.close()


def test_no_page_is_found_by_a_scan_or_a_sort_of_a_whole_table() -> None:
    asked: list[str] = []
    with TemporaryDirectory() as folder:
        store = filled(folder, [event(ms, node=node, time=9 * (ms % 2)) for ms in range(1, 40) for node in NODES])
        path = Path(folder) / "log.db"
        connection = sqlite3.connect(path)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(order, "AHEAD", 0)
            traced = Traced(path, asked)
            traced.open()
            for by in ("created", "added"):
                for reverse in (False, True):
                    pages(traced, order=by, reverse=reverse, limit=3)
                    pages(traced, order=by, reverse=reverse, limit=3, index="red")
            traced.close()
        for statement in dict.fromkeys(asked):
            plan = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {statement}", [0] * statement.count("?"))]
            assert not [step for step in plan if step.startswith("SCAN")], (statement, plan)
            is_rare = "e.state = 1" in statement and "labels" in statement
            assert is_rare or not [step for step in plan if "TEMP B-TREE" in step], (statement, plan)
        connection.close()
        store.close()


class Traced(SqliteRunStore):
    """Notes the statements that read."""

    def __init__(self, path: Path, asked: list[str]) -> None:
        super().__init__(path, synchronous="OFF")
        self.asked = asked

    def _execute(self, statement: str, values: Sequence[Any] = ()) -> sqlite3.Cursor:
        if "events" in statement:
            self.asked.append(statement)
        return super()._execute(statement, values)
