"""CloneLooks: nodes of which two machines were seen, looked at until only one of them runs."""

from __future__ import annotations

from mesh.membership.actions import Action, LookAgain, Notice
from mesh.membership.diagnosis.clones import CLONE_SECONDS, clone_notice
from mesh.membership.member import Members
from mesh.membership.session_record import Sessions

CLONE_LOOK = "*clone "
"""With a node id after it, the subject of the look whether two machines still answer under that id."""


class CloneLooks:
    """A part of Membership."""

    def __init__(self, members: Members, sessions: Sessions) -> None:
        self._members = members
        self._sessions = sessions

    def on_cloned(self, node_id: str) -> list[Action]:
        """A second machine was seen."""
        return [clone_notice(node_id), LookAgain(f"{CLONE_LOOK}{node_id}", CLONE_SECONDS)]

    def on_look(self, subject: str, now_seconds: float) -> list[Action]:
        """Time passed for the subject of a look."""
        node_id = subject.removeprefix(CLONE_LOOK)
        member = self._members.get(node_id)
        if member is None or not member.is_cloned:
            return []
        if not member.runs.is_over({link.boot for link in self._sessions.links_with(node_id)}, now_seconds):
            return [LookAgain(f"{CLONE_LOOK}{node_id}", CLONE_SECONDS)]
        self._members.change(node_id, runs=member.runs.renewed())
        return [Notice("note", node_id, f"only one machine runs as {node_id} now")]
