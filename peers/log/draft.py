"""What an application wants to add: encoded at once, so that nobody can change it on its way; and how much may wait."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

import msgspec

from peers.events.created import MAX_MS, Created, check_created
from peers.events.entry import Entry, encode_event, encode_events, encode_extra
from peers.later import Later
from peers.stores.undo import undo_event, undo_meta

Meta = dict[str, Any]

MAX_WAITING = 50_000
"""Own events that may wait for the disk; beyond it `add` fails with BusyError: whoever adds should wait for earlier ones."""
MAX_WAITING_BYTES = 64 * 1024 * 1024


class BusyError(Exception):
    """More events wait for the disk than the log takes: wait for the earlier results, then try again."""


class Draft(msgspec.Struct, frozen=True, gc=False):
    """An event with what its writer said of it; the log gives the rest."""

    body: bytes
    extra: bytes = b""
    created: Created | None = None
    time: int | None = None
    is_fixed: bool = False
    """Whether `time` is the one that others order it by already: then it is not bounded by our clock."""

    @property
    def size(self) -> int:
        return len(self.body) + len(self.extra)


def make_draft(event: Any, meta: Any = None) -> Draft:
    """Encode an event and its meta. Raises ValueError, with a sentence, for what is not an event or not its meta."""
    body = encode_event(event)
    if not meta:
        return Draft(body)
    if not isinstance(meta, dict):
        raise ValueError(f"meta must be a dict, not {meta!r}")
    created = meta.get("created")
    time = meta.get("time")
    if time is not None and (not isinstance(time, int) or isinstance(time, bool) or not 0 <= time <= MAX_MS):
        raise ValueError(f"time must be a number of ms, not {time!r}")
    extra = {key: value for key, value in meta.items() if key not in {"created", "time"}}
    return Draft(body, encode_extra(extra), None if created is None else read_created(created), time)


def read_created(value: Any) -> Created:
    """The triple, from a list too. Raises ValueError, with a sentence."""
    match value:
        case (int(ms), str(node_id), int(n)) if not isinstance(ms, bool) and not isinstance(n, bool):
            created = (ms, node_id, n)
            check_created(created)
            return created
        case _:
            raise ValueError(f"created must be [ms, node_id, n], not {value!r}")


def make_undo(which: Any, reason: Any = None) -> Draft:
    """The draft of an event that undoes another one, given as its entry, its meta, or its `created`.

    Raises ValueError, with a sentence, if it is none of these, or `reason` is neither a text nor None.
    """
    if reason is not None and not isinstance(reason, str):
        raise ValueError(f"the reason of an undo must be a text, not {reason!r}")
    meta = which.meta if isinstance(which, Entry) else which if isinstance(which, dict) else {"created": which}
    return make_draft(undo_event(read_created(meta.get("created")), reason), undo_meta(meta))


class Waiting:
    """Counts what waits for the disk."""

    def __init__(self) -> None:
        self._events = 0
        self._bytes = 0

    def take(self, events: int, size: int) -> None:
        """Some more wait. Raises BusyError, and counts nothing, if they are too many beside others."""
        is_full = self._events + events > MAX_WAITING or self._bytes + size > MAX_WAITING_BYTES
        if self._events and is_full:
            raise BusyError(f"{self._events} events wait for the disk: wait for them, then try again")
        self._events += events
        self._bytes += size

    def give_back(self, events: int, size: int) -> None:
        """They do not wait any more."""
        self._events -= events
        self._bytes -= size


def add_batch(
    items: Sequence[tuple[Any, Meta | None]], add_drafts: Callable[[Sequence[Draft]], Later[list[Meta | None]]]
) -> Later[list[Meta | ValueError | None]]:
    """What Log.add_batch promises, over a way to add drafts."""
    bodies = None if any(meta for _, meta in items) else encode_events([event for event, _ in items])
    if bodies:
        return cast("Later[list[Meta | ValueError | None]]", add_drafts(list(map(Draft, bodies))))
    outcomes: list[Meta | ValueError | None] = []
    drafts: list[Draft] = []
    places: list[int] = []
    for event, meta in items:
        outcomes.append(None)
        try:
            drafts.append(make_draft(event, meta))
        except ValueError as error:
            outcomes[-1] = error
        else:
            places.append(len(outcomes) - 1)

    def fill(metas: list[Meta | None]) -> list[Meta | ValueError | None]:
        for place, added in zip(places, metas, strict=True):
            outcomes[place] = added
        return outcomes

    return add_drafts(drafts).transform(fill)
