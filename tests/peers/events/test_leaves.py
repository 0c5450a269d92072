"""Leaves of many events at once."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from peers.events.created import MAX_MS
from peers.events.entry import Entry
from peers.events.leaf import HASH_BYTES, leaf_of, leaves_of

numbers = st.integers(0, MAX_MS)
entries = st.builds(
    Entry,
    st.tuples(numbers, st.sampled_from(["a", "ä", "kitchen"]), numbers),
    numbers,
    st.binary(),
    st.just(b"") | st.binary(),
)


@given(st.lists(entries | st.binary(min_size=HASH_BYTES, max_size=HASH_BYTES)))
def test_many_leaves_are_those_of_each_event(items: list[Entry | bytes]) -> None:
    each = [
        item if isinstance(item, bytes) else leaf_of(item.created, item.time, item.extra, item.body) for item in items
    ]

    assert leaves_of(items) == each
