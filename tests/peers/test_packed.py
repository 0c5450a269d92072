"""Frames of JSON text as MessagePack, and back."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from peers.connections.packed import to_json, to_message_pack

JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(JSON_VALUES)
def test_any_json_value_makes_the_trip_unchanged(value: Any) -> None:
    frame = msgspec.json.encode(value)

    arrived = to_json(to_message_pack(frame))

    assert arrived == frame
    assert repr(msgspec.json.decode(arrived)) == repr(msgspec.json.decode(frame))


def test_a_frame_arrives_compact() -> None:
    assert to_json(to_message_pack(b' { "type" : "\\u00e4",\n"n": 1e2 } ')) == '{"type":"ä","n":100.0}'.encode()


def test_integers_of_more_than_64_bits_travel_as_an_extension() -> None:
    packed = to_message_pack(b"[18446744073709551616]")

    assert packed == b"\x91\xc7\x14\x01" + b"18446744073709551616"
    assert to_json(packed) == b"[18446744073709551616]"


@pytest.mark.parametrize("frame", [b"", b"[1", b"\xff", b"[NaN]", b"[" * 100_000])
def test_what_is_no_json_cannot_be_sent(frame: bytes) -> None:
    with pytest.raises(ValueError, match="a frame must be JSON text"):
        to_message_pack(frame)


REFUSED = [
    (b"", "no MessagePack"),
    (b"\xc1", "no MessagePack"),
    (b"\x92\x01", "no MessagePack"),
    (b"\x01\x02", "no MessagePack"),
    (b"\xa1\xff", "no MessagePack"),
    (b"\x91" * 100_000, "no MessagePack"),
    (b"\x91\xc4\x01a", "a value of the kind bytes"),
    (b"\xd6\xff\x00\x00\x00\x01", "a value of the kind datetime"),
    (b"\xd4\x05a", "an extension of type 5"),
    (b"\xd4\x01a", "an extension of type 1"),
    (b"\x81\x01\x02", "keys are not strings"),
    (b"\x91\x81\xc0\x02", "keys are not strings"),
    (b"\xcb\x7f\xf8\x00\x00\x00\x00\x00\x00", "the number nan"),
    (b"\xcb\x7f\xf0\x00\x00\x00\x00\x00\x00", "the number inf"),
]


@pytest.mark.parametrize(("packed", "sentence"), REFUSED)
def test_what_json_cannot_say_is_refused_with_a_sentence(packed: bytes, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        to_json(packed)


@given(st.binary())
def test_bytes_of_any_kind_are_json_or_a_value_error(packed: bytes) -> None:
    try:
        msgspec.json.decode(to_json(packed))
    except ValueError as error:
        assert str(error).startswith(("it sent", "Exceeds"))
