"""`mesh found` and `mesh recover`: the first admin of a mesh, and further ones by its recovery code."""

from __future__ import annotations

import os
from time import time_ns

import click

from mesh.cli import options
from mesh.cli.members.questions import asked_recovery_code
from mesh.settings.config import check_name
from mesh.settings.paths import RECOVERY_FILE
from mesh.terminal import output
from mesh.terminal.recovery import code_shower


@click.command()
@options.name_of_new_home
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

    The node must not run meanwhile. The recovery code of the mesh is shown once, on a terminal; elsewhere it is written to
    the file recovery-code.txt of the home. Write it down, put it away and delete that file: anyone who has the code can
    make and revoke admins, and without it this is impossible.

    A home that has a log already keeps it: the node vouches for the events in it that others have signed, or none.

    \b
    mesh found
    mesh --home /srv/kitchen found --name kitchen --mesh garden

    From then on this node speaks TLS, and only with nodes that have certificates of its mesh.
    """
    from mesh.notices import PUT_AWAY
    from mesh.settings.home import Home
    from mesh.trust.founding import events_of_others
    from mesh.trust.new_mesh import found_new_mesh
    from mesh.trust.recovery_code import SECRET_BYTES

    path, show = options.home_of(context), code_shower(as_json)
    recovery = path / RECOVERY_FILE
    home = Home(path, name=name, mesh=mesh)
    try:
        vouched = events_of_others(home)
        key = found_new_mesh(home, os.urandom(SECRET_BYTES), time_ns() // 1_000_000, show)
        node_id, label = home.node_id, home.facts.mesh
    finally:
        home.close()
    if as_json:
        output.write_json({"mesh": label, "mesh_key": key.hex(), "node_id": node_id, "recovery_file": str(recovery)})
        return
    where = "" if show is not None else f"; its recovery code is in {recovery}: {PUT_AWAY}"
    output.write(f"founded the mesh {label}, whose first admin is {node_id}{where}\n")
    if vouched:
        output.write(f"{node_id} vouches for {output.counted(vouched)} of its log, of a time before the mesh\n")


@click.command()
@click.argument("code", metavar="[CODE]", required=False)
@options.name_of_new_home
@click.option("--with-log", is_flag=True, help="Bring the events of a home along that was in no mesh yet.")
@options.as_json
@click.pass_context
def recover(context: click.Context, *, code: str | None, name: str | None, with_log: bool, as_json: bool) -> None:
    """Make this machine's node an admin of a mesh, by its recovery code.

    On any machine, as when the last admin is lost. The node must not run meanwhile, and may be new. Without CODE the command
    asks for it, so that it does not stay in the history of the shell.

    \b
    mesh recover
    mesh recover --name cellar
    """
    from mesh.settings.home import Home
    from mesh.settings.home_lock import check_free
    from mesh.trust.founding import recover_mesh
    from mesh.trust.recovery_code import mesh_signer

    path = options.home_of(context)
    check_free(path)  # before a user types a code
    mesh = mesh_signer(asked_recovery_code() if code is None else code)
    home = Home(path, name=name)
    try:
        recover_mesh(home, mesh, time_ns() // 1_000_000, with_log=with_log)
        node_id, label = home.node_id, home.facts.mesh
    finally:
        home.close()
    if as_json:
        output.write_json({"mesh": label, "mesh_key": mesh.public.hex(), "node_id": node_id})
    else:
        output.write(f"{node_id} is an admin of the mesh now; other members hear of it when they are connected\n")
