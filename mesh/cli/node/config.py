"""`mesh config`: the options with which `mesh up` would start, and where each comes from."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click

from mesh.cli import options
from mesh.cli.node.chosen import option_rows, up_context
from mesh.cli.node.layers import PREFIX, UpOption
from mesh.errors import MeshError, did_you_mean
from mesh.settings.mesh_file import read_mesh_file
from mesh.settings.paths import HOME_VARIABLE
from mesh.terminal import output


@click.command()
@click.option(
    "--check", "is_check", is_flag=True, help="Only look for mistakes in mesh.toml, and print each with its line."
)
@options.as_json
@click.pass_context
def config(context: click.Context, *, is_check: bool, as_json: bool) -> None:
    """Print the options with which `mesh up` would start, and where each comes from.

    A flag of `mesh up` wins over a variable, that over the file mesh.toml in the home, that over the default. The keys of the
    file and the variables have the names of the options: --clients-cert is clients-cert and MESH_CLIENTS_CERT. A variable has
    commas between the parts of a list. The fields of `mesh.Limits` are a table of the file.

    \b
    mesh config
    mesh config --check

    \b
    listen = ":4000"
    peer = ["192.168.1.7:4000", "till-2.local:4000"]
    mdns = false
    [limits]
    connections = 100
    """
    file = read_mesh_file(options.home_of(context))
    chosen = up_context(context)
    up = chosen.command
    if is_check:
        is_there = file.path.exists()
        output.write(
            f"{file.path}: {len(file.values)} options, no mistakes\n" if is_there else f"there is no {file.path}\n"
        )
        return
    rows = option_rows(chosen)
    if _is_application(file.path.parent):
        output.complain(
            "an application runs the node of this home, with options that it gave in Python: these are those of `mesh up`"
        )
    if as_json:
        output.write_json(rows)
        return
    from mesh.terminal.tables import table, tables

    shown = table(["option", "value", "from"], [[row["option"], _shown(row["value"]), row["from"]] for row in rows])
    output.write(tables([shown]))
    for variable in sorted(_unknown_variables(up)):
        output.complain(f"no option reads the variable {variable}{did_you_mean(variable, _variables(up))}")


def _is_application(home: Path) -> bool:
    """Whether the node of this home runs in an application, as it says itself."""
    from mesh.control.client import ControlClient

    try:
        with ControlClient(home) as node:
            running = node.options()
    except MeshError:
        return False
    return running is not None and running["in_python"]


def _shown(value: Any) -> str:
    if value is None or value == ():
        return "-"
    if isinstance(value, bool):
        return "true" if value else "false"
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _variables(up: click.Command) -> list[str]:
    return [str(option.envvar) for option in up.params if isinstance(option, UpOption)]


def _unknown_variables(up: click.Command) -> set[str]:
    known = {*_variables(up), HOME_VARIABLE}
    return {name for name in os.environ if name.startswith(PREFIX)} - known
