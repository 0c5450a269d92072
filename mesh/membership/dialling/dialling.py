"""Dialling: whom this node dials, and when."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from mesh.membership.actions import Action, Dial, LookAgain, Notice, Redial, Requery
from mesh.membership.dialling.dial_backoff import DialBackoff
from mesh.membership.dialling.link_selection import dial_delay_seconds
from mesh.membership.dialling.trials import MAX_TRIALS, Place, Trials
from mesh.membership.member import Member, Members, without_address
from mesh.membership.restart_policy import Failures
from mesh.membership.session_record import Session, Sessions
from peers.limits import LimitHits, Limits
from peers.transport.address import UNKNOWN_KEY, address_key

STATIC = "static:"
"""Prefix of the keys of sessions that dial a static address."""
REMOVED = "its address was removed"
TRIALS_LOOK = "*trials"
"""The subject of the look at nodes that wait for `dials_per_second`; no node id and no address is written like this."""
TRIALS_SECONDS = 0.5
"""Until that look."""


class Dialling:
    """Decides whom to dial: nodes that were announced, and static addresses, which the user gave.

    `consider` decides whether to dial one of them now: when a `LookAgain` action is due after a sighting or a loss, when a
    session has ended, and when the user asks. A dial that has begun goes on by itself: its session dials again after each loss
    until it is closed. Of two nodes the one with the smaller id dials at once, the other one SECOND_DIAL_SECONDS later.
    """

    def __init__(
        self,
        node_id: str,
        members: Members,
        sessions: Sessions,
        failures: Failures,
        static: Iterable[str],
        limits: Limits,
        hits: LimitHits,
    ) -> None:
        """The tables are shared with Membership. A dial adds its session to `sessions`."""
        self.static: dict[str, str | None] = dict.fromkeys(static)
        """The static addresses, each with the node id that answered there last, None before the first answer."""
        self.refused_static: dict[str, str] = {}
        """Static addresses that are not dialled before a retry, since the node there refused us, and why."""
        self._node_id = node_id
        self._members = members
        self._sessions = sessions
        self._failures = failures
        self._hits = hits
        self._trials = Trials(limits.dials_per_second)
        self._is_trials_look_due = False
        self._backoff = DialBackoff(node_id)

    def consider(self, subject: str, now_seconds: float) -> list[Action]:
        """Dial `subject`, a node id or a static address, unless one of these forbids it.

        - it is not known, has no address, said goodbye or refused us
        - a session dials it, or its node is connected
        - it is paused after too many failures (see restart_policy)
        - it never answered, and too many such nodes are dialled now or were lately, or its pause is not over (see Trials)
        """
        member = self._members.get(subject)
        if subject in self.static:
            if subject in self.refused_static:
                return []
            key, node_id = f"{STATIC}{subject}", self.static[subject]
            addresses: tuple[str, ...] = (subject,)
        elif member is not None and member.may_be_dialled:
            key, node_id, addresses = dial_key(subject), subject, member.addresses
        else:
            return []
        if key in self._sessions or self._failures.is_paused(subject):
            return []
        if node_id is not None and (self._sessions.met(node_id) or self._failures.is_paused(node_id)):
            return []
        if subject not in self.static and member is not None and self._members.is_found(subject):
            is_new, was_waiting = not member.has_answered, self._trials.is_waiting(subject)
            source = member.source
            if not self._trials.may_begin(subject, addresses, source, self._running(), now_seconds, is_new=is_new):
                return self._look_later(subject, now_seconds, is_news=not was_waiting)
        self._sessions[key] = Session(key, dialled=True, subject=subject, address=addresses[0])
        return [Dial(key, addresses)]

    def consider_all(self, subjects: Iterable[str], now_seconds: float) -> list[Action]:
        """`consider` each of them, in this order."""
        return [action for subject in subjects for action in self.consider(subject, now_seconds)]

    def on_connected(self, address: str, now_seconds: float) -> list[Action]:
        """A node has connected from `address`: static addresses of its host at which no node has answered are tried at once.

        One may be that of this node, which could not be dialled before it ran: then that is known, and no dial of it goes on.
        Each time counts as a brief link with that host, which may drop its connections: else we would dial at its pace.
        """
        host = address_key(address)
        waiting = [
            session.subject
            for session in self._sessions.strange_dials()
            if self.static.get(session.subject, "") is None and address_key(session.subject) == host != UNKNOWN_KEY
        ]
        if not waiting or self._backoff.is_paused(host, now_seconds):
            return []
        self._backoff.on_link_end(host, 0.0, now_seconds)
        return [Redial(f"{STATIC}{static}", (static,)) for static in waiting]

    def on_sighting(self, member: Member, now_seconds: float) -> list[Action]:
        """A node was announced: dial it now or soon, or let the dial that waits try the addresses at once."""
        if self._sessions.met(member.node_id) or self._backoff.is_paused(member.node_id, now_seconds):
            return []
        dial = self._sessions.get(dial_key(member.node_id))
        if dial is not None and not dial.is_closing:
            if not member.has_answered and not self._trials.may_redial(now_seconds):
                self._hits.note("dials_per_second", member.source or member.node_id)
                return []  # it is dialled there when the present dial has failed
            return [Redial(dial.key, member.addresses)]
        return [LookAgain(member.node_id, dial_delay_seconds(self._node_id, member.node_id))]

    def on_look(self, subject: str, now_seconds: float) -> list[Action]:
        """A `LookAgain` is due: dial `subject`, unless its brief links forbid it (see DialBackoff)."""
        is_paused = self._backoff.is_paused(self.static.get(subject) or subject, now_seconds)
        return [] if is_paused else self.consider(subject, now_seconds)

    def on_link_end(self, node_id: str, lasted_seconds: float | None, now_seconds: float) -> list[Action]:
        """A link with a node broke: let discovery query for it and dial it soon, or dial it after a pause (see DialBackoff).

        `lasted_seconds` is None if the other end closed the link for another one: then it does not count as brief.
        """
        pause = None
        if lasted_seconds is not None:
            pause = self._backoff.on_link_end(node_id, lasted_seconds, now_seconds)
        return [*([Requery()] if pause is None else []), *self.looks({node_id}, pause)]

    def add_static(self, address: str, now_seconds: float) -> list[Action]:
        """Dial a static address from now on."""
        self.static.setdefault(address)
        session = self._sessions.get(f"{STATIC}{address}")
        if session is None or session.is_closing or session.subject == address:
            return self.consider(address, now_seconds)
        self.static[address] = session.other_node_id  # it was removed, and its connection was kept
        self._sessions.change(session.key, subject=address)
        return [Redial(session.key, (address,))]

    def remove_static(self, address: str) -> list[Action]:
        """Stop dialling a static address. Its connection ends, unless discovery found the node too: then it is kept."""
        self.static.pop(address, None)
        self.refused_static.pop(address, None)
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
        """Close a session whose static address was removed, when its connection has ended; its node is dialled anew."""
        session = self._sessions.get(key)
        is_removed = key.startswith(STATIC) and session is not None and session.subject not in self.static
        return self._sessions.close([key], REMOVED) if is_removed else []

    def next_trials(self, now_seconds: float) -> list[Action]:
        """Dial nodes that wait for their turn, as many as MAX_TRIALS allows."""
        actions: list[Action] = []
        waiting = self._trials.waiting
        room = MAX_TRIALS - len(self._running()) if waiting else 0
        has_to_wait = False
        for node_id in waiting:
            if room <= 0:
                break
            if not (self._trials.has_dials(now_seconds) or self._members[node_id].has_answered):
                has_to_wait = True
                continue
            begun = self.consider(node_id, now_seconds)
            room -= sum(isinstance(action, Dial) for action in begun)
            actions += begun
        return [*actions, *(self._look_at_trials() if has_to_wait else [])]

    def on_trial_failed(self, session: Session, now_seconds: float) -> list[Action]:
        """A node that never answered did not answer at any address: its session ends, and it is dialled again later."""
        self._trials.on_failure(self._members[session.subject].addresses, now_seconds)
        return [
            *self._sessions.close([session.key], "no answer"),
            *self._look_later(session.subject, now_seconds),
            *self.next_trials(now_seconds),
        ]

    def on_wrong_node(self, session: Session, other_node_id: str, address: str, now_seconds: float) -> list[Action]:
        """Another node answered at `address`, where that of a session was expected: other addresses of that may be right.

        The address is removed, and a failed trial is counted at all of them.
        """
        closed = self._sessions.close([session.key], "another node was expected here")
        member = self._members.get(session.subject)
        if member is None:  # it was a check for clones of this node
            return closed
        text = f"{other_node_id} answers at {address}, where {session.subject} was expected"
        self._trials.on_failure(member.addresses, now_seconds)
        self._members[session.subject] = replace(without_address(member, address), reason=text)
        return [*closed, Notice("note", other_node_id, text, "another node"), Requery()]

    def on_refused(self, session: Session, other_node_id: str | None, why: str, now_seconds: float) -> str | None:
        """A session was refused: do not dial its node or static address again. Returns the node id that was refused, if known.

        A node that dialled us may claim any id: only the refusal of a dial of ours changes its row, and not while it is
        connected by another session.
        """
        node_id = other_node_id or session.other_node_id
        if session.subject in self.static:
            self.refused_static[session.subject] = why
        elif session.subject:
            node_id = session.subject
        if (
            session.dialled
            and node_id
            and node_id in self._members
            and not self._sessions.met(node_id, but=session.key)
        ):
            self._members.move(node_id, "refused", now_seconds)
            self._members.change(node_id, reason=why)
        return node_id

    def unanswered(self, session: Session) -> tuple[str, ...] | None:
        """The addresses of a dial that failed and that users should hear of; None if its node has answered before."""
        if session.subject in self.static:
            return None if session.connection_id else (session.subject,)  # an error on the open link says more
        return self._members[session.subject].addresses if self._members.is_found(session.subject) else None

    def looks(self, subjects: set[str | None], delay: float | None = None) -> list[Action]:
        """Consider nodes and static addresses, and the static addresses of the nodes, in `delay` seconds.

        None is the delay by which the node with the larger id waits for the other one to dial.
        """
        addresses = {address for address, node_id in self.static.items() if node_id in subjects and node_id}
        looks: list[Action] = []
        for subject in sorted({subject for subject in subjects if subject} | addresses):
            node_id = self.static.get(subject, subject) or self._node_id
            looks.append(LookAgain(subject, dial_delay_seconds(self._node_id, node_id) if delay is None else delay))
        return looks

    def idle_dials(self, node_id: str) -> list[str]:
        """Keys of the sessions that dial `node_id` and have no connection with it."""
        return self._sessions.idle_dials({node_id, *(at for at, known in self.static.items() if known == node_id)})

    def needless_dials(self, node_id: str, *, ended: str = "") -> list[str]:
        """Keys of the idle dials that may end now that `node_id` is connected.

        As in `surplus_links`, the node with the larger id does not choose: a greeting of ours may be on its way, and the other
        end may keep that connection. It ends only the dial whose attempt has just `ended`.
        """
        idle = self.idle_dials(node_id)
        return idle if self._node_id < node_id else [key for key in idle if key == ended]

    def retry(self) -> list[Action]:
        """End all pauses and refusals, and let each dial that waits for its next attempt try at once."""
        self.refused_static.clear()
        self._backoff.clear()
        self._trials.clear()
        redials: list[Action] = []
        for session in self._sessions.values():
            member = self._members.get(session.subject)
            addresses = member.addresses if member is not None else (session.subject,)
            is_idle = session.dialled and session.link is None and not session.is_closing
            if is_idle and addresses and session.subject != self._node_id:  # a check for clones has only one attempt
                redials.append(Redial(session.key, addresses))
        return redials

    def end_trials(self, subject: str) -> None:
        """`subject` answered, or its announcement changed: end the pause of its trials."""
        self._trials.forget(subject)

    def end_backoff(self, node_id: str) -> None:
        """The earlier brief links say nothing about a node any more: end its pause."""
        self._backoff.forget(node_id)

    def drop(self, node_id: str) -> None:
        """Forget a node that is no longer a member."""
        self._backoff.forget(node_id)
        self._trials.drop(node_id)

    def _running(self) -> list[Place]:
        """Where nodes that never answered are dialled right now."""
        dials = [s.subject for s in self._sessions.values() if s.dialled and not s.connection_id and not s.is_closing]
        return [self._members[subject].addresses for subject in dials if self._members.is_found(subject)]

    def on_trials_look(self, now_seconds: float) -> list[Action]:
        """TRIALS_SECONDS after nodes had to wait for `dials_per_second`."""
        self._is_trials_look_due = False
        return self.next_trials(now_seconds)

    def _look_later(self, node_id: str, now_seconds: float, *, is_news: bool = False) -> list[Action]:
        seconds = self._trials.look_seconds(node_id, now_seconds)
        looks: list[Action] = [] if seconds is None else [LookAgain(node_id, seconds)]
        if self._trials.is_waiting(node_id) and not self._trials.has_dials(now_seconds):
            if is_news:
                self._hits.note("dials_per_second", self._members[node_id].source or node_id)
            looks += self._look_at_trials()
        return looks

    def _look_at_trials(self) -> list[Action]:
        if self._is_trials_look_due:
            return []
        self._is_trials_look_due = True
        return [LookAgain(TRIALS_LOOK, TRIALS_SECONDS)]


def dial_key(node_id: str) -> str:
    """The key of the session that dials a node that was announced."""
    return f"dial:{node_id}"
