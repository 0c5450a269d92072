"""How far the timer of a log follows times: those on its own disk when it is opened, and those of others."""

from __future__ import annotations

from collections.abc import Sequence

from peers.events.columns import EventColumns
from peers.events.created import BEFORE_ALL, HybridTimer, NowMs
from peers.events.entry import Entry
from peers.stores.run_store import RunState, RunStore


def last_time(store: RunStore, now_ms: int, max_drift_ms: int) -> int | None:
    """The largest `time` on the disk that a timer goes on after, where the store's high-water mark is too far ahead of ours.

    None where it is not. A clock that was far ahead once leaves such a mark; the events since then tell where to go on.
    """
    if store.state.clock_ms < now_ms + max_drift_ms:
        return None
    last = Entry(BEFORE_ALL, now_ms, b"")
    while page := [entry for entry in store.each(after=last) if entry.time <= now_ms + max_drift_ms]:
        last = page[-1]
    return last.time


def make_timer(node_id: str, now_ms: NowMs, state: RunState, time_ms: int | None, max_drift_ms: int) -> HybridTimer:
    """The timer of a log that was just opened; `time_ms` is what `last_time` found."""
    return HybridTimer(node_id, now_ms, after_ms=state.clock_ms, after_time_ms=time_ms, max_drift_ms=max_drift_ms)


def followed(entries: Sequence[Entry], limit_ms: int) -> tuple[int, list[Entry]]:
    """The largest ms among received entries that is followed, 0 if there is none; and the entries from after `limit_ms`."""
    if not entries:
        return 0, []
    if isinstance(entries, EventColumns):
        highest = max(entries.ms)
    else:
        highest = max([*[entry.time for entry in entries], *[entry.created[0] for entry in entries]])
    if highest <= limit_ms:  # nearly always
        return highest, []
    highest = 0
    ahead: list[Entry] = []
    for entry in entries:
        if entry.time > limit_ms:
            ahead.append(entry)
            continue
        highest = max(highest, entry.time)
        if entry.created[0] <= limit_ms:  # else its writer's clock was ahead once: `created` shows that for ever
            highest = max(highest, entry.created[0])
    return highest, ahead
