"""The options of `mesh up`: the node itself, clients, and an upstream server."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial, reduce
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
from click.core import ParameterSource

from mesh.cli.node.layers import LimitOption, OpenOption, UpOption
from mesh.cli.options import Number, checked
from mesh.discovery.mdns.query_schedule import MIN_REQUERY_SECONDS, REQUERY_SECONDS
from mesh.errors import MeshError
from mesh.settings.config import check_name, parse_address, read_limits

if TYPE_CHECKING:
    from peers.limits import Limits

Command = TypeVar("Command", bound=Callable[..., Any])

MAX_REQUERY_SECONDS = 86_400.0
MAX_UPSTREAM_CHARACTERS = 1_000
MAX_USER_CHARACTERS = 64


def _check_origin(origin: str, what: str) -> None:
    from mesh.gateway.clients.access import check_origin  # imported here: most commands start without it

    check_origin(origin, what)


def _check_host(host: str, what: str) -> None:
    from mesh.gateway.clients.access import check_host

    check_host(host, what)


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
    # Other servers allow more names than a node, as e-mail addresses; but `:` always ends a user.
    if not _is_plain(user, MAX_USER_CHARACTERS) or ":" in user or "~" in user:
        raise MeshError(
            f"{what} {user!r} cannot be used: take 1 to {MAX_USER_CHARACTERS} characters without spaces, : and ~"
        )


def _check_upstream_token(token: str, what: str) -> None:
    if not _is_plain(token, MAX_UPSTREAM_CHARACTERS):  # a secret: the sentence does not repeat it
        raise MeshError(f"{what} cannot be used: it is empty, too long, or has a space or a line break in it")


def _check_channel(channel: str, what: str) -> None:
    if not 0 < len(channel) <= MAX_UPSTREAM_CHARACTERS or not channel.isprintable():
        raise MeshError(f"{what} {channel!r} cannot be used: it is empty, too long, or cannot be printed")


def _subprotocol(_context: click.Context, _option: click.Parameter, given: str | None) -> int | str | None:
    """A whole number, as in Logux now, or a version such as `1.0.0`, as in Logux 0.1."""
    if given is None or re.fullmatch(r"[0-9]{1,9}", given) is None:
        if given is not None and re.fullmatch(r"[0-9]{1,9}(\.[0-9A-Za-z-]{1,9}){1,4}", given) is None:
            raise click.BadParameter(f"{given!r} is no version: write a whole number, or one such as 1.0.0")
        return given
    return int(given)


def _limits(_context: click.Context, _option: click.Parameter, given: tuple[str, ...]) -> Limits | None:
    pairs = dict(text.partition("=")[::2] for text in given)
    try:
        return read_limits(pairs) if pairs else None
    except MeshError as error:
        raise click.BadParameter(str(error)) from None


def _is_plain(text: str, limit: int) -> bool:
    return 0 < len(text) <= limit and text.isprintable() and " " not in text


def together(*options: Callable[[Any], Any]) -> Callable[[Command], Command]:
    """Several options as one decorator, listed by the help in this order."""
    return lambda command: reduce(lambda made, option: option(made), reversed(options), command)


def up_option(*names: str, cls: type[UpOption] = UpOption, **attributes: Any) -> Callable[[Command], Command]:
    """As click.option; the file and the environment may give it, too."""
    return click.option(*names, cls=cls, **attributes)


node_options = together(
    up_option(
        "--name",
        metavar="NAME",
        callback=checked(check_name, "the name"),
        help="This node's name, fixed at the first start. Default: the host's name.",
    ),
    up_option(
        "--mesh",
        metavar="NAME",
        callback=checked(check_name, "the mesh's name"),
        help="The name of the mesh, fixed at the first start. Default: home, or that of the mesh that this machine joined.",
    ),
    up_option(
        "--existing/--no-existing",
        is_flag=True,
        help="Do not make a new node. For services: an unmounted disk is an error then.",
    ),
    up_option(
        "--open",
        cls=OpenOption,
        is_flag=False,
        flag_value="here",
        type=click.Choice(["here", "lan"]),
        metavar="[=lan]",
        callback=lambda _context, _option, given: True if given == "here" else given,
        help="Be in no mesh: links are neither encrypted nor authenticated, and anyone who reaches this node can read and "
        "write its log. Only programs of this machine reach it, with --open=lan all networks.",
    ),
    up_option(
        "--listen",
        metavar="HOST:PORT",
        callback=checked(parse_address, "the address to listen on"),
        help="Where others reach this node; :PORT is all addresses, IPv4 and IPv6. Default: all, and a port that is chosen "
        "at the first start and kept.",
    ),
    up_option(
        "--peer",
        "peers",
        multiple=True,
        metavar="HOST:PORT",
        callback=checked(partial(parse_address, is_dialled=True), "the peer"),
        help="Another node to connect to, whether discovery finds it or not. May be repeated.",
    ),
    up_option(
        "--mdns/--no-mdns",
        default=True,
        help="Whether to announce this node and look for others.",
    ),
    up_option(
        "--interface",
        "interfaces",
        multiple=True,
        metavar="ADDRESS_OR_NAME",
        help="Look for others only here, for example eth0. May be repeated. Default: all networks, but Docker's only if "
        "there is no other.",
    ),
    up_option(
        "--requery",
        "requery_seconds",
        type=Number(MIN_REQUERY_SECONDS, MAX_REQUERY_SECONDS),
        default=REQUERY_SECONDS,
        show_default=True,
        metavar="SECONDS",
        help="Interval of the queries for missing nodes.",
    ),
    up_option(
        "--limit",
        "limits",
        cls=LimitOption,
        multiple=True,
        metavar="NAME=VALUE",
        callback=_limits,
        help="What others may cost this node, for example connections=100; the help of `mesh.Limits` lists all. May be "
        "repeated.",
    ),
)

log_options = together(
    up_option(
        "--log-level",
        type=click.Choice(["debug", "info", "warning", "error"]),
        default="warning",
        show_default=True,
        help="From which level on standard error has what the modules log; what happens to the node is on standard output.",
    ),
    up_option(
        "--log-format",
        type=click.Choice(["text", "json"]),
        default="text",
        show_default=True,
        help="Of the lines on standard error.",
    ),
    up_option("--json", "as_json", is_flag=True, help="Print JSON on standard output, for programs."),
)
NOT_OF_NODE = {"as_json", "log_level", "log_format"}
"""What these options set; the others are keyword arguments of Node."""

FOR_METRICS = {"clients_cert", "clients_key", "clients_insecure", "clients_hosts"}
"""Options of the address for clients that hold for the one for metrics, too."""

_file = click.Path(exists=True, dir_okay=False, readable=True, path_type=Path)

clients_options = together(
    up_option(
        "--clients",
        metavar="HOST:PORT",
        callback=checked(parse_address, "the address for clients"),
        help="Serve Logux clients and browsers here; each needs a token, see `mesh token`. Default: none.",
    ),
    up_option(
        "--metrics",
        metavar="HOST:PORT",
        callback=checked(parse_address, "the address for metrics"),
        help="Serve /metrics for Prometheus, /healthz and /readyz here, and nothing else; other machines need a token. The "
        "address of --clients has them too.",
    ),
    up_option(
        "--clients-cert", type=_file, metavar="FILE", help="The TLS certificate for clients, PEM, with its chain."
    ),
    up_option("--clients-key", type=_file, metavar="FILE", help="The key of this certificate, PEM."),
    up_option(
        "--clients-insecure/--no-clients-insecure",
        is_flag=True,
        callback=lambda _context, _option, given: given or None,
        help="Let clients of other machines in without TLS: their tokens can be read on the way. Browsers do not trust the "
        "mesh's own certificates, so TLS takes one of your own.",
    ),
    up_option(
        "--clients-origin",
        "clients_origins",
        multiple=True,
        metavar="ORIGIN",
        callback=checked(_check_origin, "the origin"),
        help="Allow pages of another site, for example https://app.example; * is any. May be repeated.",
    ),
    up_option(
        "--clients-host",
        "clients_hosts",
        multiple=True,
        metavar="NAME",
        callback=checked(_check_host, "the host"),
        help="Another name or address of this node in browsers. May be repeated.",
    ),
)

upstream_options = together(
    up_option(
        "--upstream",
        metavar="URL",
        callback=checked(_check_upstream, "the upstream server"),
        help="Sync with a Logux server too, for example wss://logux.example.",
    ),
    up_option(
        "--upstream-user",
        metavar="USER",
        callback=checked(_check_upstream_user, "the upstream user"),
        help="The user id at that server.",
    ),
    up_option(
        "--upstream-token",
        show_envvar=True,
        metavar="TOKEN",
        callback=checked(_check_upstream_token, "the upstream token"),
        help="The token for that server. Prefer the variable: `ps` shows options to all users.",
    ),
    up_option(
        "--upstream-channel",
        "upstream_channels",
        multiple=True,
        metavar="NAME",
        callback=checked(_check_channel, "the channel"),
        help="Subscribe to this channel there; a @logux/server sends nothing else. May be repeated.",
    ),
    up_option(
        "--upstream-subprotocol",
        metavar="VERSION",
        callback=_subprotocol,
        help="The version of the application's events there. Default: 0.",
    ),
)


def given_options(context: click.Context, chosen: dict[str, Any]) -> dict[str, Any]:
    """The options of `mesh up` that were given, as keyword arguments of Node (see Node and GatewayOptions).

    Raises a usage error for one that has no effect: `clients_...` without `clients`, `upstream_...` without `upstream`.
    """
    given = {name: value for name, value in chosen.items() if value not in (None, ()) and name not in NOT_OF_NODE}
    options = {option.name: option for option in context.command.params}
    for name in tuple(given):
        needed = options.get(name.partition("_")[0])
        is_for_metrics = name in FOR_METRICS and "metrics" in given
        if needed is not None and needed.name not in given and not is_for_metrics:
            if context.get_parameter_source(name) is ParameterSource.ENVIRONMENT:
                del given[name]  # the environment may be that of several nodes
                continue
            needs = f"{needed.opts[0]} {needed.metavar}"
            raise click.UsageError(f"{options[name].opts[0]} is of no use alone: give {needs} too", context)
    if ("clients_cert" in given) != ("clients_key" in given):
        raise click.UsageError("give both --clients-cert and --clients-key, or none of them", context)
    return given
