"""The axis of a picture: virtual time in the order in which things happened, with quiet stretches shortened."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import pairwise
from math import log2
from typing import NamedTuple

from mesh.lab.recording.timeline import Happening

EVENTS = frozenset({"write", "arrival"})
ON_DISKS = frozenset({"crash", "wipe", "restore", "snapshot"})
FINE_SECONDS = 0.001
"""Up to about this long time is drawn to scale, beyond it by its logarithm."""
MAX_GAP = 12.0
"""Units of the widest gap, however long the time."""
BREAK_SECONDS = 0.5
"""A gap of at least this long is marked as broken."""
INSTANT_GAP = 0.7
"""Units between two things of one instant, so that both can be seen."""
CROWD = 4.0
"""Units for all events of one instant in one room."""


class Break(NamedTuple):
    """A quiet stretch that is drawn shorter than it was, between two pixels."""

    left: float
    right: float
    seconds: float


class TimeAxis:
    """Computes the pixel of each happening, from `left` to `right`.

    A gap of time is as wide as the logarithm of its length, up to a limit: milliseconds of replication and hours of
    silence can be seen in one picture. No happening is left of an earlier one.
    """

    def __init__(self, happenings: Sequence[Happening], left: float, right: float) -> None:
        """The happenings are in order."""
        units = [0.0]
        for gap in _gaps(happenings):
            units.append(units[-1] + gap)
        scale = (right - left) / units[-1] if units[-1] else 0.0
        self.places = [left + unit * scale for unit in units[: len(happenings)]]
        """A pixel for each happening."""
        self._seconds = [happening.seconds for happening in happenings]

    def breaks(self) -> Iterator[Break]:
        """The stretches in which time is left out, from left to right."""
        for (one, left), (other, right) in pairwise(zip(self._seconds, self.places, strict=True)):
            if other - one >= BREAK_SECONDS:
                yield Break(left, right, other - one)


def show_seconds(seconds: float) -> str:
    """A time for people, as `1.047 s`, `31.53 s`, `8:18` or `1:00:03`."""
    if seconds < 100:
        digits = f"{seconds:.{3 if seconds < 10 else 2}f}"
        return f"{digits.rstrip('0').rstrip('.')} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def show_duration(seconds: float) -> str:
    """How long something takes, roughly, as `1.5 s`, `30 s`, `8 min` or `1 h`."""
    for size, unit in ((3_600, "h"), (60, "min")):
        if seconds >= 0.99 * size:
            return f"{seconds / size:.1f}".removesuffix(".0") + f" {unit}"
    return f"{seconds:.2g} s"


def _gaps(happenings: Sequence[Happening]) -> Iterator[float]:
    """The units between each happening and the next."""
    crowds = Counter((each.seconds, each.places) for each in happenings if each.kind in EVENTS)
    for one, other in pairwise(happenings):
        gap = min(log2(1 + (other.seconds - one.seconds) / FINE_SECONDS), MAX_GAP)
        yield max(gap, _least_gap(one, other, crowds[other.seconds, other.places]))


def _least_gap(one: Happening, other: Happening, crowd: int) -> float:
    if one.kind in EVENTS and other.kind in EVENTS:
        return min(INSTANT_GAP, CROWD / crowd) if one.places == other.places else 0.0
    is_one_mark = one.kind == other.kind or {one.kind, other.kind} <= ON_DISKS
    is_end = (one.kind, other.kind) == ("converged", "end")
    return 0.0 if is_end or (is_one_mark and one.seconds == other.seconds) else INSTANT_GAP
