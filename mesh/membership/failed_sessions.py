"""FailedSessions: what follows when the actor of a session with another node fails."""

from __future__ import annotations

from mesh.membership.actions import Action, Notice
from mesh.membership.dialling.dialling import Dialling
from mesh.membership.member import Members
from mesh.membership.restart_policy import Failures, Pause
from mesh.membership.session_record import Session, Sessions

PAUSED = "paused"


class FailedSessions:
    """Restarts the session with a node or static address later, or pauses it after too many failures (see restart_policy)."""

    def __init__(self, members: Members, sessions: Sessions, failures: Failures, dialling: Dialling) -> None:
        """The tables are those of Membership."""
        self._members = members
        self._sessions = sessions
        self._failures = failures
        self._dialling = dialling

    def on_failed(self, session: Session, why: str, now_seconds: float, share: float) -> list[Action]:
        """The parameters are those of `Membership.on_failed`; the session is gone from the table.

        A connection that a node opened while it is connected by another one counts as that of a stranger: anybody may claim
        its id.
        """
        subject = session.other_node_id or session.subject
        if not session.dialled and subject and self._sessions.met(subject):
            subject = ""
        if not subject:
            text = f"a session with {session.address} failed before its node was known: {why}"
            return [Notice("note", None, text, "a stranger", session.host)]
        outcome = self._failures.on_failure(subject, now_seconds, why, share)
        actions = self._sessions.close(self._sessions.keys_of(subject), PAUSED) if isinstance(outcome, Pause) else []
        if not self._sessions.met(subject):
            actions += self._members.mark_broken(subject, now_seconds)
        node_id = subject if subject in self._members else None
        if isinstance(outcome, Pause):
            text = f"paused the session with {subject} after too many failures: {why}; `mesh retry` starts it again"
            return [*actions, Notice("paused", node_id, text, "a session")]
        text = f"the session with {subject} failed and restarts: {why}"
        looks = self._dialling.looks({subject, session.subject}, outcome.delay_seconds)
        return [*actions, Notice("restarted", node_id, text, "a session"), *looks]
