"""Budget: a rate limit with a burst (a token bucket)."""

from __future__ import annotations


class Budget:
    """Allows `burst` acts at once, and then `per_second`. Times are of the monotonic clock."""

    def __init__(self, burst: float, per_second: float) -> None:
        self._burst = burst
        self._per_second = per_second
        self._left = burst
        self._at_ms: float | None = None

    def has_some(self, now_ms: float) -> bool:
        """Whether one act is allowed now."""
        if self._at_ms is not None:
            self._left = min(self._burst, self._left + (now_ms - self._at_ms) / 1000 * self._per_second)
        self._at_ms = now_ms
        return self._left >= 1

    def spend(self, acts: int = 1) -> None:
        """Count acts, after `has_some` allowed one. What is spent beyond is missing later."""
        self._left -= acts
