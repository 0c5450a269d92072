"""The story of one event: who wrote and signed it, and when and through whom it came into this log."""

from __future__ import annotations

from typing import Any, TypedDict

import msgspec

from peers.events.created import Created, created_from_text
from peers.events.entry import Entry
from peers.log.draft import read_created
from peers.stores.run_store import RunStore


class ArrivalShown(TypedDict):
    """When an event came into this log. Between the two times, more came in one step, or over the same link."""

    ms: int
    until_ms: int
    via: str | None
    """The node that sent it; empty if this node wrote it itself, None if it was one of several."""


class EventStory(TypedDict):
    """What is known of an event."""

    event: dict[str, Any]
    created: Created
    time: int
    added: int
    dot: tuple[str, int] | None
    """Its entry: epoch and seq."""
    author: str
    """The node id in its `created`."""
    origin: str | None
    """Whose key has signed it; None for an event of a release without signatures."""
    vouched: str
    """Why the signer, who is not the author, vouches for it; empty if the author has signed it."""
    came: ArrivalShown | None
    """None if it came with a release that did not note that."""
    reasons: list[str]
    """Why it is kept."""
    is_undone: bool
    copies_aside: list[CopyAside]
    """Other events with this `created`, which are not shown."""


class CopyAside(TypedDict):
    """A copy of an event that is not shown, since another one is in its place."""

    event: dict[str, Any]
    time: int
    origin: str | None


def read_event_id(text: str) -> Created | int:
    """What a user gives to name an event: `MS NODE N`, the JSON list of these three, or an `added`.

    Raises ValueError, with a sentence, for anything else.
    """
    text = text.strip()
    if text.isascii() and text.isdigit():
        return int(text)
    try:
        value = msgspec.json.decode(text)
    except (ValueError, RecursionError):
        return created_from_text(text)
    if isinstance(value, dict):  # a line of `mesh add`, or a meta
        value = value.get("created")
    return read_created(value)


def read_story(store: RunStore, which: Created | int) -> EventStory | None:
    """The story of the event with this `created`, or this `added`; None if it is not known here, or was cleaned."""
    entry = _with_added(store, which) if isinstance(which, int) else store.find(which)
    if entry is None:
        return None
    arrival = store.arrival(entry.position)
    return {
        "event": entry.event,
        "created": entry.created,
        "time": entry.time,
        "added": entry.added,
        "dot": entry.dot,
        "author": entry.created[1],
        "origin": entry.origin,
        "vouched": entry.vouched,
        "came": None if arrival is None else {"ms": arrival.ms, "until_ms": arrival.until_ms, "via": arrival.via},
        "reasons": entry.reasons or ["log"],
        "is_undone": bool(store.undone([entry.created])),
        "copies_aside": [
            {"event": copy.event, "time": copy.time, "origin": copy.origin} for copy in store.aside_of(entry.created)
        ],
    }


def _with_added(store: RunStore, added: int) -> Entry | None:
    page = store.each(order="added", since=added - 1, limit=1)
    return page[0] if page and page[0].added == added else None
