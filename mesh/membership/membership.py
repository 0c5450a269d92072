"""Everything a node decides about its neighbours: reports in, actions out; it starts and stops nothing itself."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from mesh.discovery.port import Sighting
from mesh.membership import restart_policy
from mesh.membership.actions import Action, LookAgain, Notice, Redial, Requery
from mesh.membership.diagnosis.black_holes import BlackHoles
from mesh.membership.diagnosis.clone_looks import CLONE_LOOK, CloneLooks
from mesh.membership.diagnosis.clones import TAKEN, TAKEN_REASON, clone_notice
from mesh.membership.diagnosis.other_meshes import OTHERS, OtherMeshes
from mesh.membership.diagnosis.own_clones import OWN_DIAL, OwnClones
from mesh.membership.diagnosis.rare_notices import SUMMARY
from mesh.membership.dialling.dial_backoff import DialBackoff
from mesh.membership.dialling.dialling import Dialling, dial_key
from mesh.membership.dialling.link_selection import SECOND_DIAL_SECONDS, Link, dial_delay_seconds, surplus_links
from mesh.membership.dialling.refusals import CLONED, THIS_NODE, refusal_sentence
from mesh.membership.dialling.unreached import Unreached
from mesh.membership.member import LOST_SECONDS, Member, Members, greeted, is_renewed, moved, sighted
from mesh.membership.restart_policy import Failures, Pause, Record
from mesh.membership.session_record import NOTHING_KNOWN, LinkOutcome, Session, Sessions

GOODBYE = "goodbye"
"""The reason with which a node that stops closes its sessions."""
GOODBYE_LOOK_SECONDS = 1.0
"""When to see whether a static address answers again."""
SURPLUS = "one connection is enough"
PAUSED = "paused"


class Membership:
    """Members, sessions and failures of one node. `now_seconds` is the monotonic clock's."""

    def __init__(self, node_id: str, instance: str, static_addresses: Iterable[str] = ()) -> None:
        self.node_id = node_id
        self.instance = instance
        self.members = Members()
        self.sessions = Sessions()
        self.failures = Failures()
        self.static: dict[str, str | None] = dict.fromkeys(static_addresses)
        """Node id by static address, None until somebody answered there."""
        self.refused_static: dict[str, str] = {}
        self._clone_looks = CloneLooks(self.members, self.sessions)
        self._own_clones = OwnClones(node_id, instance, self.sessions)
        self._brief = DialBackoff(node_id)
        self._black_holes = BlackHoles()
        self._unreached = Unreached()
        self._dialling = Dialling(
            node_id,
            self.members,
            self.sessions,
            self.failures,
            self.static,
            self.refused_static,
            self._unreached.trials,
        )
        self.other_meshes = OtherMeshes()
        self._looks_aside = {
            SUMMARY: self._unreached.rare.on_look,
            OTHERS: self.other_meshes.on_look,
            node_id: self._own_clones.on_look,
        }

    @property
    def is_alone(self) -> bool:
        """Whether no other node of the mesh was heard of, and nothing was said of those given by hand."""
        return not self.members and not self.static

    def on_begin(self) -> list[Action]:
        """Dial whatever was given by hand."""
        return [action for address in self.static for action in self._dialling.consider(address, 0.0)]

    def add_static(self, address: str, now_seconds: float) -> list[Action]:
        """Dial an address from now on, whatever discovery finds."""
        return self._dialling.add_static(address, now_seconds)

    def remove_static(self, address: str) -> list[Action]:
        """Dial it no more, and close what was connected by it alone."""
        self._unreached.forget(address)
        return self._dialling.remove_static(address)

    def on_sighting(self, sighting: Sighting, now_seconds: float) -> list[Action]:
        if sighting.other_mesh:
            return self.other_meshes.on_sighting(sighting)
        if sighting.is_goodbye:
            return []  # a hint withdrawn closes nothing, and may be forged
        if sighting.node_id == self.node_id:
            return self._own_clones.on_sighting(sighting.instance, sighting.addresses, now_seconds)
        before = self.members.get(sighting.node_id)
        addresses = sighting.addresses
        if before is not None and before.instance != sighting.instance and self.sessions.met(sighting.node_id):
            addresses = (*addresses, *before.addresses)  # the other run lives: two machines may have one id
        member = sighted(
            before or Member(sighting.node_id, since_seconds=now_seconds), addresses, sighting.instance, now_seconds
        )
        actions = self._keep(member)
        if before is not None and is_renewed(before, addresses, sighting.instance):
            self._unreached.forget(member.node_id)
        if before is not None and before.instance != member.instance:
            self.failures.forgive(member.node_id)
            self._brief.forget(member.node_id)
        if not self.sessions.met(member.node_id) and not self._brief.is_resting(member.node_id, now_seconds):
            dial = self.sessions.get(dial_key(member.node_id))
            if dial is not None and not dial.is_closing:
                actions.append(Redial(dial.key, member.addresses))
            else:
                actions.append(LookAgain(member.node_id, dial_delay_seconds(self.node_id, member.node_id)))
        return actions

    def on_accepted(self, key: str, address: str) -> None:
        self.sessions[key] = Session(key, dialled=False, address=address)

    def on_dialled(self, key: str, connection_id: str, now_seconds: float) -> list[Action]:
        """A connection is open, the greeting comes next: there is room for another trial."""
        self.sessions.change(key, connection_id=connection_id)
        return self._dialling.next_trials(now_seconds)

    def on_state(self, key: str, state: str) -> list[Action]:
        session = self.sessions.get(key)
        if session is None or session.state == state:
            return []
        self.sessions.change(key, state=state)
        if state == "synchronized" and session.is_met and not session.was_synchronized:
            is_news = not any(other.was_synchronized for other in self.sessions.with_node(session.other_node_id or ""))
            self.sessions.change(key, was_synchronized=True)
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
            return self._on_stranger(session, other_node_id, address, now_seconds)
        self.sessions.change(
            key, other_node_id=other_node_id, link=link, connection_id=link.connection_id, address=address
        )
        if session.subject in self.static:
            self.static[session.subject] = other_node_id
            self._unreached.forget(session.subject)
        before = self.members.get(other_node_id) or Member(other_node_id, since_seconds=now_seconds)
        if self.why_turned_away(other_node_id, link.boot) == PAUSED:
            return self.sessions.close([key], PAUSED)
        self.failures.forgive(other_node_id, only_paused=True)
        member = greeted(before, link.boot, now_seconds)
        news: list[Action] = []
        if member.is_cloned and not before.is_cloned:
            self._brief.forget(other_node_id)  # its links were brief because two took turns
            news = self._clone_looks.on_cloned(other_node_id)
        others = {met.boot for met in self.sessions.links_with(other_node_id) if met.key != key} - {link.boot}
        if member.is_cloned and others and (before.is_cloned or not member.runs.is_first(link.boot, others)):
            kept = replace(before, runs=member.runs)
            return [*self._keep(kept), *self.sessions.close([key], TAKEN_REASON), *news]
        return [*self._on_met(key, moved(member, "met", now_seconds), link, held), *news]

    def on_turned_away(self, key: str, node_id: str, boot: str, address: str, now_seconds: float) -> list[Action]:
        """A run greeted us while another run of its node is connected."""
        if node_id in self.members:
            self.members.change(node_id, runs=self.members[node_id].runs.turned_away(boot, now_seconds))
        session = self.sessions.get(key)
        if session is None or session.is_closing or not session.dialled:
            return []
        if session.subject not in {node_id, *self.static}:
            return self._on_stranger(session, node_id, address, now_seconds)
        return self.sessions.close([key], TAKEN_REASON)

    def on_closed(
        self, key: str, reason: str, now_seconds: float, *, note: str = "", outcome: LinkOutcome = NOTHING_KNOWN
    ) -> list[Action]:
        """A connection ended, or an attempt failed. `note` is for people: an error was the cause that they were not told of."""
        session = self.sessions.get(key)
        if session is None:
            return []
        found = self._black_holes.on_closed(session, now_seconds, outcome)
        if session.other_node_id and session.other_node_id in self.members and outcome.confirmed is not None:
            since = now_seconds if outcome.behind_since_seconds is None else outcome.behind_since_seconds
            self.members.change(session.other_node_id, confirmed=outcome.confirmed, behind_since_seconds=since)
        over = self._on_link_over(session, reason, now_seconds, note, outcome)
        return [*found, *over, *self._dialling.end_removed(key)]

    def _on_link_over(
        self, session: Session, reason: str, now_seconds: float, note: str, outcome: LinkOutcome
    ) -> list[Action]:
        key = session.key
        node_id = session.other_node_id or (session.subject if session.subject not in self.static else None)
        if session.dialled and not session.is_closing:
            self.sessions.change(
                key, link=None, connection_id="", state="disconnected", was_synchronized=False, reason=reason
            )
        else:
            del self.sessions[key]
        if key == OWN_DIAL:
            return self._own_clones.on_closed(session, now_seconds)
        if node_id is not None and self.sessions.met(node_id):
            return self.sessions.close(self._dialling.needless_dials(node_id, ended=key), SURPLUS)
        if session.is_closing:  # our own doing is no news, but what it stood in the way of may be dialled now
            return [
                *self._break(node_id, now_seconds),
                *self._dialling.looks({node_id, session.subject}, SECOND_DIAL_SECONDS),
                *self._dialling.next_trials(now_seconds),
            ]
        notes = self._unreached.on_failed(session, self.static, self.members, reason, now_seconds)
        if not notes and note and session.link is None:
            notes = self._unreached.rare.note(Notice("note", node_id, note), now_seconds)
        member = self.members.get(node_id or "")
        if member is None:
            return notes
        self.members.change(member.node_id, reason=reason)
        is_last_run = session.link is not None and session.link.boot == member.instance
        if reason == GOODBYE and is_last_run and not member.is_cloned:  # its next run may have been sighted already
            return self._on_goodbye(member.node_id, now_seconds)
        if member.state == "found" and session.subject == node_id:
            return [*notes, *self._dialling.on_trial_failed(session, now_seconds)]
        return [*notes, *self._on_broken(member.node_id, reason, now_seconds, session.link, outcome)]

    def on_refused(self, key: str, other_node_id: str | None, why: str, now_seconds: float) -> list[Action]:
        session = self.sessions.get(key)
        if session is None:
            return []
        node_id = other_node_id or session.other_node_id
        if session.subject in self.static:
            self.refused_static[session.subject] = why
        elif session.subject:
            node_id = session.subject
        if session.dialled and node_id and node_id in self.members and not self.sessions.met(node_id, but=key):
            self.members.move(node_id, "refused", now_seconds)  # who dialled us may be anybody
            self.members.change(node_id, reason=why)
        closed = self.sessions.close([key], "refused")
        if why == CLONED:
            return [*closed, clone_notice(self.node_id)]
        if why == THIS_NODE and session.subject not in self.static:
            return closed  # the session of ours that dialled tells which address it was; a hint needs no action
        who = session.subject if why == THIS_NODE else node_id or session.subject or session.address
        return [
            *closed,
            *self._unreached.rare.note(Notice("refused", node_id, refusal_sentence(who, why)), now_seconds),
        ]

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
        actions = self.sessions.close(self.sessions.keys_of(subject), PAUSED) if is_paused else []
        if node_id is not None and not self.sessions.met(node_id):
            actions += self._break(node_id, now_seconds)
        if isinstance(outcome, Pause):
            text = f"paused the session with {subject} after too many failures: {why}; `mesh retry` starts it again"
            return [*actions, Notice("paused", node_id, text)]
        text = f"the session with {subject} failed and restarts: {why}"
        looks = self._dialling.looks({subject, session.subject}, outcome.delay_seconds)
        return [*actions, Notice("restarted", node_id, text), *looks]

    def on_look(self, subject: str, now_seconds: float) -> list[Action]:
        """Time passed: a broken node may be lost by now, a free one may be dialled."""
        if subject in self._looks_aside:
            return self._looks_aside[subject](now_seconds)
        if subject.startswith(CLONE_LOOK):
            return self._clone_looks.on_look(subject, now_seconds)
        member = self.members.get(subject)
        actions: list[Action] = []
        is_missed = member is not None and member.state == "suspect" and not self.failures.is_paused(subject)
        if member is not None and is_missed and now_seconds - member.since_seconds >= LOST_SECONDS:
            self.members.move(subject, "expired", now_seconds)
            seconds = int(now_seconds - member.since_seconds)
            why = f" ({member.reason})" if member.reason else ""
            actions.append(Notice("lost", subject, f"lost {subject}: unreachable for {seconds} s{why}"))
        if self._brief.is_resting(self.static.get(subject) or subject, now_seconds):
            return actions
        return [*actions, *self._dialling.consider(subject, now_seconds)]

    def on_retry(self, now_seconds: float) -> list[Action]:
        """The operator wants everything that was paused or refused tried again."""
        self.refused_static.clear()
        self._own_clones.clear()
        self._brief = DialBackoff(self.node_id)
        self._unreached.clear()
        for subject in sorted(self.failures):
            self.failures.forgive(subject)
        for node_id, member in sorted(self.members.items()):
            self.members.change(node_id, runs=member.runs.renewed())
            if member.state == "refused":
                self.members.move(node_id, "renewed", now_seconds)
        return [*self._dialling.redials(), *self.on_free(now_seconds)]

    def close_all(self, reason: str) -> list[Action]:
        """End every session: the node stops, or its log failed."""
        return self.sessions.close(tuple(self.sessions), reason)

    def on_free(self, now_seconds: float) -> list[Action]:
        """Dial whomever nothing speaks against."""
        subjects = sorted({*self.members, *self.static})
        return [action for subject in subjects for action in self._dialling.consider(subject, now_seconds)]

    def forget(self, key: str) -> None:
        """A session that was asked for was not started."""
        self.sessions.pop(key, None)

    def why_turned_away(self, node_id: str, boot: str) -> str:
        """Why no session may be with this run of a node now: PAUSED, TAKEN or "".

        After too many failures another run than those that failed gets a new chance. Of two machines under one id the one that
        is connected stays so.
        """
        member = self.members.get(node_id)
        if self.failures.is_paused(node_id) and (member is None or not member.runs.seen or boot in member.runs.boots):
            return PAUSED
        is_cloned = member is not None and member.is_cloned
        return TAKEN if is_cloned and any(link.boot != boot for link in self.sessions.links_with(node_id)) else ""

    def max_segment(self, key: str) -> int | None:
        """Bytes of a TCP segment that a dial of this session asks for; None: as large as the network allows."""
        session = self.sessions.get(key)
        return self._black_holes.max_segment(self.static.get(session.subject) or session.subject) if session else None

    def _on_met(self, key: str, member: Member, link: Link, held: tuple[str, ...]) -> list[Action]:
        """A greeting is done with a node that may stay."""
        node_id = member.node_id
        was_met = self.sessions.met(node_id, but=key)
        self._unreached.forget(node_id)
        actions = self._keep(member)
        links = self.sessions.links_with(node_id)
        actions += self.sessions.close(surplus_links(self.node_id, node_id, links, link, held), SURPLUS)
        actions += self.sessions.close(self._dialling.needless_dials(node_id), SURPLUS)
        if not was_met:
            text = f"connected to {node_id} at {self.sessions[key].address}"
            actions.append(Notice("connected", node_id, text))
        return actions

    def _on_goodbye(self, node_id: str, now_seconds: float) -> list[Action]:
        self.members.move(node_id, "goodbye", now_seconds)
        idle = [key for key in self._dialling.idle_dials(node_id) if self.sessions[key].subject not in self.static]
        return [
            *self.sessions.close(idle, "left"),
            Notice("left", node_id, f"{node_id} said goodbye"),
            *self._dialling.looks({node_id}, GOODBYE_LOOK_SECONDS),
        ]

    def _on_broken(
        self, node_id: str, reason: str, now_seconds: float, link: Link | None, outcome: LinkOutcome
    ) -> list[Action]:
        actions = self._break(node_id, now_seconds)
        if link is not None:
            lasted = 0.0 if outcome.is_stalled else now_seconds - link.met_seconds
            # The other end closed it for another one, whose greeting is on its way.
            rest = None if reason == SURPLUS else self._brief.note(node_id, lasted, now_seconds)
            why = f": {reason}" if reason else ""
            notice = Notice("disconnected", node_id, f"lost the connection to {node_id}{why}")
            requery = [Requery()] if rest is None else []
            actions = [notice, *requery, *actions, *self._dialling.looks({node_id}, rest)]
        return actions

    def _break(self, node_id: str | None, now_seconds: float) -> list[Action]:
        """There is no session any more with a node, if we know it: after a while it is lost."""
        before = self.members.get(node_id or "")
        if before is None:
            return []
        self.members.move(before.node_id, "broken", now_seconds)
        is_new = before.state != "suspect" and self.members[before.node_id].state == "suspect"
        return [LookAgain(before.node_id, LOST_SECONDS)] if is_new else []

    def _on_stranger(self, session: Session, other_node_id: str, address: str, now_seconds: float) -> list[Action]:
        """Another node answered where `session.subject` was expected: that address is out of date, another may not be."""
        closed = self.sessions.close([session.key], "another node was expected here")
        member = self.members.get(session.subject)
        if member is None:  # it was a check for clones of this node
            return closed
        left = tuple(known for known in member.addresses if known != address)
        text = f"{other_node_id} answers at {address}, where {session.subject} was expected"
        self._unreached.trials.on_failure(member.addresses, now_seconds)
        self.members.change(session.subject, addresses=left, reason=text)
        return [*closed, *self._unreached.rare.note(Notice("note", other_node_id, text), now_seconds), Requery()]

    def _keep(self, member: Member) -> list[Action]:
        """Note a member; if there are too many now, forget one, with its dial."""
        surplus = self.members.keep(member)
        if surplus is None:
            return []
        self.failures.pop(surplus, None)
        self._brief.forget(surplus)
        self._unreached.trials.drop(surplus)
        return self.sessions.close([s.key for s in self.sessions.values() if s.subject == surplus], "too many nodes")
