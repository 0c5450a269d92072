"""The command line of a story: play it with one seed or many, live, or drawn, and say how it went."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import click
from click.exceptions import Exit

from mesh.lab.cluster.cluster import Cluster
from mesh.lab.plot.plot import plot
from mesh.lab.runner.outcome import Outcome
from mesh.terminal.output import INTERRUPTED

SHOWN_FAILURES = 5
"""Of many seeds, how many that fail are told about one by one."""


class Playable(Protocol):
    """What the command needs of a Scenario; see there."""

    name: str
    story: Callable[[Cluster], None]

    def run(
        self,
        seed: int = 0,
        *,
        on_line: Callable[[str], None] | None = None,
        on_trace: Callable[[str], None] | None = None,
        has_diary: bool = False,
    ) -> Outcome: ...

    def show_failure(self, outcome: Outcome, *, replay: str, is_short: bool = False) -> None: ...


def story_command(story: Playable, *, replay: str, called: str, title: str) -> click.Command:
    """See Scenario.command."""
    sentence = title.strip().partition("\n")[0]

    def play(*, seed: int, seeds: int, trace: bool, live: bool, plot: Path | None) -> None:
        if plot is not None and (live or seeds > 1):
            raise click.UsageError("--plot draws one run in virtual time: give it --seed, not --seeds or --live")
        if live and (seed or seeds > 1):
            raise click.UsageError("--live plays once in real time: no seed decides there, leave it out")
        if live:
            raise Exit(_play_live(story, is_traced=trace, replay=replay))
        raise Exit(_Playing(story, replay, is_traced=trace, picture=plot, sentence=sentence).play(seed, seeds))

    examples = [f"{called}{options}" for options in ("", " --seed 7 --trace", " --seeds 200", " --live")]
    text = "\n".join([sentence, "", "\b", *examples])
    settings = {"help_option_names": ["-h", "--help"]}
    return click.Command(story.name, callback=play, params=_options(), help=text, context_settings=settings)


@dataclass
class _Playing:
    """One call of the command in virtual time."""

    story: Playable
    replay: str
    is_traced: bool
    picture: Path | None
    sentence: str
    played: int = 0
    failures: int = 0
    shortest: Outcome | None = None
    """Of those that failed."""

    def play(self, first: int, seeds: int) -> int:
        """Play so many seeds from the first on; the exit code."""
        name, printer = self.story.name, _Printer()
        try:
            for seed in range(first, first + seeds):
                self._play_one(seed, printer, is_alone=seeds == 1)
        except KeyboardInterrupt:
            if seeds > 1:
                passed = self.played - self.failures
                print(f"{name}: interrupted after {self.played} of {seeds} seeds, of which {passed} passed")
            return INTERRUPTED
        if seeds > 1:
            if self.shortest is not None:
                print("the shortest of those that failed ended so:", file=sys.stderr)
                self.story.show_failure(self.shortest, replay=self.replay)
            print(f"{name}: {seeds - self.failures} of {seeds} seeds passed")
        return 1 if self.failures else 0

    def _play_one(self, seed: int, printer: _Printer, *, is_alone: bool) -> None:
        outcome = self.story.run(
            seed,
            on_line=printer if is_alone and not self.is_traced else None,
            on_trace=printer if self.is_traced else None,
            has_diary=self.picture is not None,
        )
        if self.is_traced:
            printer(f"trace {outcome.trace_hash}")
        self.played += 1
        if outcome.failure is not None:
            self._note_failure(outcome, is_alone=is_alone)
        printer.check()
        if self.picture is not None:
            self._draw(outcome, self.picture)

    def _note_failure(self, outcome: Outcome, *, is_alone: bool) -> None:
        self.failures += 1
        if self.shortest is None or len(outcome.trace) < len(self.shortest.trace):
            self.shortest = outcome
        if self.failures <= SHOWN_FAILURES:
            self.story.show_failure(outcome, replay=self.replay, is_short=not is_alone)

    def _draw(self, outcome: Outcome, path: Path) -> None:
        svg = plot(
            outcome.happenings,
            name=self.story.name,
            sentence=self.sentence.rstrip("."),
            seed=outcome.seed,
            failure=outcome.failure,
        )
        try:
            path.write_text(svg, encoding="utf-8")
        except OSError as error:
            raise click.ClickException(f"cannot write the picture to {path}: {error.strerror}") from None


class _Printer:
    """Prints line by line, so that a story which hangs shows how far it came."""

    def __init__(self) -> None:
        self._error: OSError | None = None

    def __call__(self, line: str) -> None:
        if self._error is None:
            try:
                print(line, flush=True)
            except OSError as error:  # the reader has seen enough, or a disk is full: that is no failure of the story
                self._error = error

    def check(self) -> None:
        """Raises the OSError of the line that could not be printed."""
        if self._error is not None:
            raise self._error


def _play_live(story: Playable, *, is_traced: bool, replay: str) -> int:
    from mesh.lab.live.runner import play_live  # only who plays live needs hosts
    from mesh.lab.recording.failure_report import explain

    try:
        return play_live(story.story, explain, is_traced=is_traced, replay=replay)
    except KeyboardInterrupt:
        return INTERRUPTED


def _check_picture(_context: click.Context, _option: click.Parameter, name: str | None) -> Path | None:
    """Say what is wrong with the path of a picture before a long story is played for it."""
    if name is None:
        return None
    path = Path(name)
    if not name:
        raise click.BadParameter("the name of the file is missing: write --plot house.svg")
    if path.is_dir():
        raise click.BadParameter(f"{name} is a folder: write the name of a file in it")
    if not path.parent.is_dir():
        raise click.BadParameter(f"cannot write the picture to {name}: there is no folder {path.parent}, make it first")
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise click.BadParameter(f"cannot write the picture to {name}: choose a place where you may write")
    return path


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
            callback=_check_picture,
            metavar="PATH",
            help="Draw what happened as SVG into this file.",
        ),
        click.Option(["--live"], is_flag=True, help="Play it once by real nodes, in network namespaces."),
    ]
