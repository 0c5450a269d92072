"""Moments: the points in time that callers give, as an event, a date, milliseconds or an age."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, TypedDict

from peers.events.created import BEFORE_ALL, MAX_MS
from peers.events.entry import Entry
from peers.log.draft import Meta, read_created
from peers.stores.store import Order, Place

Moment = Entry | Meta | datetime | timedelta | int
"""An event (an entry or a meta), a date (local if it has no zone), ms since 1970, or an age before the clock's reading."""

MIN_MS = 10**11
"""A `since` that is a whole number is an `added` below this, and ms from this on, which is 1973: no log has so many events."""

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
    """What `since` leaves out: all up to an `added`, or all that is not after a place. Raises ValueError."""
    if isinstance(since, int) and not isinstance(since, bool) and since < MIN_MS:
        return max(0, since), None
    return 0, place_at(since, now_ms)


class LogWalk(TypedDict, total=False):
    """The options of `Log.each`: those of a store's `Walk`, with moments."""

    order: Order
    after: Entry | Meta | None
    """The last event of the page before."""
    since: Moment
    """Leave out all up to an `added`, or up to an event, or before another moment."""
    before: Moment | None
    """Leave out this event, or all from this moment on, and what is younger."""
    is_backward: bool
    limit: int
    index: str | None
    undone: bool
    """Whether events that are undone are among them; they are unless it is False. A `logux/undo` is an event like any."""


def read_walk(now_ms: int, *, after: Any = None, since: Any = 0, before: Any = None, **others: Any) -> dict[str, Any]:
    """The options of `Store.each` for those of `Log.each`. Raises ValueError, with a sentence."""
    added, younger_than = read_since(since, now_ms)
    older_than = None if before is None else place_at(before, now_ms)
    bounds = {"since": added, "younger_than": younger_than, "older_than": older_than}
    return {"after": read_after(after), **bounds, **others}


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
