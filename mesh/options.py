"""The options of the commands: their names, limits and help."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from mesh.config import check_name, parse_address
from mesh.errors import MeshError

REQUERY_SECONDS = 45.0
MIN_REQUERY_SECONDS = 0.5
MAX_REQUERY_SECONDS = 86_400.0
MAX_ADDED = 2**53 - 1


class Order(StrEnum):
    """How `mesh log` sorts."""

    created = "created"
    added = "added"


def _checked(check: Callable[[str, str], object], what: str) -> Callable[[Any], Any]:
    """A callback that makes a usage error of what `check` says against an option."""

    def callback(given: Any) -> Any:
        try:
            for value in given if isinstance(given, (list, tuple)) else [given]:
                if value is not None:
                    check(value, what)
        except MeshError as error:
            raise typer.BadParameter(str(error)) from None
        return given

    return callback


AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]

Home = Annotated[
    Path | None,
    typer.Option(
        "--home",
        envvar="MESH_HOME",
        metavar="DIR",
        show_default=False,
        help="Where the node keeps its key and its log. Default: a folder of this user's data.",
    ),
]

Name = Annotated[
    str | None,
    typer.Option(
        "--name",
        metavar="NAME",
        callback=_checked(check_name, "the name"),
        help="This node's name, fixed at the first start. Default: the host's name.",
    ),
]

Mesh = Annotated[
    str | None,
    typer.Option(
        "--mesh",
        metavar="NAME",
        callback=_checked(check_name, "the mesh's name"),
        help="The mesh to belong to, fixed at the first start. Default: home.",
    ),
]

Listen = Annotated[
    str | None,
    typer.Option(
        "--listen",
        metavar="HOST:PORT",
        callback=_checked(parse_address, "the address to listen on"),
        help="Where others reach this node. Default: all addresses, and a port that is chosen once and kept.",
    ),
]

Peers = Annotated[
    list[str] | None,
    typer.Option(
        "--peer",
        metavar="HOST:PORT",
        callback=_checked(partial(parse_address, is_dialled=True), "the peer"),
        help="Another node to connect to, found or not. May be repeated.",
    ),
]

NoMdns = Annotated[bool, typer.Option("--no-mdns", help="Neither announce this node nor look for others.")]

Interfaces = Annotated[
    list[str] | None,
    typer.Option(
        "--interface",
        metavar="ADDRESS_OR_NAME",
        help="Look for others only here, as in eth0. May be repeated. Default: all LANs.",
    ),
]

Requery = Annotated[
    float,
    typer.Option(
        "--requery",
        metavar="SECONDS",
        min=MIN_REQUERY_SECONDS,
        max=MAX_REQUERY_SECONDS,
        help="How often the LAN is asked for nodes that are missing.",
    ),
]

GivenEvents = Annotated[
    list[str],
    typer.Argument(metavar="JSON...", show_default=False, help="Events, or - for one per line of standard input."),
]

Follow = Annotated[bool, typer.Option("--follow", "-f", help="Go on with each new event, in the order they come in.")]

OrderBy = Annotated[
    Order | None,
    typer.Option(
        "--order",
        show_default=False,
        help="By time, which is the same on every node (the default), or as they came to this one.",
    ),
]

Since = Annotated[
    int,
    typer.Option("--since", metavar="ADDED", min=0, max=MAX_ADDED, help="Only events with a higher `added` than this."),
]

OfType = Annotated[str | None, typer.Option("--type", metavar="TYPE", help="Only events of this type.")]
