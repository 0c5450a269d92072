"""A `sync` of many events is read in one go; the result is that of reading each event for itself."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from peers.codec.messages import Connected, Sync
from peers.codec.peer import PeerProtocol
from peers.events.created import MAX_MS
from peers.events.entry import MAX_EVENT_BYTES, MAX_EXTRA_BYTES, MAX_NESTING, Entry
from peers.events.version_vector import MAX_FOREIGN_SEQ

BASE_MS = 1_000_000
Pair = tuple[bytes, bytes]

GOOD: Pair = (b'{"type":"a"}', b'{"id":1,"time":1,"dot":["e",1]}')
REFUSED: Pair = (b'{"type":7}', GOOD[1])
"""With it in a message, each event of that message is read for itself."""


def receiver(other: str | None = "left") -> PeerProtocol:
    dialect = PeerProtocol("right")
    dialect.other_node_id = other
    dialect.encode(Connected(5, "right", (BASE_MS, BASE_MS)))
    return dialect


def frame_of(pairs: list[Pair]) -> bytes:
    return b'["sync",9,' + b",".join(item for pair in pairs for item in pair) + b"]"


def read(pairs: list[Pair], other: str | None = "left") -> Sync:
    message = receiver(other).decode(frame_of(pairs))
    assert isinstance(message, Sync)
    return message


def deep(depth: int) -> bytes:
    return b'{"type":"a","b":' + b"[" * (depth - 1) + b"]" * (depth - 1) + b"}"


def long(size: int) -> bytes:
    return b'{"type":"' + b"x" * (size - len(b'{"type":""}')) + b'"}'


HOSTILE_BODIES = [
    REFUSED[0],
    b"{}",
    b"[]",
    b"7",
    b"null",
    b'"type"',
    b'{"type":null}',
    b'{"type":"a","type":1}',
    b'{"type":1,"type":"a"}',
    b'{"Type":"a"}',
    b'{"type":"\\ud800"}',
    b'{"type":"\xff"}',
    b'{"type":"a","b":"\xed\xa0\x80"}',
    b'{"type":"a","b":1e999}',
    b'{"type":"a","b":' + b"1" * 30 + b"}",
    b'{"type":"a","b":' + b"1" * 5_000 + b"}",
    b'{"type":"a","b":"\x00"}',
    b'{"type":"a",\n "b":[\n1,\n2]}',
    deep(MAX_NESTING),
    deep(MAX_NESTING + 1),
    deep(1_100),
    b'{"type":"a","b":[' + b"[]," * 40 + b"{}]}",
    long(MAX_EVENT_BYTES),
    long(MAX_EVENT_BYTES + 1),
]
HOSTILE_METAS = [
    b"{}",
    b"[]",
    b"1",
    b'{"id":1}',
    b'{"time":1}',
    b'{"id":1,"time":1,"id":2}',
    b'{"id":-1000001,"time":1}',
    b'{"id":%d,"time":1}' % MAX_MS,
    b'{"id":[%d,0],"time":1}' % MAX_MS,
    b'{"id":[1,-1],"time":1}',
    b'{"id":1,"time":-1000001}',
    b'{"id":-1000001,"time":-1000001}',
    b'{"id":1,"time":%d}' % MAX_MS,
    b'{"id":%d,"time":%d}' % (MAX_MS, MAX_MS),
    b'{"id":1,"time":1,"dot":["e",0]}',
    b'{"id":1,"time":1,"dot":["e",%d]}' % (MAX_FOREIGN_SEQ + 1),
    b'{"id":1,"time":1,"dot":["\\ud800",1]}',
    b'{"id":1,"time":1,"dot":["\xff",1]}',
    b'{"id":1,"time":1,"app":{"a":1e999}}',
    b'{"id":1,"time":1,"app":{"a":"\xff"}}',
    b'{"id":1,"time":1,"app":' + deep(MAX_NESTING) + b"}",
    b'{"id":1,"time":1,"app":' + deep(MAX_NESTING + 1) + b"}",
    b'{"id":1,"time":1,"app":' + long(MAX_EXTRA_BYTES) + b"}",
    b'{"id":1,"time":1,"app":' + long(MAX_EXTRA_BYTES + 1) + b"}",
    b'{"id":1,"time":1,"b":' + b"[" * 1_100 + b"]" * 1_100 + b"}",
    b'{ "id" : 1 ,\n"time" : 1 }',
]

numbers: st.SearchStrategy[Any] = st.integers(0, 1_000) | st.sampled_from(
    [
        -BASE_MS,
        -BASE_MS - 1,
        MAX_MS,
        MAX_MS - BASE_MS,
        MAX_MS - BASE_MS + 1,
        MAX_MS + 1,
        10**30,
        1.0,
        1.5,
        True,
        None,
        "1",
    ]
)
names: st.SearchStrategy[Any] = st.sampled_from(
    ["left", "right", "attic", "é~1", "", "a b", "a\n", "\u200b", "x" * 200, "x" * 201, 7, None]
)
ids: st.SearchStrategy[Any] = st.one_of(
    st.integers(0, 1_000),
    numbers,
    st.tuples(numbers, numbers),
    st.tuples(numbers, names, numbers),
    st.lists(numbers | names, max_size=4),
)
epochs: st.SearchStrategy[Any] = st.sampled_from(["e", "f~1", "e" * 64, "e" * 65, "", "é", "e\n", "a b", 7, None])
dots: st.SearchStrategy[Any] = st.one_of(
    st.tuples(epochs, st.integers(1, 1_000)),
    st.tuples(epochs, st.sampled_from([0, -1, MAX_FOREIGN_SEQ, MAX_FOREIGN_SEQ + 1, 10**30, 1.0, "1", None])),
    st.lists(epochs, max_size=3),
    st.none(),
)
apps: st.SearchStrategy[Any] = st.sampled_from(
    [{}, {"a": 1}, {"reasons": ["r"]}, {"reasons": [7]}, {"keep_last": ""}, {"time": 1}, {"dot": 1}, [], 7, None]
)
some_metas = st.builds(
    lambda wire_id, time, more: json.dumps({"id": wire_id, "time": time, **more}).encode(),
    ids,
    numbers,
    st.fixed_dictionaries({}, optional={"dot": dots, "app": apps, "reasons": apps}),
)
good_metas = st.builds(
    lambda wire_id, time, dot: json.dumps({"id": wire_id, "time": time, "dot": dot}).encode(),
    st.integers(-9, 9)
    | st.tuples(st.integers(-9, 9), st.integers(0, 9))
    | st.tuples(st.just(0), st.just("b"), st.just(2)),
    st.integers(-9, 9),
    st.tuples(st.sampled_from(["e", "f"]), st.integers(1, 9)),
)
good_bodies = st.builds(
    lambda more: json.dumps({"type": "a", **more}).encode(),
    st.dictionaries(
        st.text(max_size=3).filter(lambda key: key != "type"), st.integers() | st.text(max_size=9), max_size=3
    ),
)
good_pairs = st.tuples(good_bodies, good_metas)
any_pairs = st.tuples(
    good_bodies | st.sampled_from(HOSTILE_BODIES), good_metas | some_metas | st.sampled_from(HOSTILE_METAS)
)
others = st.sampled_from(["left", "left", "left", "a\n", None])


def check(pairs: list[Pair], other: str | None) -> None:
    """Together, alone, and beside an event that is refused, each event gives the same."""
    together, slow = read(pairs, other), read([*pairs, REFUSED], other)
    alone = [read([pair], other) for pair in pairs]

    assert together.entries == slow.entries == tuple(entry for one in alone for entry in one.entries)
    assert together.refusals == slow.refusals[:-1] == tuple(refusal for one in alone for refusal in one.refusals)
    assert len(together.entries) + len(together.refusals) == len(pairs)


@given(st.lists(good_pairs, max_size=4), any_pairs, st.lists(good_pairs, max_size=2), others)
@settings(max_examples=300)
def test_one_event_of_any_kind_among_good_ones_is_read_as_if_alone(
    before: list[Pair], one: Pair, after: list[Pair], other: str | None
) -> None:
    check([*before, one, *after], other)


@given(st.lists(any_pairs, min_size=1, max_size=5), others)
@example([(body, GOOD[1]) for body in HOSTILE_BODIES if len(body) < 10_000], "left")
@example([(GOOD[0], meta) for meta in HOSTILE_METAS], "left")
def test_any_mixture_of_events_is_read_as_if_each_were_alone(pairs: list[Pair], other: str | None) -> None:
    check(pairs, other)


@pytest.mark.parametrize(
    "pair", [*[(body, GOOD[1]) for body in HOSTILE_BODIES], *[(GOOD[0], meta) for meta in HOSTILE_METAS]]
)
def test_each_hostile_event_is_read_as_if_alone(pair: Pair) -> None:
    check([GOOD, pair, GOOD], "left")


def test_a_bad_event_loses_no_good_one_before_or_after_it() -> None:
    message = read([GOOD, REFUSED, GOOD])

    assert [entry.body for entry in message.entries] == [GOOD[0], GOOD[0]]
    assert [refusal.cause for refusal in message.refusals] == ["bad-type"]


def test_events_of_one_node_share_its_name_and_its_epoch_in_memory() -> None:
    pair = (b'{"type":"a"}', b'{"id":[1,"attic",0],"time":1,"dot":["e~1",1]}')
    first, second = read([GOOD, pair]).entries[1], read([pair, GOOD]).entries[0]

    assert first.created[1] is second.created[1]
    assert first.dot is not None and second.dot is not None
    assert first.dot[0] is second.dot[0]


# Writing


entries = st.builds(
    lambda created, time, extra, dot: Entry(created, time, b'{"type":"a"}', extra, dot),
    st.tuples(st.integers(0, MAX_MS), st.sampled_from(["left", "right", 'a"\\b', "é~1"]), st.integers(0, 3)),
    st.integers(0, MAX_MS),
    st.sampled_from([b"", b'{"reasons":["r"]}', b'{ "a" : 1 }']),
    st.none() | st.tuples(st.sampled_from(["e~1", 'f"']), st.integers(1, MAX_FOREIGN_SEQ)),
)


@given(st.lists(entries, max_size=5), st.integers(0, MAX_MS))
def test_the_bytes_of_a_sync_are_those_of_its_plain_parts(sent: list[Entry], base_ms: int) -> None:
    left = PeerProtocol("left")
    left.encode(Connected(5, "left", (base_ms, base_ms)))
    items: list[Any] = ["sync", 7]
    for entry in sent:
        ms, node_id, n = entry.created
        wire_id: Any = (ms - base_ms, node_id, n)
        if node_id == "left":
            wire_id = (ms - base_ms, n) if n else ms - base_ms
        meta: dict[str, Any] = {"id": wire_id, "time": entry.time - base_ms}
        if entry.dot is not None:
            meta["dot"] = entry.dot
        if entry.extra:
            meta["app"] = msgspec.Raw(entry.extra)
        items += (msgspec.Raw(entry.body), meta)

    assert left.encode(Sync(7, tuple(sent))) == msgspec.json.encode(items)
