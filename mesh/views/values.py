"""The values of a view: JSON text, equal for equal values, and a sentence for what JSON has not."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from math import isfinite
from typing import Any

import msgspec

MAX_STATE_KEY_BYTES = 1024
MAX_VALUE_BYTES = 1024 * 1024
"""Of one value: each fold that reads a key costs time in the size of its value."""

PLAIN_CHARACTERS = 64
PLAIN_INTEGERS = 2**63
"""A text with more of them, and a number from there on, is kept as JSON text."""

Text = bytes | None
"""The JSON text of a value; None where the key has none."""
Compact = bytes | int | float | str | None
"""A value in memory: itself where it `is_plain`, so that a fold of a counter makes no JSON; of all others the JSON text. None
where the key has none. Equal values are kept equally, and are of one type.
"""

_encoder = msgspec.json.Encoder(order="deterministic")
_encode, _encode_lines = _encoder.encode, _encoder.encode_lines
_decode = msgspec.json.Decoder().decode
_CONTAINERS = b"[{"


def is_plain(value: Any) -> bool:
    """Whether a value cannot be changed inside, is exactly what its JSON text says, and is short."""
    kind = type(value)
    if kind is int:
        return bool(-PLAIN_INTEGERS < value < PLAIN_INTEGERS)
    if kind is str:
        return len(value) <= PLAIN_CHARACTERS and bool(value.isascii())
    if kind is float:
        return bool(value - value == 0 != value)  # there are two zeros, which are equal
    return kind is bool


def compacted(text: Text) -> Compact:
    """How a value with this JSON text, as `jsons_of` makes it, is kept."""
    if text is None or text[0] in _CONTAINERS:
        return text
    value = _decode(text)
    return value if is_plain(value) else text


def jsons_of(values: Mapping[str, Compact]) -> dict[str, Text]:
    """The JSON texts of what is kept, by the keys."""
    compacts = values.values()
    texts = iter(
        _encode_lines([value for value in compacts if value is not None and type(value) is not bytes]).split(b"\n")
    )
    return {key: value if value is None or type(value) is bytes else next(texts) for key, value in values.items()}


def is_other(one: Compact, other: Compact) -> bool:
    """Whether two are different values."""
    return type(one) is not type(other) or one != other


def value_of(compact: Compact) -> Any:
    """The value, if there is one; a copy of its own."""
    return _decode(compact) if type(compact) is bytes else compact


def compact_value(key: str, value: Any) -> Compact:
    """How the value of a key is kept: the same for equal values, whatever the order of their keys. A tuple is kept as a list.

    Raises TypeError, with the path of what JSON has not, or ValueError for a text that is too long or is no text.
    """
    if is_plain(value):
        compact: Compact = value
        return compact
    try:
        text = _encode(value)
        read = _decode(text)
        is_json = read == value or read == _listed(value)  # what JSON has not was written as something else
    except (TypeError, ValueError, OverflowError, RecursionError):
        is_json, text = False, b""
    if not is_json:
        raise _refusal(value, f"state[{key!r}]") or TypeError(f"state[{key!r}] has no value of JSON: {value!r}")
    if len(text) > MAX_VALUE_BYTES:
        raise ValueError(f"state[{key!r}] has {len(text)} bytes, and at most {MAX_VALUE_BYTES} fit: use several keys")
    return compacted(text)


def _listed(value: Any) -> Any:
    """A value with lists in place of its tuples, as JSON has them."""
    if isinstance(value, list | tuple):
        return [_listed(item) for item in value]
    return {key: _listed(item) for key, item in value.items()} if isinstance(value, dict) else value


def check_key(key: Any) -> str:
    """`key` itself. Raises TypeError or ValueError, with a sentence, for what is no key of a view."""
    if not isinstance(key, str):
        raise TypeError(f"the keys of a view are text, not {key!r}")
    try:
        size = len(key) if key.isascii() else len(key.encode())
    except UnicodeEncodeError:
        raise ValueError(f"the key {key!r} is no text: it has half of a surrogate pair") from None
    if size > MAX_STATE_KEY_BYTES or "\0" in key:
        raise ValueError(f"the key {key[:40]!r} has {size} bytes: at most {MAX_STATE_KEY_BYTES} fit, and no zero byte")
    return key


def weight(key: str, text: Text) -> int:
    """What a key and its value add to the digest of a state; nothing where there is no value.

    The digest is the sum of these modulo 2**256: it does not depend on the order in which keys came.
    """
    if text is None:
        return 0
    name = key.encode()
    return int.from_bytes(sha256(b"%d:%b%b" % (len(name), name, text)).digest(), "big")


def _refusal(value: Any, path: str) -> Exception | None:
    """What is wrong with the first part of `value` that JSON has not, as an error that names its path."""
    if value is None or isinstance(value, bool | int):
        return None
    if isinstance(value, float):
        return None if isfinite(value) else ValueError(f"{path} is {value}, which is no number of JSON")
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError:
            return ValueError(f"{path} is no text: it has half of a surrogate pair")
        return None
    if isinstance(value, list | tuple):
        found = (_refusal(item, f"{path}[{at}]") for at, item in enumerate(value))
        return next((error for error in found if error is not None), None)
    if isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str):
                return TypeError(f"{path} has the key {key!r}: keys of JSON are text")
            error = _refusal(item, f"{path}[{key!r}]")
            if error is not None:
                return error
        return None
    name = type(value).__name__
    return TypeError(f"{path} is a {name}, which JSON has not: store text, numbers, True, False, None, lists or dicts")
