"""Refusals: which event cannot be accepted, and why, as far as its bytes tell."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from peers.codec.borders import APART_MARKS, members_of
from peers.codec.messages import Refusal
from peers.errors import MAX_SHOWN
from peers.events.created import Created
from peers.events.entry import MAX_NESTING, Entry
from peers.events.event_error import cause_of

MAX_TYPE = 100
"""Characters of its type that the answer shows."""


class _Typed(msgspec.Struct):
    type: msgspec.Raw


_typed = msgspec.json.Decoder(_Typed).decode


def refused(error: Exception, body: bytes, created: Created | None = None) -> Refusal:
    """The refusal of an event in which `error` was found; `created` is None if it could not be read."""
    cause = "bad-id" if created is None else cause_of(error)
    why = f"it is nested deeper than {MAX_NESTING}" if isinstance(error, RecursionError) else str(error)
    kind = type_of(body)
    unnamed = f"an event of the type {kind.decode()}" if kind else "an event"
    which = unnamed if created is None else f"event {list(created)}"
    return Refusal(f"{which}: {why}"[:MAX_SHOWN], cause, None if cause == "bad-id" else created, kind)


def read_pairs(
    items: Sequence[bytes | msgspec.Raw],
    read_entry: Callable[[bytes, bytes], Entry],
    read_created: Callable[[bytes], Created],
) -> tuple[tuple[Entry, ...], tuple[Refusal, ...]]:
    """The entries of a `sync` whose `items` are an event and a second item each, and the refusals of those in which
    `read_entry` finds an error. `read_created` finds the `created` in a second item; both raise ValueError or RecursionError.
    """
    entries: list[Entry] = []
    refusals: list[Refusal] = []
    for index in range(0, len(items), 2):
        body, second = bytes(items[index]), bytes(items[index + 1])
        try:
            entries.append(read_entry(body, second))
        except (ValueError, RecursionError) as error:
            refusals.append(refused(error, body, created_of(read_created, second)))
    return tuple(entries), tuple(refusals)


def created_of(read_created: Callable[[bytes], Created], second: bytes) -> Created | None:
    """The `created` that `read_created` finds in the second item of an event; None if it cannot be read."""
    try:
        return read_created(second)
    except (ValueError, RecursionError):
        return None


def type_of(body: bytes) -> bytes:
    """The `type` of an event as ASCII JSON text, cut after MAX_TYPE characters; empty if there is none or it is unreadable."""
    try:
        return _shown(bytes(_typed(body).type))
    except (ValueError, RecursionError):
        pass
    try:
        return _shown(members_of(body, APART_MARKS)["type"])
    except (ValueError, KeyError, RecursionError):
        return b""


def _shown(text: bytes) -> bytes:
    if text[:1] == b'"':
        # Unlike msgspec, this reads half of a character; the sender gets the same text back.
        return json.dumps(json.loads(text.decode(errors="replace"), strict=False)[:MAX_TYPE]).encode()
    value: Any = msgspec.json.decode(text)
    return b"" if isinstance(value, (dict, list)) or len(text) > MAX_TYPE else text
