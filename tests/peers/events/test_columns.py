"""Events in columns: whatever is asked of them, they say what the same entries would."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from peers.events.columns import (
    EventColumns,
    TextColumns,
    are_events_alone,
    bytes_of,
    events_of,
    joined,
    placed,
    size_of,
    sizes_of,
)
from peers.events.created import MAX_MS
from peers.events.entry import Entry, encode_event, encode_events
from peers.events.event_error import EventError
from peers.events.leaf import leaves_of

numbers = st.integers(0, MAX_MS)
rows = st.lists(st.tuples(numbers, numbers, st.binary(max_size=40)), min_size=1, max_size=12)
places = st.none() | st.tuples(st.integers(1, 9), st.integers(1, 9), st.integers(1, 9), st.none() | st.just("kitchen"))


texts = st.lists(
    st.tuples(numbers, numbers, st.sampled_from([b"{}", b'{"type":"a"}', b"1,2"])), min_size=1, max_size=12
)


def both(rows: Sequence[tuple[int, int, bytes]], place: tuple[int, int, int, str | None] | None) -> tuple[Any, Any]:
    """The same events as columns and as entries."""
    columns = EventColumns("kitchen", [row[0] for row in rows], [row[1] for row in rows], [row[2] for row in rows])
    entries: Sequence[Entry] = tuple([Entry((ms, "kitchen", n), ms, body) for ms, n, body in rows])
    if place is not None:
        seq, added, position, origin = place
        where = ("e" * 32, seq), added, position, origin
        columns, entries = placed(columns, *where), placed(entries, *where)  # type: ignore[assignment]
    return columns, entries


@given(rows, places, st.integers(-14, 14), st.integers(-14, 14))
def test_columns_are_the_sequence_of_their_entries(rows: Any, place: Any, at: int, end: int) -> None:
    columns, entries = both(rows, place)

    assert (columns, entries) == (entries, columns)
    assert [*columns] == [*entries] and [*reversed(columns)] == [*reversed(entries)]
    assert hash(columns) == hash(entries) and repr(columns) == repr(entries)
    assert columns[at:end] == entries[at:end]
    assert columns != (*entries, entries[0]) and columns != entries[1:]
    assert copy.deepcopy(columns) == columns
    if -len(entries) <= at < len(entries):
        assert columns[at] == entries[at]
    else:
        with pytest.raises(IndexError):
            columns[at]


@given(texts)
def test_columns_made_of_texts_are_those_of_which_these_are(rows: Any) -> None:
    columns, entries = both(rows, None)
    read = TextColumns(columns.node_id, columns.texts, len(columns))

    assert size_of(read) == size_of(entries) and len(read) == len(entries) and not read.is_read
    assert (read, read[1:], copy.deepcopy(read)) == (entries, entries[1:], entries)
    assert read.texts == columns.texts and leaves_of(read) == leaves_of(entries)
    for name in ("ms", "n", "bodies"):
        with pytest.raises(ValueError, match=f"{name} of {len(rows) + 1} events"):
            getattr(TextColumns(columns.node_id, columns.texts, len(rows) + 1), name)


@given(rows, places)
def test_columns_have_the_leaves_sizes_and_metas_of_their_entries(rows: Any, place: Any) -> None:
    columns, entries = both(rows, place)

    assert leaves_of(columns) == leaves_of(entries)
    assert sizes_of(columns) == sizes_of(entries)
    assert (bytes_of(columns), size_of(columns)) == (bytes_of(entries), sum(entry.size for entry in entries))
    assert are_events_alone(columns) and events_of(columns) == entries
    if place is not None:
        assert list(columns.metas()) == [entry.meta for entry in entries]


@given(rows, places, st.integers(1, 11), st.integers(0, 1))
def test_parts_that_follow_each_other_are_joined_as_columns_and_all_others_as_entries(
    rows: Any, place: Any, cut: int, skipped: int
) -> None:
    columns, entries = both(rows, place)
    parts = [part for part in (columns[:cut], columns[cut + skipped :]) if part]

    found = joined(parts)

    assert found == (*entries[:cut], *entries[cut + skipped :])
    follow = place is None or not skipped or len(parts) < 2
    assert isinstance(found, EventColumns) is (bool(parts) and follow)
    assert joined([*parts, entries]) == (*found, *entries)


def test_a_node_s_events_are_not_joined_to_those_of_another() -> None:
    parts = [EventColumns(node, [1], [0], [b"{}"]) for node in ("kitchen", "study")]

    assert [entry.created for entry in joined(parts) if isinstance(entry, Entry)] == [
        (1, "kitchen", 0),
        (1, "study", 0),
    ]


values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers(-(2**70), 2**70) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text() | st.integers(), inner, max_size=3),
    max_leaves=8,
)
raws = st.sampled_from(
    [
        '{"type":"a"}',
        '{"type":"a"},{"type":"b"',
        '"c":1}',
        '{"type":"a',
        'b"}',
        '{"type":1}',
        "\n",
        "[]",
        '{"type":\n"a"}',
    ]
).map(lambda text: Raw(text.encode()))
events = st.dictionaries(st.just("type") | st.text(max_size=3), values | raws, max_size=4) | values | raws


@given(st.lists(events | st.builds(lambda value: {"type": "a", "k": value}, values), min_size=1, max_size=4))
def test_events_encoded_together_are_those_encoded_one_by_one(items: list[Any]) -> None:
    together = encode_events(items)

    if together is not None:
        assert together == [encode_event(item) for item in items]


@pytest.mark.parametrize("depth", [1, 7, 32])
def test_usual_events_are_encoded_together(depth: int) -> None:
    value: Any = "ä"
    for _ in range(depth - 1):
        value = [value]
    event = {"type": "a", "k": value, "n": 1.5}

    assert encode_events([event, event]) == [encode_event(event)] * 2


def test_an_event_that_is_refused_is_left_to_be_named() -> None:
    deep: Any = 1
    for _ in range(33):
        deep = [deep]
    for bad in (
        {"kind": "a"},
        {"type": 1},
        {"type": "a", "k": float("nan")},
        {"type": "a", "k": deep},
        "a",
        {"type": "\ud800"},
    ):
        with pytest.raises(EventError):
            encode_event(bad)
        assert encode_events([{"type": "a"}, bad]) is None
