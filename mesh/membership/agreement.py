"""Agreement: whether a node and the nodes it is connected to hold all events that each of them held at one moment."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import starmap
from typing import Any

from mesh.membership.dialling.refusals import refusal_sentence
from mesh.membership.member import Member
from mesh.membership.session_record import Session, Sessions

MAX_NAMED_NODES = 5
"""So many nodes are named in a sentence; the others are counted."""


class Agreement:
    """Collects the answers of one wait. Each link is asked once, and answers with its connection id when both ends agree."""

    def __init__(self, peers: int, position: int) -> None:
        """At least `peers` nodes must be connected; `position` is the last position of our log when the wait began."""
        self.peers = peers
        self.position = position
        self._asked: dict[str, None] = {}
        self._agreed: dict[str, None] = {}

    def to_ask(self, sessions: Sessions) -> list[Session]:
        """The sessions whose link was not asked yet. From now on these count as asked."""
        found = [
            session for session in sessions.values() if session.is_met and session.connection_id not in self._asked
        ]
        self._asked.update(dict.fromkeys(session.connection_id for session in found))
        return found

    def on_agreed(self, connection_id: str) -> None:
        """Both ends of a link hold the same events."""
        self._agreed[connection_id] = None

    def is_reached(self, sessions: Sessions) -> bool:
        """Whether enough nodes are connected, each with a link that agreed."""
        links = _links(sessions)
        return len(links) >= self.peers and all(map(self._has_agreed, links.values()))

    def why_not(
        self,
        sessions: Sessions,
        members: Iterable[Member],
        described: Mapping[str, Any],
        last_position: int,
        refused: Mapping[str, str],
    ) -> str:
        """Which nodes are missing or behind, and by how many events: a sentence without a full stop.

        `described` has what each session shows of itself, by key; `last_position` is the last position of our log now;
        `refused` says why static addresses are not dialled any more.
        """
        links = _links(sessions)
        lines = []
        if len(links) < self.peers:
            few = f"only {len(links)} of {self.peers} nodes {'is' if len(links) == 1 else 'are'} connected"
            lines.append(few if links else "no node is connected")
            lines += [_away(member) for member in members if member.node_id not in links][:MAX_NAMED_NODES]
            unanswered = [*map(_unanswered, sessions.strange_dials()), *starmap(refusal_sentence, refused.items())]
            lines += unanswered[:MAX_NAMED_NODES]
        behind = {node_id: met for node_id, met in sorted(links.items()) if not self._has_agreed(met)}
        for node_id, met in list(behind.items())[:MAX_NAMED_NODES]:
            lines.append(self._behind(node_id, described.get(met[0].key) or {}, last_position))
        if len(behind) > MAX_NAMED_NODES:
            lines.append(f"and {len(behind) - MAX_NAMED_NODES} more are behind")
        return "; ".join(lines)

    def _has_agreed(self, met: list[Session]) -> bool:
        return any(session.connection_id in self._agreed for session in met)

    def _behind(self, node_id: str, shown: Mapping[str, Any], last_position: int) -> str:
        lag, awaited = shown.get("lag"), shown.get("awaited")
        owed = None if lag is None else max(0, lag - (last_position - self.position))
        parts = [f"{node_id} has not confirmed up to {owed} of our events"] if owed else []
        whose = "its" if owed else f"{node_id}'s"
        parts += [f"up to {awaited} of {whose} events are not here"] if awaited else []
        return " and ".join(parts) or f"{node_id} has not answered"


def _links(sessions: Sessions) -> dict[str, list[Session]]:
    """The sessions with a greeting, by node."""
    links: dict[str, list[Session]] = {}
    for session in sessions.values():
        if session.is_met and session.other_node_id is not None:
            links.setdefault(session.other_node_id, []).append(session)
    return links


def _unanswered(session: Session) -> str:
    return f"{session.subject} is not connected ({session.reason.removeprefix(f'{session.subject}: ')})"


def _away(member: Member) -> str:
    return f"{member.node_id} is {member.state}" + (f" ({member.reason})" if member.reason else "")
