"""Trials: nodes that never answered are dialled a few at a time, and ever more seldom."""

from __future__ import annotations

MAX_TRIALS = 8
"""Nodes that never answered that are dialled at once; the others wait for their turn."""
MIN_RETRY_SECONDS = 1.0
MAX_RETRY_SECONDS = 30.0
"""Pause between two trials of one node. It is this long while MAX_TRIALS nodes do not answer, and grows with their number:
a flood of forged announcements makes no more dials a minute than a few nodes behind a firewall.
"""


class Trials:
    """The nodes that were announced and are not met yet: who waits for a dial, and who for the next one after a failure."""

    def __init__(self) -> None:
        self._failures: dict[str, int] = {}
        self._rests: dict[str, float] = {}
        """Until when each is not dialled."""
        self._waiting: dict[str, None] = {}

    def may_begin(self, node_id: str, running: int, now_seconds: float) -> bool:
        """Whether to dial it now, while `running` others are dialled. If only for these not, it is one of `waiting`."""
        if now_seconds < self._rests.get(node_id, now_seconds):
            return False
        if running >= MAX_TRIALS:
            self._waiting[node_id] = None
            return False
        self._waiting.pop(node_id, None)
        return True

    @property
    def waiting(self) -> tuple[str, ...]:
        """Those that may be dialled when there is room, the one that waits longest first, those that failed last."""
        return tuple(sorted(self._waiting, key=self._failures.__contains__))

    def on_failure(self, node_id: str, now_seconds: float) -> float:
        """No address of it answered; in how many seconds to try again."""
        failures = self._failures[node_id] = self._failures.get(node_id, 0) + 1
        pause = min(MAX_RETRY_SECONDS, MIN_RETRY_SECONDS * 2.0 ** min(failures - 1, 32))
        seconds = pause * max(1.0, len(self._failures) / MAX_TRIALS)
        self._rests[node_id] = now_seconds + seconds
        return seconds

    def has_failed(self, node_id: str) -> bool:
        return node_id in self._failures

    def forget(self, node_id: str) -> None:
        """It answered, its announcement changed, or it is gone."""
        self._failures.pop(node_id, None)
        self._rests.pop(node_id, None)
        self._waiting.pop(node_id, None)

    def clear(self) -> None:
        """Forget all: somebody wants all of them tried at once."""
        self._failures.clear()
        self._rests.clear()
