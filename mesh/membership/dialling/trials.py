"""Trials: nodes that never answered are dialled a few at a time, and where nothing answers ever more seldom."""

from __future__ import annotations

from collections.abc import Collection

MAX_TRIALS = 8
"""Nodes that never answered that are dialled at once; the others wait for their turn."""
MIN_RETRY_SECONDS = 1.0
MAX_RETRY_SECONDS = 30.0
"""Pause between two trials at the same addresses. It is this long while nothing answers in up to MAX_TRIALS places, and grows
with their number: a flood of forged announcements makes no more dials a minute than a few nodes behind a firewall.
"""
MAX_PLACES = 512
"""Places that are remembered; a further one replaces the oldest."""

Place = tuple[str, ...]
"""The addresses of an announcement: others that name the same ones lead to the same machine."""


class Trials:
    """The nodes that were announced and are not met yet: who waits for a dial, and where the next one comes after a pause."""

    def __init__(self) -> None:
        self._failures: dict[Place, int] = {}
        self._rests: dict[Place, float] = {}
        """Until when nothing is dialled there."""
        self._places: dict[str, Place] = {}
        """Where each node was to be dialled last."""
        self._waiting: dict[str, None] = {}
        self._looks: dict[str, float] = {}
        """When each node is considered again."""

    def may_begin(self, node_id: str, place: Place, running: Collection[Place], now_seconds: float) -> bool:
        """Whether to dial it now, while others are dialled at `running`. If only for these not, it is one of `waiting`."""
        self._places[node_id] = place
        if now_seconds < self._rests.get(place, now_seconds):
            self._waiting.pop(node_id, None)
            return False
        if len(running) >= MAX_TRIALS or place in running:
            self._waiting[node_id] = None
            return False
        self._waiting.pop(node_id, None)
        return True

    @property
    def waiting(self) -> tuple[str, ...]:
        """Those that may be dialled when there is room, the one that waits longest first, those that failed last."""
        return tuple(sorted(self._waiting, key=lambda node_id: self._places[node_id] in self._failures))

    def on_failure(self, place: Place, now_seconds: float) -> None:
        """Nothing answered there."""
        failures = self._failures.pop(place, 0) + 1
        self._failures[place] = failures
        if len(self._failures) > MAX_PLACES:
            oldest = next(iter(self._failures))
            del self._failures[oldest], self._rests[oldest]
        pause = min(MAX_RETRY_SECONDS, MIN_RETRY_SECONDS * 2.0 ** min(failures - 1, 32))
        self._rests[place] = now_seconds + pause * max(1.0, len(self._failures) / MAX_TRIALS)

    def look_seconds(self, node_id: str, now_seconds: float) -> float | None:
        """In how many seconds to consider a node again that rests; None: it does not, or that is arranged already."""
        due = self._rests.get(self._places.get(node_id, ()), now_seconds)
        if due <= now_seconds or now_seconds < self._looks.get(node_id, now_seconds):
            return None
        self._looks[node_id] = due
        return due - now_seconds

    def forget(self, node_id: str) -> None:
        """It answered, or its announcement changed: what was at its addresses counts no more."""
        place = self._places.get(node_id, ())
        self._failures.pop(place, None)
        self._rests.pop(place, None)
        self.drop(node_id)

    def drop(self, node_id: str) -> None:
        """It is not known any more."""
        self._places.pop(node_id, None)
        self._waiting.pop(node_id, None)
        self._looks.pop(node_id, None)

    def clear(self) -> None:
        """Somebody wants all of them tried at once."""
        self._failures.clear()
        self._rests.clear()
        self._looks.clear()
