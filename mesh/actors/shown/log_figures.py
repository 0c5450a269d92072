"""Figures of a log for people: its oldest and newest event, and how many come in a day."""

from __future__ import annotations

from mesh.actors.children import is_in_time
from mesh.actors.log_proxy import LogProxy
from mesh.membership.status_rows import LogFigures
from peers.later import Later
from peers.stores.run_store import RunStore

READ_SECONDS = 1.0
"""How long the disk may take; if it is too busy, they are left out."""
DAY_MS = 24 * 60 * 60 * 1000
COUNTED_DAYS = 7
"""Over so many days the events of a day are counted, or as long as it is known when they came."""
LEAST_MS = 60 * 60 * 1000
"""Of a shorter time nothing follows for a day."""
NO_FIGURES: LogFigures = {"oldest_ms": None, "newest_ms": None, "events_a_day": None, "events_a_day_over_ms": None}


async def log_figures(log: LogProxy, now_ms: int) -> LogFigures:
    """Read them by the indexes of the store."""
    found, done = log.read(lambda store: read_figures(store, now_ms)), Later[None]()
    found.then(lambda _: done.set(None))
    if not await is_in_time(done, READ_SECONDS) or found.exception is not None:
        return NO_FIGURES
    return found.result()


def read_figures(store: RunStore, now_ms: int) -> LogFigures:
    """The figures of a store."""
    oldest = store.each(limit=1)
    newest = store.each(limit=1, reverse=True)
    came = store.came_since(now_ms - COUNTED_DAYS * DAY_MS)
    over_ms = now_ms - came[1] if came is not None else 0
    is_long = came is not None and over_ms >= LEAST_MS
    return {
        "oldest_ms": oldest[0].time if oldest else None,
        "newest_ms": newest[0].time if newest else None,
        "events_a_day": round(came[0] * DAY_MS / over_ms, 1) if came is not None and is_long else None,
        "events_a_day_over_ms": over_ms if is_long else None,
    }
