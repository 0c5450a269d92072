"""Created: the triple that identifies an event, and the timer that makes it."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from struct import Struct
from typing import Protocol

Created = tuple[int, str, int]
"""(ms, node_id, n): wall-clock ms at the node that made the event, that node, and a counter within the ms."""

BEFORE_ALL: Created = (0, "", 0)
"""Sorts before the `created` of every event."""
MAX_MS = 2**53 - 1
"""The largest ms that JavaScript holds exactly."""
MAX_DRIFT_MS = 60_000
"""A time further ahead of our clock does not move our timer."""

NODE_ID_LIMIT = 200
NODE_MARK = "~"
"""Only the ids of nodes have it, `NAME~HASH`; those of clients do not."""
_KEY_BYTES = 17
"""A key without the node id."""
_WHOLE = re.compile(r"0|[1-9][0-9]{0,15}")
"""Of numbers up to MAX_MS."""


def check_created(created: Created) -> None:
    """Raise ValueError, with a sentence, unless the parts are in range."""
    ms, node_id, n = created
    if not 0 <= ms <= MAX_MS:
        raise ValueError(f"created {list(created)}: the ms must be from 0 to {MAX_MS}")
    if not 0 <= n <= MAX_MS:
        raise ValueError(f"created {list(created)}: the counter must be from 0 to {MAX_MS}")
    if not 0 < len(node_id) <= NODE_ID_LIMIT or not node_id.isprintable():
        raise ValueError(f"created {list(created)!r}: the node id must have 1 to {NODE_ID_LIMIT} printable characters")


def created_key(created: Created) -> bytes:
    """Bytes that sort as the triple does: ms in 8 bytes, the node id as UTF-8, a zero, the counter in 8 bytes."""
    ms, node_id, n = created
    return ms.to_bytes(8, "big") + node_id.encode() + b"\0" + n.to_bytes(8, "big")


def created_from_key(key: bytes) -> Created:
    """The triple that `created_key` made `key` of."""
    ms, node, n = _struct(len(key) - _KEY_BYTES).unpack(key)
    return ms, _node_id(node), n


def created_text(created: Created) -> str:
    """`MS NODE N`: how Logux writes the id of an event."""
    ms, node_id, n = created
    return f"{ms} {node_id} {n}"


def created_from_text(text: str) -> Created:
    """The triple of which `created_text` makes `text`. Raises ValueError, with a sentence, if there is none."""
    ms, _, rest = text.partition(" ")
    node_id, _, n = rest.rpartition(" ")
    if _WHOLE.fullmatch(ms) is None or _WHOLE.fullmatch(n) is None:
        raise ValueError(f"{text[:NODE_ID_LIMIT]!r} is no id: it is written `MS NODE N`")
    created = int(ms), node_id, int(n)
    check_created(created)
    return created


@lru_cache(maxsize=1024)
def _struct(node_bytes: int) -> Struct:
    """The form of a key with a node id of so many bytes."""
    return Struct(f">Q{node_bytes}sxQ")


@lru_cache(maxsize=1024)
def _node_id(node: bytes) -> str:
    """One string for all events of a node."""
    return node.decode()


NowMs = Callable[[], int]
"""The wall clock's reading, in ms since 1970."""


class Timer(Protocol):
    """Makes the `created` of each own event."""

    @property
    def ms(self) -> int:
        """The highest ms so far: a timer that is restarted with it gives larger ones only."""

    @property
    def time(self) -> int:
        """The `time`, in ms, of the event that got the last `created`."""

    def next(self) -> Created:
        """A triple that is larger than all before."""

    def several(self, count: int) -> Created:
        """The first of so many, at least one, whose n go up by one, with one `time`: the clock is read once."""

    def see(self, ms: int) -> None:
        """Note the `ms` of an event from elsewhere, so that our next event sorts after it."""


class HybridTimer:
    """Hybrid logical clock: our wall clock, but it never goes back, never repeats, and is past all that was seen.

    Source: Kulkarni, Demirbas et al., "Logical Physical Clocks" (2014), with n as the logical part. A time further ahead
    than `max_drift_ms` does not move it: one wrong clock must not move the clocks of the whole mesh.

    `created` never goes back, since it identifies events. `time` orders them: it does not go back while our clock is set
    back by up to `max_drift_ms`, and starts again at our clock after a larger step. Otherwise a clock that was ten years
    ahead for one event would misplace all later events for ten years.
    """

    def __init__(
        self,
        node_id: str,
        now_ms: NowMs,
        *,
        after_ms: int = 0,
        after_time_ms: int | None = None,
        max_drift_ms: int = MAX_DRIFT_MS,
    ) -> None:
        """`after_ms` is the highest ms of the run before: all new ones are larger. `after_time_ms` is the highest `time` of
        that run, if it is another one.
        """
        self._node_id = node_id
        self._now_ms = now_ms
        self._max_drift_ms = max_drift_ms
        self._ms = after_ms + 1 if after_ms else 0
        self._next_n = 0
        self.time = self._ms if after_time_ms is None else after_time_ms
        self._wall_ms = self.time
        """The highest reading of our clock for an event, since `time` started again."""
        self._seen_ms = 0
        """`time` has to be at least this because of what was seen."""

    @property
    def ms(self) -> int:
        return self._ms

    def next(self) -> Created:
        now = self._read_clock()
        if now > self._ms:
            self._ms, self._next_n = now, 0
        created = (self._ms, self._node_id, self._next_n)
        self._next_n += 1
        # Comparisons, since each event comes here, and `max` takes three times as long.
        if now > self._wall_ms:
            self._wall_ms = now
        if now > self.time:
            self.time = now
        if self._seen_ms > self.time:
            # What was seen may be ahead by all of max_drift_ms: then only `created` puts this event after it.
            self.time = max(self.time, min(self._seen_ms, self._wall_ms + self._max_drift_ms))
        return created

    def several(self, count: int) -> Created:
        first = self.next()
        self._next_n += count - 1
        return first

    def see(self, ms: int) -> None:
        if ms > self._read_clock() + self._max_drift_ms:
            return
        if ms >= self._ms:
            self._ms, self._next_n = ms + 1, 0
        self._seen_ms = max(self._seen_ms, ms + 1)

    def _read_clock(self) -> int:
        """Our clock now. After a larger step back, `time` starts again."""
        now = self._now_ms()
        if self._wall_ms > now + self._max_drift_ms:
            self._wall_ms = self._seen_ms = self.time = 0
        if self._seen_ms > now + self._max_drift_ms + 1 and self._seen_ms > self._wall_ms + self._max_drift_ms + 1:
            self._seen_ms = 0
        return now
