"""Trials: dials of nodes that were announced and never answered, a few at a time, and less and less often."""

from __future__ import annotations

from collections.abc import Collection

MAX_TRIALS = 8
"""Trials at the same time; further nodes wait for their turn."""
MIN_RETRY_SECONDS = 1.0
MAX_RETRY_SECONDS = 30.0
"""Longest pause between two trials at the same addresses while up to MAX_TRIALS places do not answer. It grows with the number
of places beyond: a flood of forged announcements causes no more dials a minute than a few nodes behind a firewall.
"""
MAX_PLACES = 512
"""Places that are remembered; a further one replaces the oldest."""

Place = tuple[str, ...]
"""The addresses of an announcement: others that name the same addresses lead to the same machine."""


class Trials:
    """Decides when a node that never answered is dialled, and when it is tried again."""

    def __init__(self) -> None:
        self._failures: dict[Place, int] = {}
        self._pause_ends: dict[Place, float] = {}
        """Until when nothing is dialled there."""
        self._places: dict[str, Place] = {}
        """The addresses of each node at its last trial."""
        self._waiting: dict[str, None] = {}
        self._looks: dict[str, float] = {}
        """When each node is considered again."""

    def may_begin(self, node_id: str, place: Place, running: Collection[Place], now_seconds: float) -> bool:
        """Whether to dial a node now, while trials run at the places in `running`.

        A node that must wait only for these becomes one of `waiting`; one whose place did not answer has a `look_seconds`.
        """
        self._places[node_id] = place
        if now_seconds < self._pause_ends.get(place, now_seconds):
            self._waiting.pop(node_id, None)
            return False
        if len(running) >= MAX_TRIALS or place in running:
            self._waiting[node_id] = None
            return False
        self._waiting.pop(node_id, None)
        return True

    @property
    def waiting(self) -> tuple[str, ...]:
        """Nodes that may be dialled when a trial ends: the longest waiting first, but those that failed before last."""
        return tuple(sorted(self._waiting, key=lambda node_id: self._places[node_id] in self._failures))

    def on_failure(self, place: Place, now_seconds: float) -> None:
        """The node did not answer at `place`: the pause there doubles."""
        failures = self._failures.pop(place, 0) + 1
        self._failures[place] = failures
        if len(self._failures) > MAX_PLACES:
            oldest = next(iter(self._failures))
            del self._failures[oldest], self._pause_ends[oldest]
        pause = min(MAX_RETRY_SECONDS, MIN_RETRY_SECONDS * 2.0 ** min(failures - 1, 32))
        self._pause_ends[place] = now_seconds + pause * max(1.0, len(self._failures) / MAX_TRIALS)

    def look_seconds(self, node_id: str, now_seconds: float) -> float | None:
        """Seconds until the pause of a node ends; None if it has no pause, or if the look at its end was already returned."""
        due = self._pause_ends.get(self._places.get(node_id, ()), now_seconds)
        if due <= now_seconds or now_seconds < self._looks.get(node_id, now_seconds):
            return None
        self._looks[node_id] = due
        return due - now_seconds

    def forget(self, node_id: str) -> None:
        """End the pause at the addresses of a node: it answered, or its announcement changed."""
        place = self._places.get(node_id, ())
        self._failures.pop(place, None)
        self._pause_ends.pop(place, None)
        self.drop(node_id)

    def drop(self, node_id: str) -> None:
        """Forget a node that is no longer known; the pause at its addresses stays."""
        self._places.pop(node_id, None)
        self._waiting.pop(node_id, None)
        self._looks.pop(node_id, None)

    def clear(self) -> None:
        """End all pauses: the operator wants all nodes dialled now."""
        self._failures.clear()
        self._pause_ends.clear()
        self._looks.clear()
