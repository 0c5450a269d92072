"""Options that several commands have, and the types and checks of options."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.exceptions import Exit

from mesh.errors import MeshError
from mesh.settings.config import check_name
from mesh.settings.paths import HOME_VARIABLE, default_home
from mesh.terminal import output

if TYPE_CHECKING:
    from mesh.control.client import ControlClient

SECONDS_OF = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
MAX_DURATION_DAYS = 36_500
SENTENCE = 1_000
"""Characters that the first sentence of a command does not reach."""


def checked(check: Callable[[str, str], object], what: str) -> Callable[[click.Context, click.Parameter, Any], Any]:
    """A callback of click that turns the MeshError of `check` into a usage error."""

    def callback(_context: click.Context, _option: click.Parameter, given: Any) -> Any:
        try:
            for value in given if isinstance(given, (list, tuple)) else [given]:
                if value is not None:
                    check(value, what)
        except MeshError as error:
            raise click.BadParameter(str(error)) from None
        return given

    return callback


class Group(click.Group):
    """A group whose help has the first sentence of each command whole, where click cuts it off at the end of the line."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        commands = [(name, self.get_command(ctx, name)) for name in self.list_commands(ctx)]
        rows = [(name, command.get_short_help_str(limit=SENTENCE)) for name, command in commands if command is not None]
        if rows:
            with formatter.section("Commands"):
                formatter.write_dl(rows)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command. Of an option that stands behind it by mistake, the error says where it belongs."""
        try:
            return super().invoke(ctx)
        except click.NoSuchOption as error:
            own = next((option for option in self.params if error.option_name in option.opts), None)
            if own is None or error.ctx is None:
                raise
            command = error.ctx.command_path.removeprefix(ctx.command_path)
            value = "" if isinstance(own, click.Option) and own.is_flag else f" {own.make_metavar(ctx)}"
            right = f"{ctx.command_path} {error.option_name}{value}{command}"
            raise click.UsageError(f"{error.option_name} stands before the command: {right}", error.ctx) from None


class WholeNumber(click.IntRange):
    """An integer range; its errors call it a whole number."""

    name = "whole number"


class Number(click.FloatRange):
    """A range of fractions; its errors call it a number. Refuses `nan`, which every range lets through."""

    name = "number"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        number = super().convert(value, param, ctx)
        if math.isnan(number):
            self.fail(f"{value!r} is not a valid {self.name}.", param, ctx)
        return number


def read_duration(given: str, most_days: int = MAX_DURATION_DAYS) -> int | None:
    """Seconds of `90s`, `15m`, `12h` or `30d`; None for other text. Raises a usage error for none or more than `most_days`."""
    found = re.fullmatch(r"([0-9]{1,12})([smhd])", given)
    if found is None:
        return None
    seconds = int(found[1]) * SECONDS_OF[found[2]]
    if not 0 < seconds <= most_days * SECONDS_OF["d"]:
        raise click.BadParameter(f"{given} is out of range: take more than 0s, and at most {most_days}d")
    return seconds


def _home(_context: click.Context, _option: click.Parameter, given: str | None) -> Path | None:
    """Refuse an empty directory, as from an unset shell variable: as a path it would be the current directory."""
    if given is None:
        given = os.environ.get(HOME_VARIABLE)  # Click ignores the variable if it is empty
    if given == "":
        raise click.BadParameter(f"it is empty: give a directory, or leave out --home and unset {HOME_VARIABLE}")
    return None if given is None else Path(given)


def home_of(context: click.Context) -> Path:
    """The home that a command is for. Raises MeshError for an unknown user, as in `~ada`."""
    given: Path | None = context.obj
    if given is None:
        return default_home()
    try:
        return given.expanduser().absolute()
    except RuntimeError:
        raise MeshError(f"the directory {given} is not known here: give --home a whole path") from None


def node_of(context: click.Context) -> ControlClient:
    """A connection to the node that runs in the home of a command. Raises NoNodeError without one, or MeshError."""
    from mesh.control.client import ControlClient  # imported here: `mesh --help` starts without it

    return ControlClient(home_of(context))


name_of_new_home = click.option(
    "--name",
    metavar="NAME",
    callback=checked(check_name, "the name"),
    help="This node's name, for a new home. Default: the host's name.",
)

as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")

home = click.option(
    "--home",
    envvar=HOME_VARIABLE,
    show_envvar=True,
    metavar="DIR",
    callback=_home,
    help="Where the node keeps its key and its log. Default: a folder among this user's data.",
)


def _print_version(_context: click.Context, _option: click.Parameter, is_asked: bool) -> None:
    if is_asked:
        from mesh.version import __version__

        output.write(f"peermesh {__version__}\n")
        raise Exit(0)


version = click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=_print_version, help="Print the version."
)
