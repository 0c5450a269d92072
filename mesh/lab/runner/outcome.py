"""How one run of a scenario ended."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from mesh.lab.recording.timeline import Happening


@dataclass(frozen=True)
class Outcome:
    """How a story ended."""

    seed: int
    failure: str | None
    trace_hash: str
    trace: tuple[str, ...]
    seconds: float
    """Virtual."""
    events: int = 0
    """That were acknowledged."""
    verbs: Mapping[str, int] = field(default_factory=dict)
    """What happened how often, by the first word of its line in the trace."""
    saw: tuple[str, ...] = ()
    """If it failed: what each room saw."""
    happenings: tuple[Happening, ...] = ()
    """If it was played with a diary: what happened when, see plot."""
    error: BaseException | None = field(default=None, compare=False)
    """If it failed: why, for programmers."""
