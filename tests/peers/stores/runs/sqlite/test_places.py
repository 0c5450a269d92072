"""Where the entries of a store in SQLite are, against plain dicts."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peers.stores.runs.sqlite.layout import LAYOUT_3
from peers.stores.runs.sqlite.places import EntryPlaces
from peers.stores.sqlite.layout import run_all
from peers.stores.store import StoreError
from peers.stores.taken import Change

# (epoch, entries; 0 is a fill, positions left out before it, whether the memory is lost first)
blocks = st.lists(
    st.tuples(st.integers(1, 3), st.integers(0, 4), st.integers(0, 1), st.booleans()), min_size=1, max_size=400
)


def make_places() -> tuple[EntryPlaces, sqlite3.Connection]:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    run_all(connection, LAYOUT_3.schema)
    return EntryPlaces(connection.execute, ["e1", "e2", "e3", "e4", "e5"], Path("log.db")), connection


@given(blocks=blocks, after=st.integers(0, 900), limit=st.integers(1, 300), cut=st.integers(1, 60))
def test_every_entry_is_found_by_its_dot_and_by_its_position(
    blocks: list[tuple[int, int, int, bool]], after: int, limit: int, cut: int
) -> None:
    places, _ = make_places()
    ends = dict.fromkeys((1, 2, 3), 0)
    at: dict[tuple[int, int], int] = {}
    walk: list[tuple[int, int, int, bool]] = []
    position = 0
    for epoch, count, is_other, is_lost in blocks:
        if is_lost:
            places.forget()
        if count == 0:
            if ends[epoch]:
                position += 1
                seq = max(1, ends[epoch] - is_other)
                places.insert_fill(position, epoch, seq)
                walk.append((position, epoch, seq, True))
            continue
        places.insert(epoch, ends[epoch] + 1, position + 1, count)
        for _ in range(count):
            position += 1
            ends[epoch] += 1
            at[epoch, ends[epoch]] = position
            walk.append((position, epoch, ends[epoch], False))

    for epoch, end in ends.items():
        if end:
            first = min(cut, end)
            assert places.positions(epoch, first, end) == [at[epoch, seq] for seq in range(first, end + 1)]
            assert places.positions(epoch, 1, first) == [at[epoch, seq] for seq in range(1, first + 1)]
    changes = places.changes(after, limit, position)
    found = [(c.position + n, int(c.dot[0][1:]), c.dot[1] + n, c.is_fill) for c in changes for n in range(c.length)]
    assert found == walk[after : after + len(found)]
    assert len(changes) == limit or len(found) == max(0, len(walk) - after)


def test_one_writer_alone_takes_one_row_of_each_list() -> None:
    places, connection = make_places()

    for position in range(1, 1_000):
        places.insert(1, position, position, 1)

    for table in ("spans", "steps"):
        assert connection.execute(f"SELECT count(*) FROM {table}").fetchone() == (1,)
    assert places.changes(10, 5, 999) == [Change(11, ("e1", 11), 989)]


def test_five_writers_who_take_turns_write_few_bytes_an_entry() -> None:
    places, connection = make_places()

    for position in range(1, 10_001):
        places.insert(1 + position % 5, 1 + (position - 1) // 5, position, 1)

    (spans,) = connection.execute("SELECT sum(length(places)) FROM spans").fetchone()
    (steps,) = connection.execute("SELECT sum(length(steps)) FROM steps").fetchone()
    assert spans + steps < 6 * 10_000


def test_an_entry_without_a_place_is_damage_that_names_the_file() -> None:
    places, connection = make_places()
    places.insert(1, 5, 1, 3)
    connection.execute("UPDATE spans SET places = x'c1'")

    with pytest.raises(StoreError, match=r"the log file log\.db: .*has no place.* it is damaged: put a copy"):
        places.positions(2, 1, 1)
    with pytest.raises(StoreError, match=r"log\.db: the places of entries are unreadable"):
        places.positions(1, 5, 5)
