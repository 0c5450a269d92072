"""Scenario: a story about a cluster that runs by itself, again from its seed, and from the command line."""

from __future__ import annotations

import sys
from asyncio import CancelledError
from collections.abc import Callable
from inspect import isasyncgenfunction, iscoroutinefunction, isgeneratorfunction

import click

from mesh.lab.cluster.cluster import Cluster
from mesh.lab.recording.failure_report import SHOWN_LINES, explain, is_mistake, lines_about
from mesh.lab.runner.command import story_command
from mesh.lab.runner.interrupts import Interrupts
from mesh.lab.runner.outcome import Outcome
from mesh.lab.runner.replay import replay_of_script
from mesh.lab.simulation.virtual_loop import LabAlarm

FAILURES = (Exception, LabAlarm, SystemExit, CancelledError)
"""Whatever a story raises, or makes the product raise, is a finding; an interruption is none."""


class Scenario:
    """A function of a Cluster, made into a story by `@scenario`."""

    def __init__(self, story: Callable[[Cluster], None]) -> None:
        self.story = story
        self.name = story.__name__
        self.__doc__ = story.__doc__

    def __call__(self, house: Cluster) -> None:
        self.story(house)

    def run(
        self,
        seed: int = 0,
        *,
        on_line: Callable[[str], None] | None = None,
        on_trace: Callable[[str], None] | None = None,
        traces: bool = True,
        has_diary: bool = False,
    ) -> Outcome:
        """Play it once and let the checker judge. Whatever goes wrong is in the outcome; only KeyboardInterrupt is raised."""
        house = Cluster(seed, on_line=on_line, on_trace=on_trace, traces=traces, has_diary=has_diary)
        error: BaseException | None = None
        try:
            with Interrupts(house.loop.record), house:
                self.story(house)
        except FAILURES as raised:
            error = raised
        return Outcome(
            seed,
            explain(error, house.moment) if error is not None else None,
            house.trace_hash,
            house.kept_trace,
            house.seconds,
            len(house.checker.ledger.acknowledged),
            dict(house.verbs),
            tuple(house.what_each_saw()) if error is not None else (),
            tuple(house.happenings),
            error,
        )

    def main(self) -> None:
        """The command line of a scenario script."""
        title = sys.modules[self.story.__module__].__doc__ or self.__doc__ or ""
        self.command(replay=replay_of_script(), called=f"python {sys.argv[0]}", title=title)()

    def command(self, *, replay: str, title: str, called: str | None = None) -> click.Command:
        """The command that plays it; `title` is what happens.

        `replay` is how it is called again, "" if nobody knows, and `called` how it is called, for its help.
        """
        return story_command(self, replay=replay, called=called or replay, title=title)

    def show_failure(self, outcome: Outcome, *, replay: str, is_short: bool = False) -> None:
        """Print what went wrong to standard error: the end of the trace, what each room saw, how to play it again.

        If the story asked for what cannot be done, the line that did is all.
        """
        error, is_ours = outcome.error, outcome.error is None or not is_mistake(outcome.error)
        lines: list[str] = []
        if is_ours and not is_short:
            left = len(outcome.trace) - SHOWN_LINES
            lines += [f"... {left} lines left out: --trace shows them"] if left > 0 else []
            lines += outcome.trace[-SHOWN_LINES:]
        if error is not None and not is_short:
            lines += lines_about(error)
        lines.append(f"{self.name} failed with seed {outcome.seed}: {outcome.failure}")
        if is_ours:
            lines += [f"  {sentence}" for sentence in outcome.saw if sentence not in (outcome.failure or "")]
        lines.append(f"replay: {replay or 'with'} --seed {outcome.seed} --trace")
        print(*lines, sep="\n", file=sys.stderr)


def scenario(story: Callable[[Cluster], None]) -> Scenario:
    """Make a story of a function that takes a Cluster. Raises TypeError for a function that would not run when called."""
    if iscoroutinefunction(story) or isasyncgenfunction(story):
        raise TypeError(f"{story.__name__} is `async def`, and a story is not awaited: write `def {story.__name__}`")
    if isgeneratorfunction(story):
        raise TypeError(f"{story.__name__} has a `yield`, and nobody would iterate over a story: leave it out")
    return Scenario(story)
