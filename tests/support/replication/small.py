"""Small limits: runs of 5 entries, pages and windows of a few messages, so that stories meet every border often."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import lru_cache
from importlib import import_module
from unittest.mock import patch

from peers.events.signature import is_signed

LIMITS = {
    "RUN_ENTRIES": 5,
    "RUN_BYTES": 500,
    "MAX_FIRSTS": 3,
    "WALK_CHANGES": 4,
    "WINDOW": 3,
    "MAX_TOGETHER": 12,
    "READ_TOGETHER": 17,
    "MAX_PIECES": 4,
    "MAX_FILLED": 4,
    "STEP_PIECES": 1,
    "STEP_ENTRIES": 3,
    "COMMITTED_STEPS": 2,
    "MAX_HEADS": 2,
    "MAX_BLOCKS": 2,
    "MAX_HAVE": 2,
    "MAX_SPANS": 3,
    "MAX_GREETED_SPANS": 2,
    "MAX_NEWEST": 1,
    "LIST_NAMES": 2,
    "LOOKED_UP": 2,
    "OVER_ENTRIES": 5,
}
MODULES = (
    "peers.events.run",
    "peers.events.reconcile",
    "peers.codec.run_messages",
    "peers.stores.runs.taking",
    "peers.codec.runs",
    "peers.stores.runs.writing",
    "peers.stores.runs.ways",
    "peers.protocol.runs.replication",
    "peers.protocol.runs.sending",
    "peers.protocol.runs.taking",
    "peers.protocol.runs.untold",
    "peers.protocol.runs.other_end",
    "peers.protocol.runs.fork_search",
    "peers.protocol.runs.wants",
)

SIGNED = ("peers.stores.runs.taking", "peers.stores.runs.ways", "peers.events.proof", "peers.protocol.runs.replication")
_is_signed = lru_cache(100_000)(is_signed)


@contextmanager
def small() -> Iterator[None]:
    """Replace the limits where they are used. A signature that several homes verify is verified once."""
    with ExitStack() as stack:
        for name in SIGNED:
            stack.enter_context(patch.object(import_module(name), "is_signed", _is_signed))
        for name in MODULES:
            module = import_module(name)
            for limit, value in LIMITS.items():
                if limit in vars(module):
                    stack.enter_context(patch.object(module, limit, value))
        yield
