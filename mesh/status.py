"""What a node shows of itself: plain values, ready for JSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any, Protocol

from mesh.config import Settings
from mesh.neighbourhood import Neighbourhood
from mesh.restart_policy import Record
from peers.event_error import Cause
from peers.log import Published

Status = dict[str, Any]


class LogView(Protocol):
    """The part of the log that is shown."""

    published: Published
    ahead: int
    refused_events: Counter[Cause]


def show_status(
    settings: Settings,
    port: int,
    log: LogView,
    neighbourhood: Neighbourhood,
    described: Mapping[str, Mapping[str, Any] | None],
    failures: Mapping[str, Record],
    outside: Mapping[str, Any] | None = None,
) -> Status:
    """The object of `mesh status --json`, with the rows of `mesh peers --json` under `peers`.

    `outside` has what there is besides nodes: the ports of `doors`, the sessions of `clients`, what of them is `paused`,
    and who was `turned_away`.
    """
    others = {"doors": {}, "clients": [], "paused": [], "turned_away": [], **(outside or {})}
    state = log.published.state
    return {
        "node_id": settings.node_id,
        "mesh": settings.mesh,
        "port": port,
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
        "peers": _peers(neighbourhood),
    }


def _sessions(neighbourhood: Neighbourhood, described: Mapping[str, Mapping[str, Any] | None]) -> list[dict[str, Any]]:
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
                "restarts": record.restarts,
                "dialled": session.dialled,
            }
        )
    return rows


def _refused(neighbourhood: Neighbourhood) -> list[dict[str, Any]]:
    why = dict(neighbourhood.refused_static)
    for node_id, member in neighbourhood.members.items():
        if member.state == "refused":
            why[node_id] = member.why_refused
    return [{"what": what, "why": why[what]} for what in sorted(why)]


def _peers(neighbourhood: Neighbourhood) -> list[dict[str, Any]]:
    rows = []
    for node_id, member in sorted(neighbourhood.members.items()):
        states = [s.state for s in neighbourhood.sessions.values() if s.other_node_id == node_id and s.is_met]
        record = neighbourhood.failures.get(node_id, Record())
        rows.append(
            {
                "node_id": node_id,
                "state": "paused" if record.is_paused else "cloned" if member.is_cloned else member.state,
                "session": states[0] if states else None,
                "addresses": list(member.addresses),
                "restarts": record.restarts,
            }
        )
    return rows
