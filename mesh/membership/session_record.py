"""Sessions: what Membership knows of each session actor of this node."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from mesh.membership.actions import Action, Close
from mesh.membership.dialling.link_selection import Link


@dataclass(frozen=True, slots=True)
class LinkOutcome:
    """What a session knows of its link with another node when it ends."""

    is_stalled: bool = False
    """No data moved in either direction, though there was something to send."""
    is_blocked: bool = False
    """It was open, and the other end was silent while there was something to send."""
    confirmed: int | None = None
    """The position of our log up to which the other end has all events; None if it did not greet."""
    behind_since_seconds: float | None = None
    """The last time when the other end was known to have all our events; None: it had them at the end."""


NOTHING_KNOWN = LinkOutcome()


@dataclass(frozen=True, slots=True)
class Session:
    """One session actor. Immutable: each change makes a new record."""

    key: str
    dialled: bool
    subject: str = ""
    """The node id or static address that it dials; empty if it was accepted."""
    state: str = "connecting"
    address: str = ""
    other_node_id: str | None = None
    connection_id: str = ""
    link: Link | None = None
    """Set from the greeting until the connection ends."""
    was_synchronized: bool = False
    """Whether it was synchronized since the greeting: later changes of its state are no news."""
    is_closing: bool = False
    reason: str = ""
    """Why its last attempt or connection ended; empty while one is met."""

    @property
    def host(self) -> str:
        """Its address without the port."""
        return self.address.rpartition(":")[0]

    @property
    def is_met(self) -> bool:
        """Whether the other end has greeted, and the session stays."""
        return self.link is not None and not self.is_closing

    def may_be_with(self, node_id: str | None) -> bool:
        """Whether `node_id`, or any node if that is None, may be its other end."""
        if node_id is None or self.other_node_id == node_id:
            return True
        return self.dialled and self.link is None


class Sessions(dict[str, Session]):
    """The sessions by key: `dial:NODE_ID`, `static:ADDRESS`, `accepted:N` or `own`."""

    def change(self, key: str, **changes: object) -> None:
        """Replace fields of a session; nothing happens if it is gone."""
        session = self.get(key)
        if session is not None:
            self[key] = replace(session, **changes)  # type: ignore[arg-type]

    def expected(self, key: str) -> str:
        """The id of the node that a session dials; empty for a static address, at which any node may answer."""
        session = self.get(key)
        return session.subject if session is not None and "~" in session.subject else ""

    def on_state(self, key: str, state: str) -> str | None:
        """The role of a session changed its state. Returns the node that is synchronized for the first time by that."""
        session = self.get(key)
        if session is None or session.state == state:
            return None
        self.change(key, state=state)
        if state != "synchronized" or not session.is_met or session.was_synchronized:
            return None
        node_id = session.other_node_id or ""
        is_news = not any(other.was_synchronized for other in self.with_node(node_id))
        self.change(key, was_synchronized=True)
        return node_id if is_news else None

    def close(self, keys: Iterable[str], reason: str) -> list[Action]:
        """End sessions for good, except those that are closing already. Returns the `Close` actions."""
        closed: list[Action] = []
        for key in keys:
            if not self[key].is_closing:
                self.change(key, is_closing=True)
                closed.append(Close(key, reason))
        return closed

    def met(self, node_id: str, *, but: str = "") -> bool:
        """Whether a node is connected, not counting the session with the key `but`."""
        return any(session.is_met and session.key != but for session in self.with_node(node_id))

    def with_node(self, node_id: str) -> list[Session]:
        """The sessions with a node that are not closing."""
        return [s for s in self.values() if s.other_node_id == node_id and not s.is_closing]

    def links_with(self, node_id: str) -> list[Link]:
        """The links with a node whose sessions are not closing."""
        return [session.link for session in self.with_node(node_id) if session.link is not None]

    def keys_of(self, subject: str) -> list[str]:
        """Keys of the sessions that are with `subject` or dial it."""
        return [
            s.key for s in self.values() if (s.other_node_id == subject or s.subject == subject) and not s.is_closing
        ]

    def idle_dials(self, subjects: Iterable[str]) -> list[str]:
        """Keys of the sessions that dial one of these node ids or addresses and have no link."""
        wanted = {*subjects}
        return [s.key for s in self.values() if s.dialled and s.link is None and s.subject in wanted]

    def strange_dials(self) -> list[Session]:
        """The sessions that dial a static address at which no node has greeted yet, once a dial has failed."""
        failed = [s for s in self.values() if s.dialled and s.other_node_id is None and s.reason and not s.is_closing]
        return [session for session in failed if "~" not in session.subject]

    def held(self, node_id: str | None) -> tuple[str, ...]:
        """Connection ids to name in a greeting to a node, None if it is not known yet: those with it, and all open dials.

        The other end compares them with its own (see `surplus_links`).
        """
        return tuple(
            session.connection_id
            for session in self.values()
            if session.connection_id and not session.is_closing and session.may_be_with(node_id)
        )
