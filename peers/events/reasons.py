"""The meta keys `reasons` and `keep_last`, which keep an event in a log, and `indexes`, by which it is found; and authors."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Literal

from peers.events.created import NODE_MARK

DEFAULT_REASON = "log"
"""The reason of an event that names none; nothing is stored for it."""
MAX_REASONS = 32
MAX_INDEXES = 32
MAX_LABEL = 200
"""Characters of one reason or index."""

SHARED = "shared/"
"""Reasons that begin with it may be ended by events of every author; all others only by those of the same one."""

LabelKind = Literal["reason", "index"]
Label = tuple[LabelKind, str]

Kept = tuple[str, str]
"""Whose events lose which reason: (author, reason); the author is empty for those of everybody."""

_HINT = re.compile(rb'"(?:reasons|keep_last|indexes)"|\\')


def may_have_labels(extra: bytes) -> bool:
    """Whether this JSON text may have one of the keys above: a quick check. A key may be written with escapes."""
    return _HINT.search(extra) is not None


def check_labels(meta: dict[str, Any]) -> None:
    """Raise ValueError, with a sentence, unless those of the keys above that are there have allowed values."""
    for key, limit in (("reasons", MAX_REASONS), ("indexes", MAX_INDEXES)):
        names = meta.get(key, [])
        if not isinstance(names, (list, tuple)):
            raise ValueError(f"meta {key!r} must be a list of strings, not {names!r}")
        if len(names) > limit:
            raise ValueError(f"meta {key!r} has {len(names)} items, and at most {limit} are taken")
        for name in names:
            _check_label(key, name)
    if "keep_last" in meta:
        _check_label("keep_last", meta["keep_last"])


def check_channels(meta: Mapping[str, Any]) -> None:
    """Raise ValueError, with a sentence, for `channels` that no client can subscribe to. Other nodes may have sent such."""
    channels = meta.get("channels", [])
    if not isinstance(channels, (list, tuple)) or not all(isinstance(channel, str) for channel in channels):
        raise ValueError(f"meta 'channels' must be a list of strings, not {channels!r}")


def author_of(node_id: str) -> str:
    """Who wrote the events with this node id in `created`: the node, or the USER of a client's id, `USER` or `USER:...`."""
    return node_id if NODE_MARK in node_id else node_id.partition(":")[0]


def kept_by(node_id: str, reason: str) -> Kept:
    """What an event with this `keep_last` and this node id in `created` ends, of older ones."""
    return ("" if reason.startswith(SHARED) else author_of(node_id)), reason


def with_kept(meta: dict[str, Any]) -> dict[str, Any]:
    """`meta` itself, with `keep_last` added to its `reasons`."""
    reason = meta.get("keep_last")
    if isinstance(reason, str):
        meta["reasons"] = list(dict.fromkeys([*labels(meta, "reasons"), reason]))
    return meta


def labels(meta: Mapping[str, Any], key: str) -> list[str]:
    """The strings of the list `meta[key]`, each once; empty if there is none, or no list (in an old file)."""
    names = meta.get(key)
    return (
        list(dict.fromkeys([name for name in names if isinstance(name, str)]))
        if isinstance(names, (list, tuple))
        else []
    )


def _check_label(key: str, name: Any) -> None:
    if not isinstance(name, str):
        raise ValueError(f"meta {key!r} takes strings, not {name!r}")
    if not 0 < len(name) <= MAX_LABEL:
        raise ValueError(f"meta {key!r}: a name has 1 to {MAX_LABEL} characters, and one has {len(name)}")
