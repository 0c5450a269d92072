"""Text for people: lines of the log, tables of peers, the status."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

import msgspec

from mesh.errors import printable

if TYPE_CHECKING:
    from rich.table import Table

TABLE_WIDTH = 10_000
"""Columns. A narrow terminal wraps the lines itself, so that node ids are not cut."""
COLUMN_GAP = 2
# No yellow: it cannot be read on white.
STATE_COLOURS = {
    "alive": "green",
    "synchronized": "green",
    "suspect": "magenta",
    "lost": "red",
    "refused": "red",
    "paused": "red",
    "cloned": "red",
    "revoked": "red",
    "void": "red",
    "left": "magenta",
    "ok": "green",
    "look": "magenta",
    "wrong": "red",
    "linked": "green",
    "seen": "magenta",
    "gone": "red",
}


class Names:
    """The nodes that are known: a node id is shown as its NAME while no other node has this name."""

    def __init__(self, node_ids: Iterable[str] = ()) -> None:
        self._first: dict[str, str] = {}
        self._shared: set[str] = set()
        for node_id in node_ids:
            self.shown(node_id)

    def shown(self, node_id: str) -> str:
        """NAME, or the whole id if two nodes have this name. The node is known from now on."""
        name, mark, _ = node_id.partition("~")
        if not mark:
            return node_id
        if self._first.setdefault(name, node_id) != node_id:
            self._shared.add(name)
        return node_id if name in self._shared else name


class _ShownItem(msgspec.Struct):
    event: dict[str, Any]
    meta: dict[str, Any]
    undone: bool = False


_ITEM = msgspec.json.Decoder(_ShownItem)


def show_event(item: bytes, names: Names) -> str:
    """One line for `{"event": ..., "meta": ...}`: local time, node, type, the rest of the event as JSON; and `(undone)`."""
    shown = _ITEM.decode(item)
    rest = {key: value for key, value in shown.event.items() if key != "type"}
    parts = [local_time(shown.meta["time"]), names.shown(shown.meta["created"][1]), shown.event["type"]]
    if rest:
        parts.append(msgspec.json.encode(rest).decode())
    if shown.undone:
        parts.append("(undone)")
    return "  ".join(printable(part) for part in parts)


def local_time(ms: int) -> str:
    """Date and time of this machine, with ms; the number itself beyond the year 9999."""
    try:
        return datetime.fromtimestamp(ms / 1000).isoformat(sep=" ", timespec="milliseconds")
    except (OverflowError, ValueError, OSError):
        return f"{ms} ms"


def local_second(ms: int | None) -> str:
    """The same without the ms; `-` for None."""
    return "-" if ms is None else local_time(ms).partition(".")[0]


def show_peers(peers: Sequence[dict[str, Any]]) -> str:
    """The table of `mesh peers`."""
    if not peers:
        return "no other node is known yet\n"
    rows = [
        (
            peer["node_id"],
            peer["state"],
            local_second(peer.get("since_ms")),  # a node of an older release lacks the keys that are read with `get`
            peer["session"] or "-",
            _behind(peer.get("behind"), peer),
            number(peer.get("missing")),
            str(peer["restarts"]),
            ", ".join(peer["addresses"]) or "-",
            peer.get("reason") or "-",
        )
        for peer in peers
    ]
    headings = ("node", "state", "since", "session", "behind", "missing", "restarts", "addresses", "reason")
    return tables([table(headings, rows)])


def show_members(members: Sequence[dict[str, Any]]) -> str:
    """The table of `mesh members`."""
    rows = [
        (
            member["node_id"],
            "admin" if member["is_admin"] else "-",
            member["state"],
            local_second(member["since_ms"]),
            member["invited_by"] or "the mesh's key",
            member["from"] or "-",
            local_second(member["last_seen_ms"]),
        )
        for member in members
    ]
    return tables([table(("node", "admin", "state", "since", "invited by", "from", "last seen"), rows)])


def show_facts(facts: Sequence[dict[str, Any]]) -> str:
    """The table of `mesh facts`."""
    rows = [
        (
            local_second(fact["time_ms"]),
            fact["kind"],
            fact["about"],
            fact["signer"] or "the mesh's key",
            fact["error"] or (f"void: {fact['void']}" if fact["void"] else "holds"),
        )
        for fact in facts
    ]
    return tables([table(("signed", "kind", "about", "by", "verified"), rows)])


def show_status(status: dict[str, Any]) -> str:
    """The tables of `mesh status`."""
    counted = [(label, str(status[key])) for label, key in _STATUS_FACTS if key in status]
    more = [
        *_log_figures(status),
        *_refused_events(status),
        *_old_log(status),
        *_recovery(status),
        *_discovery(status.get("discovery")),
    ]
    facts = table((), [*counted, *more])
    shown = [facts]
    if why := status.get("out_of_mesh"):
        shown.append(table(("out of its mesh",), [(why,)]))
    if trouble := status.get("store_error"):
        shown.append(table(("the disk fails", "since"), [(trouble["error"], local_time(trouble["since_ms"]))]))
    if status["sessions"]:
        headings = ("session with", "state", "address", "lag", "missing", "restarts", "dialled by", "reason")
        shown.append(table(headings, _sessions(status)))
    if apart := _apart(status):
        shown.append(table(("no session with", "state", "since", "behind", "reason"), apart))
    if status.get("doors") or status.get("clients"):
        doors = [(name, str(port)) for name, port in status["doors"].items()]
        shown += [table(("door", "port"), doors)] if doors else []
        shown += (
            [table(("client or line", "state", "address", "lag", "by"), _clients(status))] if status["clients"] else []
        )
    if status["paused"]:
        paused = [(row["what"], str(row["restarts"]), row["why"]) for row in status["paused"]]
        shown.append(table(("paused", "restarts", "why (`mesh retry` starts it again)"), paused))
    if status.get("refused"):  # a node of an older release lacks it
        refused = [(row["what"], row["why"]) for row in status["refused"]]
        shown.append(table(("refused", "why (`mesh retry` tries it again)"), refused))
    if status.get("clocks"):
        shown.append(table(("clocks (more than a minute apart)",), [(row["sentence"],) for row in status["clocks"]]))
    if status.get("differing"):
        pairs = [
            (" ".join(map(str, row["created"])), row["shown_of"] or "-", row["other_of"] or "-")
            for row in status["differing"]
        ]
        shown.append(table(("event with copies that differ", "shown is that of", "not that of"), pairs))
    if status.get("limits"):
        hits = [(row["limit"], row["by"], str(row["count"]), local_second(row["last_ms"])) for row in status["limits"]]
        shown.append(table(("limit that was hit", "by", "times", "last"), hits))
    if status.get("turned_away"):
        rows = [
            (row["at"], row["address"], row["name"] or "-", str(row["count"]), local_time(row["last"])[:19], row["why"])
            for row in status["turned_away"]
        ]
        shown.append(table(("turned away at", "from", "as", "times", "last", "why"), rows))
    if status.get("views"):
        shown.append(table(_VIEW_HEADINGS, [_view(row) for row in status["views"]]))
    return tables(shown)


_VIEW_HEADINGS = ("view", "version", "digest", "keys", "events folded", "behind", "folded without", "state")
SHORT_DIGEST = 8


def _view(row: dict[str, Any]) -> tuple[str, ...]:
    digest = (row.get("digest") or "-")[:SHORT_DIGEST]  # a node of an older release lacks it
    numbers = [str(row.get(key, "-")) for key in ("keys", "events", "behind", "folded_without")]
    state, rebuild, error = "folds", row["rebuild"], row["error"]
    if rebuild is not None:
        state = f"folds anew: {rebuild['events']} events of {rebuild['of']}"
    if row["store_error"]:
        state = f"the disk fails: {row['store_error']}"
    if error is not None:
        where = f" at an event of type {error['type']!r}, {error['created']}" if "type" in error else ""
        state = f"stopped{where}: {error['why']}"
    return (row["name"], str(row.get("version", "-")), digest, *numbers, state)


def _log_figures(status: dict[str, Any]) -> list[tuple[str, str]]:
    """Also absent in a node of an older release."""
    rows = [("log on disk", f"{status['log_bytes'] / 1e6:.1f} MB")] if status.get("log_bytes") else []
    if status.get("events_a_day") is not None:
        over = status["events_a_day_over_ms"] / 86_400_000
        rows.append(("events a day", f"{status['events_a_day']:.0f} (over the last {over:.1f} days)"))
    if status.get("oldest_ms") is not None:
        rows.append(("oldest event", local_second(status["oldest_ms"])))
        rows.append(("newest event", local_second(status["newest_ms"])))
    return rows


def _old_log(status: dict[str, Any]) -> list[tuple[str, str]]:
    """A running node of an older release has no such number."""
    size = status.get("old_log_bytes", 0)
    return [("old log kept", f"{size / 1e6:.1f} MB (`mesh upgrade --drop-old` deletes it)")] if size else []


def _recovery(status: dict[str, Any]) -> list[tuple[str, str]]:
    """Also absent in a node of an older release."""
    is_there = status.get("has_recovery_file")
    return [("recovery code", "is in the home: write it down, put it away, and delete its file")] if is_there else []


_STATUS_FACTS = (
    ("node", "node_id"),
    ("mesh", "mesh"),
    ("port", "port"),
    ("events", "events"),
    ("last added", "last_added"),
    ("conflicts", "conflicts"),
    ("ahead of our clock", "ahead"),
    ("from the future", "waiting"),
    ("other meshes", "other_meshes"),
)


def _discovery(shown: dict[str, Any] | None) -> list[tuple[str, str]]:
    """The row about discovery; none from a node of an older release, which lacks the key."""
    if shown is None:
        return []
    if shown["on"]:
        where, why = " ".join(["on", ", ".join(shown["interfaces"])]), f", but {shown['why']}" if shown["why"] else ""
        return [("discovery", f"{where}{why}")]
    since = "" if shown["since_ms"] is None else f" since {local_time(shown['since_ms'])}"
    return [("discovery", f"off{since}: {shown['why']}")]


def _refused_events(status: dict[str, Any]) -> list[tuple[str, str]]:
    counts = status.get("refused_events") or {}  # a node of an older release lacks it
    return [("events not taken", ", ".join(f"{count} {cause}" for cause, count in counts.items()))] if counts else []


def _sessions(status: dict[str, Any]) -> list[tuple[str, ...]]:
    peers = {peer["node_id"]: peer for peer in status.get("peers", ())}
    return [
        (
            row["other_node_id"] or "-",
            row["state"],
            row["address"] or "-",
            _behind(row["lag"], peers.get(row["other_node_id"], {})),
            number(row.get("missing")),
            str(row["restarts"]),
            "us" if row["dialled"] else "them",
            row.get("reason") or "-",
        )
        for row in status["sessions"]
    ]


def _apart(status: dict[str, Any]) -> list[tuple[str, ...]]:
    """Nodes that are known and not connected, without those that are refused or paused."""
    return [
        (
            row["node_id"],
            row["state"],
            local_second(row["since_ms"]),
            _behind(row.get("behind"), row),
            row["reason"] or "-",
        )
        for row in status.get("peers", ())
        if row["session"] is None and row["state"] not in {"refused", "paused"} and "since_ms" in row
    ]


def _clients(status: dict[str, Any]) -> list[tuple[str, ...]]:
    return [
        (row["node_id"] or "-", row["state"], row["address"], number(row["lag"]), row["at"])
        for row in status["clients"]
    ]


def _behind(events: int | None, peer: dict[str, Any]) -> str:
    """How many events the other node lacks, and since when."""
    since_ms = peer.get("behind_since_ms")
    return f"{events} since {local_second(since_ms)}" if events and since_ms is not None else number(events)


def number(value: int | None) -> str:
    """A cell for a number; `-` for None."""
    return "-" if value is None else str(value)


def table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> Table:
    """A table of rich, without lines. Control characters in cells are escaped; states have colours."""
    from rich.table import Table
    from rich.text import Text

    made = Table(box=None, pad_edge=False, show_header=bool(headings), padding=(0, COLUMN_GAP, 0, 0), header_style="")
    for heading in headings:
        # The blanks after it have no style, so that `tables` can cut them off.
        made.add_column(Text.assemble((heading, "bold")), no_wrap=True)
    for row in rows:
        made.add_row(*(Text(printable(cell), style=STATE_COLOURS.get(cell, ""), no_wrap=True) for cell in row))
    return made


def tables(shown: Iterable[Table]) -> str:
    """The tables as text, with a blank line between them; in colour only on a terminal."""
    from rich.console import Console

    text = io.StringIO()
    is_terminal = sys.stdout is not None and sys.stdout.isatty()
    console = Console(file=text, width=TABLE_WIDTH, force_terminal=is_terminal, highlight=False)
    for position, one in enumerate(shown):
        if position:
            console.print()
        console.print(one)
    return "".join(f"{line.rstrip()}\n" for line in text.getvalue().splitlines())
