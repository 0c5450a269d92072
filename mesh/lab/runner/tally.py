"""Tally: what came of many runs of a story, and how that reads as a row."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from mesh.lab.runner.outcome import Outcome

NAME_WIDTH = 20


@dataclass
class Tally:
    """Sums of outcomes."""

    name: str
    runs: int = 0
    failures: int = 0
    events: int = 0
    """That were acknowledged."""
    virtual_seconds: float = 0.0
    real_seconds: float = 0.0
    verbs: Counter[str] = field(default_factory=Counter)

    def note(self, outcome: Outcome, real_seconds: float) -> None:
        """One more run."""
        self.runs += 1
        self.failures += outcome.failure is not None
        self.events += outcome.events
        self.virtual_seconds += outcome.seconds
        self.real_seconds += real_seconds
        self.verbs.update(outcome.verbs)

    def add(self, other: Tally) -> None:
        """The runs of another story too."""
        self.runs += other.runs
        self.failures += other.failures
        self.events += other.events
        self.virtual_seconds += other.virtual_seconds
        self.real_seconds += other.real_seconds
        self.verbs.update(other.verbs)

    @staticmethod
    def heading() -> str:
        """Over the rows."""
        cells = f"{'runs':>6}  {'passed':>6}  {'events':>8}  {'house life':>10}  {'took':>8}  {'runs/min':>8}"
        return f"{'scenario':<{NAME_WIDTH}}  {cells}"

    def row(self) -> str:
        """These sums under `heading`."""
        pace = 60 * self.runs / self.real_seconds if self.real_seconds else 0.0
        cells = f"{self.runs:>6}  {self.runs - self.failures:>6}  {self.events:>8}  {_hours(self.virtual_seconds):>10}"
        return f"{self.name:<{NAME_WIDTH}}  {cells}  {self.real_seconds:>6.1f} s  {pace:>8.0f}"

    def verbs_sentence(self) -> str:
        """What happened how often."""
        return ", ".join(f"{verb} {count}" for verb, count in sorted(self.verbs.items()))


def _hours(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}"
