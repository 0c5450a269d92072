"""METRICS: all metrics of a node: the name, the meaning and the labels of each, and where its values come from.

All values of labels are few: nodes that have been connected, and names that this node or its program has given.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from mesh.gateway.metrics.histogram import Histogram
from mesh.gateway.metrics.measured import Measured
from mesh.membership.status_rows import PeerStatus
from mesh.version import __version__

Kind = Literal["counter", "gauge", "histogram", "info"]
Samples = Iterable[tuple[tuple[str, ...], float | Histogram]]
"""A value for each set of labels."""
SUFFIXES: Mapping[Kind, str] = {"counter": "_total", "info": "_info"}
"""What OpenMetrics adds to the name of such a metric where its value stands."""
UNITS = ("seconds", "bytes", "ratio")


@dataclass(frozen=True)
class Metric:
    """One metric."""

    name: str
    """Without the suffix of its kind."""
    kind: Kind
    help: str
    read: Callable[[Measured], Samples]
    labels: tuple[str, ...] = ()

    @property
    def shown_name(self) -> str:
        """As it is asked for."""
        return self.name + SUFFIXES.get(self.kind, "")

    @property
    def unit(self) -> str:
        """Empty if it counts things."""
        last = self.name.rpartition("_")[2]
        return last if last in UNITS else ""


def _one(read: Callable[[Measured], float | Histogram | None]) -> Callable[[Measured], Samples]:
    """A metric without labels; None: it has no value now."""

    def samples(measured: Measured) -> Samples:
        value = read(measured)
        return () if value is None else (((), value),)

    return samples


def _each(read: Callable[[Measured], Mapping[str, float]]) -> Callable[[Measured], Samples]:
    """A metric with one label, by its value."""
    return lambda measured: (((key,), value) for key, value in sorted(read(measured).items()))


def _neighbours(read: Callable[[PeerStatus, Measured], float | None]) -> Callable[[Measured], Samples]:
    """A metric of each node that has ever been connected: what is only announced may be anybody's invention."""

    def samples(measured: Measured) -> Iterator[tuple[tuple[str, ...], float]]:
        for row in measured.node.status["peers"]:
            value = read(row, measured) if row["behind"] is not None or row["session"] is not None else None
            if value is not None:
                yield (row["node_id"],), value

    return samples


def _behind_seconds(row: PeerStatus, measured: Measured) -> float | None:
    since_ms = row["behind_since_ms"]
    return 0.0 if since_ms is None else max(0, measured.node.now_ms - since_ms) / 1000


def _clock_ahead_seconds(row: PeerStatus, _measured: Measured) -> float | None:
    ahead_ms = row["clock_ahead_ms"]
    return None if ahead_ms is None else ahead_ms / 1000


NEIGHBOUR = ("neighbour",)

METRICS = (
    # The process
    Metric(
        "peermesh_build", "info", "The version of peermesh that runs.", lambda _: [((__version__,), 1)], ("version",)
    ),
    Metric(
        "peermesh_uptime_seconds",
        "gauge",
        "Seconds since this node was started.",
        _one(lambda m: m.node.uptime_seconds),
    ),
    Metric(
        "peermesh_resident_memory_bytes",
        "gauge",
        "Resident memory of the process in bytes; only on Linux.",
        _one(lambda m: m.node.memory_bytes),
    ),
    Metric(
        "peermesh_loop_lag_seconds",
        "histogram",
        "By how many seconds a timer of one second came too late on the loop of this node; measured from the first scrape on.",
        _one(lambda m: m.loop_lag),
    ),
    Metric(
        "peermesh_ready",
        "gauge",
        "1 if the log is open and the disk works, as /readyz says, else 0.",
        _one(lambda m: not m.node.why_not_ready),
    ),
    Metric(
        "peermesh_restarts",
        "counter",
        "Failures since the start of this node, by part: log, listener, discovery, gateway, or the name of a door or line. "
        "After each the part, or the session at that door, is restarted or paused.",
        _each(lambda m: m.node.failures),
        ("part",),
    ),
    Metric(
        "peermesh_paused",
        "gauge",
        "Parts and sessions that failed too often and wait for `mesh retry`.",
        _one(lambda m: len(m.node.status["paused"])),
    ),
    Metric(
        "peermesh_mailbox_messages",
        "gauge",
        "Messages that wait in the mailboxes of the actors of a class.",
        _each(lambda m: m.node.mailboxes),
        ("actor",),
    ),
    # The log
    Metric("peermesh_events", "gauge", "Events in the log.", _one(lambda m: m.node.status["events"])),
    Metric(
        "peermesh_added_events",
        "counter",
        "Events that were ever added to the log, own ones and those of other nodes; it goes on over a restart.",
        _one(lambda m: m.node.status["last_added"]),
    ),
    Metric(
        "peermesh_waiting_events",
        "gauge",
        "Events that are kept and not shown yet, since their times are too far in the future.",
        _one(lambda m: m.node.status["waiting"]),
    ),
    Metric(
        "peermesh_hollow_events",
        "gauge",
        "Events that this node has heard of and no neighbour has sent.",
        _one(lambda m: m.node.status["hollow"]),
    ),
    Metric(
        "peermesh_conflicting_events",
        "gauge",
        "Events of which the log has two copies that differ.",
        _one(lambda m: m.node.status["conflicts"]),
    ),
    Metric(
        "peermesh_ahead_events",
        "counter",
        "Events since the start of this node that came from further in the future than its clock follows.",
        _one(lambda m: m.node.status["ahead"]),
    ),
    Metric(
        "peermesh_refused_events",
        "counter",
        "Events of other nodes and of clients that were not taken since the start of this node, by cause.",
        _each(lambda m: {str(cause): count for cause, count in m.node.status["refused_events"].items()}),
        ("cause",),
    ),
    Metric(
        "peermesh_log_bytes",
        "gauge",
        "Size of the log on disk in bytes, with its write-ahead log.",
        _one(lambda m: m.node.log_bytes),
    ),
    Metric(
        "peermesh_commit_seconds",
        "histogram",
        "Seconds that a transaction of the log on disk took, from its first piece of work to the end of its commit. "
        "All reads and writes that wait share one.",
        _one(lambda m: m.node.commits),
    ),
    Metric(
        "peermesh_waiting_adds",
        "gauge",
        "Events of add calls that have not been answered yet.",
        _one(lambda m: m.node.waiting_adds[0]),
    ),
    Metric(
        "peermesh_waiting_adds_bytes",
        "gauge",
        "Size of the events of add calls that have not been answered yet, in bytes.",
        _one(lambda m: m.node.waiting_adds[1]),
    ),
    Metric(
        "peermesh_disk_used_ratio",
        "gauge",
        "Share of the disk with the log that is in use, from 0 to 1.",
        _one(lambda m: m.node.disk_share),
    ),
    Metric(
        "peermesh_disk_failing",
        "gauge",
        "1 while the disk does not take what is written, else 0.",
        _one(lambda m: m.node.status["store_error"] is not None),
    ),
    # Other nodes
    Metric(
        "peermesh_sent_bytes",
        "counter",
        "Bytes of messages sent to `nodes`, and to `others` (clients and servers), without what WebSocket, TLS and TCP add.",
        _each(lambda m: m.node.sent_bytes),
        ("with",),
    ),
    Metric(
        "peermesh_received_bytes",
        "counter",
        "Bytes of messages received from them, without what WebSocket, TLS and TCP add.",
        _each(lambda m: m.node.received_bytes),
        ("with",),
    ),
    Metric(
        "peermesh_neighbours",
        "gauge",
        "Other nodes that this node knows, by state; also those that are only announced.",
        _each(lambda m: Counter(row["state"] for row in m.node.status["peers"])),
        ("state",),
    ),
    Metric(
        "peermesh_neighbour_connected",
        "gauge",
        "1 if this node is connected with the neighbour, else 0.",
        _neighbours(lambda row, _: row["session"] is not None),
        NEIGHBOUR,
    ),
    Metric(
        "peermesh_neighbour_behind_events",
        "gauge",
        "Events of this node that the neighbour has not confirmed, at most.",
        _neighbours(lambda row, _: row["behind"]),
        NEIGHBOUR,
    ),
    Metric(
        "peermesh_neighbour_behind_seconds",
        "gauge",
        "Seconds since the neighbour was last known to have all events of this node; 0 if it has them.",
        _neighbours(_behind_seconds),
        NEIGHBOUR,
    ),
    Metric(
        "peermesh_neighbour_missing_events",
        "gauge",
        "Events of the neighbour that have not come here yet, at most; only while it is connected.",
        _neighbours(lambda row, _: row["missing"]),
        NEIGHBOUR,
    ),
    Metric(
        "peermesh_neighbour_clock_ahead_seconds",
        "gauge",
        "Seconds by which the clock of the neighbour is ahead of this one, at least; negative if it is behind; once it "
        "was compared, and while the neighbour is connected.",
        _neighbours(_clock_ahead_seconds),
        NEIGHBOUR,
    ),
    Metric(
        "peermesh_neighbour_restarts",
        "counter",
        "Sessions with the neighbour that failed and were restarted.",
        _neighbours(lambda row, _: row["restarts"]),
        NEIGHBOUR,
    ),
    Metric(
        "peermesh_refused_neighbours",
        "gauge",
        "Nodes and addresses that are not dialled any more, since they were refused.",
        _one(lambda m: len(m.node.status["refused"])),
    ),
    Metric(
        "peermesh_other_meshes",
        "gauge",
        "Other meshes that announce themselves on this network.",
        _one(lambda m: m.node.status["other_meshes"]),
    ),
    # Clients, limits, views
    Metric(
        "peermesh_client_sessions",
        "gauge",
        "Sessions with clients and servers that are no nodes, by door or line.",
        _each(lambda m: Counter(row["at"] for row in m.node.status["clients"])),
        ("door",),
    ),
    Metric(
        "peermesh_refused_connections",
        "counter",
        "Clients and requests that were refused since the start of this node, by door or line.",
        _each(lambda m: m.turned_away),
        ("door",),
    ),
    Metric(
        "peermesh_limit_hits",
        "counter",
        "How often a limit was hit since the start of this node, by the field of mesh.Limits.",
        _each(lambda m: m.node.limit_hits),
        ("limit",),
    ),
    Metric(
        "peermesh_view_behind_events",
        "gauge",
        "Events of the log that the view has not folded yet, at most.",
        _each(lambda m: {row["name"]: row["behind"] for row in m.node.status["views"]}),
        ("view",),
    ),
    Metric(
        "peermesh_view_failing",
        "gauge",
        "1 if the view has stopped at an error, or cannot write its file, else 0.",
        _each(lambda m: {row["name"]: bool(row["error"] or row["store_error"]) for row in m.node.status["views"]}),
        ("view",),
    ),
)
