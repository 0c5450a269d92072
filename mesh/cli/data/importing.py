"""`mesh import`: an archive of this mesh with its signatures, or JSON lines as new events of this node."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import click
from click.exceptions import Exit

from mesh.cli import options
from mesh.cli.data.export import STANDARD
from mesh.errors import MeshError
from mesh.terminal import output
from mesh.terminal.progress import Progress, file_position, file_size

if TYPE_CHECKING:
    from mesh.control.client import ControlClient
    from mesh.control.stopped_log import StoppedLog

MAX_IMPORTED_BYTES = 2 * 1024 * 1024
"""Of a line; longer ones are refused. `mesh export` writes no longer ones."""
_LEFT = {
    "stranger": "are of keys of which nothing counts in this mesh",
    "gap": "do not continue what is here",
    "mismatch": "contradict what this node holds of the same epochs: one of their writers has two histories",
    "forked": "come after the cut of a fork, or of a key that is not in the mesh any more",
}


@click.command("import")
@click.argument("file", metavar="FILE|-")
@options.as_json
@click.pass_context
def import_(context: click.Context, *, file: str, as_json: bool) -> None:
    """Bring events of a file of `mesh export`, or of standard input (-), into the log. The node may run or not.

    An archive, which is known by its first line, has to be of the mesh of this home. Its entries are verified and taken as if
    a neighbour had sent them: with their writers, signatures and order. What is here already changes nothing.

    \b
    mesh import kitchen.archive

    JSON lines become new events of this node, in the order of the lines. The event and the keys of its meta stay, `reasons` and
    `indexes` too, and its `time` if that is not in the future. `created` is new; left out are `added`, `dot`, `origin`,
    `vouched`, and `keep_last`, whose reason stays. What is undone in the lines stays undone.

    \b
    mesh import events.jsonl
    gunzip < sales.jsonl.gz | mesh import -

    Both are safe to repeat, also after an interruption: each line has the key `import MS NODE N` of its `created` (see
    `mesh add --key`), so that none is added twice, within the last million keys of this node.

    The exit code is 0 if all of it is in the log now.
    """
    from mesh.control.open_log import log_to_write
    from peers.codec.archive import is_archive

    with _source(file) as (source, name):
        first = source.readline(MAX_IMPORTED_BYTES)
        total = file_size(source.fileno())
        with log_to_write(options.home_of(context)) as log, Progress("read", total=total) as progress:
            if is_archive(first):
                code = _import_archive(log, name, first, source, progress, as_json=as_json)
            else:
                code = _import_lines(log, name, first, source, progress, as_json=as_json)
    raise Exit(code)


@contextmanager
def _source(file: str) -> Iterator[tuple[BinaryIO, str]]:
    if file != STANDARD:
        try:
            with Path(file).open("rb") as source:
                yield source, file
        except OSError as error:
            raise MeshError(f"cannot read {file}: {error.strerror or error}") from None
        return
    if sys.stdin is None:
        raise MeshError("standard input is closed: name a file")
    with os.fdopen(os.dup(sys.stdin.fileno()), "rb") as source:
        yield source, "standard input"


def _import_archive(
    log: ControlClient | StoppedLog, name: str, first: bytes, source: BinaryIO, progress: Progress, *, as_json: bool
) -> int:
    from mesh.control.archive import groups_of_frames
    from peers.codec.archive import read_header

    entries = new = shown = 0
    left: dict[str, int] = {}
    try:
        header = read_header(first)
        begin = source.tell() if source.seekable() else None
        goes_on = True
        while goes_on:
            before, left, entries = left, {}, 0
            for frames in groups_of_frames(first, source):
                taken = log.take(bytes.fromhex(header.mesh), frames)
                entries, new, shown = entries + taken.entries, new + taken.new, shown + taken.shown
                for why, count in taken.left.items():
                    left[why] = left.get(why, 0) + count
                progress.at(entries, done=file_position(source.fileno()))
                if taken.bad:
                    raise ValueError(f"{taken.bad}: take another copy of it")
            # Of a key that has left, archives of earlier releases do not say before its entries that they lead to its cut.
            goes_on = begin is not None and bool(left.keys() - {"stranger"}) and left != before
            if goes_on and begin is not None:
                source.seek(begin)
    except (ValueError, MeshError) as error:
        said = (
            f"; {new} entries of what came before are new here, and stay: it can be imported again" if entries else ""
        )
        raise MeshError(f"{name}: {error}{said}") from None
    for why, count in left.items():
        with progress.hidden():
            output.complain(f"left out, since they {_LEFT.get(why, why)}: {output.counted(count, 'entry', 'entries')}")
    if as_json:
        output.write_json(
            {"file": name, "kind": "archive", "entries": entries, "new": new, "shown": shown, "left": left}
        )
    else:
        output.write(
            f"{name}: {output.counted(entries, 'entry', 'entries')} of the log of {header.node_id}, {_new(new)}"
            f"{f', with {output.counted(shown)} to show' if shown else ''}\n"
        )
    return 1 if left else 0


def _new(count: int) -> str:
    return f"of which {count} {'is' if count == 1 else 'are'} new here"


def _import_lines(
    log: ControlClient | StoppedLog, name: str, first: bytes, source: BinaryIO, progress: Progress, *, as_json: bool
) -> int:
    from mesh.cli.data.line_import import LineImport

    def on_refused(number: int, why: str) -> None:
        with progress.hidden():
            output.complain(f"line {number} is not imported: {why}")

    lines = LineImport(log, on_refused)
    try:
        line = first
        while line:
            lines.take(line)
            if progress.is_shown:
                progress.at(lines.added + lines.refused, done=file_position(source.fileno()))
            line = source.readline(MAX_IMPORTED_BYTES)
        lines.flush()
    except MeshError as error:
        raise MeshError(
            f"{name}: {error}; {output.counted(lines.added, 'event was', 'events were')} imported: it can be imported again"
        ) from None
    if as_json:
        output.write_json(
            {"file": name, "kind": "lines", "events": lines.added, "new": lines.new, "refused": lines.refused}
        )
    else:
        refused = f"; {output.counted(lines.refused, 'line was', 'lines were')} refused" if lines.refused else ""
        output.write(f"{name}: {output.counted(lines.added)}, {_new(lines.new)}{refused}\n")
    return 1 if lines.refused else 0
