"""Frames of protocol 5, both ways."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from peers.codec.messages import (
    MAX_VECTOR_BYTES,
    Connect,
    Connected,
    Custom,
    Debug,
    Error,
    Headers,
    Hello,
    Message,
    Options,
    Ping,
    Pong,
    Sync,
    Synced,
    name_of,
    write_vector,
)
from peers.codec.peer import PeerProtocol
from peers.errors import SyncError
from peers.events.created import MAX_MS
from peers.events.entry import Entry, encode_event, encode_extra
from peers.events.version_vector import MAX_FOREIGN_SEQ, VersionVector

BASE_MS = 1_000_000


def two_ends(base_ms: int = BASE_MS) -> tuple[PeerProtocol, PeerProtocol]:
    """The dialects of `left` and of `right`, which answered at `base_ms`."""
    left, right = PeerProtocol("left"), PeerProtocol("right")
    left.other_node_id, right.other_node_id = "right", "left"
    left.decode(right.encode(Connected(5, "right", (base_ms, base_ms))))
    return left, right


def entry(ms: int, node_id: str = "left", n: int = 0, **more: Any) -> Entry:
    return Entry((ms, node_id, n), more.pop("time", ms), encode_event({"type": "a"}), dot=("e", 1), **more)


# Literals


@pytest.mark.parametrize(
    ("message", "frame"),
    [
        (Connect(5, "left", 3), ["connect", 5, "left", 3, {}]),
        (
            Connect(5, "left", 0, Options(subprotocol=2, token="key")),
            ["connect", 5, "left", 0, {"subprotocol": 2, "token": "key"}],
        ),
        (
            Connected(
                5,
                "right",
                (10, 20),
                Options(peer=Hello(boot="b", connection="c", held=["d"], vector={"e": [(1, 7), (9, 9)]})),
            ),
            [
                "connected",
                5,
                "right",
                [10, 20],
                {"peer": {"boot": "b", "connection": "c", "held": ["d"], "vector": {"e": [[1, 7], [9, 9]]}}},
            ],
        ),
        (Synced(7), ["synced", 7]),
        (Ping(1), ["ping", 1]),
        (Pong(0), ["pong", 0]),
        (Error("timeout", 5_000), ["error", "timeout", 5_000]),
        (Error("wrong-credentials"), ["error", "wrong-credentials"]),
        (Headers({"env": "development"}), ["headers", {"env": "development"}]),
        (Debug("error", "a trace"), ["debug", "error", "a trace"]),
        (Custom("wave", ("left", 2)), ["wave", "left", 2]),
        (Custom("logux/own", ()), ["logux/own"]),
        (Sync(4, ()), ["sync", 4]),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_a_message_and_its_frame(message: Message, frame: list[Any]) -> None:
    left, right = two_ends()

    assert json.loads(left.encode(message)) == frame
    assert right.decode(json.dumps(frame).encode()) == message
    assert name_of(message) == frame[0]


@pytest.mark.parametrize(
    ("sent", "meta"),
    [
        (entry(BASE_MS), {"id": 0, "time": 0}),
        (entry(BASE_MS + 5, n=2), {"id": [5, 2], "time": 5}),
        (entry(BASE_MS - 5), {"id": -5, "time": -5}),
        (entry(BASE_MS, "attic", 1), {"id": [0, "attic", 1], "time": 0}),
        (entry(BASE_MS, "right"), {"id": [0, "right", 0], "time": 0}),
        (entry(BASE_MS, time=BASE_MS + 3), {"id": 0, "time": 3}),
        (entry(BASE_MS, extra=b'{"reasons":["log"]}'), {"id": 0, "time": 0, "app": {"reasons": ["log"]}}),
    ],
    ids=str,
)
def test_an_event_and_its_meta(sent: Entry, meta: dict[str, Any]) -> None:
    left, right = two_ends()

    frame = left.encode(Sync(4, (sent,)))

    assert json.loads(frame) == ["sync", 4, {"type": "a"}, {**meta, "dot": ["e", 1]}]
    assert right.decode(frame) == Sync(4, (sent,))


def test_unknown_items_at_the_end_are_ignored() -> None:
    assert PeerProtocol("left").decode(b'["ping",1,"later versions"]') == Ping(1)


def test_unknown_meta_keys_are_ignored() -> None:
    _, right = two_ends()

    message = right.decode(b'["sync",1,{"type":"a"},{"id":0,"time":0,"dot":["e",1],"reasons":["log"]}]')

    assert message == Sync(1, (entry(BASE_MS),))


def test_without_a_connected_times_are_absolute() -> None:
    left, right = PeerProtocol("left"), PeerProtocol("right")
    right.other_node_id = "left"

    frame = left.encode(Sync(1, (entry(7),)))

    assert json.loads(frame)[3]["id"] == 7
    assert not left.knows_base and not right.knows_base


def test_if_both_ends_sent_connected_the_times_of_each_are_relative_to_its_own() -> None:
    left, right = PeerProtocol("left"), PeerProtocol("right")
    left.other_node_id, right.other_node_id = "right", "left"
    right.decode(left.encode(Connected(5, "left", (100, 100))))
    left.decode(right.encode(Connected(5, "right", (900, 900))))

    ours, theirs = left.encode(Sync(1, (entry(1_000),))), right.encode(Sync(1, (entry(1_000, "right"),)))

    assert (json.loads(ours)[3]["id"], json.loads(theirs)[3]["id"]) == (900, 100)
    assert right.decode(ours) == Sync(1, (entry(1_000),))
    assert left.decode(theirs) == Sync(1, (entry(1_000, "right"),))


def test_an_event_with_a_short_id_before_the_other_end_is_known_is_refused() -> None:
    message = PeerProtocol("right").decode(b'["sync",1,{"type":"a"},{"id":0,"time":0}]')

    assert isinstance(message, Sync)
    assert [refusal.cause for refusal in message.refusals] == ["bad-id"]


@pytest.mark.parametrize("value", [object(), {1j: 2}, "\ud800"], ids=["object", "key", "surrogate"])
def test_what_json_cannot_express_is_a_value_error(value: Any) -> None:
    for message in (Custom("own", (value,)), Error("own", value), Headers({"a": value})):
        with pytest.raises(ValueError, match="cannot be written as JSON"):
            PeerProtocol("left").encode(message)


def test_a_vector_over_the_limit_claims_less_and_the_newest_first() -> None:
    many = VersionVector({f"{number:020x}": [(1, 1)] for number in range(10_000)})

    written = write_vector(many)

    assert 1_000 < len(written) < 10_000
    assert f"{9_999:020x}" in written
    assert len(msgspec.json.encode(written)) <= MAX_VECTOR_BYTES
    assert many.covers_all(VersionVector(written))


# Round trips

labels = st.text(st.sampled_from("abcXYZ019_.:~-"), min_size=1, max_size=64)
names = st.text(
    st.characters(exclude_categories=["Cs", "Cc", "Cf", "Zl", "Zp", "Zs", "Co", "Cn"]), min_size=1, max_size=100
)
counts = st.integers(0, MAX_MS)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("abc", max_size=3), inner, max_size=4),
    max_leaves=10,
)


@st.composite
def ranges(draw: st.DrawFn) -> list[tuple[int, int]]:
    numbers = sorted(draw(st.sets(st.integers(1, 10_000), max_size=10)))
    return list(VersionVector().adds([("e", number) for number in numbers]).ranges.get("e", ()))


hellos = st.builds(
    Hello,
    boot=labels,
    connection=labels,
    held=st.lists(labels, max_size=5),
    vector=st.dictionaries(labels, ranges(), max_size=5),
)
options = st.builds(Options, subprotocol=json_values, token=json_values, peer=st.none() | hellos)
entries = st.builds(
    lambda ms, node_id, n, time, event, extra, dot: Entry(
        (ms, node_id, n), time, encode_event({**event, "type": "a"}), encode_extra(extra), dot
    ),
    counts,
    st.sampled_from(["left", "right", "attic"]) | names,
    counts,
    counts,
    st.dictionaries(st.text("abc", max_size=3), json_values, max_size=3),
    st.dictionaries(st.text("xyz", min_size=1, max_size=3), json_values, max_size=3),
    st.none() | st.tuples(labels, st.integers(1, MAX_FOREIGN_SEQ)),
)
messages = st.one_of(
    st.builds(Connect, protocol=counts, node_id=names, synced=counts, options=options),
    st.builds(Connected, protocol=counts, node_id=names, times=st.tuples(counts, counts), options=options),
    st.builds(Synced, counts),
    st.builds(Ping, counts),
    st.builds(Pong, counts),
    st.builds(Error, names, json_values),
    st.builds(Headers, st.dictionaries(names, json_values, max_size=4)),
    st.builds(Debug, names, json_values),
    st.builds(Custom, st.sampled_from(["wave", "logux/own", "a-b"]), st.lists(json_values, max_size=4).map(tuple)),
)


@given(messages)
def test_every_message_comes_back_as_it_was_sent(message: Message) -> None:
    left, right = two_ends()

    assert right.decode(left.encode(message)) == message


@given(st.lists(entries, max_size=5), counts, counts)
def test_every_event_comes_back_as_it_was_sent(sent: list[Entry], added: int, base_ms: int) -> None:
    left, right = two_ends(base_ms)

    assert right.decode(left.encode(Sync(added, tuple(sent)))) == Sync(added, tuple(sent))


@given(ranges(), ranges())
def test_every_vector_comes_back_as_it_was_sent(first: list[tuple[int, int]], second: list[tuple[int, int]]) -> None:
    vector = VersionVector({"e": first, "f": second})

    assert VersionVector(write_vector(vector)) == vector


# Anything at all


def take(frame: bytes) -> None:
    """It is a message with a name, or of the wrong format, and the error can be sent."""
    for dialect in (*two_ends(), PeerProtocol("home")):
        try:
            message = dialect.decode(frame)
        except SyncError as error:
            assert error.type == "wrong-format"
            assert len(error.options) <= 200
            dialect.encode(Error(error.type, error.options))
        else:
            assert name_of(message)


@given(st.binary(max_size=200))
@example(b"[" * 100_000)
@example(b'["sync",1,' + b'{"a":' * 50_000)
def test_any_bytes_are_a_message_or_of_the_wrong_format(frame: bytes) -> None:
    take(frame)


words = st.sampled_from(["connect", "connected", "sync", "synced", "ping", "pong", "error", "headers", "debug", "own"])
pieces = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from([0, 1, 5, 2**53, 10**30, "e", "left", "type"]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                ["id", "time", "dot", "app", "type", "peer", "boot", "held", "vector", "connection", "token"]
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=20,
)


@given(st.tuples(words, st.lists(pieces, max_size=6)))
@settings(max_examples=500)
def test_any_json_is_a_message_or_of_the_wrong_format(message: tuple[str, list[Any]]) -> None:
    take(json.dumps([message[0], *message[1]]).encode())


@given(messages, st.integers(0, 10_000), st.binary(min_size=1, max_size=3), st.integers(0, 3))
def test_any_damaged_message_is_a_message_or_of_the_wrong_format(
    message: Message, place: int, other: bytes, lost: int
) -> None:
    frame = PeerProtocol("left").encode(message)
    place %= len(frame) + 1

    take(frame[:place] + other + frame[place + lost :])


@given(st.lists(entries, min_size=1, max_size=3), st.integers(0, 10_000), st.binary(min_size=1, max_size=3))
def test_any_damaged_sync_is_a_message_or_of_the_wrong_format(sent: list[Entry], place: int, other: bytes) -> None:
    frame = two_ends()[0].encode(Sync(1, tuple(sent)))
    place %= len(frame) + 1

    take(frame[:place] + other + frame[place + 1 :])
