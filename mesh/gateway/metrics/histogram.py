"""Histogram: how long something took, counted by length."""

from __future__ import annotations

from bisect import bisect_left
from itertools import accumulate

BOUNDS_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""The upper bounds of the buckets; the last bucket has none."""


class Histogram:
    """Counts lengths of time. One thread may note while another reads: what is read may lack the newest one."""

    __slots__ = ("_counts", "sum_seconds")

    def __init__(self) -> None:
        self.sum_seconds = 0.0
        """Of all that was noted."""
        self._counts = [0] * (len(BOUNDS_SECONDS) + 1)

    def note(self, seconds: float) -> None:
        """Something took so long."""
        self._counts[bisect_left(BOUNDS_SECONDS, seconds)] += 1
        self.sum_seconds += seconds

    @property
    def buckets(self) -> list[tuple[str, int]]:
        """How many took at most so long, by the bound as OpenMetrics writes it; the last one has all."""
        return list(zip((*map(str, BOUNDS_SECONDS), "+Inf"), accumulate(self._counts), strict=True))
