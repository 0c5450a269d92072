"""Trials: dials of nodes that were announced and never answered, a few at a time, and less and less often."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection

from mesh.discovery.budget import Budget

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

    def __init__(self, dials_per_second: int) -> None:
        """`dials_per_second` is for nodes that were never connected: see Limits."""
        self._budget = Budget(dials_per_second, dials_per_second)
        self._failures: dict[Place, int] = {}
        self._pause_ends: dict[Place, float] = {}
        """Until when nothing is dialled there."""
        self._places: dict[str, Place] = {}
        """The addresses of each node at its last trial."""
        self._sources: dict[str, str] = {}
        self._waiting: dict[str, None] = {}
        self._looks: dict[str, float] = {}
        """When each node is considered again."""

    def may_begin(
        self,
        node_id: str,
        place: Place,
        source: str,
        running: Collection[Place],
        now_seconds: float,
        *,
        is_new: bool,
    ) -> bool:
        """Whether to dial a node now, while trials run at the places in `running`; if it `is_new`, that is counted as a dial.

        A node that must wait only for these, or for `has_dials`, becomes one of `waiting`; one whose place did not answer has a
        `look_seconds`. A node is new that was never connected; `source` is where its announcement came from.
        """
        self._places[node_id] = place
        self._sources[node_id] = source
        is_next = node_id in self._waiting or not self._waiting
        if now_seconds < self._pause_ends.get(place, now_seconds):
            self._waiting.pop(node_id, None)
            return False
        if len(running) >= MAX_TRIALS or place in running or (is_new and not (is_next and self.has_dials(now_seconds))):
            self._waiting[node_id] = None
            return False
        self._waiting.pop(node_id, None)
        if is_new:
            self._budget.spend()
        return True

    def has_dials(self, now_seconds: float) -> bool:
        """Whether `dials_per_second` allows one more dial of a new node now."""
        return self._budget.has_some(now_seconds * 1000)

    def may_redial(self, now_seconds: float) -> bool:
        """Whether a new node that is dialled may be dialled anew; if so, that is counted as a dial."""
        may = self.has_dials(now_seconds)
        if may:
            self._budget.spend()
        return may

    def is_waiting(self, node_id: str) -> bool:
        """Whether a node is one of `waiting`."""
        return node_id in self._waiting

    @property
    def waiting(self) -> tuple[str, ...]:
        """Nodes that may be dialled when a trial ends: the longest waiting first, but those that failed before last.

        Of different sources one after the other, so that one host with many names does not delay the nodes of others.
        """
        ahead: Counter[tuple[bool, str]] = Counter()
        ranks: dict[str, tuple[bool, int]] = {}
        for node_id in self._waiting:
            has_failed, source = self._places[node_id] in self._failures, self._sources[node_id]
            ranks[node_id] = has_failed, ahead[has_failed, source]
            ahead[has_failed, source] += 1
        return tuple(sorted(ranks, key=ranks.__getitem__))

    def on_failure(self, place: Place, now_seconds: float) -> None:
        """The node did not answer at `place`: the pause there doubles. Each of its addresses was a dial."""
        self._budget.spend(max(0, len(place) - 1))
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
        self._sources.pop(node_id, None)
        self._waiting.pop(node_id, None)
        self._looks.pop(node_id, None)

    def clear(self) -> None:
        """End all pauses: the operator wants all nodes dialled now."""
        self._failures.clear()
        self._pause_ends.clear()
        self._looks.clear()
