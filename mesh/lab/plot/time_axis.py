"""The axis of a picture: virtual time in the order in which things happened, with the quiet stretches pressed together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import log2

from mesh.lab.recording.timeline import Happening

EVENTS = frozenset({"write", "arrival"})
FINE_SECONDS = 0.001
"""Up to about this long time is drawn to scale, beyond it by its logarithm."""
MAX_GAP = 12.0
"""So many units are the widest gap: what is quieter is no wider."""
BREAK_SECONDS = 0.5
"""A gap that is longer than this is marked as broken."""
STEP = 0.7
"""Units between two things of one instant, so that both can be seen."""
CROWD = 4.0
"""Units for all events of one instant in one room."""


@dataclass(frozen=True, slots=True)
class Break:
    """A quiet stretch that is drawn shorter than it was."""

    left: float
    right: float
    seconds: float


class TimeAxis:
    """Says where each happening stands, in pixels from `left` to `right`.

    A gap of time is as wide as the logarithm of its length, up to a limit: milliseconds of replication and hours of
    silence can be seen in one picture. Nothing ever stands left of what happened before.
    """

    def __init__(self, happenings: Sequence[Happening], left: float, right: float) -> None:
        """The happenings are in order."""
        units = [0.0]
        for step in _steps(happenings):
            units.append(units[-1] + step)
        scale = (right - left) / units[-1] if units[-1] else 0.0
        self.places = [left + unit * scale for unit in units[: len(happenings)]]
        """One for each happening."""
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


def _steps(happenings: Sequence[Happening]) -> Iterator[float]:
    """How many units stand between each happening and the next."""
    crowds: dict[tuple[float, tuple[str, ...]], int] = {}
    for happening in happenings:
        if happening.kind in EVENTS:
            key = (happening.seconds, happening.places)
            crowds[key] = crowds.get(key, 0) + 1
    for one, other in pairwise(happenings):
        gap = min(log2(1 + (other.seconds - one.seconds) / FINE_SECONDS), MAX_GAP)
        crowd = crowds.get((other.seconds, other.places), 1)
        yield max(gap, _least(one, other, crowd))


def _least(one: Happening, other: Happening, crowd: int) -> float:
    if one.kind in EVENTS and other.kind in EVENTS:
        return min(STEP, CROWD / crowd) if one.places == other.places else 0.0
    if other.kind == "end" and one.kind == "converged":
        return 0.0
    is_one_row = one.kind == other.kind or {one.kind, other.kind} <= {"crash", "wipe", "restore", "snapshot"}
    return 0.0 if is_one_row and one.seconds == other.seconds else STEP
