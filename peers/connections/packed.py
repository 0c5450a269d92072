"""Frames of JSON text as MessagePack, and back."""

from __future__ import annotations

from math import isfinite
from typing import Any

import msgspec

BIG_INTEGER = 1
"""The extension type of an integer that has more than 64 bits, as the ASCII of its digits: JSON has them, MessagePack not."""


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
    """The JSON text of a MessagePack `frame`. Raises ValueError, with a sentence, for what JSON cannot say."""
    try:
        message = msgspec.msgpack.decode(frame, ext_hook=_big_integer)
        _check(message)
        return msgspec.json.encode(message)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"it sent a frame that is no MessagePack: {error}") from None


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
