"""Strips `keep_last` from events that come from outside of the mesh."""

from __future__ import annotations

import msgspec

from peers.events.entry import Entry

KEEP_LAST = "keep_last"


def without_keep_last(entry: Entry) -> Entry:
    """The event with its `keep_last` turned into an ordinary reason: it must not remove events of others from the log."""
    if KEEP_LAST.encode() not in entry.extra:
        return entry
    meta = msgspec.json.decode(entry.extra)
    reason = meta.pop(KEEP_LAST, None)
    if reason is not None and reason not in meta.get("reasons", ()):
        meta["reasons"] = [*meta.get("reasons", ()), reason]
    return msgspec.structs.replace(entry, extra=msgspec.json.encode(meta))
