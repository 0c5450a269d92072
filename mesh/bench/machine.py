"""What the figures were measured on."""

from __future__ import annotations

import os
from statistics import median
from timeit import repeat

LOOP_STEPS = 1_000_000


def machine() -> str:
    """The processors, and how fast they are now: the speed of a virtual machine may halve, or double, within minutes."""
    seconds = median(repeat("pass", number=LOOP_STEPS, repeat=3))
    return f"{os.cpu_count() or 1} cores, a million steps of an empty loop in {seconds * 1000:.0f} ms"
