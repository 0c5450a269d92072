"""Path MTU black holes: ways on which small packets arrive and large ones vanish without an answer."""

from __future__ import annotations

from mesh.membership.actions import Action, Notice
from mesh.membership.session_record import LinkOutcome, Session

BLOCKED_LINKS = 2
"""So many links in a row that were cut off in silence, while something was to be sent, make it one."""
SMALL_SEGMENT = 1200
"""Bytes of a TCP segment that pass nearly every network: IPv6 asks for packets of 1280."""
PROOF_SECONDS = 600.0
"""A link with small segments that lasted so long ends the measure: the next one tries large packets again."""


def black_hole_sentence(subject: str) -> str:
    """What people are shown when large packets to `subject` get lost."""
    return (
        f"large packets do not get through to {subject}, small ones do: from now on this node sends it packets of at most "
        f"{SMALL_SEGMENT} bytes; check the MTU of the networks, tunnels and VPNs between the two"
    )


class BlackHoles:
    """Counts the blocked links of one node by subject: a node id, or a static address that has not greeted.

    After RFC 4821 (7.7), which looks for the cause in the same way: full-sized packets are lost one after the other, and no
    message says that they were too large.
    """

    def __init__(self) -> None:
        self._blocked: dict[str, int] = {}

    def on_closed(self, session: Session, now_seconds: float, outcome: LinkOutcome) -> list[Action]:
        """A link ended; what people are told if it showed that large packets do not get through."""
        subject = session.other_node_id or session.subject
        if not subject or not session.connection_id:  # it was never open
            return []
        lasted = now_seconds - session.link.met_seconds if session.link is not None else 0.0
        if not self.note(subject, lasted, is_blocked=outcome.is_blocked):
            return []
        return [Notice("note", session.other_node_id, black_hole_sentence(subject))]

    def note(self, subject: str, lasted_seconds: float, *, is_blocked: bool) -> bool:
        """A link with `subject` ended; True if it showed that large packets do not get through."""
        before = self._blocked.get(subject, 0)
        if is_blocked:
            self._blocked[subject] = before + 1
            return before + 1 == BLOCKED_LINKS
        if before < BLOCKED_LINKS or lasted_seconds >= PROOF_SECONDS:
            self.forget(subject)
        return False

    def max_segment(self, subject: str) -> int | None:
        """For a dial to `subject`; None: as large as the network allows."""
        return SMALL_SEGMENT if self._blocked.get(subject, 0) >= BLOCKED_LINKS else None

    def forget(self, subject: str) -> None:
        """Its network may be another now."""
        self._blocked.pop(subject, None)
