"""`mesh invite` and `mesh join`: how a machine joins a mesh."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import click

from mesh.cli import options
from mesh.cli.members.questions import asked_code, asked_recovery_code
from mesh.settings.config import MAX_INVITE_SECONDS, MAX_INVITE_USES, parse_address
from mesh.settings.paths import start_of
from mesh.terminal import output

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


def _seconds(_context: click.Context, _option: click.Parameter, given: str) -> int:
    seconds = options.read_duration(given, MAX_INVITE_SECONDS // options.SECONDS_OF["d"])
    if seconds is None:
        raise click.BadParameter(f"{given!r} is no time for a code: take 90s, 10m or 2h, and at most 7d")
    return seconds


@click.command()
@click.option("--ttl", metavar="TIME", default="10m", show_default=True, callback=_seconds, help="How long it is open.")
@click.option(
    "--uses",
    type=options.WholeNumber(1, MAX_INVITE_USES),
    default=1,
    show_default=True,
    help="How many machines may join by it.",
)
@click.option(
    "--admin", "is_admin", is_flag=True, help="They become admins too. Asks for the recovery code of the mesh."
)
@click.option(
    "--with-log",
    is_flag=True,
    help="They may bring events of a time without a mesh along, with `mesh join --with-log`.",
)
@options.as_json
@click.pass_context
def invite(context: click.Context, *, ttl: int, uses: int, is_admin: bool, with_log: bool, as_json: bool) -> None:
    """Print a code by which another machine joins the mesh.

    The node runs meanwhile; only one that is an admin invites. Anyone who has the code can join by it: keep it secret.

    \b
    mesh invite
    mesh invite --ttl 2h --uses 5

    Only the key of the mesh makes admins: with --admin the node holds it in memory until the code ends, an hour at most. After
    a restart it has it no more, and such a code is refused.
    """
    with options.node_of(context) as node:
        recovery_code = asked_recovery_code() if is_admin else None
        invited = node.invite(ttl, uses, with_log=with_log, recovery_code=recovery_code)
    if as_json:
        output.write_json({"code": invited.code, "expires_ms": invited.expires_ms})
    else:
        output.write(f"{invited.code}\n")


@click.command()
@click.argument("code", metavar="[CODE]", required=False)
@options.name_of_new_home
@click.option(
    "--peer",
    metavar="HOST:PORT",
    callback=options.checked(partial(parse_address, is_dialled=True), "the peer"),
    help="Where the node runs that made the code. Default: it is looked for on this network.",
)
@click.option(
    "--with-log",
    is_flag=True,
    help="Bring the events of a home along that was in no mesh yet. The code has to be one of `mesh invite --with-log`.",
)
@options.as_json
@click.pass_context
def join(
    context: click.Context, *, code: str | None, name: str | None, peer: str | None, with_log: bool, as_json: bool
) -> None:
    """Let this machine's node join a mesh, by a code of `mesh invite`.

    The node must not run meanwhile, and may be new. Without CODE the command asks for it, so that it does not stay in the
    history of the shell.

    \b
    mesh join
    mesh join --name study --peer 192.168.1.7:44321 CODE

    If that fails, this machine's home is as before; only if the answer is lost, or cannot be written down, it keeps its key, by
    which the same code works again.
    """
    import asyncio

    from mesh.joining.join import join as join_mesh
    from mesh.settings.home_lock import check_free

    home, where = options.home_of(context), peer or _heard_addresses
    check_free(home)  # before a user types a code
    code = asked_code("invite code", "`mesh invite` prints one on a machine of the mesh") if code is None else code
    joined = asyncio.run(join_mesh(home, name, code, where, with_log=with_log))
    if as_json:
        shown = {"mesh": joined.mesh, "mesh_key": joined.mesh_key.hex(), "node_id": joined.node_id}
        output.write_json(shown | {"address": joined.address})
    else:
        as_admin = ", as an admin" if joined.is_admin else ""
        output.write(f"{joined.node_id} is in the mesh {joined.mesh} now{as_admin}; {start_of(home)}\n")


def _heard_addresses() -> AsyncIterator[str]:
    from mesh.discovery.mdns.finding import heard_addresses  # imported here: zeroconf takes 4 MB

    return heard_addresses()
