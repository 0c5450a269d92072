from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from enum import IntEnum, StrEnum
from math import isfinite
from typing import Any

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from peers.events.entry import (
    MAX_EVENT_BYTES,
    MAX_EXTRA_BYTES,
    MAX_NESTING,
    RESERVED_META,
    Entry,
    are_events,
    check_event,
    check_extra,
    encode_event,
    encode_extra,
)
from peers.events.event_error import EventError, JsonTypeError

values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)
events = st.dictionaries(st.text(), values, max_size=4).map(lambda event: {**event, "type": "a"})


def nested(depth: int) -> dict[str, Any]:
    """An event whose objects and lists are `depth` deep."""
    inner: Any = 1
    for _ in range(depth - 1):
        inner = [inner]
    return {"type": "a", "inner": inner}


@given(event=events)
def test_an_event_comes_back_as_it_was(event: dict[str, Any]) -> None:
    body = encode_event(event)

    assert Entry((1, "a", 0), 1, body).event == event == json.loads(body)


@given(text=st.binary(max_size=60))
def test_any_bytes_are_an_event_or_a_value_error(text: bytes) -> None:
    try:
        check_event(text)
    except ValueError:
        return
    assert isinstance(json.loads(text)["type"], str)


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (b"", "is not JSON"),
        (b"{", "is not JSON"),
        (b'{"type":"a"}x', "is not JSON"),
        (b'\xef\xbb\xbf{"type":"a"}', "is not JSON"),
        (b'{"type":"\xff"}', "is not JSON"),
        (b'{"type":"a","b":"\xed\xa0\x80"}', "is not JSON"),
        (b'{"type":"\\ud800"}', "is not JSON"),
        (b'{"type":"\\udc00\\ud800"}', "is not JSON"),
        (b'{"type":"a","b":1e999}', "is not JSON"),
        (b'{"type":"a","b":-1e999}', "is not JSON"),
        (b'{"type":"a","b":NaN}', "is not JSON"),
        (b'{"type":"a","b":Infinity}', "is not JSON"),
        (b'{"type":"a","b":' + b"1" * 5000 + b"}", "is not JSON"),
        (b"[" * 100_000, "nested deeper than"),
        (b'{"a":' * 1000 + b"1" + b"}" * 1000, "nested deeper than|needs a `type`"),
        (b"[]", "must be an object with a `type`, not a list"),
        (b'"a"', "not a string"),
        (b"7", "not a number"),
        (b"null", "not null"),
        (b"true", "not a boolean"),
        (b"{}", "needs a `type`"),
        (b'{"type":1}', "needs a `type`"),
        (b'{"type":"a","type":1}', "needs a `type`"),
    ],
)
def test_refuses_what_is_not_an_event(body: bytes, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        check_event(body)


def is_event(body: bytes) -> bool:
    try:
        check_event(body)
    except ValueError:
        return False
    return True


bodies = st.one_of(
    events.map(encode_event),
    events.map(lambda event: json.dumps(event, indent=1).encode()),
    st.integers(1, 40).map(lambda depth: json.dumps(nested(depth)).encode()),
    st.integers(1, 40).map(lambda count: json.dumps({"type": "a", "b": [[]] * count}).encode()),
    st.sampled_from(
        [b"{}", b'{"type":1}', b'{"type":"a","b":1e999}', b'{"type":"\xff"}', b'{"type":"a"}\0', b"[]", b""]
    ),
)


@given(texts=st.lists(bodies | st.binary(max_size=9), min_size=1, max_size=4))
def test_many_texts_are_events_if_each_is(texts: list[bytes]) -> None:
    assert are_events(texts) == all(is_event(text) for text in texts)


def test_of_a_repeated_key_the_last_counts_as_in_other_languages() -> None:
    body = b'{"type":1,"type":"a","type":"b"}'

    check_event(body)

    assert Entry((1, "a", 0), 1, body).event == json.loads(body) == {"type": "b"}


@pytest.mark.parametrize(
    "value",
    [
        float("nan"),
        float("inf"),
        [1, {"deep": float("-inf")}],
        ("a", float("nan")),
        "\ud800",
        {"\ud800": 1},
        object(),
        {(): 1},
    ],
)
def test_refuses_to_write_what_json_cannot_express(value: Any) -> None:
    with pytest.raises(ValueError):
        encode_event({"type": "a", "value": value})
    with pytest.raises(ValueError):
        encode_extra({"value": value})


def test_null_is_a_value_as_any_other() -> None:
    assert encode_event({"type": "a", "value": [None, 1.5]}) == b'{"type":"a","value":[null,1.5]}'


@pytest.mark.parametrize("event", [None, 7, [], "a", {}, {"type": 1}, {1: 2}])
def test_refuses_to_encode_what_is_not_an_event(event: Any) -> None:
    with pytest.raises(ValueError):
        encode_event(event)


class Word(StrEnum):
    TYPE = "type"


class Name(str):
    """A text that is not equal to the same text."""

    def __eq__(self, other: object) -> bool:
        return self is other

    def __hash__(self) -> int:
        return 7


class Level(IntEnum):
    LOW = 1


class Pairs(dict[str, Any]):
    pass


@dataclass
class Point:
    x: Any


strange = st.sampled_from(
    [
        float("nan"),
        float("-inf"),
        2**64,
        -(10**30),
        10**900,
        10**4_290,
        "\ud800",
        "x" * 1_100,
        b"bytes",
        datetime(2026, 1, 1, tzinfo=UTC),
        Decimal("1.5"),
        Word.TYPE,
        Name("type"),
        Level.LOW,
        Pairs(type="a"),
        Point(1),
        Point(float("nan")),
        object(),
        (1, [2]),
        {1, 2},
        msgspec.Raw(b'{"type":1}'),
        msgspec.Raw(b"1e999"),
        msgspec.Raw(b"[" * 40 + b"]" * 40),
        msgspec.Raw(b'"\\ud800"'),
        msgspec.Raw(b'"\xff"'),
        msgspec.Raw(b"}"),
        msgspec.Raw(b""),
        msgspec.Raw(b'1,"type":1'),
    ]
)
strange_keys: st.SearchStrategy[Any] = st.sampled_from(
    [1, None, True, 1.5, (), b"type", Word.TYPE, Name("type"), "\ud800"]
)
any_values: st.SearchStrategy[Any] = st.recursive(
    values | strange,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3) | strange_keys, inner, max_size=3),
    max_leaves=5,
)


@given(
    before=st.dictionaries(st.text(max_size=3) | strange_keys, values | any_values, max_size=2),
    type_=st.sampled_from(["a", "a", "a", "", Name("a"), Word.TYPE, 1, None, b"a", ["a"], "\ud800"]),
    after=st.dictionaries(st.text(max_size=3) | strange_keys, any_values, max_size=2),
)
@settings(max_examples=500)
@example(before={}, type_="a", after={Name("type"): 1})
@example(before={}, type_="a", after={Word.TYPE: 1})
@example(before={}, type_="a", after={"b": msgspec.Raw(b'1,"type":1')})
@example(before={}, type_="a", after={"b": [{"c": msgspec.Raw(b"1e999")}]})
@example(before={}, type_="a", after=nested(MAX_NESTING))
@example(before={}, type_="a", after=nested(MAX_NESTING + 1))
@example(before={}, type_="a", after={"b": [[]] * 40})
@example(before={}, type_="a", after={"b": 10**4_290})
def test_an_event_is_written_if_and_only_if_what_is_written_is_an_event(
    before: dict[Any, Any], type_: Any, after: dict[Any, Any]
) -> None:
    event = {
        **before,
        "type": type_,
        **{key: value for key, value in after.items() if key != "type" or type(key) is not str},
    }
    refusal: EventError | None = None
    try:
        body = msgspec.json.encode(event)
        check_event(body)
    except EventError as error:
        refusal = error
    except (TypeError, ValueError, OverflowError) as error:
        refusal = EventError("bad-text", f"the event cannot be written as JSON: {error}")

    try:
        written = encode_event(event)
    except JsonTypeError:
        assert not is_of_json(event)
    except EventError as error:
        assert is_of_json(event)
        assert refusal is not None
        assert (error.cause, str(error)) == (refusal.cause, str(refusal))
    else:
        assert is_of_json(event)
        assert refusal is None
        assert written == body


def is_of_json(value: Any) -> bool:
    """Whether JSON has this value and all in it; a Raw is text of JSON that is checked elsewhere."""
    if isinstance(value, dict):
        return all(isinstance(key, str) and is_of_json(item) for key, item in value.items())
    if isinstance(value, (list, tuple)):
        return all(map(is_of_json, value))
    is_finite = not isinstance(value, float) or isfinite(value)
    return is_finite and (value is None or isinstance(value, (str, int, float, msgspec.Raw)))


def test_an_event_may_be_nested_to_the_limit_and_no_deeper() -> None:
    encode_event(nested(MAX_NESTING))

    with pytest.raises(ValueError, match="nested deeper"):
        encode_event(nested(MAX_NESTING + 1))
    with pytest.raises(ValueError, match="nested deeper"):
        encode_event(nested(100_000))


def test_many_brackets_side_by_side_are_not_nested() -> None:
    check_event(b'{"type":"[[[","list":[' + b"[[]]," * 500 + b"{}]}")


def test_a_circle_is_refused() -> None:
    event: dict[str, Any] = {"type": "a"}
    event["self"] = event

    with pytest.raises(ValueError, match="nested deeper"):
        encode_event(event)


def test_an_event_may_be_large_to_the_limit_and_no_larger() -> None:
    room = MAX_EVENT_BYTES - len(encode_event({"type": ""}))

    assert len(encode_event({"type": "x" * room})) == MAX_EVENT_BYTES
    with pytest.raises(ValueError, match="bytes, and at most"):
        encode_event({"type": "x" * (room + 1)})


@given(extra=st.dictionaries(st.text().filter(lambda key: key not in RESERVED_META), values, max_size=4))
def test_meta_comes_back_with_what_the_log_gives(extra: dict[str, Any]) -> None:
    entry = Entry((1, "a", 2), 3, b'{"type":"a"}', encode_extra(extra), ("e", 4), 5, 6, b"", b"", "a")

    given = {"created": (1, "a", 2), "time": 3, "added": 5, "dot": ("e", 4), "origin": "a"}
    assert entry.meta == {**extra, **given}
    assert replace(entry, vouched="fork").meta == {**extra, **given, "vouched": "fork"}


def test_no_meta_takes_no_bytes() -> None:
    assert encode_extra({}) == b""


@pytest.mark.parametrize("key", sorted(RESERVED_META))
def test_the_logs_own_meta_keys_are_refused(key: str) -> None:
    with pytest.raises(ValueError, match=key):
        encode_extra({key: 1})
    if key not in {"origin", "vouched"}:
        with pytest.raises(ValueError, match=key):
            check_extra(json.dumps({key: 1}).encode())


@pytest.mark.parametrize("key", ["origin", "vouched"])
def test_a_key_of_an_application_that_is_the_logs_own_now_is_taken_and_not_shown(key: str) -> None:
    extra = check_extra(json.dumps({key: "theirs", "k": 1}).encode())

    meta = Entry((1, "a", 2), 3, b'{"type":"a"}', extra, origin="a", vouched="fork").meta

    assert meta["k"] == 1
    assert meta[key] in ("a", "fork")


@pytest.mark.parametrize("extra", [b"", b"[]", b"1", b"{", b'{"a":"\xff"}', b'{"a":1e999}'])
def test_refuses_meta_that_is_not_an_object(extra: bytes) -> None:
    with pytest.raises(ValueError, match="meta"):
        check_extra(extra)


def test_meta_has_limits_too() -> None:
    with pytest.raises(ValueError, match="bytes, and at most"):
        encode_extra({"a": "x" * MAX_EXTRA_BYTES})
    with pytest.raises(ValueError, match="nested deeper"):
        encode_extra(nested(MAX_NESTING + 1))


def test_copies_differ_only_by_what_is_replicated() -> None:
    entry = Entry((1, "a", 0), 2, b'{"type":"a"}')

    assert entry.same_as(Entry((1, "a", 0), 2, b'{"type":"a"}', b"{}", ("e", 1), 3, 4))
    assert not entry.same_as(Entry((1, "a", 0), 3, b'{"type":"a"}'))
    assert not entry.same_as(Entry((1, "a", 0), 2, b'{"type": "a"}'))
    assert not entry.same_as(Entry((1, "a", 1), 2, b'{"type":"a"}'))


def test_the_earlier_copy_ranks_first_then_the_smaller_digest() -> None:
    early, late = Entry((1, "a", 0), 1, b'{"type":"b"}'), Entry((1, "a", 0), 2, b'{"type":"a"}')
    other = Entry((1, "a", 0), 1, b'{"type":"c"}')

    assert early.rank < late.rank
    assert (early.rank < other.rank) == (early.digest < other.digest)


# Reasons and indexes


def test_names_its_reasons_and_indexes_each_once() -> None:
    entry = Entry((1, "a", 0), 1, b'{"type":"a"}', b'{"reasons":["r","r"],"keep_last":"k","indexes":["i","i"]}')

    assert entry.reasons == entry.meta["reasons"] == ["r", "k"]
    assert entry.labels == [("reason", "r"), ("reason", "k"), ("index", "i")]
    assert entry.keep_last == "k"


def test_finds_keys_that_are_written_with_escapes() -> None:
    entry = Entry((1, "a", 0), 1, b'{"type":"a"}', b'{"\\u0072easons":["r"],"keep_las\\u0074":"k"}')

    assert (entry.reasons, entry.keep_last) == (["r", "k"], "k")


def test_changes_in_this_log_replace_what_came() -> None:
    entry = Entry((1, "a", 0), 1, b'{"type":"a"}', b'{"keep_last":"k","a":1}', local=b'{"reasons":["s"],"a":2}')

    assert (entry.reasons, entry.meta["a"], entry.meta["keep_last"]) == (["s"], 2, "k")


def test_an_entry_without_such_keys_names_nothing() -> None:
    entry = Entry((1, "a", 0), 1, b'{"type":"a"}', b'{"reason":"r"}')

    assert (entry.reasons, entry.labels, entry.keep_last) == ([], [], None)


@pytest.mark.parametrize("extra", [b'{"reasons":7}', b'{"indexes":{"a":1}}', b'{"keep_last":[]}', b'{"reasons":[""]}'])
def test_received_meta_with_reasons_that_are_none_is_refused(extra: bytes) -> None:
    with pytest.raises(ValueError, match="meta '"):
        check_extra(extra)


def test_a_tombstone_has_the_rank_of_its_event_and_is_the_same() -> None:
    entry = Entry((1, "a", 0), 1, b'{"type":"a"}', b'{"k":1}', ("e", 1), 3, 4, b'{"k":2}')

    assert entry.buried.rank == entry.rank
    assert entry.buried.same_as(entry) and entry.same_as(entry.buried)
    assert not entry.buried.same_as(Entry((1, "a", 0), 1, b'{"type":"b"}'))
    assert (entry.buried.body, entry.buried.extra, entry.buried.local) == (b"", b"", b"")
    assert (entry.buried.dot, entry.buried.added, entry.buried.position) == (("e", 1), 3, 4)
