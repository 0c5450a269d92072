"""Path MTU black holes: network paths on which small packets arrive, and large ones are lost without an error."""

from __future__ import annotations

from mesh.membership.actions import Action, Notice
from mesh.membership.session_record import LinkOutcome, Session

BLOCKED_LINKS = 2
"""So many blocked links in a row (see LinkOutcome.is_blocked) show a black hole."""
SMALL_SEGMENT = 1200
"""Bytes of a TCP segment that fit nearly every network: IPv6 requires packets of 1280 bytes."""
PROOF_SECONDS = 600.0
"""After a link with small segments that lasted this long, the next link uses large packets again."""


def black_hole_sentence(subject: str) -> str:
    """The notice that large packets to `subject`, a node id or a static address, are lost."""
    return (
        f"large packets do not get through to {subject}, small ones do: from now on this node sends it packets of at most "
        f"{SMALL_SEGMENT} bytes; check the MTU of the networks, tunnels and VPNs between the two"
    )


class BlackHoles:
    """Counts blocked links by subject (a node id, or a static address before a greeting), and makes the segments smaller.

    After RFC 4821 (7.7): full-sized packets are lost one after the other, and no ICMP message says that they were too large.
    """

    def __init__(self) -> None:
        self._blocked: dict[str, int] = {}

    def on_closed(self, session: Session, now_seconds: float, outcome: LinkOutcome) -> list[Action]:
        """A link ended: a notice if it shows a black hole."""
        subject = session.other_node_id or session.subject
        if not subject or not session.connection_id:  # it was never open
            return []
        lasted = now_seconds - session.link.met_seconds if session.link is not None else 0.0
        if not self.note(subject, lasted, is_blocked=outcome.is_blocked):
            return []
        return [Notice("note", session.other_node_id, black_hole_sentence(subject), "large packets")]

    def note(self, subject: str, lasted_seconds: float, *, is_blocked: bool) -> bool:
        """A link with `subject` ended. Returns True when a black hole shows for the first time."""
        before = self._blocked.get(subject, 0)
        if is_blocked:
            self._blocked[subject] = before + 1
            return before + 1 == BLOCKED_LINKS
        if before < BLOCKED_LINKS or lasted_seconds >= PROOF_SECONDS:
            self.forget(subject)
        return False

    def max_segment(self, subject: str) -> int | None:
        """The largest TCP segment for a dial of `subject`, in bytes; None: as large as the network allows."""
        return SMALL_SEGMENT if self._blocked.get(subject, 0) >= BLOCKED_LINKS else None

    def forget(self, subject: str) -> None:
        """Use large packets again."""
        self._blocked.pop(subject, None)
