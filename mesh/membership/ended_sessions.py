"""EndedSessions: what follows when the connection of a session with another node ends, or its actor fails."""

from __future__ import annotations

from mesh.membership.actions import Action, Notice
from mesh.membership.diagnosis.clones import OWN_DIAL, Clones
from mesh.membership.diagnosis.unreachable import Unreachable
from mesh.membership.dialling.dialling import Dialling
from mesh.membership.dialling.link_selection import SECOND_DIAL_SECONDS
from mesh.membership.member import Members
from mesh.membership.restart_policy import Failures, Pause
from mesh.membership.session_record import LinkOutcome, Session, Sessions

GOODBYE = "goodbye"
"""The reason with which a node that stops closes its sessions."""
GOODBYE_LOOK_SECONDS = 1.0
"""After a goodbye, a static address is dialled again this much later."""
PAUSED = "paused"
SURPLUS = "one connection is enough"


class EndedSessions:
    """Decides when the node or static address of such a session is dialled again, and what users hear.

    One whose actor failed restarts later, or is paused after too many failures (see restart_policy).
    """

    def __init__(
        self,
        members: Members,
        sessions: Sessions,
        failures: Failures,
        dialling: Dialling,
        clones: Clones,
        unreachable: Unreachable,
    ) -> None:
        """All of these are those of Membership."""
        self._members = members
        self._sessions = sessions
        self._failures = failures
        self._dialling = dialling
        self._clones = clones
        self._unreachable = unreachable

    def on_closed(
        self, session: Session, reason: str, now_seconds: float, note: str, cause: str, outcome: LinkOutcome
    ) -> list[Action]:
        """The parameters are those of `Membership.on_closed`."""
        key = session.key
        node_id = session.other_node_id or (session.subject if session.subject not in self._dialling.static else None)
        if session.dialled and not session.is_closing:
            self._sessions.change(
                key, link=None, connection_id="", state="disconnected", was_synchronized=False, reason=reason
            )
        else:
            del self._sessions[key]
        if key == OWN_DIAL:
            return self._clones.on_check_end(session, now_seconds)
        if node_id is not None and self._sessions.met(node_id):
            return self._sessions.close(self._dialling.needless_dials(node_id, ended=key), SURPLUS)
        if session.is_closing:  # we closed it: no news, but its node and other ones may be dialled now
            return [
                *self._members.mark_broken(node_id, now_seconds),
                *self._dialling.looks({node_id, session.subject}, SECOND_DIAL_SECONDS),
                *self._dialling.next_trials(now_seconds),
            ]
        subject = self._dialling.static.get(session.subject, session.subject)
        notes = self._unreachable.note(session.subject, self._dialling.unanswered(session), subject, reason)
        if not notes and note and session.link is None:
            notes = [Notice("note", node_id, note, cause or "a link", session.host)]
        member = self._members.get(node_id or "")
        if member is None:
            return notes
        self._members.change(member.node_id, reason=reason)
        is_last_run = session.link is not None and session.link.boot == member.instance
        if reason == GOODBYE and is_last_run and not member.is_cloned:  # its next run may have been sighted already
            return self._on_goodbye(member.node_id, now_seconds)
        if member.state == "found" and session.subject == node_id:
            return [*notes, *self._dialling.on_trial_failed(session, now_seconds)]
        return [*notes, *self._on_broken(member.node_id, reason, now_seconds, session, outcome)]

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

    def _on_goodbye(self, node_id: str, now_seconds: float) -> list[Action]:
        self._members.move(node_id, "goodbye", now_seconds)
        idle = [
            key
            for key in self._dialling.idle_dials(node_id)
            if self._sessions[key].subject not in self._dialling.static
        ]
        return [
            *self._sessions.close(idle, "left"),
            Notice("left", node_id, f"{node_id} said goodbye"),
            *self._dialling.looks({node_id}, GOODBYE_LOOK_SECONDS),
        ]

    def _on_broken(
        self, node_id: str, reason: str, now_seconds: float, session: Session, outcome: LinkOutcome
    ) -> list[Action]:
        actions = self._members.mark_broken(node_id, now_seconds)
        if session.link is None:
            return actions
        lasted = None if reason == SURPLUS else 0.0 if outcome.is_stalled else now_seconds - session.link.met_seconds
        text = f"lost the connection to {node_id}" + (f": {reason}" if reason else "")
        notice = Notice("disconnected", node_id, text, who=session.host)
        return [notice, *actions, *self._dialling.on_link_end(node_id, lasted, now_seconds)]
