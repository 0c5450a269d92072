"""The options of the commands: their names, limits and help."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import click

from mesh.config import check_name, parse_address
from mesh.errors import MeshError

REQUERY_SECONDS = 45.0
MIN_REQUERY_SECONDS = 0.5
MAX_REQUERY_SECONDS = 86_400.0
MAX_ADDED = 2**53 - 1
HOME_VARIABLE = "MESH_HOME"


def _checked(check: Callable[[str, str], object], what: str) -> Callable[[click.Context, click.Parameter, Any], Any]:
    """A callback that makes a usage error of what `check` says against an option."""

    def callback(_context: click.Context, _option: click.Parameter, given: Any) -> Any:
        try:
            for value in given if isinstance(given, (list, tuple)) else [given]:
                if value is not None:
                    check(value, what)
        except MeshError as error:
            raise click.BadParameter(str(error)) from None
        return given

    return callback


class WholeNumber(click.IntRange):
    """A range whose complaints are about a number, not about a range."""

    name = "whole number"


class Number(click.FloatRange):
    """The same for fractions; without `nan`, which passes through every range."""

    name = "number"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        number = super().convert(value, param, ctx)
        if math.isnan(number):
            self.fail(f"{value!r} is not a valid {self.name}.", param, ctx)
        return number


def _home(_context: click.Context, _option: click.Parameter, given: str | None) -> Path | None:
    """Refuse an empty directory, which is what an unset shell variable gives: as a path it is the current one."""
    if given is None:
        given = os.environ.get(HOME_VARIABLE)  # Click takes an empty one for none
    if given == "":
        raise click.BadParameter(f"it is empty: give a directory, or leave out --home and unset {HOME_VARIABLE}")
    return None if given is None else Path(given)


as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")

home = click.option(
    "--home",
    envvar=HOME_VARIABLE,
    show_envvar=True,
    metavar="DIR",
    callback=_home,
    help="Where the node keeps its key and its log. Default: a folder of this user's data.",
)

name = click.option(
    "--name",
    metavar="NAME",
    callback=_checked(check_name, "the name"),
    help="This node's name, fixed at the first start. Default: the host's name.",
)

mesh = click.option(
    "--mesh",
    metavar="NAME",
    callback=_checked(check_name, "the mesh's name"),
    help="The mesh to belong to, fixed at the first start. Default: home.",
)

listen = click.option(
    "--listen",
    metavar="HOST:PORT",
    callback=_checked(parse_address, "the address to listen on"),
    help="Where others reach this node. Default: all addresses, and a port that is chosen once and kept.",
)

peers = click.option(
    "--peer",
    "peers",
    multiple=True,
    metavar="HOST:PORT",
    callback=_checked(partial(parse_address, is_dialled=True), "the peer"),
    help="Another node to connect to, found or not. May be repeated.",
)

no_mdns = click.option("--no-mdns", is_flag=True, help="Neither announce this node nor look for others.")

interfaces = click.option(
    "--interface",
    "interfaces",
    multiple=True,
    metavar="ADDRESS_OR_NAME",
    help="Look for others only here, as in eth0. May be repeated. Default: all LANs.",
)

requery = click.option(
    "--requery",
    "requery_seconds",
    type=Number(MIN_REQUERY_SECONDS, MAX_REQUERY_SECONDS),
    default=REQUERY_SECONDS,
    show_default=True,
    metavar="SECONDS",
    help="How often the LAN is asked for nodes that are missing.",
)

events = click.argument("events", nargs=-1, required=True, metavar="JSON...")

follow = click.option("--follow", "-f", is_flag=True, help="Go on with each new event, in the order they come in.")

order = click.option(
    "--order",
    type=click.Choice(["created", "added"]),
    help="By time, which is the same on every node (the default), or as they came to this one.",
)

since = click.option(
    "--since",
    type=WholeNumber(0, MAX_ADDED),
    default=0,
    show_default=True,
    metavar="ADDED",
    help="Only events with a higher `added` than this.",
)

event_type = click.option("--type", "event_type", metavar="TYPE", help="Only events of this type.")
