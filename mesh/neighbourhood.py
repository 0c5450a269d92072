"""Everything a node decides about its neighbours: reports in, actions out; it starts and stops nothing itself."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from mesh import membership, restart_policy
from mesh.actions import Action, Close, Dial, LookAgain, Notice, Redial, Requery
from mesh.black_holes import BlackHoles, black_hole_sentence
from mesh.brief_links import BriefLinks
from mesh.discovery.discovery import Sighting
from mesh.known_session import NOTHING_KNOWN, LinkOutcome, Session
from mesh.membership import LOST_SECONDS, Event, Member
from mesh.refusals import CLONED, THIS_NODE, OwnClones, clone_notice, refusal_sentence, unreachable_sentence
from mesh.restart_policy import Pause, Record
from mesh.topology import SECOND_DIAL_SECONDS, Link, dial_delay_seconds, surplus_links

GOODBYE = "goodbye"
"""The reason with which a node that stops closes its sessions."""
GOODBYE_LOOK_SECONDS = 1.0
"""When to see whether a static address answers again."""
SURPLUS = "one connection is enough"
PAUSED = "paused"


class Neighbourhood:
    """Members, sessions and failures of one node. `now_seconds` is the monotonic clock's."""

    def __init__(self, node_id: str, instance: str, static_addresses: Iterable[str] = ()) -> None:
        self.node_id = node_id
        self.instance = instance
        self.members: dict[str, Member] = {}
        self.sessions: dict[str, Session] = {}
        self.failures: dict[str, Record] = {}
        self.static: dict[str, str | None] = dict.fromkeys(static_addresses)
        """Node id by static address, None until somebody answered there."""
        self.refused_static: dict[str, str] = {}
        self._unreachable: set[str] = set()
        """Static addresses that did not answer since they last worked; people were told."""
        self._own_clones = OwnClones(node_id, instance)
        self._brief = BriefLinks(node_id)
        self._black_holes = BlackHoles()

    def on_begin(self) -> list[Action]:
        """Dial whatever was given by hand."""
        return [action for address in self.static for action in self._consider(address)]

    def on_sighting(self, sighting: Sighting, now_seconds: float) -> list[Action]:
        if sighting.node_id == self.node_id:
            return [] if sighting.is_goodbye else self._own_clones.on_sighting(sighting.instance)
        if sighting.is_goodbye:
            return []  # a hint withdrawn closes nothing, and may be forged
        before = self.members.get(sighting.node_id)
        member = membership.sighted(
            before or Member(sighting.node_id, since_seconds=now_seconds),
            sighting.addresses,
            sighting.instance,
            now_seconds,
        )
        actions = self._keep(member)
        if before is None or (before.state != member.state and member.state == "found"):
            where = f" at {member.addresses[0]}" if member.addresses else ""
            actions.append(Notice("found", member.node_id, f"found {member.node_id}{where}"))
        if before is not None and before.instance != member.instance:
            self._forgive(member.node_id)
            self._brief.forget(member.node_id)
        if not self._met(member.node_id) and not self._brief.is_resting(member.node_id, now_seconds):
            dial = self.sessions.get(_dial_key(member.node_id))
            if dial is not None and not dial.is_closing:
                actions.append(Redial(dial.key, member.addresses))
            else:
                actions.append(LookAgain(member.node_id, dial_delay_seconds(self.node_id, member.node_id)))
        return actions

    def on_accepted(self, key: str, address: str) -> None:
        self.sessions[key] = Session(key, dialled=False, address=address)

    def on_dialled(self, key: str, connection_id: str) -> None:
        self._change(key, connection_id=connection_id)

    def on_state(self, key: str, state: str) -> list[Action]:
        session = self.sessions.get(key)
        if session is None or session.state == state:
            return []
        self._change(key, state=state)
        if state == "synchronized" and session.is_met and not session.was_synchronized:
            is_news = not any(other.was_synchronized for other in self._sessions_of(session.other_node_id or ""))
            self._change(key, was_synchronized=True)
            notice = Notice("synchronized", session.other_node_id, f"synchronized with {session.other_node_id}")
            return [notice] if is_news else []
        return []

    def on_greeted(
        self, key: str, other_node_id: str, link: Link, held: tuple[str, ...], address: str, now_seconds: float
    ) -> list[Action]:
        session = self.sessions.get(key)
        if session is None or session.is_closing:
            return []
        if session.subject not in {"", other_node_id, *self.static}:
            return self._on_stranger(session, other_node_id, address)
        self._change(key, other_node_id=other_node_id, link=link, connection_id=link.connection_id, address=address)
        if session.subject in self.static:
            self.static[session.subject] = other_node_id
            self._unreachable.discard(session.subject)
        before = self.members.get(other_node_id) or Member(other_node_id, since_seconds=now_seconds)
        if self.is_paused(other_node_id, link.boot):
            return self._close([key], PAUSED)
        self._forgive(other_node_id, only_paused=True)
        member = membership.greeted(before, link.boot)
        if member.is_cloned:
            closed = self._close(self._keys_of(other_node_id), "cloned")
            return [*self._keep(member), *closed, clone_notice(other_node_id)]
        was_met = self._met(other_node_id, but=key)
        actions = self._keep(membership.moved(member, "met", now_seconds))
        links = [other.link for other in self._sessions_of(other_node_id) if other.link is not None]
        actions += self._close(surplus_links(self.node_id, other_node_id, links, link, held), SURPLUS)
        actions += self._close(self._needless_dials(other_node_id), SURPLUS)
        if not was_met:
            actions.append(Notice("connected", other_node_id, f"connected to {other_node_id} at {address}"))
        return actions

    def on_closed(
        self, key: str, reason: str, now_seconds: float, outcome: LinkOutcome = NOTHING_KNOWN
    ) -> list[Action]:
        session = self.sessions.get(key)
        if session is None:
            return []
        return [
            *self._note_outcome(session, now_seconds, outcome),
            *self._end_link(session, reason, now_seconds, outcome),
        ]

    def _end_link(self, session: Session, reason: str, now_seconds: float, outcome: LinkOutcome) -> list[Action]:
        key = session.key
        node_id = session.other_node_id or (session.subject if session.subject not in self.static else None)
        if session.dialled and not session.is_closing:
            self._change(key, link=None, connection_id="", state="disconnected", was_synchronized=False)
        else:
            del self.sessions[key]
        if node_id is not None and self._met(node_id):
            return self._close(self._needless_dials(node_id, ended=key), SURPLUS)
        if session.is_closing:  # our own doing is no news, but what it stood in the way of may be dialled now
            return [*self._break(node_id, now_seconds), *self._looks({node_id, session.subject}, SECOND_DIAL_SECONDS)]
        notes = self._note_unreachable(session, reason)
        if node_id is None or node_id not in self.members:
            return notes
        is_last_run = session.link is not None and session.link.boot == self.members[node_id].instance
        if reason == GOODBYE and is_last_run:  # its next run may have been sighted before this one ended
            return self._on_goodbye(node_id, now_seconds)
        return [*notes, *self._on_broken(node_id, reason, now_seconds, session.link, outcome)]

    def on_refused(self, key: str, other_node_id: str | None, why: str, now_seconds: float) -> list[Action]:
        session = self.sessions.get(key)
        if session is None:
            return []
        node_id = other_node_id or session.other_node_id
        if session.subject in self.static:
            self.refused_static[session.subject] = why
        elif session.subject:
            node_id = session.subject
        if session.dialled and node_id in self.members and not self._met(node_id, but=key):
            self._move(node_id, "refused", now_seconds)  # who dialled us may be anybody
            self.members[node_id] = replace(self.members[node_id], why_refused=why)
        closed = self._close([key], "refused")
        if why == CLONED:
            return [*closed, clone_notice(self.node_id)]
        if why == THIS_NODE and session.subject not in self.static:
            return closed  # the session of ours that dialled tells which address it was; a hint needs no action
        who = session.subject if why == THIS_NODE else node_id or session.subject or session.address
        return [*closed, Notice("refused", node_id, refusal_sentence(who, why))]

    def on_failed(self, key: str, why: str, now_seconds: float, share: float) -> list[Action]:
        """A session's actor died. `share` from 0 to 1 is the jitter of its restart."""
        session = self.sessions.get(key)
        if session is None:
            return []
        if session.is_closing:
            return self.on_closed(key, why, now_seconds)
        del self.sessions[key]
        subject = session.other_node_id or session.subject
        if not subject:
            return [
                Notice("note", None, f"a session with {session.address} failed before it was known whose it was: {why}")
            ]
        record, outcome = restart_policy.on_failure(self.failures.get(subject, Record()), now_seconds, why, share)
        self.failures[subject] = record
        node_id = subject if subject in self.members else None
        is_paused = isinstance(outcome, Pause)
        actions = self._close(self._keys_of(subject), PAUSED) if is_paused else []
        if node_id is not None and not self._met(node_id):
            actions += self._break(node_id, now_seconds)
        if isinstance(outcome, Pause):
            text = f"paused the session with {subject} after too many failures: {why}; `mesh retry` starts it again"
            return [*actions, Notice("paused", node_id, text)]
        text = f"the session with {subject} failed and restarts: {why}"
        looks = self._looks({subject, session.subject}, outcome.delay_seconds)
        return [*actions, Notice("restarted", node_id, text), *looks]

    def on_look(self, subject: str, now_seconds: float) -> list[Action]:
        """Time passed: a broken node may be lost by now, a free one may be dialled."""
        member = self.members.get(subject)
        actions: list[Action] = []
        is_missed = (
            member is not None and member.state == "suspect" and not member.is_cloned and not self._is_paused(subject)
        )
        if member is not None and is_missed and now_seconds - member.since_seconds >= LOST_SECONDS:
            self._move(subject, "expired", now_seconds)
            seconds = int(now_seconds - member.since_seconds)
            actions.append(Notice("lost", subject, f"lost {subject}: no answer for {seconds} s"))
        if self._brief.is_resting(self.static.get(subject) or subject, now_seconds):
            return actions
        return [*actions, *self._consider(subject)]

    def on_retry(self, now_seconds: float) -> list[Action]:
        """The operator wants everything that was paused or refused tried again."""
        self.refused_static.clear()
        self._own_clones.clear()
        self._brief = BriefLinks(self.node_id)
        for subject in sorted(self.failures):
            self._forgive(subject)
        for node_id, member in sorted(self.members.items()):
            self.members[node_id] = replace(member, is_cloned=False, returns=0, boots=member.boots[-1:])
            if member.state == "refused":
                self._move(node_id, "renewed", now_seconds)
        return [*self._redials(), *self.on_free()]

    def close_all(self, reason: str) -> list[Action]:
        """End every session: the node stops, or its log failed."""
        return self._close(tuple(self.sessions), reason)

    def on_free(self) -> list[Action]:
        """Dial whomever nothing speaks against."""
        return [action for subject in sorted({*self.members, *self.static}) for action in self._consider(subject)]

    def forget(self, key: str) -> None:
        """A session that was asked for was not started."""
        self.sessions.pop(key, None)

    def held(self, node_id: str | None) -> tuple[str, ...]:
        """Connections to name in a greeting to `node_id`, or to somebody unknown: those with it, and all dials under way."""
        return tuple(
            session.connection_id
            for session in self.sessions.values()
            if session.connection_id and not session.is_closing and session.may_be_with(node_id)
        )

    def is_paused(self, node_id: str, boot: str) -> bool:
        """Whether no session may be with this run of a node; another run than those that failed gets a new chance."""
        member = self.members.get(node_id)
        if member is not None and member.is_cloned:
            return True
        return self._is_paused(node_id) and (member is None or not member.boots or boot in member.boots)

    def _consider(self, subject: str) -> list[Action]:
        """Dial `subject`, a node id or a static address, if nothing speaks against it."""
        if subject in self.static:
            node_id = self.static[subject]
            key = f"static:{subject}"
            addresses: tuple[str, ...] = (subject,)
            member = self.members.get(node_id or "")
            if subject in self.refused_static or (member is not None and member.is_cloned):
                return []
        else:
            member = self.members.get(subject)
            if member is None or not member.may_be_dialled:
                return []
            node_id, key, addresses = subject, _dial_key(subject), member.addresses
        if key in self.sessions or self._is_paused(subject):
            return []
        if node_id is not None and (self._met(node_id) or self._is_paused(node_id)):
            return []
        self.sessions[key] = Session(key, dialled=True, subject=subject, address=addresses[0])
        return [Dial(key, addresses)]

    def _on_goodbye(self, node_id: str, now_seconds: float) -> list[Action]:
        self._move(node_id, "goodbye", now_seconds)
        idle = [key for key in self._idle_dials(node_id) if self.sessions[key].subject not in self.static]
        return [
            *self._close(idle, "left"),
            Notice("left", node_id, f"{node_id} said goodbye"),
            *self._looks({node_id}, GOODBYE_LOOK_SECONDS),
        ]

    def _on_broken(
        self, node_id: str, reason: str, now_seconds: float, link: Link | None, outcome: LinkOutcome
    ) -> list[Action]:
        actions = self._break(node_id, now_seconds)
        if link is not None:
            lasted = 0.0 if outcome.is_stalled else now_seconds - link.met_seconds
            rest = self._brief.note(node_id, lasted, now_seconds)
            why = f": {reason}" if reason else ""
            notice = Notice("disconnected", node_id, f"lost the connection to {node_id}{why}")
            requery = [Requery()] if rest is None else []
            actions = [notice, *requery, *actions, *self._looks({node_id}, rest)]
        return actions

    def _note_outcome(self, session: Session, now_seconds: float, outcome: LinkOutcome) -> list[Action]:
        """What a link that has ended tells of the way to the other end, and of what that end has."""
        subject = session.other_node_id or session.subject
        if not subject or not session.connection_id:
            return []
        member = self.members.get(subject)
        if member is not None and outcome.confirmed is not None:
            self.members[subject] = replace(member, confirmed=outcome.confirmed)
        lasted = now_seconds - session.link.met_seconds if session.link is not None else 0.0
        if not self._black_holes.note(subject, lasted, is_blocked=outcome.is_blocked):
            return []
        return [Notice("note", session.other_node_id, black_hole_sentence(subject))]

    def max_segment(self, key: str) -> int | None:
        """Bytes of a TCP segment that a dial of this session asks for; None: as large as the network allows."""
        session = self.sessions.get(key)
        if session is None:
            return None
        return self._black_holes.max_segment(
            session.other_node_id or self.static.get(session.subject) or session.subject
        )

    def _break(self, node_id: str | None, now_seconds: float) -> list[Action]:
        """There is no session any more with a node, if we know it: after a while it is lost."""
        before = self.members.get(node_id or "")
        if before is None:
            return []
        self._move(before.node_id, "broken", now_seconds)
        is_new = before.state != "suspect" and self.members[before.node_id].state == "suspect"
        return [LookAgain(before.node_id, LOST_SECONDS)] if is_new else []

    def _on_stranger(self, session: Session, other_node_id: str, address: str) -> list[Action]:
        """Another node answered where `session.subject` was expected: that address is out of date, another may not be."""
        member = self.members.get(session.subject)
        if member is not None:
            left = tuple(known for known in member.addresses if known != address)
            self.members[session.subject] = replace(member, addresses=left)
        text = f"{other_node_id} answers at {address}, where {session.subject} was expected"
        return [
            *self._close([session.key], "another node was expected here"),
            Notice("note", other_node_id, text),
            Requery(),
        ]

    def _looks(self, subjects: set[str | None], delay: float | None = None) -> list[Action]:
        """Come back to nodes and static addresses, and to the static addresses of the nodes."""
        addresses = {address for address, node_id in self.static.items() if node_id in subjects and node_id}
        looks: list[Action] = []
        for subject in sorted({subject for subject in subjects if subject} | addresses):
            node_id = self.static.get(subject, subject) or self.node_id
            looks.append(LookAgain(subject, dial_delay_seconds(self.node_id, node_id) if delay is None else delay))
        return looks

    def _close(self, keys: Iterable[str], reason: str) -> list[Action]:
        closed: list[Action] = []
        for key in keys:
            if not self.sessions[key].is_closing:
                self._change(key, is_closing=True)
                closed.append(Close(key, reason))
        return closed

    def _change(self, key: str, **changes: object) -> None:
        session = self.sessions.get(key)
        if session is not None:
            self.sessions[key] = replace(session, **changes)  # type: ignore[arg-type]

    def _keep(self, member: Member) -> list[Action]:
        """Note a member; if there are too many now, forget one, with its dial."""
        self.members[member.node_id] = member
        surplus = membership.surplus_member(self.members)
        if surplus is None:
            return []
        del self.members[surplus]
        self.failures.pop(surplus, None)
        self._brief.forget(surplus)
        return self._close([s.key for s in self.sessions.values() if s.subject == surplus], "too many nodes")

    def _move(self, node_id: str, event: Event, now_seconds: float) -> None:
        self.members[node_id] = membership.moved(self.members[node_id], event, now_seconds)

    def _met(self, node_id: str, *, but: str = "") -> bool:
        return any(session.is_met and session.key != but for session in self._sessions_of(node_id))

    def _sessions_of(self, node_id: str) -> list[Session]:
        return [s for s in self.sessions.values() if s.other_node_id == node_id and not s.is_closing]

    def _keys_of(self, subject: str) -> list[str]:
        return [
            s.key
            for s in self.sessions.values()
            if (s.other_node_id == subject or s.subject == subject) and not s.is_closing
        ]

    def _idle_dials(self, node_id: str) -> list[str]:
        """Sessions that dial `node_id` and have no connection with it."""
        addresses = {address for address, known in self.static.items() if known == node_id}
        return [
            s.key for s in self.sessions.values() if s.dialled and s.link is None and s.subject in {node_id, *addresses}
        ]

    def _needless_dials(self, node_id: str, *, ended: str = "") -> list[str]:
        """Idle dials that may end now that `node_id` is met.

        As in surplus_links the node with the larger id does not choose: a greeting of ours may be under way, and the other end
        decide for it. It ends a dial only when an attempt of it has just `ended`.
        """
        idle = self._idle_dials(node_id)
        return idle if self.node_id < node_id else [key for key in idle if key == ended]

    def _is_paused(self, subject: str) -> bool:
        record = self.failures.get(subject)
        return record is not None and record.is_paused

    def _forgive(self, subject: str, *, only_paused: bool = False) -> None:
        if subject in self.failures and (self._is_paused(subject) or not only_paused):
            self.failures[subject] = restart_policy.on_retry(self.failures[subject])

    def _redials(self) -> list[Action]:
        """Let every dial that waits for its next attempt try at once."""
        redials: list[Action] = []
        for session in self.sessions.values():
            member = self.members.get(session.subject)
            addresses = member.addresses if member is not None else (session.subject,)
            if session.dialled and session.link is None and not session.is_closing and addresses:
                redials.append(Redial(session.key, addresses))
        return redials

    def _note_unreachable(self, session: Session, reason: str) -> list[Action]:
        """Tell once of a static address that cannot be dialled; what goes wrong on an open link is told by its session."""
        address = session.subject
        if address not in self.static or address in self._unreachable or session.connection_id:
            return []
        self._unreachable.add(address)
        return [Notice("note", self.static[address], unreachable_sentence(address, reason))]


def _dial_key(node_id: str) -> str:
    return f"dial:{node_id}"
