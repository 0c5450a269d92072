"""The items of a list are found although some of them are no JSON."""

from __future__ import annotations

import contextlib
import json
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from peers.codec.borders import items_of, members_of

HALF = r'"\ud83d"'
texts = st.text(max_size=8) | st.sampled_from(['"', "\\", "]}", "[{", ",:", '\\"', "\u2028"])
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
).map(json.dumps)
junk = st.sampled_from(
    [
        HALF,
        "NaN",
        "-Infinity",
        "01",
        "nul",
        '{"type":"a","x":"\\ud83d, ]\\"["}',
        '{"type":"\\udc00","n":NaN,"list":[1,,2]}',
        '{"a":}',
        "[" * 3_000 + "]" * 3_000,
        '{"a":' * 3_000 + "1" + "}" * 3_000,
        '"\x01"',
    ]
)
spaces = st.text(" \t\r\n", max_size=2)


@settings(deadline=None)
@given(st.lists(st.tuples(spaces, json_values | junk, spaces), max_size=6), spaces, spaces)
def test_every_item_is_found_whatever_is_in_the_others(
    pieces: list[tuple[str, str, str]], before: str, after: str
) -> None:
    text = f"{before}[{','.join(''.join(piece) for piece in pieces)}]{after}"

    assert items_of(text.encode()) == [piece.encode() for _, piece, _ in pieces]


@settings(deadline=None)
@given(st.dictionaries(st.text(max_size=8), json_values | junk, max_size=6))
def test_every_member_is_found_whatever_is_in_the_others(members: dict[str, str]) -> None:
    text = "{" + ",".join(f"{json.dumps(key)}: {value}" for key, value in members.items()) + "}"

    assert members_of(text.encode()) == {key: value.encode() for key, value in members.items() if is_read(key)}


@given(st.lists(st.recursive(st.integers() | texts, lambda inner: st.lists(inner, max_size=4), max_leaves=9)))
def test_the_items_are_those_that_a_decoder_finds(items: list[Any]) -> None:
    assert [json.loads(item) for item in items_of(json.dumps(items).encode())] == items


@given(st.binary(max_size=30) | st.text('[]{},:"\\a', max_size=30).map(str.encode))
def test_any_other_bytes_are_no_list(text: bytes) -> None:
    for split in (items_of, members_of):
        try:
            split(text)
        except ValueError:
            continue
        assert text.strip()[:1] in (b"[", b"{")


@pytest.mark.parametrize("text", ["", "1", "[", "[1", '["]', '["\\"]', "[1]]", "[[1]", "{}", "[1:2]", "[1]x", "]["])
def test_what_is_no_list_is_not_split(text: str) -> None:
    with pytest.raises(ValueError):
        items_of(text.encode())


HOSTILE = {
    "open": b"[" * 1_000,
    "pairs": b"[]",
    "nested": b"[[[[[[[]]]]]]]",
    "escaped quotes": b'\\"',
    "quotes": b'"',
    "strings": b'"a"',
    "commas": b",",
    "objects": b'{"a":',
    "almost flat": b'[[[["a"',
    "escapes": b'"\\n\\n',
}


@pytest.mark.parametrize("piece", HOSTILE.values(), ids=HOSTILE)
@pytest.mark.parametrize("end", [b"", b'"]', b"]"])
def test_hostile_text_takes_time_linear_in_its_length(piece: bytes, end: bytes) -> None:
    def seconds_for(size: int) -> float:
        text = b'["' + b"a" * 10 + b'",' + piece * (size // len(piece)) + end
        began = time.process_time()
        with contextlib.suppress(ValueError):
            items_of(text)
        return time.process_time() - began

    # Quadratic work would take 400 s for the long one where the short one takes 1.
    assert seconds_for(200_000) < max(0.5, 80 * seconds_for(10_000))


def test_more_borders_than_a_caller_has_time_for_are_refused() -> None:
    for text in (b"[" + b"1," * 1_000 + b"1]", b"[" + b"[[[[[1]]]]]," * 500 + b"1]"):
        with pytest.raises(ValueError, match="more than 1000 brackets"):
            items_of(text, max_marks=1_000)
    with pytest.raises(ValueError, match="more than 1000 brackets"):
        members_of(b"{" + b'"a":1,' * 500 + b'"a":1}', 1_000)


def is_read(key: str) -> bool:
    return not any("\ud800" <= letter <= "\udfff" for letter in key)
