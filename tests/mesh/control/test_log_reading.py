"""The events that answer a Read: filters first, then `tail` or `limit`, then the order."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mesh.control import log_reading
from mesh.control.log_reading import LogReading, item_of
from mesh.control.messages import Read
from peers.events.dot import Dot
from peers.events.entry import RESERVED_META, Entry
from peers.log.moments import read_walk
from peers.stores.run_store import RunStore
from peers.stores.runs.memory import MemoryRunStore
from tests.support.run_house import Writer, fresh

TIMES = [(n * 7) % 20 + 1 for n in range(20)]
ENTRIES = [Entry((ms, "n", 0), ms, b'{"type":"%s"}' % b"ab"[n % 2 :][:1]) for n, ms in enumerate(TIMES)]


def filled() -> MemoryRunStore:
    store, _ = fresh(Writer(1), *ENTRIES)
    return store


def read(store: RunStore, request: Read) -> Iterator[Entry]:
    reading = LogReading(request)
    while (walk := reading.next_page()) is not None:
        page = store.each(**read_walk(0, **walk))
        yield from reading.take(page)


def by_rule(store: RunStore, request: Read) -> list[Entry]:
    """The same by the rule itself, over the whole log at once."""
    chosen = [
        entry
        for entry in store.each(order=request.order)
        if entry.added > request.since
        and (request.type is None or entry.event["type"] == request.type)
        and (request.from_ms is None or entry.time >= request.from_ms)
        and (request.until_ms is None or entry.time <= request.until_ms)
    ]
    if request.tail is not None:
        chosen = chosen[len(chosen) - min(request.tail, len(chosen)) :]
    if request.reverse:
        chosen.reverse()
    return chosen[: request.limit]


numbers = st.none() | st.integers(0, 21)
requests = st.builds(
    Read,
    order=st.sampled_from(["created", "added"]),
    since=st.integers(0, 21),
    type=st.sampled_from([None, "a", "c"]),
    from_ms=numbers,
    until_ms=numbers,
    tail=numbers,
    limit=numbers,
    reverse=st.booleans(),
)


@given(request=requests)
@settings(max_examples=300, deadline=None)
def test_a_read_in_pages_gives_the_same_events_as_the_rule(request: Read) -> None:
    store = filled()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(log_reading, "EVENTS_PER_READ", 3)

        assert list(read(store, request)) == by_rule(store, request)


TEXTS = st.text(max_size=5)
METAS = st.dictionaries(TEXTS.filter(lambda key: key not in RESERVED_META), TEXTS, max_size=2)
SPACES = st.sampled_from([b"", b" ", b"\n", b"\r\n"])


@given(TEXTS, TEXTS, METAS, METAS, st.none() | st.tuples(TEXTS, st.integers(1, 2**53)), SPACES)
def test_an_item_is_one_line_with_the_event_and_its_meta(
    text: str, node_id: str, extra: dict[str, str], local: dict[str, str], dot: Dot | None, space: bytes
) -> None:
    body = b'{"type":' + space + msgspec.json.encode(text) + space + b"}"
    extras = [msgspec.json.encode(meta) if meta else b"" for meta in (extra, local)]
    entry = Entry((1, node_id, 2), 3, body, extras[0], dot, 4, 5, extras[1])

    item = bytes(item_of(entry))

    assert b"\n" not in item
    assert b"\r" not in item
    assert msgspec.json.decode(item) == msgspec.json.decode(
        msgspec.json.encode({"event": entry.event, "meta": entry.meta})
    )
    assert list(msgspec.json.decode(item)["meta"])[-5:] == ["created", "time", "added", "dot", "origin"]
