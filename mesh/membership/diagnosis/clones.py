"""Clones: two machines that run under one node id, ours or that of another node."""

from __future__ import annotations

from collections.abc import Iterable

from mesh.membership.actions import Action, Dial, LookAgain, Notice
from mesh.membership.diagnosis.runs import CLONE_SECONDS
from mesh.membership.dialling.link_selection import SECOND_DIAL_SECONDS
from mesh.membership.member import Member, Members
from mesh.membership.session_record import Session, Sessions

TAKEN = "taken"
"""The error sent to a run that is turned away because another run of its node is connected."""
TAKEN_REASON = "another machine runs under this node id"
"""The same for users."""
CLONE_LOOK = "*clone "
"""Prefix of the subject of the look whether two machines still answer under the node id that follows."""
OWN_DIAL = "own"
"""The key of the session that checks whether another machine answers under our id."""
HOLDERS_LOOK_SECONDS = 1.0
"""Time between two looks where neither of the two is connected."""
CHECK_PAUSE_SECONDS = 10.0
"""Time between two checks."""
MAX_FOREIGN_RUNS = 8
"""Runs announced under our id that wait for their check, or are remembered after it; a further one replaces the oldest."""


class Clones:
    """Finds out about clones, tells users of them once, and decides which of the two machines stays connected.

    Where nodes prove their keys none of the two does: the key is with another machine than its owner believes, and it cannot be
    known which of them is the owner's. As soon as only one is left it is let in.

    A clone of another node shows in its greetings (see Runs). An announcement under our own id proves nothing: a gateway may
    repeat an old one, and any host can forge one. So the address is dialled, and only an answer under our id counts.
    """

    def __init__(self, node_id: str, instance: str, members: Members, sessions: Sessions) -> None:
        self._node_id = node_id
        self._instance = instance
        self._members = members
        self._sessions = sessions
        self._unchecked: dict[str, tuple[str, ...]] = {}
        """Runs announced under our id: addresses by instance."""
        self._checked: dict[str, None] = {}
        self._next_seconds = 0.0

    def on_cloned(self, before: Member, hosts: Iterable[str]) -> list[Action]:
        """The greetings of another node may have shown a second machine; `before` is the row of the node before.

        `hosts` are the addresses, without ports, at which its runs are: the one that stays connected comes first.
        """
        if before.is_cloned or not self._members[before.node_id].is_cloned:
            return []
        return [clone_notice(before.node_id, hosts), LookAgain(f"{CLONE_LOOK}{before.node_id}", CLONE_SECONDS)]

    def others(self, node_id: str, boot: str) -> list[str]:
        """Keys of the sessions with other runs of a node."""
        return [link.key for link in self._sessions.links_with(node_id) if link.boot != boot]

    def is_taken(self, node_id: str, boot: str) -> bool:
        """Whether a run must be turned away at its greeting because another machine is connected under its node id."""
        member = self._members.get(node_id)
        return (
            member is not None and member.is_cloned and (member.runs.are_held_twice or bool(self.others(node_id, boot)))
        )

    def on_holders(self, node_id: str, keys: Iterable[str], now_seconds: float) -> list[Action]:
        """Two runs of a node have proved its key and answered at the same time, at the sessions `keys`: end all with it."""
        hosts = [self._sessions[key].host for key in keys]
        self._members.change(node_id, runs=self._members[node_id].runs.held_twice(now_seconds), reason=TAKEN_REASON)
        text = f"lost the connection to {node_id}: {TAKEN_REASON}"
        return [
            *self._sessions.close([link.key for link in self._sessions.links_with(node_id)], TAKEN_REASON),
            Notice("disconnected", node_id, text, who=hosts[0]),
            clone_notice(node_id, hosts),
            LookAgain(f"{CLONE_LOOK}{node_id}", HOLDERS_LOOK_SECONDS),
        ]

    def on_look(self, subject: str, now_seconds: float) -> list[Action]:
        """Tell users once only one machine runs under an id; until then look again and again."""
        node_id = subject.removeprefix(CLONE_LOOK)
        member = self._members.get(node_id)
        if member is None or not member.is_cloned:
            return []
        if not member.runs.is_over({link.boot for link in self._sessions.links_with(node_id)}, now_seconds):
            return [LookAgain(subject, HOLDERS_LOOK_SECONDS if member.runs.are_held_twice else CLONE_SECONDS)]
        self._members.change(node_id, runs=member.runs.renewed())
        over = Notice("note", node_id, f"only one machine runs as {node_id} now", "one machine")
        return [over, *([LookAgain(node_id, SECOND_DIAL_SECONDS)] if member.runs.are_held_twice else [])]

    def on_own_sighting(self, instance: str, addresses: tuple[str, ...], now_seconds: float) -> list[Action]:
        """Our id was announced: check it soon, unless it is our own announcement or was checked before."""
        if instance == self._instance or instance in self._checked or not addresses:
            return []
        self._unchecked[instance] = addresses
        _drop_oldest(self._unchecked)
        return self._look_at_own(now_seconds)

    def on_own_look(self, now_seconds: float) -> list[Action]:
        """Dial the newest unchecked run, unless a check runs or ended less than CHECK_PAUSE_SECONDS ago."""
        if OWN_DIAL in self._sessions or not self._unchecked or now_seconds < self._next_seconds:
            return []
        instance, addresses = self._unchecked.popitem()
        self._checked[instance] = None
        _drop_oldest(self._checked)
        self._next_seconds = now_seconds + CHECK_PAUSE_SECONDS
        self._sessions[OWN_DIAL] = Session(OWN_DIAL, dialled=True, subject=self._node_id, address=addresses[0])
        return [Dial(OWN_DIAL, addresses)]

    def on_check_end(self, session: Session, now_seconds: float) -> list[Action]:
        """The connection of a check ended: end its session, then check the next run."""
        return self._look_at_own(now_seconds) if session.is_closing else self._sessions.close([OWN_DIAL], "no clone")

    def retry(self) -> None:
        """Check all runs under our id again, and let both machines of another node connect until a clone shows again."""
        self._checked.clear()
        for node_id, member in self._members.items():
            self._members.change(node_id, runs=member.runs.renewed())

    def _look_at_own(self, now_seconds: float) -> list[Action]:
        pause = max(0.0, self._next_seconds - now_seconds)
        return [LookAgain(self._node_id, pause)] if self._unchecked else []


def clone_notice(node_id: str, hosts: Iterable[str]) -> Notice:
    """Tells users that two machines use one key, where they are as far as that is known, and what to do."""
    places = [host for host in hosts if host]
    known = " and ".join(dict.fromkeys(places))
    where = f"they are at {known}; " if places[1:] else f"one is at {known}; " if known else ""
    text = (
        f"two machines run as {node_id}: stop one of the two; {where}the one that is left goes on by itself; if its home "
        "was copied from the other, start a new node there, in an empty home (which has to join the mesh, unless it is open): "
        "it gets all events from the others"
    )
    return Notice("cloned", node_id, text, "two machines")


def _drop_oldest(runs: dict[str, tuple[str, ...]] | dict[str, None]) -> None:
    if len(runs) > MAX_FOREIGN_RUNS:
        del runs[next(iter(runs))]
