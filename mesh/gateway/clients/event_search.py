"""EventSearch: what a request to /events asks for, read from its query; and which events fit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

import msgspec

from peers.events.created import MAX_MS, Created, created_from_text
from peers.events.entry import Entry

MAX_EVENTS = 100
"""Events in one answer."""
MAX_TYPES = 10
MAX_TEXT_CHARACTERS = 200
MAX_QUERY_CHARACTERS = 4_000


@dataclass(frozen=True, slots=True)
class EventSearch:
    """Which events, in which order and from where. All that is given has to fit."""

    types: tuple[str, ...] = ()
    """One of these types; one that ends with `*` stands for all that begin so."""
    node: str = ""
    """How the node id of the writer begins, in small letters."""
    text: str = ""
    """A piece of the event's JSON text, in small letters."""
    since_ms: int = 0
    until_ms: int | None = None
    """From this `time` on, and before that one."""
    start: int | Entry | None = None
    """Where to go on: after the event with this `added`, or after the place of this one. None: at the newest event."""
    reverse: bool = True
    """From the newest event to the oldest; else the other way."""
    limit: int = MAX_EVENTS
    id: Created | None = None
    """This event alone."""

    @property
    def exact_types(self) -> tuple[str, ...] | None:
        """The types, if the store can compare them; None: it cannot, or they do not matter."""
        is_exact = bool(self.types) and not any(name.endswith("*") for name in self.types)
        return self.types if is_exact else None

    @property
    def is_narrow(self) -> bool:
        """Whether events are to be compared with anything but their time."""
        return bool(self.types or self.node or self.text)

    def fits(self, entry: Entry) -> bool:
        """Whether the event has one of the types, the writer and the text."""
        if self.node and not entry.created[1].casefold().startswith(self.node):
            return False
        if self.text and self.text not in _plain(entry.body):
            return False
        return not self.types or _has_type(entry.event["type"], self.types)


def read_search(query: str) -> EventSearch:
    """The search of a query: the part after the `?` of an address. Raises ValueError, with a sentence.

    `type` (may be repeated), `node`, `text`, `since` and `until` (ms since 1970), `limit`, `id` (MS NODE N); `before` or
    `after`: the `next` of an earlier answer, or `TIME MS NODE N` of an event.
    """
    if len(query) > MAX_QUERY_CHARACTERS:
        raise ValueError(f"the query has {len(query)} characters, and at most {MAX_QUERY_CHARACTERS} are read")
    try:
        pairs = parse_qsl(query, keep_blank_values=True, errors="strict", max_num_fields=2 * MAX_TYPES)
    except ValueError as error:  # the text of a UnicodeDecodeError has the bytes
        raise ValueError(f"the query cannot be read ({type(error).__name__}): write NAME=VALUE&NAME=VALUE") from None
    given: dict[str, Any] = {}
    types = tuple([value for name, value in pairs if name == "type" and value])
    if len(types) > MAX_TYPES:
        raise ValueError(f"{len(types)} types are asked for, and at most {MAX_TYPES} are compared")
    for name, value in pairs:
        if name in _READERS and value:
            given |= _READERS[name](name, value)
        elif name != "type" and name not in _READERS:
            raise ValueError(f"the query has no {name[:40]!r}: it takes type, {', '.join(sorted(_READERS))}")
    return EventSearch(types=types, **given)


def _plain(body: bytes) -> str:
    """The JSON text, with no letter of it spelled by an escape, in small letters."""
    text = msgspec.json.encode(msgspec.json.decode(body)) if b"\\" in body else body
    return text.decode().casefold()


def _has_type(found: str, types: tuple[str, ...]) -> bool:
    return any(found == name or (name.endswith("*") and found.startswith(name[:-1])) for name in types)


def _node(_: str, value: str) -> dict[str, Any]:
    return {"node": _short("node", value).casefold()}


def _text(_: str, value: str) -> dict[str, Any]:
    # As JSON text has it: quotes and line breaks in it are spelled by escapes.
    return {"text": msgspec.json.encode(_short("text", value)).decode()[1:-1].casefold()}


def _short(name: str, value: str) -> str:
    if len(value) > MAX_TEXT_CHARACTERS:
        raise ValueError(f"`{name}` has {len(value)} characters, and at most {MAX_TEXT_CHARACTERS} are compared")
    return value


def _time(name: str, value: str) -> dict[str, Any]:
    return {f"{name}_ms": _whole(name, value, MAX_MS)}


def _limit(name: str, value: str) -> dict[str, Any]:
    return {"limit": max(1, min(_whole(name, value, MAX_MS), MAX_EVENTS))}


def _start(name: str, value: str) -> dict[str, Any]:
    time, space, created = value.partition(" ")
    if space:
        place = Entry(created_from_text(created), _whole(name, time, MAX_MS), b"")
        return {"start": place, "reverse": name == "before"}
    return {"start": _whole(name, value, MAX_MS), "reverse": name == "before"}


def _id(_: str, value: str) -> dict[str, Any]:
    return {"id": created_from_text(value)}


def _whole(name: str, value: str, most: int) -> int:
    if not value.isascii() or not value.isdecimal() or len(value) > len(str(most)) or int(value) > most:
        raise ValueError(f"`{name}` must be a whole number from 0 to {most}, not {value[:40]!r}")
    return int(value)


_READERS: dict[str, Callable[[str, str], dict[str, Any]]] = {
    "node": _node,
    "text": _text,
    "since": _time,
    "until": _time,
    "limit": _limit,
    "before": _start,
    "after": _start,
    "id": _id,
}
