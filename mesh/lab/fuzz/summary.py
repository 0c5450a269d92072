"""The table of many storms: what happened in them how often, in words for people."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

from mesh.lab.fuzz.script import Script

WORDS: Mapping[str, Mapping[str, str]] = {
    "written": {
        "write": "by rooms",
        "say": "by clients",
        "twin": "the same in two rooms",
        "status": "in the place of an older one",
        "clean": "cleaned",
    },
    "links": {
        "wall": "walls built",
        "heal": "walls torn down",
        "cut": "one way cut",
        "hold": "one way held",
        "release": "one way let go",
        "slow": "made slow",
        "flaky": "made flaky",
        "reset": "connections reset",
    },
    "discovery": {
        "lossy": "packets get lost, or not any more",
        "late": "packets are late, or not any more",
        "stale": "stale sightings",
        "forge": "forged sightings",
    },
    "machines": {
        "crash": "power cuts",
        "stop": "stopped",
        "restart": "started again",
        "freeze": "frozen",
        "thaw": "thawed",
        "skew": "clock jumps",
        "drift": "clock drifts",
        "move": "clients moved to another room",
    },
    "disks": {
        "trip": "commits fail",
        "fill": "full",
        "free": "room again",
        "backup": "backups made",
        "restore": "backups put back",
        "lose": "logs lost",
        "wipe": "homes lost, with their keys",
    },
}
"""What each verb of a script is called, by what it is done to."""


class Told(Protocol):
    """What the table needs of an outcome."""

    @property
    def script(self) -> Script: ...
    @property
    def steps(self) -> tuple[tuple[str, int], ...]: ...
    @property
    def events(self) -> int: ...
    @property
    def lost(self) -> int: ...
    @property
    def seconds(self) -> float: ...
    @property
    def failure(self) -> str | None: ...


def storm_table(outcomes: Sequence[Told], real_seconds: float) -> str:
    """A line for each number: runs, events, faults of each kind, violations."""
    minutes = sum(outcome.seconds for outcome in outcomes) / 60
    rows = [
        ("runs", len(outcomes)),
        ("runs per minute", round(len(outcomes) / max(real_seconds, 0.001) * 60)),
        ("virtual minutes", round(minutes)),
        ("houses with SQLite files", sum(outcome.script.store == "sqlite" for outcome in outcomes)),
        ("houses with clients", sum(bool(outcome.script.clients) for outcome in outcomes)),
        ("events acknowledged", sum(outcome.events for outcome in outcomes)),
        ("lost with their last disk", sum(outcome.lost for outcome in outcomes)),
        *_steps(outcomes),
        ("violations", sum(outcome.failure is not None for outcome in outcomes)),
    ]
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"{name:<{width}}  {count:>8}" for name, count in rows)


def _steps(outcomes: Sequence[Told]) -> Iterator[tuple[str, int]]:
    counts: Counter[str] = Counter()
    for outcome in outcomes:
        counts.update(dict(outcome.steps))
    for subject, words in WORDS.items():
        yield f"what was done: {subject}", sum(counts[verb] for verb in words)
        yield from ((f"  {word}", counts[verb]) for verb, word in words.items() if counts[verb])
