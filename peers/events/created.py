"""The created triple: an event's identity, its order, and the timers that make it."""

from __future__ import annotations

from typing import Protocol

Created = tuple[int, str, int]
"""(ms, node_id, n): wall-clock ms at the node that made the event, that node, and a counter within the ms."""

BEFORE_ALL: Created = (0, "", 0)
"""Sorts before the `created` of every event."""
MAX_MS = 2**53 - 1
"""The largest ms that JavaScript holds exactly."""
MAX_DRIFT_MS = 60_000
"""How far ahead of our clock a time may be and still move our timer."""

_NODE_ID_LIMIT = 200


def check_created(created: Created) -> None:
    """Raise ValueError, with a sentence, unless the parts are in range."""
    ms, node_id, n = created
    if not 0 <= ms <= MAX_MS:
        raise ValueError(f"created {list(created)}: the ms must be from 0 to {MAX_MS}")
    if not 0 <= n <= MAX_MS:
        raise ValueError(f"created {list(created)}: the counter must be from 0 to {MAX_MS}")
    if not 0 < len(node_id) <= _NODE_ID_LIMIT or not node_id.isprintable():
        raise ValueError(f"created {list(created)!r}: the node id must have 1 to {_NODE_ID_LIMIT} printable characters")


def created_key(created: Created) -> bytes:
    """Bytes that sort as the triple does: 8 of ms, the node id's UTF-8 and a zero, 8 of the counter."""
    ms, node_id, n = created
    return ms.to_bytes(8, "big") + node_id.encode() + b"\0" + n.to_bytes(8, "big")


def created_from_key(key: bytes) -> Created:
    """The triple that `created_key` made `key` of."""
    return int.from_bytes(key[:8], "big"), key[8:-9].decode(), int.from_bytes(key[-8:], "big")


class Timer(Protocol):
    """Makes the `created` of each own event."""

    @property
    def ms(self) -> int:
        """High-water mark: after a restart with it, the timer gives larger ones only."""

    @property
    def time(self) -> int:
        """The `time`, in ms, of the event whose `created` was given last."""

    def next(self) -> Created:
        """A triple that is larger than every one it gave before."""

    def see(self, ms: int) -> None:
        """Take note of a time that came from elsewhere, so that what we write next sorts after it."""


class HybridTimer:
    """Hybrid logical clock: our wall clock, but never back, never twice, and past what was seen.

    Source: Kulkarni, Demirbas et al., "Logical Physical Clocks" (2014), with n as the logical part. A time further ahead
    than `max_drift_ms` does not move it: one wrong clock must not pull the whole mesh along.

    `created` never goes back, since it identifies. `time` orders: it does not go back either while our clock is set back by
    up to `max_drift_ms`, and starts anew at our clock after a larger step. Else a clock that was ten years ahead for one
    event would misplace all later ones for ten years.
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
        """`after_ms` is the stored high-water mark: every ms given from now on is larger. `after_time_ms` is the same for
        `time`, where it is another one.
        """
        self._node_id = node_id
        self._now_ms = now_ms
        self._max_drift_ms = max_drift_ms
        self._ms = after_ms + 1 if after_ms else 0
        self._next_n = 0
        self.time = self._ms if after_time_ms is None else after_time_ms
        self._wall_ms = self.time
        """The highest reading of our clock for an event, since `time` started anew."""
        self._seen_ms = 0
        """What `time` has to be at least because of what was seen."""

    @property
    def ms(self) -> int:
        return self._ms

    def next(self) -> Created:
        now = self._read_clock()
        if now > self._ms:
            self._ms, self._next_n = now, 0
        created = (self._ms, self._node_id, self._next_n)
        self._next_n += 1
        self._wall_ms = max(self._wall_ms, now)
        # What was seen may be the farthest that is followed: then `created` alone puts this one after it.
        self.time = max(self.time, now, min(self._seen_ms, self._wall_ms + self._max_drift_ms))
        return created

    def see(self, ms: int) -> None:
        if ms > self._read_clock() + self._max_drift_ms:
            return
        if ms >= self._ms:
            self._ms, self._next_n = ms + 1, 0
        self._seen_ms = max(self._seen_ms, ms + 1)

    def _read_clock(self) -> int:
        """Our clock now. After a larger step back, what `time` had to be beyond before counts no more."""
        now = self._now_ms()
        if self._wall_ms > now + self._max_drift_ms:
            self._wall_ms = self._seen_ms = self.time = 0
        if self._seen_ms > max(now, self._wall_ms) + self._max_drift_ms + 1:
            self._seen_ms = 0
        return now


class NowMs(Protocol):
    """The wall clock's reading, in ms."""

    def __call__(self) -> int: ...


class CountingTimer:
    """A timer for tests and literals: 1, 2, 3 ... in its node's name."""

    def __init__(self, node_id: str) -> None:
        self._node_id = node_id
        self._ms = 0

    @property
    def ms(self) -> int:
        return self._ms

    @property
    def time(self) -> int:
        return self._ms

    def next(self) -> Created:
        self._ms += 1
        return self._ms, self._node_id, 0

    def see(self, ms: int) -> None:
        self._ms = max(self._ms, ms)
