"""Frames of JSON text as MessagePack, and back."""

from __future__ import annotations

import contextlib
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from peers.codec.logux_5 import Protocol5
from peers.codec.messages import Sync
from tests.support.packed import to_json, to_message_pack
from tests.support.packed_borders import items_of, members_of

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


PACKED = msgspec.msgpack.encode
GOOD = (PACKED({"type": "a"}), PACKED({"id": 0, "time": 0}))
HALF = b"\xa3\xed\xa0\xbd"
"""A text of three bytes that is half of a character, as some encoders write it."""
BAD_EVENTS = [
    (b"\x82" + PACKED("type") + PACKED("bad") + PACKED("x") + HALF, "bad-text"),
    (b"\x82" + PACKED("type") + PACKED("bad") + HALF + PACKED(1), "bad-text"),
    (b"\x82" + PACKED("type") + PACKED("bad") + PACKED(1) + PACKED(1), "bad-text"),
    (b"\x82" + PACKED("type") + PACKED("bad") + PACKED("x") + PACKED(b"bytes"), "bad-text"),
    (b"\x82" + PACKED("type") + PACKED("bad") + PACKED("x") + b"\xcb\x7f\xf8" + bytes(6), "bad-text"),
    (b"\x82" + PACKED("type") + PACKED("bad") + PACKED("x") + b"\x91" * 3_000 + b"\x90", "too-deep"),
    (PACKED({"type": "bad", "x": "y" * 300_000}), "too-large"),
    (PACKED({"type": 5}), "bad-type"),
    (HALF, "bad-text"),
]


@pytest.mark.parametrize(("event", "cause"), BAD_EVENTS, ids=range(len(BAD_EVENTS)))
def test_what_json_cannot_say_in_an_event_costs_that_event_alone(event: bytes, cause: str) -> None:
    meta = PACKED({"id": 5, "time": 5})
    packed = b"\x98" + b"".join([PACKED("sync"), PACKED(9), *GOOD, event, meta, *GOOD])
    dialect = Protocol5("home")
    dialect.other_node_id = "ada"

    message = dialect.decode(to_json(packed))

    assert isinstance(message, Sync)
    assert [entry.event for entry in message.entries] == [{"type": "a"}, {"type": "a"}]
    assert [(refusal.cause, refusal.created) for refusal in message.refusals] == [(cause, (5, "ada", 0))]


def test_what_json_cannot_say_in_a_meta_costs_that_event_alone() -> None:
    meta = b"\x83" + PACKED("id") + PACKED(5) + PACKED("time") + PACKED(5) + PACKED("x") + HALF
    packed = b"\x96" + b"".join([PACKED("sync"), PACKED(9), GOOD[0], meta, *GOOD])
    dialect = Protocol5("home")
    dialect.other_node_id = "ada"

    message = dialect.decode(to_json(packed))

    assert isinstance(message, Sync)
    assert len(message.entries) == 1
    assert [(refusal.cause, refusal.created) for refusal in message.refusals] == [("bad-text", (5, "ada", 0))]


@given(
    st.lists(
        st.integers() | st.text(max_size=5) | st.dictionaries(st.text(max_size=3), st.lists(st.none())), max_size=5
    )
)
def test_the_pieces_of_an_array_are_its_items(items: list[Any]) -> None:
    packed = to_message_pack(msgspec.json.encode(items))

    assert [to_json(piece) for piece in items_of(packed)] == [msgspec.json.encode(item) for item in items]


@given(st.binary(max_size=40))
def test_bytes_of_any_kind_have_pieces_or_none(packed: bytes) -> None:
    for pieces in (items_of, members_of):
        with contextlib.suppress(ValueError, IndexError):
            pieces(packed)
