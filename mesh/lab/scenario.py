"""Scenario: a story about a cluster that runs by itself, again from its seed, and from the command line."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass

import click
from click.exceptions import Exit

from mesh.cli import INTERRUPTED
from mesh.lab.cluster import Cluster

SHOWN_LINES = 30
"""How much of the trace's end a failure shows."""


@dataclass(frozen=True)
class Outcome:
    """How a story ended."""

    seed: int
    failure: str | None
    trace_hash: str
    trace: tuple[str, ...]
    seconds: float
    """Virtual."""


class Scenario:
    """A function of a Cluster, made into a story by `@scenario`."""

    def __init__(self, story: Callable[[Cluster], None]) -> None:
        self.story = story
        self.name = story.__name__
        self.__doc__ = story.__doc__

    def __call__(self, house: Cluster) -> None:
        self.story(house)

    def run(self, seed: int = 0, *, on_line: Callable[[str], None] | None = None) -> Outcome:
        """Play it once and let the checker judge. A failed assertion is in the outcome; any other exception is raised."""
        house = Cluster(seed, on_line=on_line)
        failure = None
        try:
            with house:
                self.story(house)
        except AssertionError as error:
            failure = str(error) or "an assertion of the story failed"
        return Outcome(seed, failure, house.trace_hash, tuple(house.trace), house.seconds)

    def main(self) -> None:
        """The command line of a scenario script."""
        click.Command(self.name, callback=self._play, params=_options())()

    def _play(self, *, seed: int, seeds: int, trace: bool) -> None:
        try:
            failures = self._count_failures(seed, seeds, trace=trace)
        except KeyboardInterrupt:
            raise Exit(INTERRUPTED) from None
        if seeds > 1:
            print(f"{self.name}: {seeds - failures} of {seeds} seeds passed")
        if failures:
            raise Exit(1)

    def _count_failures(self, seed: int, seeds: int, *, trace: bool) -> int:
        failures = 0
        for number in range(seed, seed + seeds):
            outcome = self.run(number, on_line=print if seeds == 1 and not trace else None)
            if trace:
                print("\n".join(outcome.trace))
                print(f"trace {outcome.trace_hash}")
            if outcome.failure is not None:
                failures += 1
                self._show_failure(outcome)
        return failures

    def _show_failure(self, outcome: Outcome) -> None:
        print(*outcome.trace[-SHOWN_LINES:], sep="\n", file=sys.stderr)
        print(f"{self.name} failed with seed {outcome.seed}: {outcome.failure}", file=sys.stderr)
        print(f"replay: python {sys.argv[0]} --seed {outcome.seed} --trace", file=sys.stderr)


def _options() -> list[click.Parameter]:
    return [
        click.Option(["--seed"], default=0, show_default=True, help="Which of all possible runs to play."),
        click.Option(["--seeds"], default=1, show_default=True, help="Play this many, from --seed on, and sum up."),
        click.Option(["--trace"], is_flag=True, help="Print every frame and notice, and the trace's hash."),
    ]


def scenario(story: Callable[[Cluster], None]) -> Scenario:
    """Make a story of a function that takes a Cluster."""
    return Scenario(story)
