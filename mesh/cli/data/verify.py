"""`mesh verify`: the log of a home against itself, and against the neighbours that its node is connected with."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
from click.exceptions import Exit

from mesh.cli import options
from mesh.errors import MeshError, NoNodeError, printable
from mesh.terminal import output
from mesh.terminal.progress import Progress

_MEND = (
    "stop the node and put a copy in its place: `mesh restore` makes a home of a backup, or `mesh join` a new one that the "
    "others fill. First keep the damaged file, and save what can be read with `mesh export`"
)


@click.command()
@click.option("--deep", "is_deep", is_flag=True, help="Look at each entry and event: about 20 s for a million.")
@options.as_json
@click.pass_context
def verify(context: click.Context, *, is_deep: bool, as_json: bool) -> None:
    """Check the log on the disk. Nothing is changed, and the node may run: what is checked is the state of one commit.

    It looks at the file as SQLite sees it, counts events, and verifies the end of each epoch and its signature. Of a running
    node it looks besides whether connected nodes hold the same: they compare their logs by hashes when they connect, and
    count from then on.

    With --deep, it computes every head from the entries, verifies every signature, and looks at the order of time, positions,
    `added`, reasons and indexes, marks of undone events, keys of adds, and the facts of the mesh. What a node keeps for
    itself, without a signature, is checked only where other rows say the same: not changes of a meta here, nor cursors.

    \b
    mesh verify
    mesh verify --deep --json

    Each finding is a line with what to do. The exit code is 0 only if there is none. That a neighbour has not caught up
    is no finding.
    """
    home = options.home_of(context)
    findings: list[dict[str, str]] = []
    with Progress("checked", unit="entries") as progress:

        def on_entries(done: int, total: int) -> None:
            progress.total = total
            progress.at(done)

        for what in _of_log(home, is_deep=is_deep, on_entries=on_entries):
            findings.append({"what": what, "fix": _MEND})
    neighbours = _neighbours(home)
    if as_json:
        output.write_json({"is_deep": is_deep, "findings": findings, "neighbours": neighbours})
    else:
        _show(home, findings, neighbours)
    raise Exit(1 if findings else 0)


def _of_log(home: Path, *, is_deep: bool, on_entries: Any) -> Iterator[str]:
    from mesh.control.archive import mesh_key_in
    from mesh.settings.home_lock import is_locked
    from mesh.settings.paths import LOG_FILE
    from peers.stores.runs.sqlite.checks.verifying import verify_log
    from peers.stores.store import StoreError

    mesh = mesh_key_in(home)
    if not (home / LOG_FILE).exists():
        raise MeshError(f"there is no log in {home} yet: start its node once")
    try:
        yield from verify_log(
            home / LOG_FILE, is_in_use=is_locked(home), mesh=mesh, is_deep=is_deep, on_entries=on_entries
        )
    except StoreError as error:
        raise MeshError(str(error)) from None


def _neighbours(home: Path) -> list[dict[str, Any]]:
    """The nodes that a running node is connected with, and whether both hold the same."""
    from mesh.control.client import ControlClient

    try:
        with ControlClient(home) as node:
            peers = node.status()["peers"]
    except NoNodeError:
        return []
    rows: list[dict[str, Any]] = []
    for peer in peers:
        if peer["session"] is None:
            continue
        why = ""
        if peer["missing"] is None or peer["behind"] is None:
            why = "has not compared its log with ours yet: call it again later"
        elif peer["missing"] or peer["behind"]:
            missing = output.counted(peer["missing"])
            why = f"has {missing} not yet here, and lacks {peer['behind']} of ours: call it again later"
        rows.append({"node_id": peer["node_id"], "is_same": not why, "why": why})
    return rows


def _show(home: Path, findings: list[dict[str, str]], neighbours: list[dict[str, Any]]) -> None:
    for finding in findings:
        output.write(f"wrong: {printable(finding['what'])}: {finding['fix']}\n")
    for row in neighbours:
        output.write(
            f"ok: {row['node_id']} holds the same\n" if row["is_same"] else f"look: {row['node_id']} {row['why']}\n"
        )
    if not findings:
        output.write(f"ok: nothing is wrong with the log in {home}\n")
