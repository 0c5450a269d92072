"""`mesh revoke` and `mesh leave`: how a node goes out of a mesh for good."""

from __future__ import annotations

from contextlib import contextmanager
from time import time_ns
from typing import TYPE_CHECKING

import click

from mesh.cli import options
from mesh.cli.members.questions import asked_recovery_code, confirm, is_terminal
from mesh.errors import MeshError, NoNodeError
from mesh.terminal import output

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence
    from pathlib import Path

    from mesh.control.client import ControlClient
    from mesh.control.stopped_mesh import StoppedMesh
    from peers.events.signature import KeySigner
    from peers.facts.fact import Fact
    from peers.facts.roster import Roster, RosterRow

LAST_ADMIN = "the last admin: afterwards only `mesh recover`, with the recovery code, makes another one"

yes = click.option("--yes", "is_yes", is_flag=True, help="Do not ask, as in scripts.")


@click.command()
@click.argument("node", metavar="NODE")
@yes
@click.option(
    "--keep",
    multiple=True,
    metavar="all|none|ID",
    help="Of an admin: which of the facts that it signed still hold, by their ids in `mesh facts --json`. Default: asks.",
)
@click.option("--last-admin", "may_be_last", is_flag=True, help="Revoke the last admin, too.")
@click.pass_context
def revoke(context: click.Context, /, node: str, *, is_yes: bool, keep: tuple[str, ...], may_be_last: bool) -> None:
    """Take a node out of the mesh for good: one that was lost or stolen, or that lies.

    NODE is its id, or its name if only one has it. What connected machines hold of it counts, and nothing that it writes after
    that; its sessions end everywhere. On an admin, whether its node runs or not.

    \b
    mesh revoke study
    mesh revoke study~a5f4jyktuz6rb2vn --yes

    An admin is revoked by the key of the mesh, on any member: the recovery code is asked for. Then the nodes that this admin
    has let in are out too, and those that it revoked are in again, but for what is kept.

    \b
    mesh revoke study --keep all
    mesh revoke study --yes --keep none < recovery-code.txt
    """
    from mesh.settings.home import read_signer
    from mesh.trust.ending import check_revocable, member_named, revocations

    home = options.home_of(context)
    with _mesh_of(home) as (mesh, is_running):
        facts = _facts(mesh)
        roster, signer = _roster(home, facts), read_signer(home)
        row = member_named(roster, node)
        check_revocable(roster, row, signer.public)
        if row.is_admin:
            _check_last(roster, row, may_be_last=may_be_last)
        elif keep or may_be_last:
            raise MeshError(f"{row.node_id} is no admin: leave --keep and --last-admin out")
        confirm(_of_member(row), "Revoke it?", is_yes=is_yes)
        standing: Collection[Fact] = ()
        if row.is_admin:
            signer = _mesh_signer(roster.mesh)
            standing = _kept(roster, facts, row, keep)
        cut = mesh.cut(row.key)
        ends = revocations(signer, roster.mesh, row.key, cut, [fact.id for fact in standing], time_ns() // 1_000_000)
        mesh.state([fact.data for fact in ends])
    _report(row, facts, ends, is_running=is_running)


@click.command()
@yes
@click.pass_context
def leave(context: click.Context, *, is_yes: bool) -> None:
    """Take this machine's node out of its mesh for good, and stop it.

    What it has written stays with the others, and its log here can still be read. It never comes back with this home.

    \b
    mesh leave
    mesh leave --yes
    """
    from mesh.settings.home import read_signer
    from mesh.trust.ending import admins_of, check_own

    home = options.home_of(context)
    with _mesh_of(home) as (mesh, _):
        roster, own = _roster(home, _facts(mesh)), read_signer(home).public
        node_id = roster.id_of(own)
        check_own(roster, own, node_id)
        is_last = [row.key for row in admins_of(roster)] == [own]
        if is_last:
            output.complain(f"warning: {node_id} is {LAST_ADMIN}")
        confirm(f"{node_id} leaves its mesh for good, and is stopped.", "Leave it?", is_yes=is_yes)
        told = mesh.leave()
    others = f"{told} other{'s' * (told != 1)} heard it" if told else _untold(roster, own)
    output.write(f"{node_id} has left its mesh; {others}. `mesh log` still shows what is in this home\n")


def _untold(roster: Roster, own: bytes) -> str:
    """How others hear that a node left when none was connected: part of a sentence."""
    if roster.members.keys() <= {own}:
        return "no other member is left"
    where = "any of them, with the recovery code," if roster.rows[own].is_admin else "an admin"
    return f"no other member has heard it, since none was connected: `mesh revoke {roster.id_of(own)}` on {where} tells them"


@contextmanager
def _mesh_of(home: Path) -> Iterator[tuple[ControlClient | StoppedMesh, bool]]:
    """The mesh of a home, and whether its node runs."""
    from mesh.control.client import ControlClient
    from mesh.control.stopped_mesh import stopped_mesh

    try:
        client = ControlClient(home)
    except NoNodeError:
        with stopped_mesh(home) as stopped:
            yield stopped, False
    else:
        with client:
            try:
                yield client, True
            except NoNodeError as error:
                raise MeshError(f"{error} before it answered: call the same command again, now without it") from None


def _facts(mesh: ControlClient | StoppedMesh) -> list[Fact]:
    from peers.facts.fact import decode_fact

    return [decode_fact(text) for text in mesh.texts().facts]


def _roster(home: Path, facts: Sequence[Fact]) -> Roster:
    from mesh.cli.members.show import check_mesh
    from peers.facts.roster import Roster

    check_mesh(home, bool(facts))
    return Roster(facts[0].mesh, facts)


def _check_last(roster: Roster, row: RosterRow, *, may_be_last: bool) -> None:
    from mesh.trust.ending import admins_of

    if may_be_last or [one.key for one in admins_of(roster)] != [row.key]:
        return
    if not is_terminal():
        raise MeshError(f"nothing was changed: {row.node_id} is {LAST_ADMIN}. Give --last-admin if it shall be revoked")
    confirm(f"{row.node_id} is {LAST_ADMIN}.", "Revoke the last admin?", is_yes=False)


def _of_member(row: RosterRow) -> str:
    from mesh.terminal.tables import local_second

    what = "an admin" if row.is_admin else "a member"
    was = "" if row.state == "member" else f" ({row.state})"
    by = f"invited by {row.invited_by}" if row.invited_by else "by the mesh's key"
    source = f" from {row.source}" if row.source else ""
    since = local_second(row.since_ms)
    return f"{row.node_id} is {what}{was} since {since}, {by}{source}. Once it is revoked, its key never comes back."


def _mesh_signer(mesh: bytes) -> KeySigner:
    from mesh.trust.recovery_code import mesh_signer

    signer = mesh_signer(asked_recovery_code())
    if signer.public != mesh:
        raise MeshError("nothing was changed: this recovery code is of another mesh")
    return signer


def _kept(roster: Roster, facts: Sequence[Fact], row: RosterRow, keep: Sequence[str]) -> list[Fact]:
    """Which facts of an admin still hold, as the options say, or the user. Raises MeshError."""
    from mesh.trust.ending import signed_by

    signed = signed_by(roster, facts, row.key)
    if keep or not signed:
        return _chosen(signed, keep)
    if not is_terminal():
        raise MeshError(
            f"nothing was changed: {row.node_id} has signed {len(signed)} facts: give --keep all, none, "
            "or the ids of those that still hold; `mesh facts --json` shows them"
        )
    return _asked_kept(signed, roster)


def _chosen(signed: Sequence[Fact], keep: Sequence[str]) -> list[Fact]:
    if "all" in keep or "none" in keep:
        if len(keep) > 1:
            raise MeshError("nothing was changed: --keep all, or --keep none, stands alone")
        return list(signed) if keep == ("all",) else []
    by_id = {fact.id.hex(): fact for fact in signed}
    for one in keep:
        if one not in by_id:
            raise MeshError(f"nothing was changed: {one} is no fact that this admin has signed and that holds")
    return [by_id[one] for one in keep]


def _asked_kept(signed: Sequence[Fact], roster: Roster) -> list[Fact]:
    click.echo(f"It has signed {len(signed)} facts. Which of them still hold?", err=True)
    kept: list[Fact] = []
    for at, fact in enumerate(signed):
        answer = click.prompt(
            f"{_named(fact, roster)}: does it hold",
            type=click.Choice(["yes", "no", "all", "none"]),
            err=True,
        )
        if answer in {"all", "none"}:
            return [*kept, *(signed[at:] if answer == "all" else ())]
        if answer == "yes":
            kept.append(fact)
    return kept


def _named(fact: Fact, roster: Roster) -> str:
    from mesh.terminal.tables import local_second
    from mesh.trust.shown import about

    return f"{fact.kind} of {about(fact, roster)}, {local_second(fact.time_ms)}"


def _report(row: RosterRow, facts: Sequence[Fact], ends: Sequence[Fact], *, is_running: bool) -> None:
    from mesh.trust.ending import made_void
    from mesh.trust.shown import about
    from peers.facts.roster import Roster

    when = "" if is_running else "; the others hear of it when this node runs and is connected"
    output.write(f"{row.node_id} is revoked{when}\n")
    roster = Roster(facts[0].mesh, facts)
    for fact in made_void(facts, ends):
        if about(fact, roster) != row.node_id:
            output.write(f"void now: {_named(fact, roster)}\n")
