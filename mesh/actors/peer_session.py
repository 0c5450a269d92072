"""PeerSession: one role in one mailbox."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from mesh.actors.environment import Environment
from mesh.actors.log_keeper import LogProxy
from mesh.actors.reports import (
    Closed,
    Compared,
    Dialled,
    Failed,
    Greeted,
    Noted,
    Refused,
    Report,
    SecondRun,
    StateChanged,
)
from mesh.actors.runtime.mailbox import Runtime
from mesh.actors.runtime.request import RequestActor
from mesh.membership.diagnosis.clones import TAKEN, TAKEN_REASON
from mesh.membership.dialling.link_selection import gather_ms
from mesh.membership.dialling.refusals import ANOTHER_MESH, CLONED, THIS_NODE
from mesh.membership.membership import PAUSED, Membership
from mesh.membership.session_record import NOTHING_KNOWN, LinkOutcome
from peers.clock import Undo
from peers.errors import SyncError
from peers.later import Later
from peers.roles.peer import PeerSync
from peers.transport.port import Connection
from peers.transport.racing import RacingConnection
from peers.transport.reconnect import Reconnect

MIN_REDIAL_MS = 500
MAX_REDIAL_MS = 30_000
STABLE_MS = 5_000
"""After an error, a link has to live this long before the next loss is answered soon again."""
MAX_REFUSED = 100
"""Sentences about events of one node that were not taken, as long as its session lives."""
OURSELVES = "ourselves"
"""The error for a connection whose two ends are one node."""
CLONE = "cloned"
"""The error for another run of our own node id: one of the two homes is a copy."""
CLONE_REDIALS = 4
"""One that is turned away because of a clone dials again after 8 s at most: it should not wait long once the other is gone."""


@dataclass(frozen=True)
class RoleOptions:
    """What every role of a node is made with."""

    node_id: str
    mesh: str
    boot: str
    around: Membership
    """The supervisor's; to be read only: what it knows by then."""

    def gather_ms(self) -> float:
        """See PeerSync."""
        return gather_ms(len(self.around.sessions))


MakeRole = Callable[..., PeerSync]
"""Makes the role of a session: PeerSync, or a subclass of it."""


class PeerSession(RequestActor):
    """Runs one role on one connection: it wires the role's inputs to its mailbox and tells the supervisor what happens.

    A dialled one keeps dialling until it is closed; an accepted one ends with its connection.
    """

    def __init__(
        self,
        runtime: Runtime,
        edges: Environment,
        key: str,
        make_role: MakeRole,
        log: LogProxy,
        options: RoleOptions,
        tell: Callable[[Report], None],
        *,
        accepted: Connection | None = None,
        addresses: Sequence[str] = (),
    ) -> None:
        super().__init__(runtime)
        self._edges = edges
        self._key = key
        self._make_role = make_role
        self._log = log
        self._options = options
        self._tell = tell
        self._addresses = tuple(addresses)
        self._reconnect: Reconnect | None = None
        self._accepted = accepted
        self._role: PeerSync | None = None
        self._farewell = ""
        self._noted = ""
        self._error: SyncError | None = None
        """What ended the link; the disconnect that follows tells of it."""
        self._left = ""
        """Why this end left the link."""
        self._is_met = False
        self._refused: set[str] = set()
        """What was told about events that were not taken."""
        self._undo_stable: Undo | None = None
        self._is_troubled = False

    @property
    def role(self) -> PeerSync | None:
        """The role on its connection, if there is one. For checks from outside."""
        return self._role

    def on_start(self) -> None:
        # In a turn of its own, because what is raised in on_start itself reaches no hook of Pykka.
        self.defer(self._begin)

    def redial(self, addresses: Sequence[str]) -> None:
        """Try at once, at these addresses."""
        self._addresses = tuple(addresses)
        if self._reconnect is not None and not self._reconnect.connected:
            self._reconnect.reset()
            self._reconnect.connect()

    def close(self, reason: str) -> None:
        """End for good; the other end is told the reason."""
        self._farewell = reason
        self.stop()

    def leave(self, hosts: frozenset[str]) -> None:
        """This machine does not have these addresses any more: a connection that uses one ends now, not when it is missed."""
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
        }

    def check(self, position: int) -> Later[None]:
        """See CheckedSync."""
        return self._role.check(position) if self._role else Later.failed(ConnectionError("there is no connection"))

    def on_stop(self) -> None:
        closed = self._closed(self._farewell)
        self._end(self._farewell)
        self._tell(closed)

    def on_failure(self, exception_type: Any, exception_value: Any, traceback: Any) -> None:
        self._end("failed")
        self._tell(Failed(self._key, f"{exception_type.__name__}: {exception_value}"))

    def _begin(self) -> None:
        connection = self._accepted or self._dialling()
        options = self._options
        role = self._role = self._make_role(
            options.node_id,
            self._log,
            connection,
            clock=self._edges.clock,
            random=self._edges.random,
            spawn=self._edges.spawn,
            turn=self.into_mailbox,
            credentials=options.mesh,
            auth=self._judge,
            boot=options.boot,
            held=options.around.sessions.held,
            gather_ms=options.gather_ms,
        )
        role.catch(self._on_error)
        role.on("connect", self._on_met)
        role.on("dialled", lambda: self._tell(Dialled(self._key, role.connection_id)))
        role.on("authenticated", self._on_authenticated)
        role.on("state", lambda: self._tell(StateChanged(self._key, role.state)))
        role.on("apart", lambda span: self._tell(Compared(self._key, span)))
        role.on("refused", self._on_event_refused)
        role.on(
            "rolled-back", lambda: self._tell(Noted(self._key, "this node's disk was rolled back: a new epoch starts"))
        )
        connection.on("disconnect", self.into_mailbox(self._on_disconnect))
        if self._accepted is None:
            connection.connect()
        elif connection.connected:
            connection.resume()
        else:
            self.stop()

    def _dialling(self) -> Connection:
        racing = RacingConnection(lambda: self._addresses, self._dial, clock=self._edges.clock)
        self._reconnect = Reconnect(
            racing,
            clock=self._edges.clock,
            random=self._edges.random,
            min_delay=MIN_REDIAL_MS,
            max_delay=MAX_REDIAL_MS,
            resets_on_connect=False,
        )
        return self._reconnect

    def _dial(self, address: str) -> Connection:
        return self._edges.network.dial(address, max_segment=self._options.around.max_segment(self._key))

    def _on_met(self) -> None:
        role = self._role
        assert role is not None and role.other_hello is not None
        if role.other_node_id != self._options.node_id:
            return
        if role.other_hello.boot == self._options.boot:
            raise SyncError(OURSELVES, None, other_node_id=role.other_node_id)
        if self._accepted is None:
            raise SyncError(CLONE, None, other_node_id=role.other_node_id)

    def _judge(self, credentials: Any, node_id: str) -> bool:
        """Whether they are let in. Raises SyncError for one who may try again, so that it waits longer before each attempt."""
        role = self._role
        if role is None or role.other_hello is None or credentials != self._options.mesh:
            return False
        if node_id == self._options.node_id:
            role.send_connected(
                self._edges.clock.now_ms()
            )  # that we answer under this id is what the dialler must know
            raise SyncError(CLONE, None, other_node_id=node_id)
        why = self._options.around.why_turned_away(node_id, role.other_hello.boot)
        if why:
            raise SyncError(why, None, other_node_id=node_id)
        return True

    def _on_authenticated(self) -> None:
        role = self._role
        assert role is not None and role.other_node_id is not None and role.other_hello is not None
        self._is_met = True
        if self._reconnect is not None and not self._is_troubled:
            self._reconnect.reset()
        self._watch_stable(role.connection_id)
        hello = role.other_hello
        self._tell(
            Greeted(
                self._key,
                role.other_node_id,
                hello.boot,
                role.connection_id,
                tuple(hello.held),
                role.connection.address,
            )
        )

    def _watch_stable(self, connection_id: str) -> None:
        self._cancel_stable()
        on_stable = self.into_mailbox(self._on_stable)
        self._undo_stable = self._edges.clock.call_later(STABLE_MS, partial(on_stable, connection_id))

    def _on_stable(self, connection_id: str) -> None:
        role = self._role
        if role is None or not role.authenticated or role.connection_id != connection_id:
            return  # it was lost while this waited in the mailbox
        if role.is_stalled:
            self._watch_stable(connection_id)
            return
        self._noted = ""
        self._is_troubled = False
        if self._reconnect is not None:
            self._reconnect.reset()

    def _cancel_stable(self) -> None:
        if self._undo_stable is not None:
            self._undo_stable()
            self._undo_stable = None

    def _on_event_refused(self, sentence: str) -> None:
        # A hole is sent again in each connection, and a node may send any number of bad events.
        if sentence not in self._refused and len(self._refused) < MAX_REFUSED:
            self._refused.add(sentence)
            more = "; further ones of this node are counted, not told" if len(self._refused) == MAX_REFUSED else ""
            self._tell(Noted(self._key, f"{sentence}{more}"))

    def _on_error(self, error: SyncError) -> None:
        # Only the one that dialled and got an answer under our id knows of a clone: anybody may dial and claim to be us.
        is_clone = error.type == CLONE and self._accepted is None and not error.received
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
        if self._error is not None and self._error.type == TAKEN:
            self._reconnect.failures = min(self._reconnect.failures, CLONE_REDIALS)
        self._tell(self._closed(reason))

    def _closed(self, reason: str) -> Closed:
        outcome = self._outcome()
        return Closed(self._key, *self._why_closed(reason), outcome)

    def _outcome(self) -> LinkOutcome:
        role = self._role
        if role is None:
            return NOTHING_KNOWN
        is_silent = self._error is not None and self._error.type == "timeout"
        is_blocked = is_silent and (role.is_owing or not self._is_met)
        if not self._is_met:
            return LinkOutcome(role.is_stalled, is_blocked)
        return LinkOutcome(role.is_stalled, is_blocked, role.synced, self._behind_since_seconds(role))

    def _behind_since_seconds(self, role: PeerSync) -> float | None:
        """As far as is known, by an earlier link if this one has not brought it all it lacked."""
        since_ms, member = role.behind.since_ms, self._options.around.members.get(role.other_node_id or "")
        if since_ms is None or not role.behind.is_from_start or member is None or member.behind_since_seconds is None:
            return None if since_ms is None else since_ms / 1000
        return member.behind_since_seconds

    def _why_closed(self, reason: str) -> tuple[str, str]:
        """The reason of a disconnect, and the sentence that people are owed for it: none if the link was met, or as before."""
        error, self._error = self._error, None
        was_met, self._is_met = self._is_met, False
        left, self._left = self._left, ""
        if left:
            return left, ""
        if error is None:  # a close may overtake the message that says why: then it is what it was before
            return self._noted if reason == "error" and self._noted and not was_met else reason, ""
        why = _why_ended(error)
        if was_met or why == self._noted or (error.type in {PAUSED, TAKEN, CLONE} and not error.received):
            return why, ""
        self._noted = why  # once is enough until it works again
        address = self._role.connection.address if self._role is not None else ""
        return why, f"{error.other_node_id or address or 'a connection'}: {why}"

    def _end(self, reason: str) -> None:
        self._cancel_stable()
        if self._role is not None:
            self._role.destroy(reason)
        elif self._accepted is not None:
            self._accepted.disconnect(reason)
        if self._reconnect is not None:
            self._reconnect.destroy()


def _why_refused(error: SyncError) -> str:
    """Without its subject: Membership knows best who that is."""
    why = {"wrong-credentials": ANOTHER_MESH, OURSELVES: THIS_NODE, CLONE: CLONED}.get(error.type)
    return why or (f"it sent {error.type}: {error.description}" if error.received else error.description)


def _why_ended(error: SyncError) -> str:
    """Without its subject, which the sentence begins with."""
    if error.type == "timeout":
        seconds = f"{error.options / 1000:g} s" if isinstance(error.options, (int, float)) else "too long"
        return f"it heard nothing from us for {seconds}" if error.received else f"no answer for {seconds}"
    if error.type == TAKEN:
        return f"it turns us away: {TAKEN_REASON}" if error.received else TAKEN_REASON
    if not error.received or error.type == "store":  # which says whose disk it is
        return error.description
    detail = "" if error.description == error.type else f" ({error.description})"
    return f"it sent {error.type}{detail}"
