"""Readable forms: lines of the log, tables of peers, the status."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

import msgspec

from mesh.output import printable

if TYPE_CHECKING:
    from rich.table import Table

TABLE_WIDTH = 10_000
"""Columns; a terminal that has fewer wraps the lines itself, so that a node id stays whole."""
GAP = 2
STATE_COLOURS = {
    "alive": "green",
    "synchronized": "green",
    "suspect": "yellow",
    "lost": "red",
    "refused": "red",
    "paused": "red",
    "cloned": "red",
}


class Names:
    """Which nodes are known: a node id is shown as its NAME while no other node has that name."""

    def __init__(self, node_ids: Iterable[str] = ()) -> None:
        self._first: dict[str, str] = {}
        self._shared: set[str] = set()
        for node_id in node_ids:
            self.shown(node_id)

    def shown(self, node_id: str) -> str:
        """NAME, or the whole id. It is known from now on."""
        name, mark, _ = node_id.partition("~")
        if not mark:
            return node_id
        if self._first.setdefault(name, node_id) != node_id:
            self._shared.add(name)
        return node_id if name in self._shared else name


class _Item(msgspec.Struct):
    event: dict[str, Any]
    meta: dict[str, Any]


_ITEM = msgspec.json.Decoder(_Item)


def show_event(item: bytes, names: Names) -> str:
    """One line for `{"event": ..., "meta": ...}`: local time, node, type, and the rest of the event as JSON."""
    shown = _ITEM.decode(item)
    rest = {key: value for key, value in shown.event.items() if key != "type"}
    parts = [local_time(shown.meta["time"]), names.shown(shown.meta["created"][1]), shown.event["type"]]
    if rest:
        parts.append(msgspec.json.encode(rest).decode())
    return "  ".join(printable(part) for part in parts)


def local_time(ms: int) -> str:
    """Date and time of day here, to the ms; the number itself where no calendar reaches."""
    try:
        return datetime.fromtimestamp(ms / 1000).isoformat(sep=" ", timespec="milliseconds")
    except (OverflowError, ValueError, OSError):
        return f"{ms} ms"


def show_peers(peers: Sequence[dict[str, Any]]) -> str:
    """The table of `mesh peers`."""
    if not peers:
        return "no other node is known yet\n"
    rows = [
        (
            peer["node_id"],
            peer["state"],
            peer["session"] or "-",
            str(peer["restarts"]),
            ", ".join(peer["addresses"]) or "-",
        )
        for peer in peers
    ]
    return tables([table(("node", "state", "session", "restarts", "addresses"), rows)])


def show_status(status: dict[str, Any]) -> str:
    """The tables of `mesh status`."""
    facts = table((), [(label, str(status[key])) for label, key in _FACTS] + _refused_events(status))
    shown = [facts]
    if status["sessions"]:
        shown.append(table(("session with", "state", "address", "lag", "restarts", "dialled by"), _sessions(status)))
    if status.get("doors") or status.get("clients"):
        doors = [(name, str(port)) for name, port in status["doors"].items()]
        shown += [table(("door", "port"), doors)] if doors else []
        shown += (
            [table(("client or line", "state", "address", "lag", "by"), _clients(status))] if status["clients"] else []
        )
    if status["paused"]:
        paused = [(row["what"], str(row["restarts"]), row["why"]) for row in status["paused"]]
        shown.append(table(("paused", "restarts", "why (`mesh retry` starts it again)"), paused))
    if status.get("refused"):  # a node of an older release says nothing of it
        refused = [(row["what"], row["why"]) for row in status["refused"]]
        shown.append(table(("refused", "why (`mesh retry` tries it again)"), refused))
    if status.get("turned_away"):
        rows = [
            (row["at"], row["address"], row["name"] or "-", str(row["count"]), local_time(row["last"])[:19], row["why"])
            for row in status["turned_away"]
        ]
        shown.append(table(("turned away at", "from", "as", "times", "last", "why"), rows))
    return tables(shown)


_FACTS = (
    ("node", "node_id"),
    ("mesh", "mesh"),
    ("port", "port"),
    ("events", "events"),
    ("last added", "last_added"),
    ("conflicts", "conflicts"),
    ("ahead of our clock", "ahead"),
)


def _refused_events(status: dict[str, Any]) -> list[tuple[str, str]]:
    counts = status.get("refused_events") or {}  # a node of an older release says nothing of it
    return [("events not taken", ", ".join(f"{count} {cause}" for cause, count in counts.items()))] if counts else []


def _sessions(status: dict[str, Any]) -> list[tuple[str, ...]]:
    return [
        (
            row["other_node_id"] or "-",
            row["state"],
            row["address"] or "-",
            "-" if row["lag"] is None else str(row["lag"]),
            str(row["restarts"]),
            "us" if row["dialled"] else "them",
        )
        for row in status["sessions"]
    ]


def _clients(status: dict[str, Any]) -> list[tuple[str, ...]]:
    return [
        (row["node_id"] or "-", row["state"], row["address"], "-" if row["lag"] is None else str(row["lag"]), row["at"])
        for row in status["clients"]
    ]


def table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, show_header=bool(headings), padding=(0, GAP, 0, 0), header_style="bold")
    for heading in headings:
        table.add_column(heading, no_wrap=True)
    for row in rows:
        table.add_row(*(Text(printable(cell), style=STATE_COLOURS.get(cell, ""), no_wrap=True) for cell in row))
    return table


def tables(tables: Iterable[Table]) -> str:
    """As text, a blank line between tables; in colour only on a terminal."""
    from rich.console import Console

    text = io.StringIO()
    console = Console(file=text, width=TABLE_WIDTH, force_terminal=sys.stdout.isatty(), highlight=False)
    for number, table in enumerate(tables):
        if number:
            console.print()
        console.print(table)
    return "".join(f"{line.rstrip()}\n" for line in text.getvalue().splitlines())
