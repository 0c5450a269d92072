"""Frames of JSON text as MessagePack, and back."""

from __future__ import annotations

from math import isfinite
from typing import Any

import msgspec

from peers.events.event_error import EventError, cause_of
from tests.support.packed_borders import items_of, members_of

BIG_INTEGER = 1
"""The extension type of an integer that has more than 64 bits, as the ASCII of its digits: JSON has them, MessagePack not."""


BAD_TEXT = b'"\\ud800"'
TOO_DEEP = b"[" * 1_000 + b"]" * 1_000
"""What stands for a part of an event that JSON cannot say, or not so deep."""


def to_message_pack(frame: bytes) -> bytes:
    """The message of JSON text `frame`. Raises ValueError for what is no JSON."""
    try:
        message = msgspec.json.decode(frame)
        try:
            return msgspec.msgpack.encode(message)
        except OverflowError:
            return msgspec.msgpack.encode(_with_big_integers(message))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"a frame must be JSON text: {error}") from None


def to_json(frame: bytes) -> bytes:
    """The JSON text of a MessagePack `frame`. Raises ValueError, with a sentence, for what JSON cannot say.

    But what JSON cannot say in an event of a `sync` becomes text that no event may have, so that whoever reads it refuses
    that event alone.
    """
    try:
        return _to_json(frame)
    except ValueError as error:
        try:
            return _sync_to_json(frame)
        except (ValueError, IndexError):
            raise error from None


def _to_json(frame: bytes) -> bytes:
    try:
        message = msgspec.msgpack.decode(frame, ext_hook=_big_integer)
        _check(message)
        return msgspec.json.encode(message)
    except RecursionError as error:
        raise EventError("too-deep", f"it sent a frame that is no MessagePack: {error}") from None
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ValueError(f"it sent a frame that is no MessagePack: {error}") from None


def _sync_to_json(frame: bytes) -> bytes:
    items = items_of(frame)
    if _to_json(items[0]) != b'"sync"':
        raise ValueError("only events may be refused alone")
    return b"[" + b",".join([b'"sync"', _to_json(items[1]), *map(_item_to_json, items[2:])]) + b"]"


def _item_to_json(item: bytes) -> bytes:
    try:
        return _to_json(item)
    except ValueError as error:
        try:
            members = members_of(item)
        except (ValueError, IndexError):
            return _stand_in(error)
    return (
        b"{" + b",".join([b"%s:%s" % (_member_to_json(key), _member_to_json(value)) for key, value in members]) + b"}"
    )


def _member_to_json(piece: bytes) -> bytes:
    try:
        return _to_json(piece)
    except ValueError as error:
        return _stand_in(error)


def _stand_in(error: ValueError) -> bytes:
    return TOO_DEEP if cause_of(error) == "too-deep" else BAD_TEXT


def _with_big_integers(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _with_big_integers(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_with_big_integers(item) for item in value]
    if isinstance(value, int) and not -(2**63) <= value < 2**64:
        return msgspec.msgpack.Ext(BIG_INTEGER, b"%d" % value)
    return value


def _big_integer(code: int, digits: memoryview) -> int:
    text = bytes(digits)
    if code != BIG_INTEGER or not text.removeprefix(b"-").isdigit():
        raise ValueError(f"it sent an extension of type {code}, which JSON cannot say")
    return int(text)


def _check(message: Any) -> None:
    waiting = [message]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            if not all(type(key) is str for key in value):
                raise ValueError("it sent a map whose keys are not strings, which JSON cannot say")
            waiting.extend(value.values())
        elif isinstance(value, list):
            waiting.extend(value)
        elif isinstance(value, float):
            if not isfinite(value):
                raise ValueError(f"it sent the number {value}, which JSON cannot say")
        elif value is not None and not isinstance(value, (str, int)):
            raise ValueError(f"it sent a value of the kind {type(value).__name__}, which JSON cannot say")
