"""`mesh found`, `invite`, `join`, `recover`, `members` and `facts`: who is in a mesh, and by which signed texts."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from time import time_ns
from typing import TYPE_CHECKING, Any

import click

from mesh.cli import options
from mesh.errors import MeshError, NoNodeError
from mesh.settings.config import MAX_INVITE_SECONDS, MAX_INVITE_USES, check_name, parse_address
from mesh.settings.paths import CERTIFICATES_FILE, RECOVERY_FILE
from mesh.terminal import output
from mesh.terminal.recovery import code_shower

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from mesh.control.mesh_texts import MeshTexts


@click.command()
@click.option(
    "--name",
    metavar="NAME",
    callback=options.checked(check_name, "the name"),
    help="This node's name, for a new home. Default: the host's name.",
)
@click.option(
    "--mesh",
    metavar="NAME",
    callback=options.checked(check_name, "the mesh's name"),
    help="The name of the mesh, for a new home. Default: home.",
)
@options.as_json
@click.pass_context
def found(context: click.Context, *, name: str | None, mesh: str | None, as_json: bool) -> None:
    """Found a mesh, whose first admin is this machine's node.

    The first `mesh up` does it in a fresh home; this command does it in one that has a log, too. The node must not run
    meanwhile. The recovery code of the mesh is shown once, on a terminal; elsewhere it is written to
    the file recovery-code.txt of the home. Write it down, put it away and delete that file: whoever has the code can make
    and revoke admins, and without it nobody can.

    \b
    mesh found
    mesh --home /srv/kitchen found --name kitchen --mesh garden

    From then on this node speaks TLS, and only with nodes that have certificates of its mesh.
    """
    from mesh.notices import PUT_AWAY
    from mesh.settings.home import Home
    from mesh.trust.new_mesh import found_new_mesh
    from mesh.trust.recovery_code import SECRET_BYTES

    path, show = options.home_of(context), code_shower(as_json)
    recovery = path / RECOVERY_FILE
    home = Home(path, name=name, mesh=mesh)
    try:
        key = found_new_mesh(home, os.urandom(SECRET_BYTES), time_ns() // 1_000_000, show)
        node_id, label = home.node_id, home.facts.mesh
    finally:
        home.close()
    if as_json:
        output.write_json({"mesh": label, "mesh_key": key.hex(), "node_id": node_id, "recovery_file": str(recovery)})
        return
    where = "" if show is not None else f"; its recovery code is in {recovery}: {PUT_AWAY}"
    output.write(f"founded the mesh {label}, whose first admin is {node_id}{where}\n")


def _seconds(_context: click.Context, _option: click.Parameter, given: str) -> int:
    seconds = options.read_duration(given)
    if seconds is None or seconds > MAX_INVITE_SECONDS:
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
@options.as_json
@click.pass_context
def invite(context: click.Context, *, ttl: int, uses: int, as_json: bool) -> None:
    """Print a code by which another machine joins the mesh.

    The node runs meanwhile; only one that is an admin invites. Whoever has the code can join by it, so show it to nobody else.

    \b
    mesh invite
    mesh invite --ttl 2h --uses 5
    """
    with options.node_of(context) as node:
        invited = node.invite(ttl, uses)
    if as_json:
        output.write_json({"code": invited.code, "expires_ms": invited.expires_ms})
    else:
        output.write(f"{invited.code}\n")


@click.command()
@click.argument("code", metavar="[CODE]", required=False)
@click.option(
    "--name",
    metavar="NAME",
    callback=options.checked(check_name, "the name"),
    help="This node's name, for a new home. Default: the host's name.",
)
@click.option(
    "--peer",
    metavar="HOST:PORT",
    callback=options.checked(partial(parse_address, is_dialled=True), "the peer"),
    help="Where the node runs that made the code. Default: it is looked for on this network.",
)
@options.as_json
@click.pass_context
def join(context: click.Context, *, code: str | None, name: str | None, peer: str | None, as_json: bool) -> None:
    """Let this machine's node join a mesh, by a code of `mesh invite`.

    The node must not run meanwhile, and may be new. Without CODE the command asks for it, so that it does not stay in the
    history of the shell.

    \b
    mesh join
    mesh join --name study --peer 192.168.1.7:44321 CODE

    If that fails, this machine's home is as before.
    """
    import asyncio

    from mesh.joining.join import join as join_mesh

    code = _asked("invite code", "`mesh invite` prints one on a machine of the mesh") if code is None else code
    joined = asyncio.run(join_mesh(options.home_of(context), name, code, peer or _heard_addresses))
    if as_json:
        shown = {"mesh": joined.mesh, "mesh_key": joined.mesh_key.hex(), "node_id": joined.node_id}
        output.write_json(shown | {"address": joined.address})
    else:
        output.write(f"{joined.node_id} is in the mesh {joined.mesh} now: start it with `mesh up`\n")


@click.command()
@click.argument("code", metavar="[CODE]", required=False)
@options.as_json
@click.pass_context
def recover(context: click.Context, *, code: str | None, as_json: bool) -> None:
    """Make this machine's node an admin of a mesh, by its recovery code.

    On any machine, as when the last admin is lost. The node must not run meanwhile, and may be new. Without CODE the command
    asks for it, so that it does not stay in the history of the shell.

    \b
    mesh recover
    """
    from mesh.settings.home import Home
    from mesh.trust.founding import recover_mesh
    from mesh.trust.recovery_code import mesh_signer

    mesh = mesh_signer(_asked("recovery code", "type the one that `mesh found` showed") if code is None else code)
    home = Home(options.home_of(context))
    try:
        recover_mesh(home, mesh, time_ns() // 1_000_000)
        node_id, label = home.node_id, home.facts.mesh
    finally:
        home.close()
    if as_json:
        output.write_json({"mesh": label, "mesh_key": mesh.public.hex(), "node_id": node_id})
    else:
        output.write(f"{node_id} is an admin of the mesh now; other members hear of it when they are connected\n")


@click.command()
@options.as_json
@click.pass_context
def members(context: click.Context, *, as_json: bool) -> None:
    """List the members of the mesh, and those who were members, whether the node runs or not.

    \b
    mesh members
    mesh members --json
    """
    from mesh.trust.shown import member_rows

    home = options.home_of(context)
    texts, status = _read(home)
    _check_mesh(home, bool(texts.facts))
    rows = member_rows(texts.facts, _last_seen(status, time_ns() // 1_000_000))
    if as_json:
        output.write_json(rows)
        return
    from mesh.terminal.tables import show_members

    output.write(show_members(rows))


@click.command()
@options.as_json
@click.pass_context
def facts(context: click.Context, *, as_json: bool) -> None:
    """List the signed texts about keys, and verify each, whether the node runs or not.

    They say who is in the mesh; and which nodes have written two histories, as copies of one home do.

    \b
    mesh facts
    mesh facts --json
    """
    from mesh.trust.shown import fact_rows, proof_rows

    home = options.home_of(context)
    texts, _ = _read(home)
    rows = [*fact_rows(texts.facts), *proof_rows(texts.proofs)]
    _check_mesh(home, bool(rows))
    if as_json:
        output.write_json(rows)
        return
    from mesh.terminal.tables import show_facts

    output.write(show_facts(rows))


def _asked(what: str, remedy: str) -> str:
    """A code that a user types. Raises MeshError, which ends with `remedy`, if none is given."""
    try:
        return str(click.prompt(what, err=True))
    except click.Abort:
        raise MeshError(f"no {what} was given: {remedy}") from None


def _heard_addresses() -> AsyncIterator[str]:
    from mesh.discovery.mdns.finding import heard_addresses  # imported here: zeroconf takes 4 MB

    return heard_addresses()


def _check_mesh(home: Path, has_texts: bool) -> None:
    """Raise MeshError where there is nothing to show."""
    if not has_texts and (home / CERTIFICATES_FILE).exists():
        raise MeshError(f"the home {home} knows no facts of its mesh: they come when it is connected to another member")
    if not has_texts:
        raise MeshError(f"the home {home} is in no mesh yet: `mesh found` makes one")


def _read(home: Path) -> tuple[MeshTexts, dict[str, Any]]:
    """The texts of a home, and the status of its node if that runs."""
    from mesh.control.client import ControlClient

    try:
        with ControlClient(home) as node:
            return node.texts(), node.status()
    except NoNodeError:
        return _read_idle(home), {}


def _read_idle(home: Path) -> MeshTexts:
    """Those of a home in which no node runs."""
    from mesh.control.idle_log import IdleLog
    from mesh.settings.home import read_signer
    from mesh.trust.certificates import mesh_key_of

    with IdleLog(home, mesh_key_of(home, read_signer(home).public)) as log:
        return log.texts()


def _last_seen(status: Mapping[str, Any], now_ms: int) -> dict[str, int]:
    """When nodes were last connected, by their ids, as the status of a running node says it; the node itself is here now."""
    seen = {row["node_id"]: now_ms if row["session"] else row["since_ms"] for row in status.get("peers", ())}
    return seen | ({status["node_id"]: now_ms} if status else {})
