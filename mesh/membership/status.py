"""What a node shows of itself: plain values, ready for JSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any, Protocol

from mesh.membership.diagnosis.store_trouble import StoreTrouble
from mesh.membership.member import Member
from mesh.membership.membership import Membership
from mesh.membership.restart_policy import Record
from mesh.settings.config import Settings
from peers.events.event_error import Cause
from peers.log.log import Published

Status = dict[str, Any]


NO_DISCOVERY = {"on": False, "interfaces": [], "since_ms": None, "why": "it does not run at the moment"}
"""Of a node whose discovery failed and restarts or is paused, or is too busy to answer."""


class LogView(Protocol):
    """The part of the log that is shown."""

    published: Published
    ahead: int
    refused_events: Counter[Cause]

    @property
    def store_trouble(self) -> StoreTrouble | None: ...


def show_status(
    settings: Settings,
    port: int,
    log: LogView,
    neighbourhood: Membership,
    described: Mapping[str, Mapping[str, Any] | None],
    failures: Mapping[str, Record],
    outside: Mapping[str, Any] | None = None,
    *,
    now_ms: int,
    now_seconds: float,
) -> Status:
    """The object of `mesh status --json`, with the rows of `mesh peers --json` under `peers`.

    `outside` has what there is besides nodes: the ports of `doors`, the sessions of `clients`, what of them is `paused`, who
    was `turned_away`; how `discovery` is (None: it does not run); and the `clocks` that are wrong, see
    mesh.membership.diagnosis.clocks.Clocks.rows. `now_ms` is the wall clock's, `now_seconds` the monotonic one's.
    `store_error` is None while the disk works, else its last `error` and `since_ms`, by the wall clock, since when it fails.

    `other_meshes` is the number of other meshes heard of on this network. A row of `peers` has `since_ms`, by the wall clock,
    when its `state` began, and `reason`, why there is no session (of the last attempt, lost connection or refusal), empty
    while there is one; `behind` is how many of our events it lacks, at most (None if it never greeted), `behind_since_ms` the
    last time it was known to have them all (None while it has), and `missing` how many of its events we lack, at most (None
    without a session); its `addresses` are those to dial, or the one from which the node dialled us. A row of `sessions` has
    `lag`, how many of our events the other end has not confirmed, and `missing`, how many of those that it greeted with have
    not come yet, both at most.
    """
    others = {"doors": {}, "clients": [], "paused": [], "turned_away": [], "discovery": None, **(outside or {})}
    state = log.published.state
    return {
        "node_id": settings.node_id,
        "mesh": settings.mesh,
        "port": port,
        "discovery": others["discovery"] or NO_DISCOVERY,
        "last_added": state.last_added,
        "events": state.events,
        "conflicts": state.conflicts,
        "ahead": log.ahead,
        "refused_events": dict(sorted(log.refused_events.items())),
        "sessions": _sessions(neighbourhood, described),
        "paused": [
            {"what": subject, "why": record.why, "restarts": record.restarts}
            for subject, record in sorted(failures.items())
            if record.is_paused
        ]
        + others["paused"],
        "doors": others["doors"],
        "clients": others["clients"],
        "turned_away": others["turned_away"],
        "refused": _refused(neighbourhood),
        "other_meshes": neighbourhood.other_meshes.count,
        "peers": _peers(neighbourhood, described, state.last_position, now_ms - now_seconds * 1000),
        "clocks": others.get("clocks", []),
        "store_error": log.store_trouble.shown() if log.store_trouble is not None else None,
    }


def _sessions(neighbourhood: Membership, described: Mapping[str, Mapping[str, Any] | None]) -> list[dict[str, Any]]:
    rows = []
    for session in neighbourhood.sessions.values():
        shown = described.get(session.key) or {}
        subject = session.other_node_id or session.subject
        record = neighbourhood.failures.get(subject, Record())
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


def _refused(neighbourhood: Membership) -> list[dict[str, Any]]:
    why = dict(neighbourhood.refused_static)
    for node_id, member in neighbourhood.members.items():
        if member.state == "refused":
            why[node_id] = member.reason
    return [{"what": what, "why": why[what]} for what in sorted(why)]


def _peers(
    neighbourhood: Membership, described: Mapping[str, Mapping[str, Any] | None], last_position: int, began_ms: float
) -> list[dict[str, Any]]:
    """`last_position` is that of our log, `began_ms` what the wall clock shows at 0 of the monotonic one."""
    rows = []
    for node_id, member in sorted(neighbourhood.members.items()):
        met = [session for session in neighbourhood.sessions.with_node(node_id) if session.is_met]
        record = neighbourhood.failures.get(node_id, Record())
        shown = (described.get(met[0].key) or {}) if met else {}
        behind = shown.get("lag") if met else None if member.confirmed is None else last_position - member.confirmed
        since = shown.get("behind_since_seconds") if met else member.behind_since_seconds
        rows.append(
            {
                "node_id": node_id,
                "state": "paused" if record.is_paused else "cloned" if member.is_cloned else member.state,
                "session": met[0].state if met else None,
                "addresses": list(member.addresses) or [session.address for session in met[:1]],
                "restarts": record.restarts,
                "since_ms": round(began_ms + member.since_seconds * 1000),
                "behind": behind,
                "behind_since_ms": round(began_ms + since * 1000) if behind and since is not None else None,
                "missing": shown.get("missing"),
                "reason": _reason(member, record, is_met=bool(met)),
            }
        )
    return rows


def _reason(member: Member, record: Record, *, is_met: bool) -> str:
    if member.is_cloned:
        return "two machines run under this id"
    if record.is_paused:
        return record.why
    return "" if is_met else member.reason
