"""The whole mesh as a table: what `mesh status --mesh` and `mesh top` show."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from mesh.terminal.tables import Names, local_second, number, table, tables

if TYPE_CHECKING:
    from rich.table import Table

SHOWN_LINKS = 8
"""Of one node; of further ones the number."""
STEPS = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))


def show_mesh(nodes: Sequence[dict[str, Any]]) -> str:
    """The tables of `mesh status --mesh`."""
    return tables(mesh_tables(nodes))


def mesh_tables(nodes: Sequence[dict[str, Any]]) -> list[Table]:
    """A row for each node; and if they are apart, who is with whom."""
    names = Names([node["node_id"] for node in nodes])
    now_ms = max([node["seen_ms"] for node in nodes if node["state"] == "this"], default=0)
    headings = (
        *("node", "state", "seen", "version", "last event", "added", "worst lag", "queue", "disk", "clock", "up"),
        "linked with",
    )
    shown = [table(headings, [_cells(node, names, now_ms) for node in nodes])]
    islands: dict[int, list[str]] = {}
    for node in nodes:
        islands.setdefault(node["island"], []).append(names.shown(node["node_id"]))
    if len(islands) > 1:
        rows = [
            ("with this node" if not island else f"apart {island}", ", ".join(islands[island]))
            for island in sorted(islands)
        ]
        shown.append(table(("the mesh is in parts", "nodes"), rows))
    return shown


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
        _links(node, names),
    )


def _links(node: dict[str, Any], names: Names) -> str:
    others = [names.shown(link["node_id"]) for link in node["links"]]
    more = max(0, len(others) - SHOWN_LINKS) + node["more_links"]
    return ", ".join([*sorted(others)[:SHOWN_LINKS], *([f"{more} more"] if more else [])]) or "-"


def span(ms: int) -> str:
    """A span of time, in the largest unit of which it has one."""
    seconds = max(0, ms) // 1000
    for size, unit in STEPS:
        if seconds >= size:
            return f"{seconds // size} {unit}"
    return "0 s"
