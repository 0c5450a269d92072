"""The command line of a scenario: its options, and what is printed and drawn."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import click


def make_command(name: str, play: Callable[..., None], *, sentence: str, called: str) -> click.Command:
    """The command of a scenario; `play` gets the options by their names.

    `sentence` says what happens in the scenario, and `called` is how the command is called; both are for its help.
    """
    examples = [f"{called}{options}" for options in ("", " --seed 7 --trace", " --seeds 200", " --live")]
    text = "\n".join([sentence, "", "\b", *examples])
    settings = {"help_option_names": ["-h", "--help"]}
    return click.Command(name, callback=play, params=_options(), help=text, context_settings=settings)


def check_usage(*, seed: int, seeds: int, live: bool, plot: Path | None) -> None:
    """Raises UsageError for options that exclude each other."""
    if plot is not None and (live or seeds > 1):
        raise click.UsageError("--plot draws one run in virtual time: give it --seed, not --seeds or --live")
    if live and (seed or seeds > 1):
        raise click.UsageError("--live plays once in real time: no seed decides there, leave it out")


def write_picture(path: Path, svg: str) -> None:
    """Raises ClickException if the file cannot be written."""
    try:
        path.write_text(svg, encoding="utf-8")
    except OSError as error:
        raise click.ClickException(f"cannot write the picture to {path}: {error.strerror}") from None


class Printer:
    """Prints line by line, so that a run which hangs shows how far it came."""

    def __init__(self) -> None:
        self._error: OSError | None = None

    def __call__(self, line: str) -> None:
        """Print a line. An error is kept for `check`, because the run would take it for a failure of its own."""
        if self._error is None:
            try:
                print(line, flush=True)
            except OSError as error:
                self._error = error

    def check(self) -> None:
        """Raises the OSError of the first line that could not be printed."""
        if self._error is not None:
            raise self._error


def _check_picture(_context: click.Context, _option: click.Parameter, name: str | None) -> Path | None:
    """Refuse a path where no picture can be written, before a long run is played for it."""
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
            ["--plot"], callback=_check_picture, metavar="PATH", help="Draw what happened as SVG into this file."
        ),
        click.Option(["--live"], is_flag=True, help="Play it once by real nodes, in network namespaces."),
    ]
