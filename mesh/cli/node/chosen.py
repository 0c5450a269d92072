"""UpOptions: the options of one `mesh up`, from flags, variables and `mesh.toml`."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import click

from mesh.cli.node.layers import ARGS, SECRETS, UpCommand, UpOption, origin
from mesh.cli.node.up_options import given_options
from mesh.settings.mesh_file import LIMITS_TABLE


@dataclass(frozen=True, slots=True)
class UpOptions:
    """The options of one `mesh up`."""

    of_node: dict[str, Any]
    """Keyword arguments of Node."""
    shown: dict[str, Any]
    """All of them, by the keys that the file has for them."""
    flags: tuple[str, ...]
    """Those that stand on the command line."""


def read_options(context: click.Context) -> UpOptions:
    """The options of a context of `mesh up`. Raises as `given_options`."""
    given, rows = given_options(context, context.params), option_rows(context)
    flags = dict.fromkeys(row["from"] for row in rows if row["from"].startswith("--"))
    return UpOptions(given, {row["option"]: row["value"] for row in rows}, tuple(flags))


def up_context(context: click.Context) -> click.Context:
    """The context of `mesh up` without flags, in the home of another command: by variables, the file and defaults.

    Raises MeshError, or an error of click, for a mistake.
    """
    assert context.parent is not None
    command = context.parent.command
    up = command.get_command(context, "up") if isinstance(command, click.Group) else None
    assert isinstance(up, UpCommand)
    chosen = up.make_context("up", [], parent=context.parent)
    read_options(chosen)
    return chosen


def read_again(context: click.Context) -> UpOptions:
    """The same, with what the file has now. Raises MeshError, or an error of click, for a mistake."""
    args = list(context.meta[ARGS])
    return read_options(context.command.make_context(context.info_name, args, parent=context.parent))


def option_rows(context: click.Context) -> list[dict[str, Any]]:
    """`option`, `value` and `from` of each option of a context of `mesh up`; each limit is an option of its own."""
    options = [option for option in context.command.params if isinstance(option, UpOption)]
    return [row for option in options for row in _rows_of(context, option)]


def _rows_of(chosen: click.Context, option: UpOption) -> list[dict[str, Any]]:
    value = chosen.params[option.name or ""]
    if option.key != "limit":
        is_hidden = option.key in SECRETS and value is not None
        return [{"option": option.key, "value": "(not shown)" if is_hidden else value, "from": origin(chosen, option)}]
    from peers.limits import Limits

    limits = asdict(value or Limits())
    return [
        {"option": f"{LIMITS_TABLE}.{name}", "value": number, "from": origin(chosen, option, name)}
        for name, number in limits.items()
    ]
