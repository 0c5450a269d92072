"""EventError: why a log cannot accept an event, as a sentence and as a name for programs."""

from __future__ import annotations

import re
from typing import Literal

import msgspec

Cause = Literal["too-large", "too-deep", "bad-text", "bad-type", "bad-time", "bad-id"]
"""`bad-text`: it is no JSON text; `bad-type`: it, its `type` or a key of its meta is of another type than it has to be."""

_HALF_CHARACTER = re.compile(rb"\\u[dD][89a-fA-F]")
HALF_CHARACTER = (
    "it has half of a character, such as \\ud83d: cut texts between characters, or repair them with text.toWellFormed()"
)


class EventError(ValueError):
    """An event or its meta is refused. The text is a sentence with the reason, `cause` its name for programs."""

    def __init__(self, cause: Cause, why: str) -> None:
        super().__init__(why)
        self.cause: Cause = cause


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
