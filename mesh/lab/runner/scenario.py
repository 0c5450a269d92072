"""Scenario: a function of a Cluster that can be played with any seed, also from the command line."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from inspect import isasyncgenfunction, iscoroutinefunction, isgeneratorfunction
from pathlib import Path

import click
from click.exceptions import Exit

from mesh.lab.cluster.cluster import Cluster
from mesh.lab.plot.plot import plot as draw
from mesh.lab.recording.failure_report import explain, lines_about
from mesh.lab.runner.command import Printer, check_usage, make_command, write_picture
from mesh.lab.runner.outcome import Outcome, Tally
from mesh.lab.runner.replay import replay_of_script
from mesh.lab.runner.run import RUN_FAILURES, Run
from mesh.terminal.output import INTERRUPTED

SHOWN_FAILURES = 5
"""Of many seeds, how many failures are shown one by one."""


class Scenario:
    """A function of a Cluster, made into a scenario by `@scenario`.

    `partition.run(7).failure` is None if it passes with seed 7; `partition.main()` is the command line of its script.
    """

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
        """Play it once and let the checker judge.

        `on_line` gets each beat and `on_trace` each line of the trace, which has frames unless `traces` is false; with
        `has_diary` the outcome holds what `plot` draws. What goes wrong is in the outcome; only KeyboardInterrupt is raised.
        """
        run = Run(seed, on_line=on_line, on_trace=on_trace, traces=traces, has_diary=has_diary)
        with suppress(*RUN_FAILURES), run.watched():
            self.story(run.cluster)
        return run.outcome()

    def main(self) -> None:
        """The command line of a scenario script."""
        title = sys.modules[self.story.__module__].__doc__ or self.__doc__ or ""
        self.command(replay=replay_of_script(), called=f"python {sys.argv[0]}", title=title)()

    def command(self, *, replay: str, title: str, called: str | None = None) -> click.Command:
        """The command that plays it; the first line of `title` says what happens.

        `replay` is what to type to call it again, "" if that is not known, and `called` how it is called, for its help.
        """
        sentence = title.strip().partition("\n")[0]
        play = partial(self._play, replay=replay, sentence=sentence)
        return make_command(self.name, play, sentence=sentence, called=called or replay)

    def show_failure(self, outcome: Outcome, *, replay: str, is_short: bool = False) -> None:
        """Print what went wrong to standard error: the end of the trace, what each room holds, how to play it again.

        If a verb refused what the scenario asked for, only the line that did so is shown, and no trace.
        """
        lines = outcome.trace_end(hint=": --trace shows them") if outcome.is_finding and not is_short else []
        if outcome.error is not None and not is_short:
            lines += lines_about(outcome.error)
        again = f"{replay or 'with'} --seed {outcome.seed} --trace"
        print(*lines, *outcome.sentences(self.name, again), sep="\n", file=sys.stderr)

    def _play(
        self, *, seed: int, seeds: int, trace: bool, live: bool, plot: Path | None, replay: str, sentence: str
    ) -> None:
        """Play as the options say, and end with the exit code."""
        check_usage(seed=seed, seeds=seeds, live=live, plot=plot)
        printer, tally = Printer(), Tally(self.name)
        on_line, on_trace = printer if seeds == 1 and not trace else None, printer if trace else None
        shortest: Outcome | None = None
        try:
            if live:
                raise Exit(_play_live(self.story, is_traced=trace, replay=replay))
            for number in range(seed, seed + seeds):
                outcome = self.run(number, on_line=on_line, on_trace=on_trace, has_diary=plot is not None)
                if trace:
                    printer(f"trace {outcome.trace_hash}")
                tally.add(outcome)
                if outcome.failure is not None:
                    if shortest is None or len(outcome.trace) < len(shortest.trace):
                        shortest = outcome
                    if tally.failures <= SHOWN_FAILURES:
                        self.show_failure(outcome, replay=replay, is_short=seeds > 1)
                printer.check()
                if plot is not None:
                    write_picture(plot, self._draw(outcome, sentence))
        except KeyboardInterrupt:
            if seeds > 1:
                print(f"{self.name}: interrupted after {tally.runs} of {seeds} seeds, of which {tally.passed} passed")
            raise Exit(INTERRUPTED) from None
        if seeds > 1:
            if shortest is not None:
                print("the shortest of those that failed ended so:", file=sys.stderr)
                self.show_failure(shortest, replay=replay)
            print(f"{self.name}: {tally.passed} of {seeds} seeds passed")
        raise Exit(1 if tally.failures else 0)

    def _draw(self, outcome: Outcome, sentence: str) -> str:
        title, seed, failure = sentence.rstrip("."), outcome.seed, outcome.failure
        return draw(outcome.happenings, name=self.name, sentence=title, seed=seed, failure=failure)


def scenario(story: Callable[[Cluster], None]) -> Scenario:
    """Make a scenario of a function that takes a Cluster. Raises TypeError for a function that a call would not run."""
    if iscoroutinefunction(story) or isasyncgenfunction(story):
        raise TypeError(f"{story.__name__} is `async def`, and a story is not awaited: write `def {story.__name__}`")
    if isgeneratorfunction(story):
        raise TypeError(f"{story.__name__} has a `yield`, and a story is not iterated over: leave it out")
    return Scenario(story)


def _play_live(story: Callable[[Cluster], None], *, is_traced: bool, replay: str) -> int:
    from mesh.lab.live.runner import play_live  # imported late: runs in virtual time need no hosts

    return play_live(story, explain, is_traced=is_traced, replay=replay)
