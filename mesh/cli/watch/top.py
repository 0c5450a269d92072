"""`mesh top`: the whole mesh, again each second, in place."""

from __future__ import annotations

import select
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from mesh.cli import options
from mesh.errors import MeshError
from mesh.terminal import output

if TYPE_CHECKING:
    from rich.console import RenderableType

REFRESH_SECONDS = 1.0
END_KEYS = {"q", "Q", "\x03"}


@click.command()
@click.pass_context
def top(context: click.Context) -> None:
    """Show the whole mesh as this machine's node knows it, again each second; q or Ctrl-C ends it.

    Where the output is no terminal it is printed once, as by `mesh status --mesh`.

    \b
    mesh top
    """
    from mesh.cli.watch.mesh_table import show_mesh

    with options.node_of(context) as node:
        if sys.stdout is None or not sys.stdout.isatty():
            output.write(show_mesh(mesh_nodes(node.status())))
            return
        try:
            with _keys() as pressed:
                _watch(lambda: mesh_nodes(node.status()), pressed)
        except KeyboardInterrupt:
            return


def mesh_nodes(status: dict[str, Any]) -> list[dict[str, Any]]:
    """The rows of the whole mesh in a status. Raises MeshError for that of a node of an older release."""
    if "mesh_nodes" not in status:
        raise MeshError(
            "the node that runs is of a release that does not know the whole mesh: restart it with this one"
        )
    nodes: list[dict[str, Any]] = status["mesh_nodes"]
    return nodes


def _watch(read: Callable[[], list[dict[str, Any]]], pressed: Callable[[], str]) -> None:
    from rich.live import Live

    with Live(auto_refresh=False, screen=True) as live:
        while True:
            live.update(screen_of(read(), live.console.width, live.console.height), refresh=True)
            if pressed() in END_KEYS:
                return


def screen_of(nodes: list[dict[str, Any]], columns: int, lines: int) -> RenderableType:
    """What `mesh top` shows. What is wrong comes first: the end is cut off where there are more nodes than lines."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    from mesh.cli.watch.mesh_table import nodes_table, parts_tables

    here = sum(not node["island"] for node in nodes)
    title = Text(f"{here} of {len(nodes)} nodes can be reached   (q ends)", style="bold")
    parts: list[RenderableType] = [title, Text("")]
    for one in parts_tables(nodes, columns):
        parts += [one, Text("")]
    used = sum(one.row_count + 1 if isinstance(one, Table) else 1 for one in parts) + 1
    shown = nodes if len(nodes) <= lines - used else sorted(nodes, key=_rank)[: max(1, lines - used - 1)]
    parts.append(nodes_table(shown, nodes, columns))
    if len(shown) < len(nodes):
        parts.append(Text(f"{len(nodes) - len(shown)} more: `mesh status --mesh` shows them"))
    return Group(*parts)


def _rank(node: dict[str, Any]) -> tuple[bool, bool, int]:
    return node["state"] != "this", node["state"] != "gone", -(node["worst_lag"] or 0)


@contextmanager
def _keys() -> Iterator[Callable[[], str]]:
    """A function that waits REFRESH_SECONDS for a key, which needs no Enter: the key, or an empty text."""
    if sys.stdin is None or not sys.stdin.isatty():
        yield _no_key
        return
    import termios  # not on all systems, and only here
    import tty

    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)
    try:
        tty.setcbreak(descriptor)
        yield _key
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


def _key() -> str:
    ready, _, _ = select.select([sys.stdin], [], [], REFRESH_SECONDS)
    if not ready:
        return ""
    # the end of the input ends it, too
    return sys.stdin.read(1) or "q"


def _no_key() -> str:
    select.select([], [], [], REFRESH_SECONDS)
    return ""
