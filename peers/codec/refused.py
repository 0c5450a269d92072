"""What can still be said of an event on the wire that cannot be taken: which one it is, and why."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import msgspec

from peers.codec.borders import members_of
from peers.codec.messages import Refusal
from peers.errors import MAX_SHOWN
from peers.events.created import Created
from peers.events.entry import MAX_NESTING
from peers.events.event_error import cause_of

MAX_TYPE = 100
"""Characters of its type that are sent back."""


class _Typed(msgspec.Struct):
    type: msgspec.Raw


_typed = msgspec.json.Decoder(_Typed).decode


def refused(error: Exception, body: bytes, created: Created | None = None) -> Refusal:
    """The refusal for the `error` that was found in an event; `created` as far as it could be read."""
    cause = "bad-id" if created is None else cause_of(error)
    why = f"it is nested deeper than {MAX_NESTING}" if isinstance(error, RecursionError) else str(error)
    kind = type_of(body)
    unnamed = f"an event of the type {kind.decode()}" if kind else "an event"
    which = unnamed if created is None else f"event {list(created)}"
    return Refusal(f"{which}: {why}"[:MAX_SHOWN], cause, None if cause == "bad-id" else created, kind)


def created_of(read_created: Callable[[bytes], Created], second: bytes) -> Created | None:
    """What `read_created` finds beside an event that cannot be taken; None if even that cannot be read."""
    try:
        return read_created(second)
    except (ValueError, RecursionError):
        return None


def type_of(body: bytes) -> bytes:
    """The `type` of an event as ASCII JSON text, a long one cut; empty if there is none that can be read."""
    try:
        return _shown(bytes(_typed(body).type))
    except (ValueError, RecursionError):
        pass
    try:
        return _shown(members_of(body)["type"])
    except (ValueError, KeyError, RecursionError):
        return b""


def _shown(text: bytes) -> bytes:
    if text[:1] == b'"':
        # Unlike msgspec, this reads half of a character; the end that wrote it gets the same back.
        return json.dumps(json.loads(text.decode(errors="replace"), strict=False)[:MAX_TYPE]).encode()
    value: Any = msgspec.json.decode(text)
    return b"" if isinstance(value, (dict, list)) or len(text) > MAX_TYPE else text
