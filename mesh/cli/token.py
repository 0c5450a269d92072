"""`mesh token`: the tokens of Logux clients, in a file of the home, whether its node runs or not."""

from __future__ import annotations

from time import time_ns
from typing import TYPE_CHECKING

import click

from mesh.cli import options
from mesh.errors import MeshError
from mesh.settings.paths import LOCK_FILE
from mesh.terminal import output

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mesh.gateway.clients.tokens import TokenRow


def _check_user(user: str, what: str) -> None:
    from mesh.gateway.clients.access import check_user

    check_user(user, what)


def _seconds(_context: click.Context, _option: click.Parameter, given: str | None) -> float | None:
    if given is None:
        return None
    seconds = options.read_duration(given)
    if seconds is None:
        raise click.BadParameter(
            f"{given!r} is not a duration: write a whole number and s, m, h or d, as in 90s or 30d"
        )
    return float(seconds)


user_argument = click.argument("user", metavar="USER", callback=options.checked(_check_user, "the user"))

ttl_option = click.option(
    "--ttl",
    "ttl_seconds",
    callback=_seconds,
    metavar="DURATION",
    help="How long the token is valid: 90s, 15m, 12h or 30d. Default: until it is revoked.",
)


@click.group(cls=options.Group)
def token() -> None:
    """Make, list and revoke tokens of clients.

    Logux clients and browsers show them at the clients' door, see `mesh up --clients`.

    \b
    mesh token add alice --ttl 30d
    mesh token list
    mesh token revoke alice

    A change takes effect at once, also for a running node.
    """


@token.command()
@user_argument
@ttl_option
@click.pass_context
def add(context: click.Context, *, user: str, ttl_seconds: float | None) -> None:
    """Make a token for a user and print it; it is shown only once. A user may have several.

    \b
    mesh token add alice
    mesh token add alice --ttl 30d
    """
    from mesh.gateway.clients.tokens import Tokens

    home = options.home_of(context)
    made = Tokens(home).add(user, ttl_seconds, _now_ms())
    try:
        output.write(f"{made}\n")
    except output.OutputError:
        raise MeshError(
            f"the new token of {user} could not be printed, and it is not shown again: make another"
        ) from None
    if not (home / LOCK_FILE).exists():
        output.complain(f"note: no node has run in {home} yet; the token is for the first one that does")


@token.command("list")
@options.as_json
@click.pass_context
def list_tokens(context: click.Context, *, as_json: bool) -> None:
    """List the tokens with their ids. The tokens themselves are not stored.

    \b
    mesh token list
    mesh token list --json
    """
    from mesh.gateway.clients.tokens import Tokens

    rows = Tokens(options.home_of(context)).list(_now_ms())
    output.write_shown(rows, _table_of, as_json=as_json)


@token.command()
@user_argument
@click.pass_context
def revoke(context: click.Context, *, user: str) -> None:
    """End all tokens of a user; a running node ends their sessions too.

    \b
    mesh token revoke alice
    """
    from mesh.gateway.clients.tokens import Tokens

    count = Tokens(options.home_of(context)).revoke(user)
    done = f"{count} {'token' if count == 1 else 'tokens'} of {user} revoked"
    try:
        output.write(f"{done}\n")
    except output.OutputError as error:
        output.complain(f"{done}; {error}")


def _table_of(rows: Sequence[TokenRow]) -> str:
    from mesh.terminal.tables import local_time, table, tables

    if not rows:
        return "no user has a token yet\n"
    cells = [
        (
            row.user,
            row.id,
            row.state,
            local_time(row.made_ms),
            "never" if row.expires_ms is None else local_time(row.expires_ms),
        )
        for row in rows
    ]
    return tables([table(("user", "token", "state", "made", "expires"), cells)])


def _now_ms() -> int:
    """The wall clock. Commands read it themselves, all other code gets it as an argument."""
    return time_ns() // 1_000_000
