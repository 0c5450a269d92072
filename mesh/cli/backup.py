"""`mesh backup`, `mesh restore` and `mesh upgrade`: a home in one file, a new home from it, a home of an older release."""

from __future__ import annotations

from pathlib import Path
from time import monotonic, time_ns

import click

from mesh.cli import options
from mesh.settings.paths import CERTIFICATES_FILE, command_for, start_of
from mesh.terminal import output
from mesh.terminal.progress import Progress

file_argument = click.argument("file", metavar="FILE", type=click.Path(path_type=Path))


@click.command()
@file_argument
@click.option("--force", "is_forced", is_flag=True, help="Replace FILE if it exists.")
@click.option(
    "--with-keys",
    is_flag=True,
    help="Put the key of the node and the tokens of its clients in it too. Anyone who has FILE can then be this node.",
)
@options.as_json
@click.pass_context
def backup(context: click.Context, *, file: Path, is_forced: bool, with_keys: bool, as_json: bool) -> None:
    """Write the home of this machine's node into one file.

    FILE gets all events that were on disk when the command started, the name, the mesh, and the peers of `mesh peer add`. The
    node may run, and goes on meanwhile. FILE appears only once it is complete and was checked. `mesh restore FILE` makes a
    new home of it.

    \b
    mesh backup kitchen.backup
    mesh backup --force --json /mnt/usb/kitchen.backup

    Without --with-keys, what is restored is a new node with the same events, which may run beside this one. With --with-keys
    it is this node again: keep FILE secret, and never let both run.
    """
    from mesh.settings.backup import make_backup

    home = options.home_of(context)
    file = file.absolute()
    with Progress("copied", unit="pages") as progress:

        def on_step(done: int, total: int) -> None:
            progress.total = total
            progress.at(done)

        facts = make_backup(
            home, file, with_keys=with_keys, is_forced=is_forced, now_ms=time_ns() // 1_000_000, on_step=on_step
        )
    size = file.stat().st_size
    if with_keys:
        output.complain(
            f"warning: {file} has the key of {facts.node_id}: anyone who has the file can be this node. Keep it secret, "
            "and never run a node that was restored from it while this one runs"
        )
    if as_json:
        output.write_json(
            {
                "file": str(file),
                "node_id": facts.node_id,
                "events": facts.events,
                "bytes": size,
                "with_keys": with_keys,
            }
        )
    else:
        keys = "with the keys" if with_keys else "without keys"
        output.write(f"{file}: {output.counted(facts.events)} of {facts.node_id}, {keys}, {size} bytes\n")


@click.command()
@file_argument
@options.as_json
@click.pass_context
def restore(context: click.Context, *, file: Path, as_json: bool) -> None:
    """Make a new home of a file of `mesh backup`.

    FILE is checked before anything is made. The new home is --home DIR, which must not exist yet.

    \b
    mesh restore kitchen.backup
    mesh --home /tmp/kitchen2 restore kitchen.backup
    mesh --home /tmp/kitchen2 join

    The home is for a new node: it has the name, the mesh and all events of the old one, and another id, so both may run. It
    has to join a mesh first. Then it asks the others for what came after the backup: a line for each node that wrote says
    from when on, which may be of the node itself too. If FILE was made with --with-keys, the home is for the same node again:
    the old one must never run any more.
    """
    from mesh.control.archive import newest_times
    from mesh.settings.backup import restore_home

    home = options.home_of(context)
    facts, node_id = restore_home(file.absolute(), home)
    newest = newest_times(home)
    is_same_node = node_id == facts.node_id
    if is_same_node:
        output.complain(f"warning: this is {node_id} again: never run it while the node of the old home runs")
    if as_json:
        output.write_json(
            {
                "home": str(home),
                "node_id": node_id,
                "events": facts.events,
                "made_ms": facts.made_ms,
                "is_same_node": is_same_node,
                "newest": newest,
            }
        )
    else:
        from mesh.terminal.tables import local_time

        kind = "the same node" if is_same_node else "a new node"
        output.write(
            f"{home}: {output.counted(facts.events)}, as of {local_time(facts.made_ms)}, for {kind}, {node_id}; "
            f"{_next_step(home)}\n"
        )
        for name, ms in newest.items():
            output.write(f"  from the others comes what {name} wrote after {local_time(ms)}\n")


@click.command()
@click.option("--drop-old", "is_dropped", is_flag=True, help="Delete the file of the older release that was kept.")
@options.as_json
@click.pass_context
def upgrade(context: click.Context, *, is_dropped: bool, as_json: bool) -> None:
    """Bring the log of a stopped node up to date, as the first start of a new release does.

    The old file stays beside the new one, so that you can go back; `mesh status` shows its size. With --drop-old it is
    deleted; the node may run.

    \b
    mesh upgrade
    mesh upgrade --drop-old
    """
    from mesh.settings.upgrade import drop_kept, is_log_old, kept_file, upgrade_home

    home = options.home_of(context)
    if is_dropped:
        kept = drop_kept(home)
        if as_json:
            output.write_json({"dropped_bytes": kept.size})
        else:
            output.write(f"deleted {kept.path}, {kept.size} bytes\n" if kept.size else "there is no old file\n")
        return
    upgraded = None
    seconds = 0.0
    if is_log_old(home):
        from mesh.settings.home import Home

        opened, begun = Home(home, existing=True), monotonic()
        try:
            upgraded = upgrade_home(opened)
        finally:
            opened.close()
        seconds = monotonic() - begun
    else:
        from mesh.settings.home import read_identity

        read_identity(home)  # a folder without a home gets a sentence
    kept = kept_file(home)
    if as_json:
        events = upgraded.events if upgraded else None
        output.write_json({"events": events, "seconds": seconds, "old_file": str(kept.path), "old_bytes": kept.size})
        return
    done = f"{output.counted(upgraded.events)} in {seconds:.1f} s" if upgraded else "the log is up to date"
    old = (
        f"; the old file is kept as {kept.path}, {kept.size} bytes, until `mesh upgrade --drop-old`"
        if kept.size
        else ""
    )
    output.write(f"{done}{old}\n")


def _next_step(home: Path) -> str:
    if (home / CERTIFICATES_FILE).exists():
        return start_of(home)
    command = command_for(home)
    return f"take it into a mesh with `{command} join CODE`, or make one with `{command} found`; then {start_of(home)}"
