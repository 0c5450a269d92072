"""Other nodes as seen from here: one row each, and how a row changes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

LOST_SECONDS = 60.0
"""A node that was broken off is lost after this long without a session."""
MAX_MEMBERS = 256
"""Rows kept; beyond it nodes without a session make room: first those nobody misses, the oldest news first."""
MAX_ADDRESSES = 6

State = Literal["found", "alive", "suspect", "lost", "left", "refused"]
Event = Literal["sighted", "renewed", "met", "broken", "expired", "goodbye", "refused"]

MOVES: dict[tuple[State, Event], State] = {
    ("found", "sighted"): "found",
    ("found", "renewed"): "found",
    ("found", "met"): "alive",
    ("found", "broken"): "suspect",
    ("found", "expired"): "lost",
    ("found", "goodbye"): "left",
    ("found", "refused"): "refused",
    ("alive", "sighted"): "alive",
    ("alive", "renewed"): "alive",
    ("alive", "met"): "alive",
    ("alive", "broken"): "suspect",
    ("alive", "expired"): "alive",
    ("alive", "goodbye"): "left",
    ("alive", "refused"): "refused",
    ("suspect", "sighted"): "suspect",
    ("suspect", "renewed"): "suspect",
    ("suspect", "met"): "alive",
    ("suspect", "broken"): "suspect",
    ("suspect", "expired"): "lost",
    ("suspect", "goodbye"): "left",
    ("suspect", "refused"): "refused",
    ("lost", "sighted"): "found",
    ("lost", "renewed"): "found",
    ("lost", "met"): "alive",
    ("lost", "broken"): "lost",
    ("lost", "expired"): "lost",
    ("lost", "goodbye"): "left",
    ("lost", "refused"): "refused",
    ("left", "sighted"): "found",
    ("left", "renewed"): "found",
    ("left", "met"): "alive",
    ("left", "broken"): "left",
    ("left", "expired"): "left",
    ("left", "goodbye"): "left",
    ("left", "refused"): "refused",
    ("refused", "sighted"): "refused",  # the same announcement again changes nothing
    ("refused", "renewed"): "found",
    ("refused", "met"): "alive",
    ("refused", "broken"): "refused",
    ("refused", "expired"): "refused",
    ("refused", "goodbye"): "left",
    ("refused", "refused"): "refused",
}
"""`renewed` is a sighting with a new address or instance."""


@dataclass(frozen=True, slots=True)
class Member:
    """One other node."""

    node_id: str
    state: State = "found"
    since_seconds: float = 0.0
    """When the state began, by the monotonic clock."""
    addresses: tuple[str, ...] = ()
    """Where it may be dialled, best first."""
    instance: str = ""
    """The run that was sighted or greeted last: its boot id."""
    boots: tuple[str, ...] = ()
    """Boot ids that its greetings showed, newest last."""
    returns: int = 0
    """How often a boot id came back that another one had replaced."""
    is_cloned: bool = False
    """Two machines answer under this node's key."""
    confirmed: int | None = None
    """The position of our log up to which it had everything when its last link ended."""
    why_refused: str = ""
    """Of the last refusal; it counts while the state is refused."""

    @property
    def may_be_dialled(self) -> bool:
        return bool(self.addresses) and not self.is_cloned and self.state not in {"left", "refused"}


def moved(member: Member, event: Event, now_seconds: float) -> Member:
    """`member` after `event`. Raises KeyError for an event that the table does not know."""
    state = MOVES[member.state, event]
    return member if state == member.state else replace(member, state=state, since_seconds=now_seconds)


def sighted(member: Member, addresses: tuple[str, ...], instance: str, now_seconds: float) -> Member:
    """`member` after an announcement."""
    is_new = instance != member.instance or not set(addresses) <= set(member.addresses)
    member = replace(member, addresses=addresses[:MAX_ADDRESSES], instance=instance)
    return moved(member, "renewed" if is_new else "sighted", now_seconds)


MAX_BOOTS = 4
CLONE_RETURNS = 3
"""A late greeting of a run that has ended makes two: it comes back, and then the living one does."""


def greeted(member: Member, boot: str) -> Member:
    """`member` after a greeting. Boot ids that replace each other again and again are two machines under one key."""
    returns = member.returns + (boot in member.boots[:-1])
    boots = (*(known for known in member.boots if known != boot), boot)[-MAX_BOOTS:]
    is_cloned = member.is_cloned or returns >= CLONE_RETURNS
    return replace(member, boots=boots, returns=returns, is_cloned=is_cloned, instance=boot)


def surplus_member(members: dict[str, Member]) -> str | None:
    """The node id to forget when there are too many, or None."""
    if len(members) <= MAX_MEMBERS:
        return None
    idle = [member for member in members.values() if member.state != "alive"]
    idle.sort(key=lambda member: (member.state == "suspect", member.since_seconds, member.node_id))
    return idle[0].node_id if idle else None
