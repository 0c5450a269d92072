"""EventError: why a log cannot accept an event, as a sentence and as a name for programs; and which values JSON has."""

from __future__ import annotations

import re
from math import isfinite
from typing import Any, Literal

import msgspec

Cause = Literal["too-large", "too-deep", "bad-text", "bad-type", "bad-time", "bad-id"]
"""`bad-text`: it is no JSON text; `bad-type`: it, its `type` or a key of its meta is of another type than it has to be."""

_HALF_CHARACTER = re.compile(rb"\\u[dD][89a-fA-F]")
HALF_CHARACTER = (
    "it has half of a character, such as \\ud83d: cut texts between characters, or repair them with text.toWellFormed()"
)

_ATOMS = (str, int, float, type(None), msgspec.Raw)
_INSTEAD = {
    "set": "a list",
    "frozenset": "a list",
    "bytes": "a str",
    "bytearray": "a str",
    "UUID": "a str",
    "Decimal": "a str, int or float",
    "datetime": "a str, or an int of ms",
    "date": "a str",
    "time": "a str",
    "timedelta": "an int of ms",
}
"""By the name of a type that JSON has not, what to give in its place."""


class EventError(ValueError):
    """An event or its meta is refused. The text is a sentence with the reason, `cause` its name for programs."""

    def __init__(self, cause: Cause, why: str) -> None:
        super().__init__(why)
        self.cause: Cause = cause


class JsonTypeError(EventError, TypeError):
    """A value that JSON has not is in an event or a meta; the sentence names its place."""

    def __init__(self, why: str) -> None:
        super().__init__("bad-type", why)


def not_json(what: str, text: bytes, error: Exception) -> EventError:
    """The error for the `text` of an event or meta that the JSON decoder refused with `error`."""
    why = f"the {what} is not JSON: {error}"
    if _HALF_CHARACTER.search(text) is not None and not isinstance(error, msgspec.ValidationError):
        why = f"the {what} is not JSON: {HALF_CHARACTER}"
    return EventError("bad-text", why)


def cause_of(error: Exception) -> Cause:
    """The cause for an exception of the checks and the JSON decoder."""
    if isinstance(error, EventError):
        return error.cause
    if isinstance(error, RecursionError):
        return "too-deep"
    is_text = isinstance(error, (msgspec.DecodeError, UnicodeError)) and not isinstance(error, msgspec.ValidationError)
    return "bad-text" if is_text else "bad-type"


def check_values(value: Any, place: str) -> None:
    """Raise JsonTypeError unless JSON has `value` and all in it. The encoder writes others too, as something else.

    `place` is what it is called, as `event`. JSON has dicts with text keys, lists (and tuples, which come back as lists), str,
    int, float but for NaN and infinity, bool and None. Raises RecursionError for what is nested too deep.
    """
    if isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str):
                raise JsonTypeError(f"{place} has the key {key!r}, {_a(key)}: the keys of JSON are str")
            check_values(item, f'{place}["{key}"]')
    elif isinstance(value, (list, tuple)):
        for at, item in enumerate(value):
            check_values(item, f"{place}[{at}]")
    elif isinstance(value, float) and not isfinite(value):
        raise JsonTypeError(f"{place} is {value}, which is not a number of JSON: give another float, or None")
    elif not isinstance(value, _ATOMS):
        instead = _INSTEAD.get(type(value).__name__, "a dict, list, str, int, float, bool or None")
        raise JsonTypeError(f"{place} is {_a(value)}: give {instead}")


def _a(value: Any) -> str:
    name = type(value).__name__
    return f"{'an' if name[0] in 'aeiouAEIO' else 'a'} {name}"
