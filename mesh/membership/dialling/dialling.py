"""Dialling: whom a node dials, when, and which of its dials are needless."""

from __future__ import annotations

from mesh.membership.actions import Action, Dial, LookAgain, Redial
from mesh.membership.dialling.link_selection import dial_delay_seconds
from mesh.membership.dialling.trials import MAX_TRIALS, Place, Trials
from mesh.membership.member import Members
from mesh.membership.restart_policy import Failures
from mesh.membership.session_record import Session, Sessions

STATIC = "static:"
"""What the keys of sessions that dial a static address begin with."""
REMOVED = "its address was removed"


class Dialling:
    """Looks at what Membership knows; it changes nothing of that but the sessions and the static addresses."""

    def __init__(
        self,
        node_id: str,
        members: Members,
        sessions: Sessions,
        failures: Failures,
        static: dict[str, str | None],
        refused_static: dict[str, str],
        trials: Trials,
    ) -> None:
        self._node_id = node_id
        self._members = members
        self._sessions = sessions
        self._failures = failures
        self._static = static
        self._refused_static = refused_static
        self._trials = trials

    def consider(self, subject: str, now_seconds: float) -> list[Action]:
        """Dial `subject`, a node id or a static address, if nothing speaks against it."""
        is_trial = False
        if subject in self._static:
            node_id = self._static[subject]
            key = f"{STATIC}{subject}"
            addresses: tuple[str, ...] = (subject,)
            if subject in self._refused_static:
                return []
        else:
            member = self._members.get(subject)
            if member is None or not member.may_be_dialled:
                return []
            node_id, key, addresses = subject, dial_key(subject), member.addresses
            is_trial = member.state == "found"
        if key in self._sessions or self._failures.is_paused(subject):
            return []
        if node_id is not None and (self._sessions.met(node_id) or self._failures.is_paused(node_id)):
            return []
        if is_trial and not self._trials.may_begin(subject, addresses, self._running(), now_seconds):
            return self._look_later(subject, now_seconds)
        self._sessions[key] = Session(key, dialled=True, subject=subject, address=addresses[0])
        return [Dial(key, addresses)]

    def add_static(self, address: str, now_seconds: float) -> list[Action]:
        """Dial a static address from now on."""
        self._static.setdefault(address)
        session = self._sessions.get(f"{STATIC}{address}")
        if session is None or session.is_closing or session.subject == address:
            return self.consider(address, now_seconds)
        self._static[address] = session.other_node_id  # it was removed, and its connection was kept
        self._sessions.change(session.key, subject=address)
        return [Redial(session.key, (address,))]

    def remove_static(self, address: str) -> list[Action]:
        """Dial a static address no more. A connection by it is kept as long as it lasts if discovery knows that node, too."""
        self._static.pop(address, None)
        self._refused_static.pop(address, None)
        self._failures.pop(address, None)
        session = self._sessions.get(f"{STATIC}{address}")
        if session is None:
            return []
        member = self._members.get(session.other_node_id or "")
        if session.is_met and member is not None and member.addresses:
            self._sessions.change(session.key, subject=member.node_id)
            return [Redial(session.key, member.addresses)]
        if member is not None:
            self._members.change(member.node_id, reason=REMOVED)
        return self._sessions.close([session.key], REMOVED)

    def end_removed(self, key: str) -> list[Action]:
        """End a session that was kept without its static address, now that its connection is over: it is dialled anew."""
        session = self._sessions.get(key)
        is_removed = key.startswith(STATIC) and session is not None and session.subject not in self._static
        return self._sessions.close([key], REMOVED) if is_removed else []

    def _running(self) -> list[Place]:
        """Where nodes that never answered are dialled right now."""
        dials = [s.subject for s in self._sessions.values() if s.dialled and not s.connection_id and not s.is_closing]
        return [self._members[subject].addresses for subject in dials if self._members.is_found(subject)]

    def next_trials(self, now_seconds: float) -> list[Action]:
        """Dial those that wait for their turn, as far as there is room."""
        actions: list[Action] = []
        waiting = self._trials.waiting
        room = MAX_TRIALS - len(self._running()) if waiting else 0
        for node_id in waiting:
            if room <= 0:
                break
            begun = self.consider(node_id, now_seconds)
            room -= sum(isinstance(action, Dial) for action in begun)
            actions += begun
        return actions

    def on_trial_failed(self, session: Session, now_seconds: float) -> list[Action]:
        """No address of a node answered that never did: its session ends, and a later one tries again."""
        self._trials.on_failure(self._members[session.subject].addresses, now_seconds)
        return [
            *self._sessions.close([session.key], "no answer"),
            *self._look_later(session.subject, now_seconds),
            *self.next_trials(now_seconds),
        ]

    def _look_later(self, node_id: str, now_seconds: float) -> list[Action]:
        seconds = self._trials.look_seconds(node_id, now_seconds)
        return [] if seconds is None else [LookAgain(node_id, seconds)]

    def looks(self, subjects: set[str | None], delay: float | None = None) -> list[Action]:
        """Come back to nodes and static addresses, and to the static addresses of the nodes."""
        addresses = {address for address, node_id in self._static.items() if node_id in subjects and node_id}
        looks: list[Action] = []
        for subject in sorted({subject for subject in subjects if subject} | addresses):
            node_id = self._static.get(subject, subject) or self._node_id
            looks.append(LookAgain(subject, dial_delay_seconds(self._node_id, node_id) if delay is None else delay))
        return looks

    def idle_dials(self, node_id: str) -> list[str]:
        """Sessions that dial `node_id` and have no connection with it."""
        return self._sessions.idle_dials({node_id, *(at for at, known in self._static.items() if known == node_id)})

    def needless_dials(self, node_id: str, *, ended: str = "") -> list[str]:
        """Idle dials that may end now that `node_id` is met.

        As in surplus_links the node with the larger id does not choose: a greeting of ours may be under way, and the other end
        decide for it. It ends a dial only when an attempt of it has just `ended`.
        """
        idle = self.idle_dials(node_id)
        return idle if self._node_id < node_id else [key for key in idle if key == ended]

    def redials(self) -> list[Action]:
        """Let every dial that waits for its next attempt try at once."""
        redials: list[Action] = []
        for session in self._sessions.values():
            member = self._members.get(session.subject)
            addresses = member.addresses if member is not None else (session.subject,)
            is_idle = session.dialled and session.link is None and not session.is_closing
            if is_idle and addresses and session.subject != self._node_id:  # a check for clones has its one attempt
                redials.append(Redial(session.key, addresses))
        return redials


def dial_key(node_id: str) -> str:
    return f"dial:{node_id}"
