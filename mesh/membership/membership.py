"""Membership: what a node knows of other nodes, and what it does about each report; it starts and stops nothing itself."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from mesh.discovery.port import Sighting
from mesh.membership.actions import Action, Notice
from mesh.membership.diagnosis.black_holes import BlackHoles
from mesh.membership.diagnosis.clones import CLONE_LOOK, TAKEN, TAKEN_REASON, Clones, clone_notice
from mesh.membership.diagnosis.contests import Contests
from mesh.membership.diagnosis.other_meshes import OTHERS, OtherMeshes
from mesh.membership.diagnosis.unreachable import Unreachable
from mesh.membership.dialling.dialling import TRIALS_LOOK, Dialling
from mesh.membership.dialling.link_selection import Link, surplus_links
from mesh.membership.dialling.refusals import CLONED, REFUSALS, THIS_NODE, refusal_sentence
from mesh.membership.ended_sessions import PAUSED, SURPLUS, EndedSessions
from mesh.membership.known_hosts import KnownHosts
from mesh.membership.member import Member, Members, greeted, is_renewed, moved
from mesh.membership.restart_policy import Failures
from mesh.membership.session_record import NOTHING_KNOWN, LinkOutcome, Session, Sessions
from peers.limits import LimitHits, Limits


class Membership:
    """The members, sessions and failures of one node.

    A pure object: the node supervisor reports what happened, and carries out the actions that each method returns, in their
    order. `now_seconds` is always the monotonic clock's time. Whom to dial is decided in mesh/membership/dialling/dialling.py.
    """

    def __init__(
        self,
        node_id: str,
        instance: str,
        static_addresses: Iterable[str] = (),
        *,
        limits: Limits,
        hits: LimitHits,
        hosts: KnownHosts | None = None,
    ) -> None:
        """`instance`: the random id of this run; `static_addresses` are dialled whatever discovery finds; it keeps `hosts`."""
        self.node_id = node_id
        self.instance = instance
        self.members = Members(limits, hits)
        self.sessions = Sessions()
        self.failures = Failures()
        self.other_meshes = OtherMeshes()
        self._dialling = Dialling(node_id, self.members, self.sessions, self.failures, static_addresses, limits, hits)
        self.static = self._dialling.static
        self._hosts = hosts or KnownHosts()
        self._hosts.set_static(self.static)
        self.refused_static = self._dialling.refused_static
        self._clones = Clones(node_id, instance, self.members, self.sessions)
        self._contests = Contests(self.sessions)
        self._black_holes = BlackHoles()
        self._unreachable = Unreachable()
        self._ended = EndedSessions(
            self.members, self.sessions, self.failures, self._dialling, self._clones, self._unreachable
        )
        self._other_looks = {
            OTHERS: self.other_meshes.on_look,
            TRIALS_LOOK: self._dialling.on_trials_look,
            node_id: self._clones.on_own_look,
        }

    @property
    def is_alone(self) -> bool:
        """Whether no other node of the mesh was sighted or greeted, and there is no static address."""
        return not self.members and not self.static

    def on_begin(self) -> list[Action]:
        """The node starts: dial the static addresses."""
        return self._dialling.consider_all(self.static, 0.0)

    def add_static(self, address: str, now_seconds: float) -> list[Action]:
        """Dial `address`, `host:port`, from now on, whatever discovery finds."""
        actions = self._dialling.add_static(address, now_seconds)
        self._hosts.set_static(self.static)
        return actions

    def remove_static(self, address: str) -> list[Action]:
        """Stop dialling `address`, and close its connection unless discovery found the node too."""
        self._on_answer(address)
        actions = self._dialling.remove_static(address)
        self._hosts.set_static(self.static)
        return actions

    def on_sighting(self, sighting: Sighting, now_seconds: float) -> list[Action]:
        """Discovery heard an announcement: a hint where to dial, never a proof."""
        if sighting.other_mesh:
            return self.other_meshes.on_sighting(sighting)
        if sighting.is_goodbye:
            return []  # it may be forged, and closes nothing: only the hint where to dial is withdrawn
        if sighting.node_id == self.node_id:
            return self._clones.on_own_sighting(sighting.instance, sighting.addresses, now_seconds)
        before = self.members.get(sighting.node_id)
        addresses = sighting.addresses
        if before is not None and before.instance != sighting.instance and self.sessions.met(sighting.node_id):
            addresses = (*addresses, *before.addresses)  # the other run is connected: there may be two machines
        member = self.members.sighted(sighting, addresses, now_seconds)
        actions = self._keep(member)
        if before is not None and is_renewed(before, addresses, sighting.instance):
            self._on_answer(member.node_id)
        if before is not None and before.instance != member.instance:
            self.failures.forgive(member.node_id)
            self._dialling.end_backoff(member.node_id)
        return [*actions, *self._dialling.on_sighting(member, now_seconds)]

    def on_accepted(self, key: str, address: str) -> None:
        """A node at `address` has connected; who it is shows its greeting."""
        self.sessions[key] = Session(key, dialled=False, address=address)

    def on_dialled(self, key: str, connection_id: str, now_seconds: float) -> list[Action]:
        """A dial has opened a connection, and its greeting comes next: another node may be tried."""
        self.sessions.change(key, connection_id=connection_id)
        return self._dialling.next_trials(now_seconds)

    def on_state(self, key: str, state: str) -> list[Action]:
        """The role of a session changed its state: users hear when a node that connected is synchronized for the first time."""
        node_id = self.sessions.on_state(key, state)
        return [] if node_id is None else [Notice("synchronized", node_id, f"synchronized with {node_id}")]

    def on_greeted(
        self, key: str, other_node_id: str, link: Link, held: tuple[str, ...], address: str, now_seconds: float
    ) -> list[Action]:
        """The other end of a session has greeted. `held` are the connections with us that it named in its greeting.

        A session that dialled another node ends, and so does one of a paused node or of a second machine under one id. Else
        the node is connected; of several links with it all but one end, an older one only if it does not answer.
        """
        session = self.sessions.get(key)
        if session is None or session.is_closing:
            return []
        if session.subject not in {"", other_node_id, *self.static}:
            return self._dialling.on_wrong_node(session, other_node_id, address, now_seconds)
        met = {"other_node_id": other_node_id, "connection_id": link.connection_id, "address": address, "reason": ""}
        self.sessions.change(key, link=link, **met)
        if session.subject in self.static:
            self.static[session.subject] = other_node_id
            self._on_answer(session.subject)
        before = self.members.get(other_node_id) or Member(other_node_id, since_seconds=now_seconds)
        if self.why_turned_away(other_node_id, link.boot) == PAUSED:
            return self.sessions.close([key], PAUSED)
        self.failures.forgive(other_node_id, only_paused=True)
        member = greeted(before, link.boot, now_seconds, is_proven=link.is_proven)
        if session.subject == other_node_id:
            member = replace(member, proven=address)
        others = self._clones.others(other_node_id, link.boot)
        if self._clones.is_taken(other_node_id, link.boot):
            return [*self._turn_away(before, link.boot, now_seconds), *self.sessions.close([key], TAKEN_REASON)]
        actions = self._on_connected(key, moved(member, "met", now_seconds), link, held)
        return [*actions, *self._on_cloned(before, [self.sessions[other].host for other in (*others, key)])]

    def on_answered(self, key: str, connection_id: str, now_seconds: float) -> list[Action]:
        """The other end of a link, which `Ask` was about, lives: links that greeted later under its node id end."""
        lost, actions = self._contests.on_answered(key, connection_id)
        session = self.sessions.get(key)
        before = self.members.get((session.other_node_id if session is not None else None) or "")
        if session is None or session.link is None or before is None:
            return actions
        boot = session.link.boot
        strangers = [link.key for link in lost if link.boot != boot]
        actions += self.sessions.close([link.key for link in lost if link.boot == boot], SURPLUS)
        if not strangers:
            return actions
        if session.link.is_proven:  # both have proved one key: do both live?
            if not self._contests.have_answered(strangers):
                return [*actions, *self._contests.begin(strangers, session.link)]
            return [*actions, *self._clones.on_holders(before.node_id, [key, *strangers], now_seconds)]
        self.members.change(before.node_id, instance=boot, runs=before.runs.contested(boot, now_seconds))
        hosts = [self.sessions[each].host for each in (key, *strangers)]
        return [*actions, *self.sessions.close(strangers, TAKEN_REASON), *self._on_cloned(before, hosts)]

    def on_turned_away(self, key: str, node_id: str, boot: str, address: str, now_seconds: float) -> list[Action]:
        """The run `boot` of a node greeted and was turned away: another machine is connected under its id."""
        member = self.members.get(node_id)
        actions = self._turn_away(member, boot, now_seconds) if member is not None else []
        session = self.sessions.get(key)
        if session is not None and session.dialled and not session.is_closing:
            is_right = session.subject in {node_id, *self.static}
            if not is_right:
                actions += self._dialling.on_wrong_node(session, node_id, address, now_seconds)
            elif session.subject not in self.static or self.sessions.met(node_id):  # else it dials until one has gone
                actions += self.sessions.close([key], TAKEN_REASON)
        return actions

    def on_closed(
        self,
        key: str,
        reason: str,
        now_seconds: float,
        *,
        note: str = "",
        cause: str = "",
        outcome: LinkOutcome = NOTHING_KNOWN,
    ) -> list[Action]:
        """A connection ended with `reason`, or an attempt to dial failed.

        `note` is an error that users have not seen yet, as a sentence, of the kind `cause`; `outcome` is what the session knows
        of the link.
        """
        session = self.sessions.get(key)
        if session is None:
            return []
        self._contests.on_link_end(key)
        found = self._black_holes.on_closed(session, now_seconds, outcome)
        if session.other_node_id and session.other_node_id in self.members and outcome.confirmed is not None:
            since = now_seconds if outcome.behind_since_seconds is None else outcome.behind_since_seconds
            self.members.change(session.other_node_id, confirmed=outcome.confirmed, behind_since_seconds=since)
        over = self._ended.on_closed(session, reason, now_seconds, note, cause, outcome)
        return [*found, *over, *self._dialling.end_removed(key)]

    def on_refused(self, key: str, other_node_id: str | None, why: str, now_seconds: float) -> list[Action]:
        """One end refused the other for good, as `why` says: do not dial it until something about it changes, or a retry."""
        session = self.sessions.get(key)
        if session is None:
            return []
        if why == CLONED and session.subject in self.static:  # it is dialled again, since another one may answer there
            return [clone_notice(self.node_id, [session.host])]
        node_id = self._dialling.on_refused(session, other_node_id, why, now_seconds)
        closed = self.sessions.close([key], "refused")
        if why == CLONED:
            return [*closed, clone_notice(self.node_id, [session.host])]
        if why == THIS_NODE and session.subject not in self.static:
            return closed  # only a static address can be corrected by the user
        who = session.subject if why == THIS_NODE else node_id or session.subject or session.address
        cause = why if why in REFUSALS else "an error"
        return [*closed, Notice("refused", node_id, refusal_sentence(who, why), cause, session.host)]

    def on_failed(self, key: str, why: str, now_seconds: float, share: float) -> list[Action]:
        """The actor of a session failed: it is restarted later, or paused after too many failures (see restart_policy).

        `why` is the error; `share`, from 0 to 1, is the jitter of the restart.
        """
        session = self.sessions.get(key)
        if session is None:
            return []
        if session.is_closing:
            return self.on_closed(key, why, now_seconds)
        del self.sessions[key]
        self._contests.on_link_end(key)
        return self._ended.on_failed(session, why, now_seconds, share)

    def on_look(self, subject: str, now_seconds: float) -> list[Action]:
        """A `LookAgain` action for `subject` is due: a suspect node may be lost by now, or a node may be dialled."""
        if subject in self._other_looks:
            return self._other_looks[subject](now_seconds)
        if subject.startswith(CLONE_LOOK):
            return self._clones.on_look(subject, now_seconds)
        lost = [] if self.failures.is_paused(subject) else self.members.expire(subject, now_seconds)
        return [*lost, *self._dialling.on_look(subject, now_seconds)]

    def on_retry(self, now_seconds: float) -> list[Action]:
        """The operator wants everything that was paused or refused to be tried again, now."""
        self._clones.retry()
        self._unreachable.forget_all()
        for subject in sorted(self.failures):
            self.failures.forgive(subject)
        self.members.renew_refused(now_seconds)
        return [*self._dialling.retry(), *self.on_free(now_seconds)]

    def close_all(self, reason: str) -> list[Action]:
        """End every session: the node stops, or its log failed."""
        return self.sessions.close(tuple(self.sessions), reason)

    def on_free(self, now_seconds: float) -> list[Action]:
        """Sessions may be started again: dial every node and static address that may be dialled."""
        return self._dialling.consider_all(sorted({*self.members, *self.static}), now_seconds)

    def forget(self, key: str) -> None:
        """The session of a `Dial` action was not started."""
        self.sessions.pop(key, None)

    def why_turned_away(self, node_id: str, boot: str) -> str:
        """Why a greeting of the run `boot` of a node is turned away: PAUSED, TAKEN, or "" if it is not.

        A node that was paused after too many failures may connect as a new run. Of two machines under one id the one that is
        connected stays connected.
        """
        member = self.members.get(node_id)
        if self.failures.is_paused(node_id) and (member is None or not member.runs.seen or boot in member.runs.boots):
            return PAUSED
        return TAKEN if self._clones.is_taken(node_id, boot) else ""

    def max_segment(self, key: str) -> int | None:
        """The largest TCP segment, in bytes, for the dials of a session; None: as large as the network allows."""
        session = self.sessions.get(key)
        return self._black_holes.max_segment(self.static.get(session.subject) or session.subject) if session else None

    def _on_connected(self, key: str, member: Member, link: Link, held: tuple[str, ...]) -> list[Action]:
        """A node greeted that may stay connected."""
        node_id = member.node_id
        was_met = self.sessions.met(node_id, but=key)
        self._hosts.on_met(self.sessions[key].address)
        self._on_answer(node_id)
        actions = self._keep(member)
        links = self.sessions.links_with(node_id)
        surplus = surplus_links(self.node_id, node_id, links, link, held)
        if key in surplus:
            actions += self.sessions.close([key], SURPLUS)
        actions += self._contests.begin(
            [other for other in surplus if other != key], link if key not in surplus else None
        )
        actions += self.sessions.close(self._dialling.needless_dials(node_id), SURPLUS)
        if not was_met:
            session = self.sessions[key]
            news = Notice("connected", node_id, f"connected to {node_id} at {session.address}", who=session.host)
            actions += [news, *self._dialling.on_connected(session.address, link.met_seconds)]
        return actions

    def _turn_away(self, member: Member, boot: str, now_seconds: float) -> list[Action]:
        """The run `boot` of a member is turned away for another one: the actions ask whether that one lives."""
        actions = self._keep(replace(member, runs=member.runs.turned_away(boot, now_seconds)))
        return [*actions, *self._contests.begin(self._clones.others(member.node_id, boot))]

    def _on_cloned(self, before: Member, hosts: Iterable[str]) -> list[Action]:
        news = self._clones.on_cloned(before, hosts)
        if news:
            self._dialling.end_backoff(before.node_id)  # its links were brief because the two machines took turns
        return news

    def _on_answer(self, subject: str) -> None:
        """A node or static address answered, or something about it changed: earlier failures to reach it do not count."""
        self._dialling.end_trials(subject)
        self._unreachable.forget(subject)

    def _keep(self, member: Member) -> list[Action]:
        """Store the row of a member. If there are too many, forget one and close its dial."""
        surplus = self.members.keep(member)
        if surplus is None:
            return []
        self.failures.pop(surplus, None)
        self._black_holes.forget(surplus)
        self._dialling.drop(surplus)
        return self.sessions.close([s.key for s in self.sessions.values() if s.subject == surplus], "too many nodes")
