"""The options of the commands: their names, limits and help."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable
from functools import partial, reduce
from pathlib import Path
from typing import Any, TypeVar

import click
from click.core import ParameterSource
from click.exceptions import Exit

from mesh.discovery.mdns.query_schedule import MIN_REQUERY_SECONDS, REQUERY_SECONDS
from mesh.errors import MeshError
from mesh.settings.config import check_name, parse_address
from mesh.settings.paths import default_home
from mesh.terminal import output

F = TypeVar("F", bound=Callable[..., Any])

MAX_REQUERY_SECONDS = 86_400.0
HOME_VARIABLE = "MESH_HOME"
UPSTREAM_TOKEN_VARIABLE = "MESH_UPSTREAM_TOKEN"
MAX_UPSTREAM_CHARACTERS = 1_000
MAX_USER_CHARACTERS = 64
SECONDS_OF = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
MAX_TTL_DAYS = 36_500


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


def read_duration(given: str) -> int | None:
    """`90s`, `15m`, `12h` or `30d`, in seconds; None if it is not written so. Raises a usage error beyond the limits."""
    found = re.fullmatch(r"([0-9]{1,12})([smhd])", given)
    if found is None:
        return None
    seconds = int(found[1]) * SECONDS_OF[found[2]]
    if not 0 < seconds <= MAX_TTL_DAYS * SECONDS_OF["d"]:
        raise click.BadParameter(f"{given} is out of range: take more than 0s, and at most {MAX_TTL_DAYS}d")
    return seconds


def _seconds(_context: click.Context, _option: click.Parameter, given: str | None) -> float | None:
    if given is None:
        return None
    seconds = read_duration(given)
    if seconds is None:
        raise click.BadParameter(
            f"{given!r} is not a duration: write a whole number and s, m, h or d, as in 90s or 30d"
        )
    return float(seconds)


def _home(_context: click.Context, _option: click.Parameter, given: str | None) -> Path | None:
    """Refuse an empty directory, which is what an unset shell variable gives: as a path it is the current one."""
    if given is None:
        given = os.environ.get(HOME_VARIABLE)  # Click takes an empty one for none
    if given == "":
        raise click.BadParameter(f"it is empty: give a directory, or leave out --home and unset {HOME_VARIABLE}")
    return None if given is None else Path(given)


def home_of(context: click.Context) -> Path:
    """The home that a command is about."""
    given: Path | None = context.obj
    if given is None:
        return default_home()
    try:
        return given.expanduser().absolute()
    except RuntimeError:
        raise MeshError(f"nobody knows which directory {given} is: give --home a whole path") from None


as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")

home = click.option(
    "--home",
    envvar=HOME_VARIABLE,
    show_envvar=True,
    metavar="DIR",
    callback=_home,
    help="Where the node keeps its key and its log. Default: a folder of this user's data.",
)

existing = click.option(
    "--existing",
    is_flag=True,
    help="Refuse to make a new node. For services: the disk of their home may not be mounted.",
)


def _print_version(_context: click.Context, _option: click.Parameter, is_asked: bool) -> None:
    if is_asked:
        from mesh.version import __version__

        output.write(f"peermesh {__version__}\n")
        raise Exit(0)


version = click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=_print_version, help="Print the version."
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
    help="Where others reach this node; :PORT is all addresses, IPv4 and IPv6. Default: all, and a port that is chosen "
    "once and kept.",
)

peers = click.option(
    "--peer",
    "peers",
    multiple=True,
    metavar="HOST:PORT",
    callback=_checked(partial(parse_address, is_dialled=True), "the peer"),
    help="Another node to connect to, found or not. May be repeated.",
)

peer = click.argument(
    "address", metavar="HOST:PORT", callback=_checked(partial(parse_address, is_dialled=True), "the peer")
)

no_mdns = click.option("--no-mdns", is_flag=True, help="Neither announce this node nor look for others.")

interfaces = click.option(
    "--interface",
    "interfaces",
    multiple=True,
    metavar="ADDRESS_OR_NAME",
    help="Look for others only here, as in eth0. May be repeated. Default: all networks but Docker's, if there are others.",
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


def _check_origin(origin: str, what: str) -> None:
    from mesh.gateway.clients.access import check_origin  # what only a few commands need is loaded by these

    check_origin(origin, what)


def _check_host(host: str, what: str) -> None:
    from mesh.gateway.clients.access import check_host

    check_host(host, what)


def _check_user(user: str, what: str) -> None:
    from mesh.gateway.clients.access import check_user

    check_user(user, what)


def _check_upstream(url: str, what: str) -> None:
    from urllib.parse import urlsplit

    try:
        parts = urlsplit(url)
        is_whole = (
            parts.scheme in ("ws", "wss") and bool(parts.hostname) and parts.port != 0 and "@" not in parts.netloc
        )
    except ValueError:
        is_whole = False
    if not is_whole or "#" in url or not _is_plain(url, MAX_UPSTREAM_CHARACTERS):
        raise MeshError(f"{what} {url!r} cannot be used: write ws://HOST:PORT or wss://HOST, with a path if it has one")


def _check_upstream_user(user: str, what: str) -> None:
    # Another server's users may have names that ours may not, as e-mail addresses; `:` ends them everywhere.
    if not _is_plain(user, MAX_USER_CHARACTERS) or ":" in user or "~" in user:
        raise MeshError(
            f"{what} {user!r} cannot be used: take 1 to {MAX_USER_CHARACTERS} characters without spaces, : and ~"
        )


def _check_upstream_token(token: str, what: str) -> None:
    if not _is_plain(token, MAX_UPSTREAM_CHARACTERS):  # the sentence must not show it
        raise MeshError(f"{what} cannot be used: it is empty, too long, or has a space or a line break in it")


def _check_channel(channel: str, what: str) -> None:
    if not 0 < len(channel) <= MAX_UPSTREAM_CHARACTERS or not channel.isprintable():
        raise MeshError(f"{what} {channel!r} cannot be used: it is empty, too long, or cannot be printed")


def _subprotocol(_context: click.Context, _option: click.Parameter, given: str | None) -> int | str | None:
    """A whole number, as Logux has them now, or a version such as `1.0.0`, as Logux 0.1 had."""
    if given is None or re.fullmatch(r"[0-9]{1,9}", given) is None:
        if given is not None and re.fullmatch(r"[0-9]{1,9}(\.[0-9A-Za-z-]{1,9}){1,4}", given) is None:
            raise click.BadParameter(f"{given!r} is no version: write a whole number, or one such as 1.0.0")
        return given
    return int(given)


def _is_plain(text: str, limit: int) -> bool:
    return 0 < len(text) <= limit and text.isprintable() and " " not in text


def together(*options: Callable[[Any], Any]) -> Callable[[F], F]:
    """Several options as one decorator; the help lists them in this order."""
    return lambda command: reduce(lambda made, option: option(made), reversed(options), command)


_file = click.Path(exists=True, dir_okay=False, readable=True, path_type=Path)

clients_door = together(
    click.option(
        "--clients",
        metavar="HOST:PORT",
        callback=_checked(parse_address, "the address for clients"),
        help="Let Logux clients in here, with a token each: see `mesh token`. Default: none come in.",
    ),
    click.option("--clients-cert", type=_file, metavar="FILE", help="Certificate for clients, PEM, with its chain."),
    click.option("--clients-key", type=_file, metavar="FILE", help="The key of that certificate, PEM."),
    click.option(
        "--clients-origin",
        "clients_origins",
        multiple=True,
        metavar="ORIGIN",
        callback=_checked(_check_origin, "the origin"),
        help="Let pages of another site in, as of https://app.example. May be repeated. * is any.",
    ),
    click.option(
        "--clients-host",
        "clients_hosts",
        multiple=True,
        metavar="NAME",
        callback=_checked(_check_host, "the host"),
        help="Another name or address by which browsers reach this node. May be repeated.",
    ),
)

upstream_link = together(
    click.option(
        "--upstream",
        metavar="URL",
        callback=_checked(_check_upstream, "the upstream server"),
        help="Sync with a Logux server too, as wss://logux.example.",
    ),
    click.option(
        "--upstream-user",
        metavar="USER",
        callback=_checked(_check_upstream_user, "the upstream user"),
        help="The user id to have there.",
    ),
    click.option(
        "--upstream-token",
        envvar=UPSTREAM_TOKEN_VARIABLE,
        show_envvar=True,
        metavar="TOKEN",
        callback=_checked(_check_upstream_token, "the upstream token"),
        help="The token to show there. `ps` shows it to other users: prefer the variable.",
    ),
    click.option(
        "--upstream-channel",
        "upstream_channels",
        multiple=True,
        metavar="NAME",
        callback=_checked(_check_channel, "the channel"),
        help="Subscribe to this channel there: a @logux/server sends nothing else. May be repeated.",
    ),
    click.option(
        "--upstream-subprotocol",
        metavar="VERSION",
        callback=_subprotocol,
        help="The version of the application's events to speak there. Default: 0.",
    ),
)


def given_doors(context: click.Context, doors: dict[str, Any]) -> dict[str, Any]:
    """Those of `clients_door` and `upstream_link` that were given, as keyword arguments of Node (see GatewayOptions).

    Raises a usage error for one that has no effect: `clients_...` without `clients`, `upstream_...` without `upstream`.
    """
    given = {name: value for name, value in doors.items() if value not in (None, ())}
    if "upstream" not in given and context.get_parameter_source("upstream_token") is ParameterSource.ENVIRONMENT:
        given.pop("upstream_token", None)  # the environment may be that of several nodes
    options = {option.name: option for option in context.command.params}
    for name in given:
        needed = options[name.partition("_")[0]]
        if needed.name not in given:
            needs = f"{needed.opts[0]} {needed.metavar}"
            raise click.UsageError(f"{options[name].opts[0]} is of no use alone: give {needs} too", context)
    if ("clients_cert" in given) != ("clients_key" in given):
        raise click.UsageError("give both --clients-cert and --clients-key, or none of them", context)
    return given


user = click.argument("user", metavar="USER", callback=_checked(_check_user, "the user"))

ttl = click.option(
    "--ttl",
    "ttl_seconds",
    callback=_seconds,
    metavar="DURATION",
    help="How long the token lasts, as 90s, 15m, 12h or 30d. Default: until it is revoked.",
)
