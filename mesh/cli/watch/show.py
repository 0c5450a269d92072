"""`mesh show`: what this machine's node knows of one event."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mesh.cli import options
from mesh.errors import MeshError, NoNodeError
from mesh.terminal import output

if TYPE_CHECKING:
    from peers.events.created import Created


@click.command()
@click.argument("words", nargs=-1, required=True, metavar="ID")
@options.as_json
@click.pass_context
def show(context: click.Context, words: tuple[str, ...], *, as_json: bool) -> None:
    """Show one event: who wrote and signed it, when and through whom it came here, and why it is kept.

    The node may run or not.

    \b
    ID  MS NODE N, as an undo names an event; the list that `mesh add` prints as `created`; or the number `added`,
        which is this node's own.

    \b
    mesh show 4711
    mesh show 1764469200000 kitchen~abcdefghijklmnop 0
    mesh show '[1764469200000, "kitchen~abcdefghijklmnop", 0]'
    """
    from peers.log.event_story import read_event_id

    text = " ".join(words)
    try:
        which = read_event_id(text)
    except ValueError as error:
        raise click.BadParameter(f"{error}; an `added`, or the list that `mesh add` prints, will do too") from None
    story = _read(options.home_of(context), which)
    if story is None:
        raise MeshError(f"this node has no event {text}: it has not come here, or was cleaned")
    output.write_shown(story, _show_story, as_json=as_json)


def _read(home: Path, which: Created | int) -> dict[str, Any] | None:
    from mesh.control.client import ControlClient
    from mesh.control.idle_log import IdleLog

    try:
        with ControlClient(home) as node:
            return node.story(which)
    except NoNodeError:
        from mesh.settings.home_lock import is_locked

        if is_locked(home) or not IdleLog.is_there(home):
            raise
    with IdleLog(home) as log:
        return log.story(which)


def _show_story(story: dict[str, Any]) -> str:
    from mesh.terminal.tables import local_time, table, tables

    origin = story["origin"]
    signer = "no node: it is of a release without signatures" if origin is None else origin
    rows = [
        ("event", output.json_line(story["event"]).decode()),
        ("id", " ".join(map(str, story["created"]))),
        ("time", local_time(story["time"])),
        ("author", story["author"]),
        ("signed by", f"{signer}, for {story['vouched']}" if story["vouched"] else signer),
        ("came here", _arrival(story["came"])),
        ("added here as", str(story["added"])),
        ("kept for", ", ".join(story["reasons"])),
        ("undone", "yes" if story["is_undone"] else "no"),
    ]
    shown = [table((), rows)]
    if story["copies_aside"]:
        copies = [
            (local_time(copy["time"]), copy["origin"] or "-", output.json_line(copy["event"]).decode())
            for copy in story["copies_aside"]
        ]
        shown.append(table(("copies that differ and are not shown", "signed by", "event"), copies))
    return tables(shown)


def _arrival(came: dict[str, Any] | None) -> str:
    from mesh.terminal.tables import local_time

    if came is None:
        return "with a release that did not note when"
    when = local_time(came["ms"])
    if came["until_ms"] - came["ms"] > 1_000:
        when = f"between {when} and {local_time(came['until_ms'])}"
    via = came["via"]
    how = (
        "written by this node" if via == "" else f"through {via}" if via is not None else "through one of several nodes"
    )
    return f"{when}, {how}"
