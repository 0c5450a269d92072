"""What `mesh status` and `mesh peers` show of a node: plain values, ready for JSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any, Protocol, TypedDict, cast

from mesh.errors import in_python
from mesh.membership.diagnosis.store_trouble import StoreTrouble
from mesh.membership.member import Member
from mesh.membership.membership import Membership
from mesh.membership.restart_policy import Record
from mesh.membership.status_rows import (
    ClientStatus,
    ClockStatus,
    DifferingStatus,
    DiscoveryStatus,
    LimitStatus,
    LogFigures,
    MeshNodeStatus,
    PausedStatus,
    PeerStatus,
    RefusedStatus,
    SessionStatus,
    StoreErrorStatus,
    TurnedAwayStatus,
)
from mesh.settings.config import Settings
from peers.events.entry import Entry
from peers.events.event_error import Cause
from peers.stores.run_store import RunState

NO_DISCOVERY: DiscoveryStatus = {
    "on": False,
    "interfaces": [],
    "since_ms": None,
    "why": "it does not run at the moment",
}
"""Shown when discovery failed and restarts or is paused, or is too busy to answer."""

_REASONS = {"why", "reason"}
_WITH_REASONS = ("sessions", "paused", "turned_away", "refused", "peers")

_NOTHING_OUTSIDE: dict[str, Any] = {
    "doors": {},
    "clients": [],
    "paused": [],
    "turned_away": [],
    "discovery": None,
    "old_log_bytes": 0,
    "log_bytes": 0,
    "oldest_ms": None,
    "newest_ms": None,
    "events_a_day": None,
    "events_a_day_over_ms": None,
    "has_recovery_file": False,
    "out_of_mesh": "",
    "limits": [],
    "views": [],
    "clocks": [],
    "ahead_ms": {},
    "mesh_nodes": [],
}


class LogStatus(TypedDict):
    """What Status has of the log."""

    last_added: int
    events: int
    conflicts: int
    differing: list[DifferingStatus]
    hollow: int
    waiting: int


class Status(LogStatus, LogFigures):
    """What `Node.status` and `mesh status --json` give. Times `_ms` are of the wall clock; numbers of events are upper bounds.

    Fields, besides the obvious ones:

    - `store_error`: None while the disk works, else its last `error` and `since_ms`, when it began to fail
    - `differing`: of the last `conflicts`, two copies of one event each: whose key signed the copy that is shown (None: that of
      a release without signatures), and whose the other one
    - `hollow`: events that this node has heard of and no node has sent yet, since those that are connected cleaned them or did
      not take them (a lying member wrote them)
    - `waiting`: events that are kept and not shown, since their times are further in the future than `max_future_seconds`
    - `log_bytes`: size of the log on disk, with what is written ahead
    - `old_log_bytes`: size of the file that the upgrade from an older release kept, 0 without one
    - `out_of_mesh`: why this node is not in its mesh any more, a sentence; empty while it is
    - `has_recovery_file`: whether the recovery code of the mesh is still in a file of the home: it has to be put away
    - of a row of `views`: `place`, the time and `created` of the last event that is folded; `behind`, how many events of the
      log it has not looked at; `folded_without`, how many were cleaned before it could, here or at other nodes; `rebuild`,
      how far the state is that will answer in place of this one; `digest`, that of `View.digest` (None during a rebuild, and
      while too much of it is not on the disk yet); `error`, why it has stopped; `store_error`, what its disk says
    - `other_meshes`: number of other meshes that announce themselves on this network
    - of a row of `peers`: `since_ms`, when its `state` began; `reason`, why it is not connected, or takes no events of others,
      else empty; `behind`, how many of our events it lacks, also those that were cleaned since (None if it never greeted);
      `behind_since_ms`, when it was last known to have them all (None while it has); `missing`, how many of its events we lack
      (None without a session); `clock_ahead_ms`, by how much its clock is ahead of ours at least, negative if behind (None
      while that is not known); `addresses`, those to dial, or the one from which it dialled us
    - `mesh_nodes`: the whole mesh, this node first: see MeshNodeStatus
    - of a row of `sessions`: `lag`, how many of our events the other end has not confirmed; `missing`, how many of the events
      that it had at its greeting have not come yet
    """

    node_id: str
    mesh: str
    port: int
    discovery: DiscoveryStatus
    old_log_bytes: int
    log_bytes: int
    out_of_mesh: str
    has_recovery_file: bool
    sessions: list[SessionStatus]
    paused: list[PausedStatus]
    doors: dict[str, int]
    clients: list[ClientStatus]
    turned_away: list[TurnedAwayStatus]
    limits: list[LimitStatus]
    views: list[dict[str, Any]]
    refused: list[RefusedStatus]
    other_meshes: int
    peers: list[PeerStatus]
    clocks: list[ClockStatus]
    ahead: int
    refused_events: dict[Cause, int]
    mesh_nodes: list[MeshNodeStatus]
    store_error: StoreErrorStatus | None


class LogView(Protocol):
    """The part of the log that is shown."""

    state: RunState
    ahead: int
    differing: list[tuple[Entry, Entry]]
    refused_events: Counter[Cause]

    @property
    def store_trouble(self) -> StoreTrouble | None: ...


def show_status(
    settings: Settings,
    port: int,
    log: LogView,
    membership: Membership,
    described: Mapping[str, Mapping[str, Any] | None],
    failures: Mapping[str, Record],
    outside: Mapping[str, Any] | None = None,
    *,
    now_ms: int,
    now_seconds: float,
) -> Status:
    """The status of a node, with the rows of `mesh peers --json` under `peers`.

    `described` has what each session shows of itself, by its key. `outside` has what does not come from the arguments before:
    the ports of `doors`, the sessions of `clients`, what is `paused` there, who was `turned_away`; the state of `discovery`
    (None: it does not run); the rows of wrong `clocks`, and by how much the clock of each node is `ahead_ms` (see
    mesh.membership.diagnosis.clocks.Clocks); what the home says, as `out_of_mesh`; the rows of `views`; the `limits` that
    were hit (see peers.limits.LimitHits.rows). `now_ms` is of the wall clock, `now_seconds` of the monotonic clock.
    """
    others = _NOTHING_OUTSIDE | dict(outside or {})
    return {
        "node_id": settings.node_id,
        "mesh": settings.mesh,
        "port": port,
        "discovery": others["discovery"] or NO_DISCOVERY,
        **_log(log),
        "old_log_bytes": others["old_log_bytes"],
        "log_bytes": others["log_bytes"],
        "oldest_ms": others["oldest_ms"],
        "newest_ms": others["newest_ms"],
        "events_a_day": others["events_a_day"],
        "events_a_day_over_ms": others["events_a_day_over_ms"],
        "out_of_mesh": others["out_of_mesh"],
        "has_recovery_file": others["has_recovery_file"],
        "ahead": log.ahead,
        "refused_events": dict(sorted(log.refused_events.items())),
        "sessions": _sessions(membership, described),
        "paused": [*_paused(failures), *others["paused"]],
        "doors": others["doors"],
        "clients": others["clients"],
        "turned_away": others["turned_away"],
        "limits": others["limits"],
        "views": others["views"],
        "refused": _refused(membership),
        "other_meshes": membership.other_meshes.count,
        "peers": _peers(
            membership, described, others["ahead_ms"], log.state.last_position, now_ms - now_seconds * 1000
        ),
        "clocks": others["clocks"],
        "mesh_nodes": others["mesh_nodes"],
        "store_error": log.store_trouble.shown() if log.store_trouble is not None else None,
    }


def in_application(status: Status) -> Status:
    """The status for an application: its reasons name keyword arguments of Node, and no options of `mesh up`."""

    parts: dict[str, Any] = {**status}
    for name in _WITH_REASONS:
        parts[name] = [_spoken(row) for row in parts[name]]
    return cast(Status, parts | {"discovery": _spoken(parts["discovery"])})


def _spoken(row: dict[str, Any]) -> dict[str, Any]:
    return {name: in_python(text) if name in _REASONS and text else text for name, text in row.items()}


def _log(log: LogView) -> LogStatus:
    state = log.state
    return {
        "last_added": state.last_added,
        "events": state.events,
        "conflicts": state.conflicts,
        "differing": [
            {"created": list(shown.created), "shown_of": shown.origin, "other_of": other.origin}
            for shown, other in log.differing
        ],
        "hollow": state.hollow,
        "waiting": state.waiting,
    }


def _paused(failures: Mapping[str, Record]) -> list[PausedStatus]:
    return [
        {"what": subject, "why": record.why, "restarts": record.restarts}
        for subject, record in sorted(failures.items())
        if record.is_paused
    ]


def _sessions(membership: Membership, described: Mapping[str, Mapping[str, Any] | None]) -> list[SessionStatus]:
    rows: list[SessionStatus] = []
    for session in membership.sessions.values():
        shown = described.get(session.key) or {}
        subject = session.other_node_id or session.subject
        record = membership.failures.get(subject, Record())
        rows.append(
            {
                "other_node_id": session.other_node_id,
                "state": shown.get("state", session.state),
                "address": session.address,
                "lag": shown.get("lag"),
                "missing": shown.get("missing"),
                "restarts": record.restarts,
                "dialled": session.dialled,
                "reason": session.reason,
            }
        )
    return rows


def _refused(membership: Membership) -> list[RefusedStatus]:
    why = dict(membership.refused_static)
    for node_id, member in membership.members.items():
        if member.state == "refused":
            why[node_id] = member.reason
    return [{"what": what, "why": why[what]} for what in sorted(why)]


def _peers(
    membership: Membership,
    described: Mapping[str, Mapping[str, Any] | None],
    ahead_ms: Mapping[str, int],
    last_position: int,
    began_ms: float,
) -> list[PeerStatus]:
    """`last_position` is of our log; `began_ms` is the wall clock's time at 0 of the monotonic clock."""
    rows: list[PeerStatus] = []
    for node_id, member in sorted(membership.members.items()):
        met = [session for session in membership.sessions.with_node(node_id) if session.is_met]
        record = membership.failures.get(node_id, Record())
        shown = (described.get(met[0].key) or {}) if met else {}
        behind = shown.get("lag") if met else None if member.confirmed is None else last_position - member.confirmed
        since = shown.get("behind_since_seconds") if met else member.behind_since_seconds
        rows.append(
            {
                "node_id": node_id,
                "state": "paused" if record.is_paused else "cloned" if member.is_cloned else member.state,
                "session": shown.get("state", met[0].state) if met else None,
                "addresses": list(member.addresses) or [session.address for session in met[:1]],
                "restarts": record.restarts,
                "since_ms": round(began_ms + member.since_seconds * 1000),
                "behind": behind,
                "behind_since_ms": round(began_ms + since * 1000) if behind and since is not None else None,
                "missing": shown.get("missing"),
                "clock_ahead_ms": ahead_ms.get(node_id),
                "reason": _reason(member, record, is_met=bool(met), has_room=shown.get("has_room", True)),
            }
        )
    return rows


def _reason(member: Member, record: Record, *, is_met: bool, has_room: bool) -> str:
    if member.is_cloned:
        return "two machines run under this id"
    if record.is_paused:
        return record.why
    if not is_met:
        return member.reason
    return "" if has_room else "its disk is nearly full, so it takes no events of others until there is room"
