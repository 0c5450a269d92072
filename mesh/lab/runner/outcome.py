"""How runs of scenarios ended: each by itself, and many in sum."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Self

from mesh.lab.recording.failure_report import SHOWN_LINES, is_mistake
from mesh.lab.recording.timeline import Happening

ROW = "{:<20}  {:>6}  {:>6}  {:>8}  {:>10}  {:>8}  {:>8}"
HEADING = ROW.format("scenario", "runs", "passed", "events", "house life", "took", "runs/min")
"""The heading above the rows of tallies."""


@dataclass(frozen=True)
class Outcome:
    """How one run of a scenario ended."""

    seed: int
    failure: str | None
    """Why the run failed; None if it passed."""
    trace_hash: str
    trace: tuple[str, ...]
    seconds: float
    """Virtual."""
    events: int = 0
    """That were acknowledged."""
    lost: int = 0
    """Of these, those whose last copy was lost with a disk."""
    verbs: Mapping[str, int] = field(default_factory=dict)
    """What was done how often, by the first word of its line in the trace."""
    beats: tuple[str, ...] = ()
    """A line for each beat."""
    saw: tuple[str, ...] = ()
    """After a failure: what each room holds."""
    happenings: tuple[Happening, ...] = ()
    """What happened when, if the run had a diary: see plot."""
    error: BaseException | None = field(default=None, compare=False)
    """What was raised, after a failure."""
    real_seconds: float = field(default=0.0, compare=False)

    def brief(self) -> Self:
        """The outcome without its trace and its error, which are large or cannot be sent to another process."""
        return replace(self, trace=(), error=None)

    @property
    def is_finding(self) -> bool:
        """Whether it failed, and not because a verb refused what the scenario asked for."""
        return self.failure is not None and (self.error is None or not is_mistake(self.error))

    def trace_end(self, *, hint: str = "") -> list[str]:
        """The last lines of the trace; `hint` says where the others are."""
        left = len(self.trace) - SHOWN_LINES
        return [*([f"... {left} lines left out{hint}"] if left > 0 else []), *self.trace[-SHOWN_LINES:]]

    def sentences(self, name: str, replay: str) -> list[str]:
        """What went wrong, with seed, moment and place; what each room holds; the command that plays it again."""
        seen = [f"  {sentence}" for sentence in self.saw if sentence not in (self.failure or "")]
        found = seen if self.is_finding else []
        return [f"{name} failed with seed {self.seed}: {self.failure}", *found, f"replay: {replay}"]


@dataclass
class Tally:
    """Sums of outcomes."""

    name: str = ""
    runs: int = 0
    failures: int = 0
    events: int = 0
    lost: int = 0
    seconds: float = 0.0
    """Virtual."""
    real_seconds: float = 0.0
    verbs: Counter[str] = field(default_factory=Counter)

    def add(self, outcome: Outcome) -> None:
        """Count one more run."""
        self.runs += 1
        self.failures += outcome.failure is not None
        self.events += outcome.events
        self.lost += outcome.lost
        self.seconds += outcome.seconds
        self.real_seconds += outcome.real_seconds
        self.verbs.update(outcome.verbs)

    @property
    def passed(self) -> int:
        return self.runs - self.failures

    @property
    def runs_a_minute(self) -> float:
        """Of real time."""
        return 60 * self.runs / self.real_seconds if self.real_seconds else 0.0

    def row(self) -> str:
        """The sums as a row below HEADING."""
        minutes, rest = divmod(round(self.seconds), 60)
        virtual, real = f"{minutes // 60}:{minutes % 60:02}:{rest:02}", f"{self.real_seconds:.1f} s"
        return ROW.format(self.name, self.runs, self.passed, self.events, virtual, real, f"{self.runs_a_minute:.0f}")
