"""The whole mesh as a table: what `mesh status --mesh` and `mesh top` show."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mesh.terminal.tables import COLUMN_GAP, Names, local_second, number, table, tables

if TYPE_CHECKING:
    from rich.table import Table

SHOWN_LINKS = 8
"""Of one node, where all columns are shown; of further ones the number."""
HEADINGS = ("node", "state", "seen", "version", "last event", "added", "worst lag", "queue", "disk", "clock", "up")
LINKS = "linked with"
"""The heading of the last column, which is as wide as there is room."""
LINKS_COLUMNS = 16
"""Less room than this is not worth a column."""
CHOICES = (
    tuple(range(len(HEADINGS))),
    tuple([HEADINGS.index(name) for name in ("node", "state", "seen", "worst lag", "disk", "up")]),
    tuple([HEADINGS.index(name) for name in ("node", "state", "seen", "worst lag")]),
)
"""The columns that are shown: the first choice that fits."""
STEPS = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))


def show_mesh(nodes: Sequence[dict[str, Any]]) -> str:
    """The tables of `mesh status --mesh`; on a terminal as wide as that."""
    is_terminal = sys.stdout is not None and sys.stdout.isatty()
    columns = shutil.get_terminal_size().columns if is_terminal else None
    return tables([nodes_table(nodes, nodes, columns), *parts_tables(nodes, columns)])


def nodes_table(shown: Sequence[dict[str, Any]], nodes: Sequence[dict[str, Any]], columns: int | None = None) -> Table:
    """A row for each node of `shown`, which are some of the nodes. What does not fit into `columns` is left out."""
    names = Names([node["node_id"] for node in nodes])
    islands = {node["node_id"]: node["island"] for node in nodes}
    now_ms = max([node["seen_ms"] for node in nodes if node["state"] == "this"], default=0)
    rows = [_cells(node, names, now_ms) for node in shown]
    kept, room = _choice([HEADINGS, *rows], columns)
    headings = [HEADINGS[at] for at in kept]
    cells = [[row[at] for at in kept] for row in rows]
    if room is None or room >= LINKS_COLUMNS:
        headings.append(LINKS)
        for node, row in zip(shown, cells, strict=True):
            row.append(_links(node, names, islands, room))
    return table(headings, cells)


def parts_tables(nodes: Sequence[dict[str, Any]], columns: int | None = None) -> list[Table]:
    """Who is with whom, if the nodes are apart; else nothing."""
    names = Names([node["node_id"] for node in nodes])
    islands: dict[int, list[str]] = {}
    for node in nodes:
        islands.setdefault(node["island"], []).append(names.shown(node["node_id"]))
    if len(islands) < 2:
        return []
    others = [part for island, part in sorted(islands.items()) if island]
    parts = [("with this node", islands.get(0, []))]
    parts += [(f"apart {position}", part) for position, part in enumerate([p for p in others if len(p) > 1], 1)]
    alone = [name for part in others if len(part) == 1 for name in part]
    parts += [("off, or alone", alone)] if alone else []
    heading = "the mesh is in parts"
    room = None if columns is None else columns - len(heading) - COLUMN_GAP
    return [table((heading, "nodes"), [(label, listed(part, 0, room)) for label, part in parts])]


def listed(names: Sequence[str], further: int = 0, columns: int | None = None) -> str:
    """Names with commas, as many as fit into `columns`, at least one; and the number of the others, with `further` ones."""
    for count in range(len(names), 0, -1):
        more = len(names) - count + further
        text = ", ".join([*names[:count], *([f"{more} more"] if more else [])])
        if columns is None or len(text) <= columns or count == 1:
            return text
    return f"{further} more" if further else "-"


def _choice(rows: Sequence[Sequence[str]], columns: int | None) -> tuple[Sequence[int], int | None]:
    """The columns to show, and how many are left for LINKS."""
    if columns is None:
        return CHOICES[0], None
    widths = [max(len(row[at]) for row in rows) + COLUMN_GAP for at in range(len(HEADINGS))]
    rooms = [columns - sum(widths[at] for at in choice) for choice in CHOICES]
    fits = next((at for at, room in enumerate(rooms) if room >= LINKS_COLUMNS), len(CHOICES) - 1)
    return CHOICES[fits], rooms[fits]


def _cells(node: dict[str, Any], names: Names, now_ms: int) -> tuple[str, ...]:
    is_now = node["state"] in {"this", "linked"}
    seen_ms, disk, offset_ms = node["seen_ms"], node["disk_share"], node["clock_offset_ms"]
    lag = number(node["worst_lag"])
    return (
        names.shown(node["node_id"]),
        node["state"],
        "now" if is_now else "never" if seen_ms is None else f"{span(now_ms - seen_ms)} ago",
        node["version"] or "-",
        local_second(node["last_event_ms"]),
        number(node["last_added"]),
        lag if node["worst_lag_to"] is None else f"{lag} to {names.shown(node['worst_lag_to'])}",
        number(node["queue"]),
        "-" if disk is None else f"{disk:.0%}",
        "-" if offset_ms is None else f"{offset_ms / 1000:+.1f} s",
        "-" if node["uptime_seconds"] is None else span(1000 * node["uptime_seconds"]),
    )


def _links(node: dict[str, Any], names: Names, islands: Mapping[str, int], room: int | None) -> str:
    """The others that it has a link with, as far as they are in the same part of the mesh now."""
    near = [link for link in node["links"] if islands.get(link["node_id"], node["island"]) == node["island"]]
    others = sorted(names.shown(link["node_id"]) for link in near)
    shown = others[:SHOWN_LINKS] if room is None else others
    return listed(shown, len(others) - len(shown) + node["more_links"], room)


def span(ms: int) -> str:
    """A span of time, in the largest unit of which it has one."""
    seconds = max(0, ms) // 1000
    for size, unit in STEPS:
        if seconds >= size:
            return f"{seconds // size} {unit}"
    return "0 s"
