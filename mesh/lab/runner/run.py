"""Run: one run of a story, which its caller plays: `@scenario`, or a test."""

from __future__ import annotations

from asyncio import CancelledError
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import perf_counter
from types import TracebackType

from mesh.lab.cluster.cluster import Cluster
from mesh.lab.recording.failure_report import explain
from mesh.lab.runner.interrupts import watch_interrupts
from mesh.lab.runner.outcome import Outcome
from mesh.lab.simulation.virtual_loop import LabAlarm

RUN_FAILURES = (Exception, LabAlarm, SystemExit, CancelledError)
"""What a run may raise that is a finding; an interruption is none."""


class Run:
    """The cluster of one run, and how the run ended."""

    def __init__(
        self,
        seed: int,
        *,
        on_line: Callable[[str], None] | None = None,
        on_trace: Callable[[str], None] | None = None,
        traces: bool = True,
        has_diary: bool = False,
    ) -> None:
        """The arguments are those of Cluster."""
        self.cluster = Cluster(seed, on_line=self._on_beat, on_trace=on_trace, traces=traces, has_diary=has_diary)
        self._on_line = on_line
        self._beats: list[str] = []
        self._error: BaseException | None = None
        self._traceback: TracebackType | None = None
        self._began = perf_counter()

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Play the story inside of it; at its end the checker judges. Raises what went wrong, also KeyboardInterrupt."""
        try:
            with watch_interrupts(self.cluster.loop.record), self.cluster:
                yield
        except RUN_FAILURES as error:
            self._error, self._traceback = error, error.__traceback__
            raise

    def outcome(self) -> Outcome:
        """How it ended."""
        cluster, error, ledger = self.cluster, self._error, self.cluster.checker.ledger
        if error is not None:
            error = error.with_traceback(self._traceback)  # without the frames of who called us
        return Outcome(
            cluster.seed,
            explain(error, cluster.moment) if error is not None else None,
            cluster.trace_hash,
            cluster.kept_trace,
            cluster.seconds,
            events=len(ledger.acknowledged),
            lost=len(ledger.lost),
            verbs=dict(cluster.verbs),
            beats=tuple(self._beats),
            saw=tuple(cluster.what_each_saw()) if error is not None else (),
            happenings=tuple(cluster.happenings),
            error=error,
            real_seconds=perf_counter() - self._began,
        )

    def abandon(self) -> None:
        """Free everything if the story was not played. Harmless otherwise."""
        self.cluster.__exit__(RuntimeError, None, None)

    def _on_beat(self, line: str) -> None:
        self._beats.append(line)
        if self._on_line is not None:
            self._on_line(line)
