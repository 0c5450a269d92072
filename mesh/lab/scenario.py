"""Scenario: a story about a cluster that runs by itself, again from its seed, and from the command line."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from traceback import extract_tb, format_exception

import click
from click.exceptions import Exit

from mesh.cli import INTERRUPTED
from mesh.lab.cluster import Cluster
from mesh.lab.diary import Happening
from mesh.lab.plot import plot
from mesh.lab.virtual_loop import LabAlarm

SHOWN_LINES = 30
"""How much of the trace's end a failure shows."""
SHOWN_FAILURES = 5
"""Of many seeds, how many that fail are told about one by one."""


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
        traces: bool = True,
        has_diary: bool = False,
    ) -> Outcome:
        """Play it once and let the checker judge. Whatever goes wrong is in the outcome, never raised."""
        house = Cluster(seed, on_line=on_line, traces=traces, has_diary=has_diary)
        error: BaseException | None = None
        try:
            with house:
                self.story(house)
        except (Exception, LabAlarm) as raised:  # noqa: BLE001 - whatever a story makes the product raise is a finding
            error = raised
        return Outcome(
            seed,
            self._explain(error) if error is not None else None,
            house.trace_hash,
            tuple(house.trace),
            house.seconds,
            len(house.checker.ledger.acknowledged),
            dict(house.verbs),
            tuple(house.what_each_saw()) if error is not None else (),
            tuple(house.happenings),
            error,
        )

    def main(self) -> None:
        """The command line of a scenario script."""
        module = sys.modules[self.story.__module__]
        self.command(replay=f"python {sys.argv[0]}", title=module.__doc__ or "")()

    def command(self, *, replay: str, title: str) -> click.Command:
        """The command that plays it; `replay` is how it is called, `title` what happens."""

        def play(*, seed: int, seeds: int, trace: bool, live: bool, plot: Path | None) -> None:
            if plot is not None and (live or seeds > 1):
                raise click.UsageError("--plot draws one run in virtual time: give it --seed, not --seeds or --live")
            if live and (seed or seeds > 1):
                raise click.UsageError("--live plays once in real time: no seed decides there, leave it out")
            try:
                if live:
                    raise Exit(self._play_live(trace=trace))
                failures = self._count_failures(
                    seed, seeds, trace=trace, replay=replay, picture=plot, sentence=title.partition("\n")[0]
                )
            except KeyboardInterrupt:
                raise Exit(INTERRUPTED) from None
            if seeds > 1:
                print(f"{self.name}: {seeds - failures} of {seeds} seeds passed")
            if failures:
                raise Exit(1)

        examples = [f"{replay}{options}" for options in ("", " --seed 7 --trace", " --seeds 200", " --live")]
        text = "\n".join([title.partition("\n")[0], "", "\b", *examples])
        return click.Command(self.name, callback=play, params=_options(), help=text)

    def show_failure(self, outcome: Outcome, *, replay: str, is_short: bool = False) -> None:
        """Print what went wrong to standard error: the end of the trace, what each room saw, how to play it again."""
        lines = [] if is_short else [*outcome.trace[-SHOWN_LINES:]]
        if outcome.error is not None and not (is_short or isinstance(outcome.error, AssertionError)):
            lines += "".join(format_exception(outcome.error)).splitlines()
        lines.append(f"{self.name} failed with seed {outcome.seed}: {outcome.failure}")
        lines += [f"  {sentence}" for sentence in outcome.saw if sentence not in (outcome.failure or "")]
        lines.append(f"replay: {replay} --seed {outcome.seed} --trace")
        print(*lines, sep="\n", file=sys.stderr)

    def _play_live(self, *, trace: bool) -> int:
        from mesh.lab.live_play import play_live  # only who plays live needs hosts

        return play_live(self.story, self._explain, is_traced=trace)

    def _count_failures(
        self, seed: int, seeds: int, *, trace: bool, replay: str, picture: Path | None, sentence: str
    ) -> int:
        failures = 0
        shortest: Outcome | None = None
        for number in range(seed, seed + seeds):
            on_line = print if seeds == 1 and not trace else None
            outcome = self.run(number, on_line=on_line, has_diary=picture is not None)
            if picture is not None:
                self._draw(outcome, picture, sentence)
            if trace:
                print("\n".join(outcome.trace))
                print(f"trace {outcome.trace_hash}")
            if outcome.failure is not None:
                failures += 1
                if shortest is None or len(outcome.trace) < len(shortest.trace):
                    shortest = outcome
                if failures <= SHOWN_FAILURES:
                    self.show_failure(outcome, replay=replay, is_short=seeds > 1)
        if shortest is not None and seeds > 1:
            print("the shortest of those that failed ended so:", file=sys.stderr)
            self.show_failure(shortest, replay=replay)
        return failures

    def _draw(self, outcome: Outcome, path: Path, sentence: str) -> None:
        svg = plot(
            outcome.happenings,
            name=self.name,
            sentence=sentence.rstrip("."),
            seed=outcome.seed,
            failure=outcome.failure,
        )
        try:
            path.write_text(svg, encoding="utf-8")
        except OSError as error:
            raise click.ClickException(f"cannot write the picture to {path}: {error.strerror}") from None

    def _explain(self, error: BaseException) -> str:
        """What went wrong, and where in the story."""
        file = self.story.__code__.co_filename
        places = [place for place in extract_tb(error.__traceback__) if place.filename == file]
        where = f" ({Path(file).name}, line {places[-1].lineno})" if places else ""
        if not isinstance(error, AssertionError):
            return f"{type(error).__name__}: {error}{where}"
        if str(error):
            return f"{error}{where}"
        line = (places[-1].line or "").partition("  #")[0].removeprefix("assert ") if places else ""
        return f"{f'`{line}`' if line else 'an assertion'} is not so{where}"


def _options() -> list[click.Parameter]:
    return [
        click.Option(["--seed"], default=0, show_default=True, metavar="N", help="Which of all possible runs to play."),
        click.Option(
            ["--seeds"],
            default=1,
            show_default=True,
            type=click.IntRange(1),
            metavar="N",
            help="Play this many, from --seed on, and sum up.",
        ),
        click.Option(["--trace"], is_flag=True, help="Print every frame and notice, and the trace's hash."),
        click.Option(
            ["--plot"],
            type=click.Path(dir_okay=False, path_type=Path),
            metavar="PATH",
            help="Draw what happened as SVG into this file.",
        ),
        click.Option(["--live"], is_flag=True, help="Play it once by real nodes, in network namespaces."),
    ]


def scenario(story: Callable[[Cluster], None]) -> Scenario:
    """Make a story of a function that takes a Cluster."""
    return Scenario(story)
