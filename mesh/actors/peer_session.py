"""PeerSession: the session with one node."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from mesh.actors.environment import Environment
from mesh.actors.log_proxy import LogProxy
from mesh.actors.reports import (
    Answered,
    Closed,
    Compared,
    Dialled,
    Greeted,
    Noted,
    Refused,
    Report,
    SecondRun,
    StateChanged,
)
from mesh.actors.runtime.mailbox import Runtime
from mesh.actors.session_base import SessionBase
from mesh.actors.watch.dial_back import DialBack
from mesh.membership.diagnosis.clones import TAKEN, TAKEN_REASON
from mesh.membership.diagnosis.links import LinkRow, link_row
from mesh.membership.dialling.link_selection import gather_ms
from mesh.membership.dialling.refusals import ANOTHER_MESH, CLONED, THIS_NODE
from mesh.membership.ended_sessions import PAUSED
from mesh.membership.membership import Membership
from mesh.membership.session_record import NOTHING_KNOWN, LinkOutcome
from mesh.settings.config import Settings
from mesh.version import __version__
from peers.codec.run_messages import Reached
from peers.errors import SyncError
from peers.later import Later
from peers.roles.clock_offset import Span
from peers.roles.run_peer import RunPeerSync
from peers.transport.port import Connection
from peers.transport.racing import RacingConnection

MAX_REFUSED = 100
"""The most notices of one session about events that were not taken."""
OURSELVES = "ourselves"
"""The error for a connection of a node with itself."""
CLONE = "cloned"
"""The error for another node with our own node id: one of the two homes is a copy."""
CLONE_REDIALS = 2
"""Failures that count for a session that is turned away because of a clone: it dials again after 2 s at most, so that it
connects soon once the other run is gone (see HOLDER_SECONDS)."""


NOTHING_REFUSED: frozenset[str] = frozenset()

MakeRole = Callable[..., RunPeerSync]
"""Makes the role of a session: PeerSync, a subclass of it, or a function with its parameters."""


class PeerSession(SessionBase[RunPeerSync]):
    """Runs a PeerSync on one connection with a node: an accepted one, or one that it dials at `addresses`."""

    def __init__(
        self,
        runtime: Runtime,
        environment: Environment,
        key: str,
        make_role: MakeRole,
        log: LogProxy,
        settings: Settings,
        membership: Membership,
        tell: Callable[[Report], None],
        *,
        accepted: Connection | None = None,
        addresses: Sequence[str] = (),
    ) -> None:
        super().__init__(runtime, environment, key, log, tell, accepted)
        self._make_role = make_role
        self._settings = settings
        self._membership = membership  # read only: it changes while the session lives
        self._addresses = tuple(addresses)
        self._error: SyncError | None = None
        """What ended the link; the report of the disconnect that follows names it."""
        self._impostor = ""
        """Why the other end is not the node that its greeting names; empty if it may be."""
        self._left = ""
        """Why this end left the link; empty if it did not."""
        self._is_taken = False
        """Whether the last link ended because another run of one of the two nodes is connected."""
        self._reported_state = ""
        self._refused = NOTHING_REFUSED
        """Sentences about events that were not taken; each is noted once."""
        self._dial_back = DialBack(environment, self.into_mailbox)

    @property
    def role(self) -> RunPeerSync | None:
        """The role on its connection, if there is one. For checks from outside."""
        return self._role

    def on_start(self) -> None:
        self.defer(self._begin)  # Pykka calls no hook for what is raised in on_start itself

    def redial(self, addresses: Sequence[str]) -> None:
        """Dial these addresses, at once if there is no connection."""
        self._addresses = tuple(addresses)
        if self._reconnect is not None and not self._reconnect.connected:
            self._reconnect.reset()
            self._reconnect.connect()

    def close(self, reason: str) -> None:
        """End for good; the other end gets the reason."""
        self._farewell = reason
        self.stop()

    def leave(self, hosts: frozenset[str]) -> None:
        """This machine lost these addresses: a connection that uses one is closed at once, without waiting for a timeout."""
        role = self._role
        if role is not None and role.connected and role.connection.local_host in hosts:
            self._left = f"the address {role.connection.local_host} of this machine is gone"
            role.hang_up("error")

    def describe(self) -> dict[str, Any]:
        """What `status` shows of this session."""
        role = self._role
        if role is None:
            return {"state": "connecting"}
        if not role.authenticated:
            return {"state": role.state}
        return {
            "state": role.state,
            "lag": role.lag,
            "missing": role.missing,
            "awaited": role.awaited,
            "behind_since_seconds": self._behind_since_seconds(role),
            "has_room": role.other_has_room,
        }

    def check(self, position: int) -> Later[None]:
        """Ask the other node whether both hold the same up to `position`; see CheckedSync. Fails without a connection."""
        return self._role.check(position) if self._role else Later.failed(ConnectionError("there is no connection"))

    def ask(self) -> None:
        """Report when the other end has answered a ping that is sent from now on; a link that ended reports nothing."""
        role = self._role
        if role is not None and role.authenticated:
            answered = Answered(self._key, role.connection_id)
            role.sign_of_life().then(self.into_mailbox(lambda sign: self._on_sign(answered, sign)))

    def _on_sign(self, answered: Answered, sign: Later[None]) -> None:
        if sign.exception is None:
            self._tell(answered)

    def examine(self) -> LinkRow | None:
        """What is known of the link, if there is one."""
        return link_row(self._role, sends_small=self._membership.max_segment(self._key) is not None)

    def ask_reach(self, port: int) -> Later[Reached | None]:
        """Ask the other node to dial this machine at `port`: its answer, or None when the link ends before."""
        answered: Later[Reached | None] = Later()
        if self._role is None:
            return Later.done(None)
        self._role.ask_reach(port).then(lambda asked: answered.set(None if asked.exception else asked.result()))
        return answered

    def on_stop(self) -> None:
        self._dial_back.close()
        closed = self._closed(self._farewell)
        self._end(self._farewell)
        self._tell(closed)

    def _begin(self) -> None:
        connection = self._accepted or self._dialling()
        role = self._start_role(
            self._make_role,
            self._settings.node_id,
            connection,
            credentials=self._settings.credentials,
            auth=self._judge,
            boot=self._settings.instance,
            release=__version__,
            held=self._membership.sessions.held,
            gather_ms=self._gather_ms,
            encoded=self._log.encoded,
            neighbours=self._log.neighbours,
            summaries=self._log.summaries,
        )
        role.catch(self._on_error)
        role.on("connect", self._on_met)
        role.on("dialled", self._on_dialled)
        role.on("authenticated", self._on_authenticated)
        role.on("state", self._on_state)
        role.on("apart", self._on_apart)
        role.on("facts", self.into_mailbox(self._look_at_key))
        role.on("refused", self._on_event_refused)
        role.on("reach", partial(self._dial_back.begin, role))
        connection.on("disconnect", self.into_mailbox(self._on_disconnect))
        if self._accepted is None:
            connection.connect()
        elif connection.connected:
            connection.resume()
        else:
            self.stop()

    def _dialling(self) -> Connection:
        return self._reconnecting(RacingConnection(lambda: self._addresses, self._dial, clock=self._environment.clock))

    def _dial(self, address: str) -> Connection:
        membership = self._membership
        max_segment, expected = membership.max_segment(self._key), membership.sessions.expected(self._key)
        return self._environment.network.dial(address, max_segment=max_segment, node_id=expected)

    def _gather_ms(self) -> float:
        return gather_ms(len(self._membership.sessions))

    def _on_dialled(self) -> None:
        if self._role is not None:
            self._tell(Dialled(self._key, self._role.connection_id))

    def _on_apart(self, span: Span) -> None:
        self._tell(Compared(self._key, span))

    def _on_met(self) -> None:
        role = self._role
        assert role is not None and role.other_node_id is not None and role.other_hello is not None
        key = role.connection.proven_key
        why = self._environment.may_speak(key, role.other_node_id) if key is not None else ""
        if not why and key is not None and role.other_hello.key != key:
            why = "with another key than the one that it proved"
        if why:
            where = f" at {role.connection.address}" if self._accepted is None else ""
            self._impostor = f"it greets as {role.other_node_id}{where}, but {why}"
            raise SyncError("wrong-credentials", None, other_node_id=role.other_node_id)
        if role.other_node_id != self._settings.node_id:
            return
        if role.other_hello.boot == self._settings.instance:
            raise SyncError(OURSELVES, None, other_node_id=role.other_node_id)
        if self._accepted is None:
            raise SyncError(CLONE, None, other_node_id=role.other_node_id)

    def _look_at_key(self) -> None:
        """New facts may say that the other end is no member any more."""
        role = self._role
        key = role.connection.proven_key if role is not None else None
        why = self._environment.may_speak(key, "") if key is not None else ""
        if role is not None and why:
            self._tell(Refused(self._key, role.other_node_id, why))

    def _on_state(self) -> None:
        """Report a new state, but not each change between sending and synchronized."""
        role = self._role
        assert role is not None
        if role.state not in {"sending", self._reported_state}:
            self._reported_state = role.state
            self._tell(StateChanged(self._key, role.state))

    def _judge(self, credentials: Any, node_id: str) -> bool:
        """Whether the other end is accepted. Raises SyncError if it may try again, after a longer wait each time."""
        role = self._role
        if role is None or role.other_hello is None or credentials != self._settings.credentials:
            return False
        if node_id == self._settings.node_id:
            role.send_connected(self._environment.clock.now_ms())  # so that the dialler learns that we have its id
            raise SyncError(CLONE, None, other_node_id=node_id)
        why = self._membership.why_turned_away(node_id, role.other_hello.boot)
        if why:
            raise SyncError(why, None, other_node_id=node_id)
        return True

    def _on_authenticated(self) -> None:
        role = self._role
        assert role is not None and role.other_node_id is not None and role.other_hello is not None
        self._on_let_in(partial(self._on_stable, role.connection_id))
        hello = role.other_hello
        self._tell(
            Greeted(
                self._key,
                role.other_node_id,
                hello.boot,
                role.connection_id,
                tuple(hello.held),
                role.connection.address,
                role.connection.proven_key is not None,
            )
        )

    def _on_stable(self, connection_id: str) -> None:
        role = self._role
        if role is None or not role.authenticated or role.connection_id != connection_id:
            return  # it was lost while this waited in the mailbox
        if role.is_stalled:
            self._watch_stable(partial(self._on_stable, connection_id))
            return
        self._noted = ""
        self._note_stable()

    def _on_event_refused(self, sentence: str) -> None:
        # A hole is sent again in each connection, and a node may send any number of bad events.
        if sentence not in self._refused and len(self._refused) < MAX_REFUSED:
            self._refused |= {sentence}
            more = "; further ones of this node are counted, but not shown" if len(self._refused) == MAX_REFUSED else ""
            who = self._role.other_node_id if self._role is not None else None
            self._tell(Noted(self._key, f"{sentence}{more}", cause="an event", who=who or ""))

    def _on_error(self, error: SyncError) -> None:
        # Without keys only an answer to our own dial proves a clone: any node may dial us and claim our id.
        is_shown = self._accepted is None or self._accepted.proven_key is not None
        is_clone = error.type == CLONE and is_shown and not error.received
        if self._impostor:
            self._tell(Refused(self._key, None, self._impostor))
            return
        if error.is_fatal or error.type == OURSELVES or is_clone:
            self._tell(Refused(self._key, error.other_node_id, _why_refused(error)))
            return
        role = self._role
        if error.type == TAKEN and not error.received and role is not None and role.other_hello is not None:
            boot, address = role.other_hello.boot, role.connection.address
            self._tell(SecondRun(self._key, error.other_node_id or "", boot, address))
        self._is_troubled = True
        self._error = error

    def _on_disconnect(self, reason: str) -> None:
        self._cancel_stable()
        if self._reconnect is None:
            self._farewell = reason or self._farewell
            self.stop()
            return
        if (
            self._error is not None or reason != "error"
        ):  # else the close has overtaken the error message, as in _why_closed
            self._is_taken = self._error is not None and self._error.type == TAKEN
        if self._is_taken:
            self._reconnect.failures = min(self._reconnect.failures, CLONE_REDIALS)
        self._tell(self._closed(reason))

    def _closed(self, reason: str) -> Closed:
        outcome = self._outcome()
        cause = "" if self._error is None else "an error of theirs" if self._error.received else self._error.type
        return Closed(self._key, *self._why_closed(reason), cause, outcome)

    def _outcome(self) -> LinkOutcome:
        role = self._role
        if role is None:
            return NOTHING_KNOWN
        is_silent = self._error is not None and self._error.type == "timeout"
        is_blocked = is_silent and (role.is_owing or not self._is_met)
        if not self._is_met:
            return LinkOutcome(role.is_stalled, is_blocked)
        return LinkOutcome(role.is_stalled, is_blocked, role.synced, self._behind_since_seconds(role))

    def _behind_since_seconds(self, role: RunPeerSync) -> float | None:
        """When the other node last had everything; taken from an earlier link until this one has caught up."""
        since_ms, member = role.behind.since_ms, self._membership.members.get(role.other_node_id or "")
        if since_ms is None or not role.behind.is_from_start or member is None or member.behind_since_seconds is None:
            return None if since_ms is None else since_ms / 1000
        return member.behind_since_seconds

    def _why_closed(self, reason: str) -> tuple[str, str]:
        """The reason of a disconnect, and a sentence for users; empty after a greeting, and if it is the same as before."""
        error, self._error = self._error, None
        was_met, self._is_met = self._is_met, False
        left, self._left = self._left, ""
        if left:
            return left, ""
        if error is None:  # the close may overtake the error message: assume the cause of the time before
            return self._noted if reason == "error" and self._noted and not was_met else reason, ""
        why = _why_ended(error)
        if was_met or why == self._noted or (error.type in {PAUSED, TAKEN, CLONE} and not error.received):
            return why, ""
        self._noted = why
        address = self._role.connection.address if self._role is not None else ""
        return why, f"{error.other_node_id or address or 'a connection'}: {why}"


def _why_refused(error: SyncError) -> str:
    """A part of a sentence, to which Membership adds the subject."""
    why = {"wrong-credentials": ANOTHER_MESH, OURSELVES: THIS_NODE, CLONE: CLONED}.get(error.type)
    return why or (f"it sent {error.type}: {error.description}" if error.received else error.description)


def _why_ended(error: SyncError) -> str:
    """A part of a sentence, without its subject."""
    if error.type == "timeout":
        seconds = f"{error.options / 1000:g} s" if isinstance(error.options, (int, float)) else "too long"
        return f"it heard nothing from us for {seconds}" if error.received else f"no answer for {seconds}"
    if error.type == TAKEN:
        return f"it turns us away: {TAKEN_REASON}" if error.received else TAKEN_REASON
    if not error.received or error.type == "store":  # its description says whose disk failed
        return error.description
    detail = "" if error.description == error.type else f" ({error.description})"
    return f"it sent {error.type}{detail}"
