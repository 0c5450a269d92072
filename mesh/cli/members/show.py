"""`mesh members` and `mesh facts`: who is in a mesh, and by which signed texts."""

from __future__ import annotations

from pathlib import Path
from time import time_ns
from typing import TYPE_CHECKING, Any

import click

from mesh.cli import options
from mesh.errors import MeshError, NoNodeError
from mesh.settings.paths import CERTIFICATES_FILE
from mesh.terminal import output

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mesh.control.mesh_texts import MeshTexts


@click.command()
@options.as_json
@click.pass_context
def members(context: click.Context, *, as_json: bool) -> None:
    """List the members of the mesh, and those who were members, whether the node runs or not.

    \b
    mesh members
    mesh members --json
    """
    from mesh.terminal.tables import show_members
    from mesh.trust.shown import member_rows

    home = options.home_of(context)
    texts, status = _read(home)
    check_mesh(home, bool(texts.facts))
    rows = member_rows(texts.facts, _last_seen(status, time_ns() // 1_000_000))
    output.write_shown(rows, show_members, as_json=as_json)


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
    from mesh.terminal.tables import show_facts
    from mesh.trust.shown import fact_rows, proof_rows

    home = options.home_of(context)
    texts, _ = _read(home)
    rows = [*fact_rows(texts.facts), *proof_rows(texts.proofs)]
    check_mesh(home, bool(rows))
    output.write_shown(rows, show_facts, as_json=as_json)


def check_mesh(home: Path, has_texts: bool) -> None:
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
