"""The three wire formats of Logux, message by message."""

from __future__ import annotations

import json
import tracemalloc
from typing import Any

import pytest

from peers.codec.logux_7 import from_digits, to_digits
from peers.codec.messages import (
    Connect,
    Connected,
    Custom,
    Debug,
    Duilian,
    Error,
    Headers,
    Options,
    Ping,
    Pong,
    Ready,
    Sync,
    Synced,
)
from peers.codec.versions import dialect_of
from peers.errors import MAX_SHOWN, SyncError
from peers.events.entry import Entry
from tests.support.logux_ends import ends
from tests.support.logux_pair import PROTOCOLS, every_dialect, newer_dialects


def entry(ms: int, node_id: str = "anna", n: int = 0, *, time: int | None = None, extra: bytes = b"") -> Entry:
    return Entry((ms, node_id, n), ms if time is None else time, b'{"type":"a"}', extra)


SAME_EVERYWHERE = [
    (Synced(7), ["synced", 7]),
    (Ping(7), ["ping", 7]),
    (Pong(0), ["pong", 0]),
    (Error("odd"), ["error", "odd"]),
    (Error("wrong-credentials"), ["error", "wrong-credentials"]),
    (Error("wrong-format", "[1]"), ["error", "wrong-format", "[1]"]),
    (Error("timeout", 1_000), ["error", "timeout", 1_000]),
    (Error("wrong-protocol", {"supported": [0], "used": [1, 0]}), None),
    (Error("wrong-subprotocol", {"supported": "2.x", "used": "1.0.0"}), None),
    (Headers({"language": "fr"}), ["headers", {"language": "fr"}]),
    (Debug("error", "text"), ["debug", "error", "text"]),
    (Duilian("金木水火土"), ["duilian", "金木水火土"]),
    (Sync(3, ()), ["sync", 3]),
    (Custom("wave", ("left", 2)), ["wave", "left", 2]),
]


@pytest.mark.parametrize(("message", "literal"), SAME_EVERYWHERE, ids=lambda value: str(value)[:40])
@every_dialect
def test_these_messages_are_the_same_in_every_dialect(protocol: Any, message: Any, literal: Any) -> None:
    ours, theirs = ends(protocol)
    literal = literal or ["error", message.type, message.options]

    frame = ours.encode(message)

    assert json.loads(frame) == literal
    assert theirs.decode(frame) == message


GREETINGS = [
    ((0, 1), Options(), ["connect", [0, 1], "anna", 5]),
    ((0, 1), Options(token="key"), ["connect", [0, 1], "anna", 5, {"credentials": "key"}]),
    ((0, 1), Options(subprotocol=[3, 1]), ["connect", [0, 1], "anna", 5, {"subprotocol": [3, 1]}]),
    (5, Options(), ["connect", 5, "anna", 5]),
    (5, Options(token="key", subprotocol=3), ["connect", 5, "anna", 5, {"token": "key", "subprotocol": 3}]),
    (7, Options(), ["connect", 7, "anna", 5]),
    (7, Options(token="key", subprotocol=3), ["connect", 7, "anna", 5, {"token": "key", "subprotocol": 3}]),
]


@pytest.mark.parametrize(("protocol", "options", "literal"), GREETINGS, ids=lambda value: str(value)[:60])
def test_connect(protocol: Any, options: Options, literal: list[Any]) -> None:
    ours, theirs = ends(protocol)

    frame = ours.encode(Connect(ours.protocol, "anna", 5, options))
    message = theirs.decode(frame)

    assert json.loads(frame) == literal
    assert isinstance(message, Connect)
    assert (message.protocol, message.node_id, message.synced) == (ours.protocol, "anna", 5)
    assert message.options.token == options.token
    assert message.options.subprotocol == (options.subprotocol or theirs.other_subprotocol)


@pytest.mark.parametrize(("protocol", "options", "literal"), GREETINGS, ids=lambda value: str(value)[:60])
def test_connected(protocol: Any, options: Options, literal: list[Any]) -> None:
    ours, theirs = dialect_of(protocol, "anna"), dialect_of(protocol, "bert")

    frame = ours.encode(Connected(ours.protocol, "anna", (10, 25), options))
    message = theirs.decode(frame)

    assert json.loads(frame) == ["connected", literal[1], "anna", [10, 25], *literal[4:]]
    assert isinstance(message, Connected)
    assert (message.protocol, message.node_id, message.times) == (ours.protocol, "anna", (10, 25))


@newer_dialects
def test_times_are_relative_to_the_second_number_of_connected_at_both_ends(protocol: Any) -> None:
    ours, theirs = dialect_of(protocol, "server"), dialect_of(protocol, "anna")

    theirs.decode(ours.encode(Connected(protocol, "server", (10, 25))))

    assert ours.sending_base == ours.taking_base == 25  # type: ignore[union-attr]
    assert theirs.sending_base == theirs.taking_base == 25  # type: ignore[union-attr]


EVENTS = [
    ((0, 1), entry(1_005), [1_005, "anna", 0]),
    ((0, 1), entry(1_005, "bert", 3), [1_005, "bert", 3]),
    ((0, 1), entry(0), [0, "anna", 0]),
    (5, entry(1_005), {"id": 5, "time": 5, "reasons": ["log"]}),
    (5, entry(995), {"id": -5, "time": -5, "reasons": ["log"]}),
    (5, entry(1_005, n=3), {"id": [5, 3], "time": 5, "reasons": ["log"]}),
    (5, entry(1_005, "bert"), {"id": [5, "bert", 0], "time": 5, "reasons": ["log"]}),
    (5, entry(1_005, "bert", 3), {"id": [5, "bert", 3], "time": 5, "reasons": ["log"]}),
    (5, entry(1_005, "server", 3), {"id": [5, "server", 3], "time": 5, "reasons": ["log"]}),
    (5, entry(1_005, time=1_100), {"id": 5, "time": 100, "reasons": ["log"]}),
    (5, entry(1_005, extra=b'{"reasons":["x"],"a":[1]}'), {"id": 5, "time": 5, "reasons": ["x"], "a": [1]}),
    (5, entry(1_005, extra=b'{"keep_last":"x"}'), {"id": 5, "time": 5, "reasons": ["log"], "keepLast": "x"}),
    (7, entry(64), {"id": "0-", "time": -936, "reasons": ["log"]}),
    (7, entry(0), {"id": "-", "time": -1_000, "reasons": ["log"]}),
    (7, entry(64, "bert"), {"id": "0- bert", "time": -936, "reasons": ["log"]}),
    (7, entry(64, "server"), {"id": "0- server", "time": -936, "reasons": ["log"]}),
    (7, entry(64, "be rt"), {"id": "0- be rt", "time": -936, "reasons": ["log"]}),
    (7, entry(64, n=1), {"id": "0- anna!10", "time": -936, "reasons": ["log"]}),
    (7, entry(64, "bert", 64), {"id": "0- bert!20-", "time": -936, "reasons": ["log"]}),
    (7, entry(64, "bert!10"), {"id": "0- bert!10!1-", "time": -936, "reasons": ["log"]}),
]


@pytest.mark.parametrize(("protocol", "one", "beside"), EVENTS, ids=lambda value: str(value)[:60])
def test_an_event(protocol: Any, one: Entry, beside: Any) -> None:
    ours, theirs = ends(protocol)

    frame = ours.encode(Sync(9, (one,)))
    message = theirs.decode(frame)

    assert json.loads(frame) == ["sync", 9, {"type": "a"}, beside]
    assert isinstance(message, Sync)
    assert (message.added, message.entries, message.refusals) == (9, (one,), ())


def test_logux_0_1_carries_nothing_but_the_event_and_its_created() -> None:
    ours, theirs = ends((0, 1))

    message = theirs.decode(ours.encode(Sync(9, (entry(5, time=70, extra=b'{"a":1}'),))))

    assert isinstance(message, Sync)
    assert message.entries == (entry(5, time=5),)


@every_dialect
def test_several_events_are_flat_pairs(protocol: Any) -> None:
    ours, theirs = ends(protocol)
    entries = (entry(1_001), entry(1_002), entry(1_003, "bert"))

    frame = ours.encode(Sync(9, entries))
    message = theirs.decode(frame)

    assert len(json.loads(frame)) == 2 + 2 * 3
    assert isinstance(message, Sync)
    assert message.entries == entries


@every_dialect
def test_an_event_keeps_its_bytes(protocol: Any) -> None:
    ours, theirs = ends(protocol)
    body = b'{ "type":"a" ,"n":1.50,"text":"\\u00e9"}'

    message = theirs.decode(ours.encode(Sync(9, (Entry((1, "anna", 0), 1, body),))))

    assert isinstance(message, Sync)
    assert message.entries[0].body == body


@pytest.mark.parametrize(
    ("created", "read"),
    [
        ([5], (5, "anna", 0)),
        ([5, "bert"], (5, "bert", 0)),
        ([5.5, "bert", 2], (5, "bert", 2)),
        ([5, 7, 2], (5, "7", 2)),
    ],
    ids=str,
)
def test_logux_0_1_may_have_other_counters(created: Any, read: Any) -> None:
    _, ours = ends((0, 1))

    message = ours.decode(json.dumps(["sync", 1, {"type": "a"}, created]).encode())

    assert isinstance(message, Sync)
    assert [one.created for one in message.entries] == [read]


@pytest.mark.parametrize(
    "numbers", [["synced", 7.5], ["ping", 7.9], ["pong", 7.0], ["sync", 7.5]], ids=lambda value: value[0]
)
@every_dialect
def test_numbers_may_have_fractions(protocol: Any, numbers: list[Any]) -> None:
    _, ours = ends(protocol)

    message = ours.decode(json.dumps(numbers).encode())

    assert message.added == 7  # type: ignore[union-attr]


def test_ready_is_a_message_of_protocol_7_only() -> None:
    ours, theirs = ends(7)

    frame = ours.encode(Ready(4))

    assert json.loads(frame) == ["ready", 4]
    assert theirs.decode(frame) == Ready(4)
    assert ends(5)[1].decode(frame) == Custom("ready", (4,))


NOT_MESSAGES = [
    ["sync"],
    ["sync", 1, {"type": "a"}],
    ["sync", "1"],
    ["connect", 5, "anna"],
    ["connected", 5, "anna", [1]],
    ["connected", 5, "anna", [1, "2"]],
    ["connected", 5, "anna", 1],
    ["connected", 5, "anna", [1, 2], None],
    ["ping"],
    ["pong", None],
    ["synced", "1"],
    ["error"],
    ["headers", None],
    ["headers", []],
    ["debug", "error"],
    ["debug", "error", 1],
    ["duilian", 1],
]


@pytest.mark.parametrize("message", NOT_MESSAGES, ids=str)
@pytest.mark.parametrize("protocol", [5, 7], ids=str)
def test_messages_of_the_wrong_shape(protocol: Any, message: list[Any]) -> None:
    _, ours = ends(protocol)
    frame = json.dumps(message).encode()

    with pytest.raises(SyncError) as caught:
        ours.decode(frame)

    assert (caught.value.type, caught.value.options) == ("wrong-format", frame.decode()[:MAX_SHOWN])


NOT_EVENTS = [
    [None, {"id": 1, "time": 1}],
    [{}, {"id": 1, "time": 1}],
    [{"type": "a"}, None],
    [{"type": "a"}, {}],
    [{"type": "a"}, {"id": 1}],
    [{"type": "a"}, {"time": 1}],
    [{"type": "a"}, {"id": None, "time": 1}],
    [{"type": "a"}, {"id": [], "time": 1}],
    [{"type": "a"}, {"id": ["a"], "time": 1}],
    [{"type": "a"}, {"id": ["a", 1], "time": 1}],
    [{"type": "a"}, {"id": [1, 2, 3], "time": 1}],
    [{"type": "a"}, {"id": [1, "a", "b"], "time": 1}],
    [{"type": "a"}, {"id": 1, "time": "1"}],
]


@pytest.mark.parametrize("pair", NOT_EVENTS, ids=str)
@pytest.mark.parametrize("protocol", [5, 7], ids=str)
def test_an_event_of_the_wrong_shape_is_refused_alone(protocol: Any, pair: list[Any]) -> None:
    _, ours = ends(protocol)
    good = [{"type": "good"}, {"id": 1 if protocol == 5 else "0", "time": 1}]

    message = ours.decode(json.dumps(["sync", 3, *pair, *good]).encode())

    assert isinstance(message, Sync)
    assert [entry.event for entry in message.entries] == [{"type": "good"}]
    assert len(message.refusals) == 1


@pytest.mark.parametrize(
    ("protocol", "meta"),
    [
        (5, {"id": -2_000, "time": 0}),
        (5, {"id": 10**17, "time": 0}),
        (5, {"id": [0, "", 0], "time": 0}),
        (5, {"id": [0, "a\nb", 0], "time": 0}),
        (5, {"id": 0, "time": -1_001}),
        (5, {"id": 0, "time": 1e300}),
        (7, {"id": "", "time": 0}),
        (7, {"id": "-0", "time": 0}),
        (7, {"id": "zzzzzzzzzzz", "time": 0}),
        (7, {"id": "a+b", "time": 0}),
        (7, {"id": "0- ", "time": 0}),
        (7, {"id": "0- a\nb", "time": 0}),
    ],
    ids=str,
)
def test_an_event_with_values_out_of_range_is_refused_alone(protocol: Any, meta: Any) -> None:
    _, ours = ends(protocol)
    good: Any = {"id": 1 if protocol == 5 else "0", "time": 1}

    message = ours.decode(json.dumps(["sync", 2, {"type": "bad"}, meta, {"type": "good"}, good]).encode())

    assert isinstance(message, Sync)
    assert [one.event["type"] for one in message.entries] == ["good"]
    assert len(message.refusals) == 1
    assert len(message.refusals[0].why) <= MAX_SHOWN


@pytest.mark.parametrize(
    "text", [b'{"type":"a","length":3}', b'{"type":"a","\\u006cength":3}', b'{"type":"a","length":0.5}']
)
@newer_dialects
def test_an_event_that_their_servers_take_for_a_list_is_not_sent(protocol: Any, text: bytes) -> None:
    ours, _ = ends(protocol)

    assert "a number under `length`" in (ours.why_not_sent(Entry((1, "anna", 0), 1, text)) or "")
    assert dialect_of((0, 1), "anna").why_not_sent(Entry((1, "anna", 0), 1, text)) is None  # type: ignore[arg-type]


@pytest.mark.parametrize("text", [b'{"type":"length"}', b'{"type":"a","length":"3"}', b'{"type":"a","b":{"length":3}}'])
@newer_dialects
def test_an_event_that_only_looks_like_a_list_is_sent(protocol: Any, text: bytes) -> None:
    ours, _ = ends(protocol)

    assert ours.why_not_sent(Entry((1, "anna", 0), 1, text)) is None


@pytest.mark.parametrize(
    ("number", "text"),
    [(0, "-"), (1, "0"), (10, "9"), (11, "A"), (36, "Z"), (37, "_"), (38, "a"), (63, "z"), (64, "0-"), (4_095, "zz")],
)
def test_counts_to_base_64(number: int, text: str) -> None:
    assert to_digits(number) == text
    assert from_digits(text) == number


@pytest.mark.parametrize(("version", "protocol"), [([0, 1], [0, 1]), (0, 5), (4, 5), (5, 5), (6, 5), (7, 7), (70, 7)])
def test_a_version_chooses_a_dialect(version: Any, protocol: Any) -> None:
    assert dialect_of(version, "anna").protocol == protocol


@pytest.mark.parametrize(
    ("protocol", "version", "why_not"),
    [
        ((0, 1), [0, 1], None),
        ((0, 1), [0, 9], None),
        ((0, 1), [1, 1], {"supported": [0], "used": [1, 1]}),
        ((0, 1), 5, {"supported": [0], "used": 5}),
        (5, 5, None),
        (5, 7, None),
        (5, 4, {"supported": 5, "used": 4}),
        (5, [0, 1], {"supported": 5, "used": [0, 1]}),
        (7, 7, None),
        (7, 9, None),
        (7, 5, {"supported": 7, "used": 5}),
    ],
    ids=str,
)
def test_each_dialect_knows_which_versions_it_understands(protocol: Any, version: Any, why_not: Any) -> None:
    assert dialect_of(protocol, "anna").why_not(version) == why_not


@pytest.mark.parametrize("protocol", PROTOCOLS.values(), ids=PROTOCOLS)
def test_what_json_cannot_express_is_an_error_of_the_caller(protocol: Any) -> None:
    ours, _ = ends(protocol)

    for message in (
        Headers({"a": object()}),
        Error("odd", object()),
        Connect(ours.protocol, "anna", 0, Options(token=object())),
        Custom("wave", (object(),)),
    ):
        with pytest.raises(ValueError, match="cannot be written as JSON"):
            ours.encode(message)


@pytest.mark.parametrize(("time", "read"), [(5.5, 1_005), (-0.5, 999), (-1, 999)])
@newer_dialects
def test_a_time_with_a_fraction_is_rounded_down(protocol: Any, time: float, read: int) -> None:
    _, ours = ends(protocol)
    wire_id: Any = 0 if protocol == 5 else "0"

    message = ours.decode(json.dumps(["sync", 1, {"type": "a"}, {"id": wire_id, "time": time}]).encode())

    assert isinstance(message, Sync)
    assert message.entries[0].time == read


def test_a_large_frame_of_very_many_items_takes_no_memory_for_each() -> None:
    frame = f'["sync",1{",1" * 600_000}]'.encode()
    tracemalloc.start()
    try:
        with pytest.raises(SyncError):
            ends(5)[1].decode(frame)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert peak < 8 * 1024 * 1024


def test_a_large_frame_of_small_events_is_read_as_any_other() -> None:
    pairs = ",".join(f'{{"type":"a","n":{n},"m":{n}}},{{"id":{n},"time":{n}}}' for n in range(30_000))

    message = ends(5)[1].decode(f'["sync",1,{pairs}]'.encode())

    assert isinstance(message, Sync)
    assert (len(message.entries), message.refusals) == (30_000, ())
    assert message.entries[-1].event == {"type": "a", "n": 29_999, "m": 29_999}
