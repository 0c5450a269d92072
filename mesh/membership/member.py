"""Members: the other nodes that this node knows, a row for each, and how a row changes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, get_args

from mesh.discovery.port import Sighting
from mesh.membership.actions import Action, LookAgain, Notice
from mesh.membership.diagnosis.runs import Runs
from peers.limits import LimitHits, Limits

LOST_SECONDS = 60.0
"""A suspect node, whose connection broke, is lost after this long without a new one."""

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
    """Where it can be dialled, best first; `proven` is always among them."""
    proven: str = ""
    """Where it answered our last dial: an announcement, which may be forged, does not remove it, and puts one before it."""
    source: str = ""
    """The address from which its last announcement came, if that is known."""
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
    def has_answered(self) -> bool:
        """Whether it has ever greeted us."""
        return bool(self.runs.seen)

    @property
    def is_cloned(self) -> bool:
        """Whether two machines answer under the key of this node."""
        return self.runs.is_cloned

    @property
    def may_be_dialled(self) -> bool:
        """Whether it has an address, and neither said goodbye nor refused us.

        Of two machines that hold one key a dial would reach only the quicker one: both have to dial us.
        """
        return bool(self.addresses) and self.state not in {"left", "refused"} and not self.runs.are_held_twice


def moved(member: Member, event: MemberEvent, now_seconds: float) -> Member:
    """`member` after `event`, by the table MOVES; `since_seconds` changes with the state."""
    state = MOVES[event].get(member.state, member.state)
    return member if state == member.state else replace(member, state=state, since_seconds=now_seconds)


def is_renewed(member: Member, addresses: tuple[str, ...], instance: str) -> bool:
    """Whether an announcement shows a new run or a new address of `member`."""
    return instance != member.instance or not set(addresses) <= set(member.addresses)


def sighted(member: Member, addresses: tuple[str, ...], instance: str, now_seconds: float, limit: int) -> Member:
    """`member` after an announcement; at most `limit` addresses are kept."""
    is_new = is_renewed(member, addresses, instance)
    known = (*addresses[:1], member.proven, *addresses[1:]) if member.proven and addresses else addresses
    member = replace(member, addresses=tuple(dict.fromkeys(known))[:limit], instance=instance)
    return moved(member, "renewed" if is_new else "sighted", now_seconds)


def greeted(member: Member, boot: str, now_seconds: float, *, is_proven: bool = False) -> Member:
    """`member` after a greeting of its run `boot`, which proved its key or did not."""
    return replace(member, runs=member.runs.greeted(boot, now_seconds, is_proven=is_proven), instance=boot, reason="")


def without_address(member: Member, address: str) -> Member:
    """`member` after another node answered at one of its addresses."""
    left = tuple(known for known in member.addresses if known != address)
    return replace(member, addresses=left, proven="" if member.proven == address else member.proven)


def surplus_member(members: dict[str, Member], limit: int) -> str | None:
    """The node id to drop if there are more than `limit`, else None. None too if all are connected.

    First those go that never answered, of these those first that were dialled; last those whose connection broke; of others
    those whose state changed longest ago.
    """
    if len(members) <= limit:
        return None
    idle = [member for member in members.values() if member.state != "alive"]
    return min(idle, key=_keep_order).node_id if idle else None


def _keep_order(member: Member) -> tuple[bool, bool, bool, float, str]:
    """The row that is dropped first sorts first."""
    has_failed = member.state == "found" and bool(member.reason)
    return member.state == "suspect", member.has_answered, not has_failed, member.since_seconds, member.node_id


class Members(dict[str, Member]):
    """The rows of all other nodes, by node id: at most `Limits.members`, if not more are connected."""

    def __init__(self, limits: Limits, hits: LimitHits) -> None:
        super().__init__()
        self._limits = limits
        self._hits = hits

    def sighted(self, sighting: Sighting, addresses: tuple[str, ...], now_seconds: float) -> Member:
        """The row of a node after an announcement, with these addresses; it is not stored."""
        node_id, source = sighting.node_id, sighting.source
        before = replace(self.get(node_id) or Member(node_id, since_seconds=now_seconds), source=source)
        after = sighted(before, addresses, sighting.instance, now_seconds, self._limits.addresses_of_member)
        if not {*addresses} <= {*after.addresses}:
            self._hits.note("addresses_of_member", source or node_id)
        return after

    def keep(self, member: Member) -> str | None:
        """Store a row. Returns the node id whose row was dropped for it, if there were too many."""
        self[member.node_id] = member
        surplus = surplus_member(self, self._limits.members)
        if surplus is not None:
            self._hits.note("members", self.pop(surplus).source or surplus)
        return surplus

    def change(self, node_id: str, **changes: object) -> None:
        """Replace fields of the row of a known node. Raises KeyError for an unknown one."""
        self[node_id] = replace(self[node_id], **changes)  # type: ignore[arg-type]

    def move(self, node_id: str, event: MemberEvent, now_seconds: float) -> None:
        """Change the state of a known node after `event`. Raises KeyError for an unknown one."""
        self[node_id] = moved(self[node_id], event, now_seconds)

    def expire(self, node_id: str, now_seconds: float) -> list[Action]:
        """A member that has been suspect for LOST_SECONDS is lost now: the action says so to users."""
        member = self.get(node_id)
        if member is None or member.state != "suspect" or now_seconds - member.since_seconds < LOST_SECONDS:
            return []
        self.move(node_id, "expired", now_seconds)
        why = f" ({member.reason})" if member.reason else ""
        text = f"lost {node_id}: unreachable for {int(now_seconds - member.since_seconds)} s{why}"
        return [Notice("lost", node_id, text)]

    def renew_refused(self, now_seconds: float) -> None:
        """The nodes that refused us, or that we refused, may be dialled again."""
        for node_id, member in sorted(self.items()):
            if member.state == "refused":
                self.move(node_id, "renewed", now_seconds)

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
