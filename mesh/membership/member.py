"""Members: the other nodes that this node knows, a row for each, and how a row changes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, get_args

from mesh.membership.actions import Action, LookAgain
from mesh.membership.diagnosis.runs import Runs

LOST_SECONDS = 60.0
"""A suspect node, whose connection broke, is lost after this long without a new one."""
MAX_MEMBERS = 256
"""Rows that are kept. Beyond, the row of a node without a session is dropped: first of nodes that were announced and did not
answer, then of others in the order of their last change, and last of those whose connection broke."""
MAX_MEMBER_ADDRESSES = 6
"""Addresses that are kept of one node."""

MemberState = Literal["found", "alive", "suspect", "lost", "left", "refused"]
STATES: tuple[MemberState, ...] = get_args(MemberState)
MemberEvent = Literal["sighted", "renewed", "met", "broken", "expired", "goodbye", "refused"]

MOVES: dict[MemberEvent, dict[MemberState, MemberState]] = {
    "sighted": {"lost": "found", "left": "found"},  # not "refused": the same announcement again changes nothing
    "renewed": {"lost": "found", "left": "found", "refused": "found"},
    "met": dict.fromkeys(STATES, "alive"),
    "broken": {"alive": "suspect"},
    "expired": {"suspect": "lost"},
    "goodbye": dict.fromkeys(STATES, "left"),
    "refused": dict.fromkeys(STATES, "refused"),
}
"""For each event the new state by the old one; a state that is not named stays. `renewed` is a sighting with a new address or
instance."""

NO_RUNS = Runs()


@dataclass(frozen=True, slots=True)
class Member:
    """The row of one other node. Immutable: each change makes a new row."""

    node_id: str
    state: MemberState = "found"
    since_seconds: float = 0.0
    """When the state began, by the monotonic clock."""
    addresses: tuple[str, ...] = ()
    """Where it can be dialled, best first."""
    instance: str = ""
    """The boot id of the run that was sighted or greeted last."""
    runs: Runs = NO_RUNS
    """The runs that greeted us."""
    confirmed: int | None = None
    """The position of our log up to which it had all events when its last link ended."""
    behind_since_seconds: float | None = None
    """The last time until then when it was known to have all our events, by the monotonic clock; None until a link ended."""
    reason: str = ""
    """Why it is not connected: the reason of the last refusal, lost connection or failed dial; empty while it is connected."""

    @property
    def is_cloned(self) -> bool:
        """Whether two machines answer under the key of this node."""
        return self.runs.is_cloned

    @property
    def may_be_dialled(self) -> bool:
        """Whether it has an address, and neither said goodbye nor refused us."""
        return bool(self.addresses) and self.state not in {"left", "refused"}


def moved(member: Member, event: MemberEvent, now_seconds: float) -> Member:
    """`member` after `event`, by the table MOVES; `since_seconds` changes with the state."""
    state = MOVES[event].get(member.state, member.state)
    return member if state == member.state else replace(member, state=state, since_seconds=now_seconds)


def is_renewed(member: Member, addresses: tuple[str, ...], instance: str) -> bool:
    """Whether an announcement shows a new run or a new address of `member`."""
    return instance != member.instance or not set(addresses) <= set(member.addresses)


def sighted(member: Member, addresses: tuple[str, ...], instance: str, now_seconds: float) -> Member:
    """`member` after an announcement."""
    is_new = is_renewed(member, addresses, instance)
    member = replace(member, addresses=tuple(dict.fromkeys(addresses))[:MAX_MEMBER_ADDRESSES], instance=instance)
    return moved(member, "renewed" if is_new else "sighted", now_seconds)


def greeted(member: Member, boot: str, now_seconds: float) -> Member:
    """`member` after a greeting of its run `boot`."""
    return replace(member, runs=member.runs.greeted(boot, now_seconds), instance=boot, reason="")


def surplus_member(members: dict[str, Member]) -> str | None:
    """The node id to drop if there are more than MAX_MEMBERS, else None. None too if all are connected."""
    if len(members) <= MAX_MEMBERS:
        return None
    idle = [member for member in members.values() if member.state != "alive"]
    idle.sort(key=_keep_order)
    return idle[0].node_id if idle else None


def _keep_order(member: Member) -> tuple[bool, bool, float, str]:
    """The row that is dropped first sorts first."""
    has_failed = member.state == "found" and bool(member.reason)
    return member.state == "suspect", not has_failed, member.since_seconds, member.node_id


class Members(dict[str, Member]):
    """The rows of all other nodes, by node id."""

    def keep(self, member: Member) -> str | None:
        """Store a row. Returns the node id whose row was dropped for it, if there were too many."""
        self[member.node_id] = member
        surplus = surplus_member(self)
        if surplus is not None:
            del self[surplus]
        return surplus

    def change(self, node_id: str, **changes: object) -> None:
        """Replace fields of the row of a known node. Raises KeyError for an unknown one."""
        self[node_id] = replace(self[node_id], **changes)  # type: ignore[arg-type]

    def move(self, node_id: str, event: MemberEvent, now_seconds: float) -> None:
        """Change the state of a known node after `event`. Raises KeyError for an unknown one."""
        self[node_id] = moved(self[node_id], event, now_seconds)

    def expire(self, node_id: str, now_seconds: float) -> Member | None:
        """A member that has been suspect for LOST_SECONDS is lost now. Returns its row before that, None if it is not lost."""
        member = self.get(node_id)
        if member is None or member.state != "suspect" or now_seconds - member.since_seconds < LOST_SECONDS:
            return None
        self.move(node_id, "expired", now_seconds)
        return member

    def mark_broken(self, node_id: str | None, now_seconds: float) -> list[Action]:
        """A member has no session any more: it is suspect now, and lost after LOST_SECONDS."""
        before = self.get(node_id or "")
        if before is None:
            return []
        self.move(before.node_id, "broken", now_seconds)
        is_new = before.state != "suspect" and self[before.node_id].state == "suspect"
        return [LookAgain(before.node_id, LOST_SECONDS)] if is_new else []

    def is_found(self, node_id: str) -> bool:
        """Whether a node was announced, and has not been connected since (nor before, unless it was lost or left)."""
        return node_id in self and self[node_id].state == "found"
