"""`mesh export`: the events of a log as JSON lines, or as an archive with signatures."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import time_ns
from typing import Any

import click

from mesh.cli import options
from mesh.cli.log import check_moments, since_option, type_option, until_option
from mesh.errors import MeshError
from mesh.terminal import output
from mesh.terminal.progress import Progress

STANDARD = "-"
"""The FILE that is standard output, or standard input."""
_NOT_MADE = "nothing was exported"
Write = Callable[[bytes], object]


@click.command()
@click.argument("file", metavar="FILE|-")
@click.option("--archive", "is_archive", is_flag=True, help="With signatures, for a node of the same mesh.")
@since_option
@until_option
@type_option
@click.option("--force", "is_forced", is_flag=True, help="Replace FILE if it exists.")
@options.as_json
@click.pass_context
def export(
    context: click.Context,
    *,
    file: str,
    is_archive: bool,
    since: dict[str, Any],
    until: dict[str, Any],
    event_type: str | None,
    is_forced: bool,
    as_json: bool,
) -> None:
    """Write events of the log into a file, or on standard output (-). The node may run or not.

    Each event is one line, as `mesh log --json` prints it: {"event": ..., "meta": ...}, in the order of time. What comes while
    it is written may be missing.

    \b
    mesh export events.jsonl
    mesh export --since 30d --type sale - | gzip > sales.jsonl.gz

    With --archive it is all that this node could send to a new neighbour: signed entries, births of epochs, facts of the mesh
    and proofs of forks, as of one moment. Another node of the same mesh takes it as from a neighbour. What was cleaned here
    is in it as a hash. It has no keys and no secrets, but all events are plain text in it.

    \b
    mesh export --archive kitchen.archive

    FILE appears once it is complete and on disk.
    """
    check_moments(since, until)
    if is_archive and (since or until or event_type is not None):
        raise click.UsageError("--archive has the whole log: leave --since, --until and --type out")
    if as_json and file == STANDARD:
        raise click.UsageError("--json says what was written into FILE: with - leave it out")
    home = options.home_of(context)
    with _target(home, file, is_forced=is_forced) as write, Progress("exported") as progress:
        if is_archive:
            count, what = (
                _export_archive(home, write, progress),
                ("entry with its signature", "entries with signatures"),
            )
        else:
            from mesh.control.messages import Read

            request = Read(type=event_type, **since, **until)
            shown = output.printable_json if file == STANDARD else bytes
            count = _export_lines(home, request, lambda line: write(shown(line) + b"\n"), progress)
            what = ("event", "events")
    if file == STANDARD:
        return
    path = Path(file).absolute()
    size = path.stat().st_size
    if as_json:
        output.write_json({"file": str(path), "is_archive": is_archive, "count": count, "bytes": size})
    else:
        output.write(f"{path}: {output.counted(count, *what)}, {size} bytes\n")


@contextmanager
def _target(home: Path, file: str, *, is_forced: bool) -> Iterator[Write]:
    if file == STANDARD:
        yield output.write
        return
    from mesh.settings.whole_file import whole_file

    path = Path(file).absolute()
    with whole_file(home, path, is_forced=is_forced, otherwise=_NOT_MADE, example="mesh.export") as (_, written):
        yield written.write


def _export_lines(home: Path, request: Any, write: Write, progress: Progress) -> int:
    from mesh.control.messages import Read
    from mesh.control.open_log import log_to_read

    count = 0
    with log_to_read(home) as log:
        progress.total = log.status().get("events") if request == Read() else None
        for items in log.read(request):
            for item in items:
                write(bytes(item))
            count += len(items)
            progress.at(count)
    return count


def _export_archive(home: Path, write: Write, progress: Progress) -> int:
    from mesh.control.archive import archive_of
    from peers.stores.store import StoreError

    def on_entries(done: int, total: int) -> None:
        progress.total = total
        progress.at(done)

    try:
        archived = archive_of(home, now_ms=time_ns() // 1_000_000, write=write, on_entries=on_entries)
    except StoreError as error:
        raise MeshError(f"{_NOT_MADE}: {error}") from None
    if archived.left_out:
        output.complain(
            f"{output.counted(archived.left_out)} left out: after the cut of a fork, or of keys that are not in the mesh, and "
            "no node vouches for them; `mesh export` without --archive has them"
        )
    return archived.header.entries
