"""What an application wants to add: encoded at once, so that later changes by its caller do nothing; and how much may wait."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import repeat
from typing import Any

import msgspec

from peers.events.created import MAX_MS, Created, check_created
from peers.events.entry import RESERVED_META, Entry, encode_event, encode_events, encode_extra
from peers.events.reasons import check_channels
from peers.later import Later
from peers.stores.keys import check_add_key
from peers.stores.undo import read_undo_id, undo_event, undo_meta

Meta = dict[str, Any]

MAX_WAITING = 50_000
"""Own events that may wait for the disk; beyond it `add` fails with BusyError: wait for earlier ones then."""
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
    key: str = ""
    """Makes the add safe to repeat; empty for none."""

    @property
    def size(self) -> int:
        return len(self.body) + len(self.extra)


def make_draft(event: Any, meta: Any = None, key: str | None = None) -> Draft:
    """Encode an event and its meta.

    Raises ValueError, with a sentence, for what is not an event, not its meta, or no key: see `check_add_key`.
    """
    body = encode_event(event)
    if key is None and not meta:  # nearly always
        return Draft(body)
    given = "" if key is None else check_add_key(key)
    if not meta:
        return Draft(body, key=given)
    if not isinstance(meta, dict):
        raise ValueError(f"meta must be a dict, not {meta!r}")
    created = meta.get("created")
    time = meta.get("time")
    if time is not None and (not isinstance(time, int) or isinstance(time, bool) or not 0 <= time <= MAX_MS):
        raise ValueError(f"time must be a number of ms, not {time!r}")
    extra = {name: value for name, value in meta.items() if name not in {"created", "time"}}
    check_channels(extra)
    if created is not None and not RESERVED_META.isdisjoint(extra):
        raise ValueError(
            f"this meta is of an event that is in a log: it has {min(RESERVED_META & extra.keys())!r}. To add the event anew, "
            'leave that meta out; to make an add safe to repeat, give the same key each time: add(event, key="sale-17")'
        )
    if created is not None and given:
        raise ValueError("give `created` or a key, not both: each of them makes an add safe to repeat")
    return Draft(body, encode_extra(extra), None if created is None else read_created(created), time, key=given)


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

    Raises ValueError, with a sentence, if it is none of these, or the entry of an undo, or `reason` is neither a text nor None.
    """
    if reason is not None and not isinstance(reason, str):
        raise ValueError(f"the reason of an undo must be a text, not {reason!r}")
    if isinstance(which, Entry) and read_undo_id(which.body) is not None:
        raise ValueError("an undo cannot be undone: add the event that it took back anew")
    meta = which.meta if isinstance(which, Entry) else which if isinstance(which, Mapping) else {"created": which}
    return make_draft(undo_event(read_created(meta.get("created")), reason), undo_meta(meta))


class Waiting:
    """Counts what waits for the disk."""

    def __init__(self) -> None:
        self._events = 0
        self._bytes = 0

    @property
    def events(self) -> int:
        """How many wait."""
        return self._events

    def take(self, events: int, size: int) -> None:
        """Some more wait. Raises BusyError, and counts nothing, if they are too many beside others."""
        is_full = self._events + events > MAX_WAITING or self._bytes + size > MAX_WAITING_BYTES
        if self._events and is_full:
            raise BusyError(f"{self._events} events wait for the disk: wait for them, then try again")
        self._events += events
        self._bytes += size

    @property
    def shown(self) -> tuple[int, int]:
        """How many events wait, and their bytes."""
        return self._events, self._bytes

    def give_back(self, events: int, size: int) -> None:
        """They do not wait any more."""
        self._events -= events
        self._bytes -= size


def add_batch(
    items: Sequence[tuple[Any, Mapping[str, Any] | None]],
    keys: Sequence[str | None] | None,
    add_drafts: Callable[[Sequence[Draft]], Later[list[Meta | ValueError | None]]],
) -> Later[list[Meta | ValueError | None]]:
    """What Log.add_batch promises, over a way to add drafts."""
    if keys is not None and len(keys) != len(items):
        return Later.failed(ValueError(f"{len(keys)} keys for {len(items)} events: give one for each, None for no key"))
    is_plain = keys is None and not any(meta for _, meta in items)
    bodies = encode_events([event for event, _ in items]) if is_plain else None
    if bodies:
        return add_drafts(list(map(Draft, bodies)))
    outcomes: list[Meta | ValueError | None] = []
    drafts: list[Draft] = []
    places: list[int] = []
    for (event, meta), key in zip(items, repeat(None) if keys is None else keys, strict=False):
        outcomes.append(None)
        try:
            drafts.append(make_draft(event, meta, key))
        except ValueError as error:
            outcomes[-1] = error
        else:
            places.append(len(outcomes) - 1)

    def fill(metas: list[Meta | ValueError | None]) -> list[Meta | ValueError | None]:
        for place, added in zip(places, metas, strict=True):
            outcomes[place] = added
        return outcomes

    return add_drafts(drafts).transform(fill)
