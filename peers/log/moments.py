"""Moments: the points in time that callers give, as an event, a date, milliseconds or an age."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, TypedDict

from peers.events.created import BEFORE_ALL, MAX_MS
from peers.events.entry import Entry
from peers.log.draft import read_created
from peers.stores.event_types import EventTypes
from peers.stores.store import PAGE_EVENTS, Order, Place, WalkOptions

Moment = Entry | Mapping[str, Any] | datetime | timedelta | int
"""An event (an entry or a meta), a date (local if it has no zone), ms since 1970, or an age before the clock's reading."""

MIN_MS = 10**11
"""A `since` that is a whole number is an `added` below this, and ms from this on, which is 1973: no log has so many events."""

SURROGATE = re.compile("[\ud800-\udfff]")
UNIX_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def place_at(moment: Any, now_ms: int) -> Place:
    """The place before which is all that is older: of an event its own, else that before all of its ms.

    Raises ValueError, with a sentence, for what is no moment.
    """
    return _event_place(moment) or (_in_range(-(-_microseconds(moment, now_ms) // 1_000)), BEFORE_ALL)


def place_past(moment: Any, now_ms: int) -> Place:
    """The place after which is all that is younger: of an event its own, else that after all of its ms. Raises ValueError."""
    return _event_place(moment) or (_in_range(_microseconds(moment, now_ms) // 1_000 + 1), BEFORE_ALL)


def read_since(since: Any, now_ms: int) -> tuple[int, Place | None]:
    """What `since` leaves out: all up to an `added`, or all that is not after a place; None: nothing. Raises ValueError."""
    if since is None:
        return 0, None
    if isinstance(since, int) and not isinstance(since, bool) and since < MIN_MS:
        return max(0, since), None
    return 0, place_at(since, now_ms)


class LogWalk(TypedDict, total=False):
    """The options of `Log.each`: those of a store's `Walk`, with moments."""

    order: Order
    after: Entry | Mapping[str, Any] | None
    """The last event of the page before."""
    since: Moment
    """Leave out all up to an `added`, or up to an event, or before another moment."""
    before: Moment | None
    """Leave out this event, or all from this moment on, and what is younger."""
    types: Sequence[str] | None
    """Only events of one of these types."""
    reverse: bool
    limit: int
    index: str | None
    undone: bool
    """Whether events that are undone are among them; they are unless it is False. A `logux/undo` is an event like any."""


def read_walk(
    now_ms: int,
    *,
    after: Any = None,
    since: Any = 0,
    before: Any = None,
    types: Any = None,
    order: Any = "created",
    limit: Any = PAGE_EVENTS,
    **others: Any,
) -> WalkOptions:
    """The options of `Store.each` for those of `Log.each`. Raises ValueError, with a sentence."""
    if order not in ("created", "added"):
        raise ValueError(f'the order of a walk is "created" or "added", not {order!r}')
    if not isinstance(limit, int) or limit < 0:
        raise ValueError(f"the limit of a page is a whole number of events, not {limit!r}")
    added, younger_than = read_since(since, now_ms)
    older_than = None if before is None else place_at(before, now_ms)
    bounds = {"since": added, "younger_than": younger_than, "older_than": older_than}
    walk: Any = {
        "after": read_after(after),
        "types": read_types(types),
        "order": order,
        "limit": limit,
        **bounds,
        **others,
    }
    options: WalkOptions = walk
    return options


def read_types(types: Any) -> EventTypes | None:
    """The names of types that a walk takes; None: all. Raises ValueError."""
    if types is None:
        return None
    if isinstance(types, str) or not isinstance(types, Collection):
        raise ValueError(f'`types` is a list of names, as in types=["shop/sold"], not {types!r}')
    wrong = [name for name in types if not isinstance(name, str) or SURROGATE.search(name)]
    if wrong:
        raise ValueError(f"the type of an event is a string of whole characters, and {wrong[0]!r} is none")
    return EventTypes(types)


def read_start(since: Any, now_ms: int) -> tuple[int, Place | None]:
    """Where a walk in the order of `added` begins that goes on for ever: after an `added`, or with all after a place.

    An entry or a meta stands for its own `added`. Raises ValueError.
    """
    event = read_after(since) if isinstance(since, (Entry, dict)) else None
    return read_since(since, now_ms) if event is None else (event.added, None)


def read_after(after: Any) -> Entry | None:
    """The event after which a page begins, given as an entry or a meta. Raises ValueError."""
    if after is None or isinstance(after, Entry):
        return after
    if _is_meta(after) and isinstance(after.get("added"), int):
        return Entry(read_created(after.get("created")), after["time"], b"", added=after["added"])
    raise ValueError(f"a page goes on after an entry, or a meta with `created`, `time` and `added`, not {after!r}")


def _event_place(moment: Any) -> Place | None:
    if isinstance(moment, Entry):
        return moment.time, moment.created
    return (moment["time"], read_created(moment.get("created"))) if _is_meta(moment) else None


def _is_meta(value: Any) -> bool:
    return isinstance(value, dict) and isinstance(value.get("time"), int) and 0 <= value["time"] <= MAX_MS


def _in_range(ms: int) -> int:
    """Within what a store can compare."""
    return max(0, min(ms, MAX_MS + 1))


def _microseconds(moment: Any, now_ms: int) -> int:
    if isinstance(moment, datetime):
        try:
            return (moment.astimezone(UTC) - UNIX_EPOCH) // timedelta(microseconds=1)
        except (OverflowError, ValueError, OSError):
            raise ValueError(f"{moment} is too far away for this machine's calendar: give it a time zone") from None
    if isinstance(moment, timedelta):
        if moment < timedelta(0):
            raise ValueError(f"an age cannot be negative, as {moment} is: timedelta(days=30) is 30 days ago")
        return now_ms * 1_000 - moment // timedelta(microseconds=1)
    if isinstance(moment, int) and not isinstance(moment, bool):
        return moment * 1_000
    raise ValueError(
        "a moment is an entry, a meta with `created` and `time`, a datetime, a whole number of ms, or a timedelta as an age, "
        f"not {moment!r}"
    )
