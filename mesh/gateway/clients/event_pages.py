"""EventPages: the events of the log for the page of the node, a piece at a time, as far as the user may read them."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple, TypedDict, cast

import msgspec

from mesh.errors import MeshError
from mesh.gateway.clients.channels import channels_of, goes_to_writer
from mesh.gateway.clients.event_search import EventSearch
from mesh.gateway.clients.role import Hook, Hooks
from mesh.gateway.clients.undoing import find_all
from peers.events.created import BEFORE_ALL, Created
from peers.events.entry import Entry
from peers.events.reasons import DEFAULT_REASON
from peers.log.draft import Meta
from peers.log.port import SyncLog
from peers.protocol.filters import changed
from peers.stores.arrivals import Arrival
from peers.stores.event_types import EventTypes
from peers.stores.run_store import RunStore
from peers.stores.store import WalkOptions
from peers.stores.undo import undone_among, undone_by

LOOK_AT_ONCE = 500
"""Events that one turn of the disk, and of the loop, looks at."""
MAX_LOOKED = 10_000
"""Events that one request looks at: of a search that finds less, the answer says where to go on."""
EVENT_PAGE_BYTES = 1024 * 1024
"""An answer ends with the event that exceeds this."""
PAGES_AT_ONCE = 4
"""Requests that are worked on at once, of all users; others wait."""
EVENT_PAGE_SECONDS = 8.0
BUSY = "this node is too busy to read its log now: try again"
GONE = "the event to go on after was cleaned meanwhile: begin again"


class GoneError(MeshError):
    """The event after which a search was to go on is not in the log any more."""


class EventPage(TypedDict):
    """The answer to a request."""

    events: list[dict[str, Any]]
    """{"event", "meta"} each, in the order of the walk."""
    next: str | None
    """What to give as `before` or `after` to go on; None: the log has no more."""
    looked_at_ms: int | None
    """The `time` of the last event that was looked at and may be read, for people who wait for a search."""


class EventPages:
    """Reads pages of the log for users of the clients' port.

    A user gets what a session of the user gets that has subscribed to nothing: what `channels`, `out_filter` and `out_map`
    let pass. A search compares what has passed. Events that are undone are among them and are marked, also those that came
    after their undo, which a session leaves out because its client would show them as valid.
    """

    def __init__(self, log: SyncLog, hooks: Hooks) -> None:
        self._log = log
        self._hooks = hooks
        self._turns = asyncio.Semaphore(PAGES_AT_ONCE)

    async def page(self, search: EventSearch, user: str) -> EventPage:
        """The events that fit. Raises TimeoutError after EVENT_PAGE_SECONDS, GoneError, StoreError, or what a hook raises."""
        async with asyncio.timeout(EVENT_PAGE_SECONDS), self._turns:
            return await (self._walk(search, user) if search.id is None else self._one(search.id, user))

    async def _one(self, created: Created, user: str) -> EventPage:
        looked, arrival = await self._log.read(partial(_find, created))
        events, _ = await self._shown(looked, EventSearch(), user)
        for event in events[:1]:
            came = None if arrival is None else {"ms": arrival.ms, "until_ms": arrival.until_ms, "via": arrival.via}
            event["meta"]["came"] = came
        return {"events": events[:1], "next": None, "looked_at_ms": None}

    async def _walk(self, search: EventSearch, user: str) -> EventPage:
        walk = await self._begin(search)
        events: list[dict[str, Any]] = []
        page: EventPage = {"events": events, "next": None, "looked_at_ms": None}
        looked = size = 0
        while True:
            step = await self._log.read(partial(_look, walk, search, self._hooks.out_map is None))
            looked += LOOK_AT_ONCE
            found, at_ms = await self._shown(step, search, user)
            page["looked_at_ms"] = page["looked_at_ms"] if at_ms is None else at_ms
            for one in found:
                events.append(one)
                size += len(bytes(one["event"]))
                if len(events) == search.limit or size > EVENT_PAGE_BYTES:
                    page["next"] = str(one["meta"]["added"])
                    return page
            if step.rest is None:
                return page
            if looked >= MAX_LOOKED:
                page["next"] = str(step.rest.added)
                return page
            walk["after"] = step.rest

    async def _begin(self, search: EventSearch) -> WalkOptions:
        walk: WalkOptions = {"reverse": search.reverse, "younger_than": (search.since_ms, BEFORE_ALL)}
        if search.until_ms is not None:
            walk["older_than"] = (search.until_ms, BEFORE_ALL)
        if isinstance(search.start, int):
            # Not a place, which would say who wrote an event that the user may not read, and when.
            found = await self._log.read(partial(_with_added, search.start))
            if found is None:
                raise GoneError(GONE)
            walk["after"] = found
        else:
            walk["after"] = search.start
        # With a narrow search few pass; without one no more are read than are wanted, unless hooks refuse some.
        hooks = self._hooks
        is_open = hooks.out_filter is None and hooks.channels is None
        walk["limit"] = search.limit if is_open and not search.is_narrow else LOOK_AT_ONCE
        if search.exact_types is not None and hooks.out_map is None:
            walk["types"] = EventTypes(search.exact_types)
        return walk

    async def _shown(self, looked: _Step, search: EventSearch, user: str) -> tuple[list[dict[str, Any]], int | None]:
        """What the user may read of these events, and the time of the last one of them."""
        found: list[dict[str, Any]] = []
        at_ms = None
        for entry in looked.entries:
            shown = await self._passed(entry, looked.targets, user)
            if shown is None:
                continue
            at_ms = shown.time
            if entry.created in looked.fitting or (self._hooks.out_map is not None and search.fits(shown)):
                found.append(_as_json(shown, entry, is_undone=entry.created in looked.undone))
        return found, at_ms

    async def _passed(self, entry: Entry, targets: Mapping[Created, Entry], user: str) -> Entry | None:
        hooks = self._hooks
        if hooks.channels is not None:
            target = undone_by(entry.body)
            known = targets.get(target) if target is not None else None
            channels = channels_of(entry) or (channels_of(known) if known is not None else ())
            if not goes_to_writer(entry, target, channels, user):
                return None
        if hooks.out_filter is not None and not await _answer(hooks.out_filter, entry, user):
            return None
        if hooks.out_map is None:
            return entry
        event, meta = await _answer(hooks.out_map, entry, user)
        return changed(entry, event, meta)


class _Step(NamedTuple):
    entries: Sequence[Entry]
    rest: Entry | None
    fitting: frozenset[Created]
    """Those that fit the search, as they are stored."""
    undone: set[Created]
    targets: Mapping[Created, Entry]
    """What the undos among them undo, as far as it is known."""


def _look(walk: WalkOptions, search: EventSearch, is_judged: bool, store: RunStore) -> _Step:
    """`is_judged`: whether the events are compared here, so that the loop does not wait for it."""
    entries, rest = store.look(LOOK_AT_ONCE, **walk)
    return _step(
        entries, rest, frozenset([e.created for e in entries if search.fits(e)]) if is_judged else frozenset(), store
    )


def _find(created: Created, store: RunStore) -> tuple[_Step, Arrival | None]:
    entries = list(find_all([created], store).values())
    arrival = store.arrival(entries[0].position) if entries else None
    return _step(entries, None, frozenset([created]), store), arrival


def _step(entries: Sequence[Entry], rest: Entry | None, fitting: frozenset[Created], store: RunStore) -> _Step:
    targets = find_all([target for _, target in undone_among(entries)], store)
    return _Step(entries, rest, fitting, store.undone([entry.created for entry in entries]), targets)


def _with_added(added: int, store: RunStore) -> Entry | None:
    found = store.each(order="added", since=added - 1, limit=1)
    return found[0] if found and found[0].added == added else None


async def _answer(hook: Hook, entry: Entry, user: str) -> Any:
    given = hook(entry.event, cast(Meta, entry.meta), user)
    return await given if inspect.isawaitable(given) else given


def _as_json(shown: Entry, entry: Entry, *, is_undone: bool) -> dict[str, Any]:
    """`shown` is what the user gets in place of `entry`."""
    meta = {
        "created": shown.created,
        "time": shown.time,
        "added": entry.added,
        "origin": entry.origin,
        "vouched": entry.vouched,
        "reasons": shown.reasons or [DEFAULT_REASON],
        "keep_last": shown.keep_last,
        "undone": is_undone,
    }
    return {"event": msgspec.Raw(shown.body), "meta": meta}
