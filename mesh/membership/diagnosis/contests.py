"""Contests: of two links under one node id the one that was there first stays, if its other end still answers."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

from mesh.membership.actions import Action, Ask
from mesh.membership.dialling.link_selection import Link
from mesh.membership.session_record import Sessions


@dataclass(slots=True)
class _Contest:
    """Of an older link, which was asked."""

    asked: list[Link]
    """Links that greeted before it was asked: they end if it answers."""
    later: list[Link] = field(default_factory=list)
    """Links that greeted since: then it is asked again."""


class Contests:
    """Asks the other end of an older link for a sign of life when a new one makes it surplus.

    Any node may greet under any id, so a greeting alone ends no link. Both links stay until the older one answers, or ends: by
    the timeout of its role, if the machine at its other end has gone without a word. So a node that restarted or moved is
    connected at once, and a stranger does not displace a node that lives.
    """

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions
        self._contests: dict[str, _Contest] = {}
        """By the key of the older session."""
        self._answered: dict[str, None] = {}
        """Sessions whose present link has answered in a contest."""

    def begin(self, older: Collection[str], newest: Link | None = None) -> list[Action]:
        """Ask the sessions `older`; `newest` is the link that may end, None if there is none."""
        asks: list[Action] = []
        for key in older:
            contest = self._contests.get(key)
            if contest is None:
                self._contests[key] = _Contest([newest] if newest is not None else [])
                asks.append(Ask(key))
            elif newest is not None:
                contest.later = [link for link in contest.later if self._is_open(link)] + [newest]
        return asks

    def on_answered(self, key: str, connection_id: str) -> tuple[list[Link], list[Action]]:
        """The other end of a session's link has answered. Returns the links that have to end, and whom to ask next."""
        session = self._sessions.get(key)
        if session is None or session.link is None or session.link.connection_id != connection_id or session.is_closing:
            return [], []
        contest = self._contests.pop(key, None)
        if contest is None:
            return [], []
        self._answered[key] = None
        lost = [link for link in contest.asked if self._is_open(link)]
        later = [link for link in contest.later if self._is_open(link)]
        if not later:
            return lost, []
        self._contests[key] = _Contest(later)
        return lost, [Ask(key)]

    def have_answered(self, keys: Collection[str]) -> bool:
        """Whether the other end of one of these sessions has answered when it was asked, since it is linked."""
        return any(key in self._answered for key in keys)

    def on_link_end(self, key: str) -> None:
        """The link of a session ended."""
        self._contests.pop(key, None)
        self._answered.pop(key, None)

    def _is_open(self, link: Link) -> bool:
        session = self._sessions.get(link.key)
        return session is not None and session.link == link and not session.is_closing
