"""The session actors of a node, as Membership knows them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from mesh.membership.actions import Action, Close
from mesh.membership.dialling.link_selection import Link


@dataclass(frozen=True, slots=True)
class LinkOutcome:
    """What came of a link between two nodes, known at its end."""

    is_stalled: bool = False
    """Nothing moved on it either way, though something was to be sent."""
    is_blocked: bool = False
    """It was open, and ended in silence while something was to be sent."""
    confirmed: int | None = None
    """The position of our log up to which the other end has everything; None if they did not greet."""
    behind_since_seconds: float | None = None
    """The last time before its end when the other end was known to have everything; None: it had everything at the end."""


NOTHING_KNOWN = LinkOutcome()


@dataclass(frozen=True, slots=True)
class Session:
    """One session actor."""

    key: str
    dialled: bool
    subject: str = ""
    """The node id or the static address that it dials; empty if it was accepted."""
    state: str = "connecting"
    address: str = ""
    other_node_id: str | None = None
    connection_id: str = ""
    link: Link | None = None
    """Set while the greeting is done and the connection lives."""
    was_synchronized: bool = False
    """Since the greeting: later changes between sending and synchronized are no news."""
    is_closing: bool = False
    reason: str = ""
    """Why its last attempt or connection ended; empty while one is met."""

    @property
    def is_met(self) -> bool:
        return self.link is not None and not self.is_closing

    def may_be_with(self, node_id: str | None) -> bool:
        """Whether `node_id`, or anybody at all, may be its other end."""
        if node_id is None or self.other_node_id == node_id:
            return True
        return self.dialled and self.link is None


class Sessions(dict[str, Session]):
    """The session actors by key."""

    def change(self, key: str, **changes: object) -> None:
        """Note something new of a session; nothing happens if it is gone."""
        session = self.get(key)
        if session is not None:
            self[key] = replace(session, **changes)  # type: ignore[arg-type]

    def close(self, keys: Iterable[str], reason: str) -> list[Action]:
        """End sessions for good; those that end already are left out."""
        closed: list[Action] = []
        for key in keys:
            if not self[key].is_closing:
                self.change(key, is_closing=True)
                closed.append(Close(key, reason))
        return closed

    def met(self, node_id: str, *, but: str = "") -> bool:
        """Whether a session with that node is met, not counting the one of the key `but`."""
        return any(session.is_met and session.key != but for session in self.with_node(node_id))

    def with_node(self, node_id: str) -> list[Session]:
        return [s for s in self.values() if s.other_node_id == node_id and not s.is_closing]

    def links_with(self, node_id: str) -> list[Link]:
        return [session.link for session in self.with_node(node_id) if session.link is not None]

    def keys_of(self, subject: str) -> list[str]:
        """Sessions that are with `subject` or dial it."""
        return [
            s.key for s in self.values() if (s.other_node_id == subject or s.subject == subject) and not s.is_closing
        ]

    def idle_dials(self, subjects: Iterable[str]) -> list[str]:
        """Sessions that dial one of these node ids or addresses and have no connection."""
        wanted = {*subjects}
        return [s.key for s in self.values() if s.dialled and s.link is None and s.subject in wanted]

    def held(self, node_id: str | None) -> tuple[str, ...]:
        """Connections to name in a greeting to `node_id`, or to somebody unknown: those with it, and all dials under way."""
        return tuple(
            session.connection_id
            for session in self.values()
            if session.connection_id and not session.is_closing and session.may_be_with(node_id)
        )
