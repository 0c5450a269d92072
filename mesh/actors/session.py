"""SessionActor: one role in one mailbox."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from mesh.actors.log_keeper import KeptLog
from mesh.actors.mailbox import Runtime
from mesh.actors.reports import Closed, Dialled, Failed, Greeted, Noted, Refused, Report, StateChanged
from mesh.actors.request import RequestActor
from mesh.edges import Edges
from mesh.neighbourhood import Neighbourhood
from mesh.refusals import ANOTHER_MESH, CLONED, THIS_NODE
from mesh.topology import gather_ms
from peers.clock import Undo
from peers.connections.connection import Connection
from peers.connections.racing import RacingConnection
from peers.connections.reconnect import Reconnect
from peers.peer_sync import PeerSync
from peers.sync_error import SyncError

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
PAUSED = "paused"
"""The error for a node whose sessions failed here too often."""


@dataclass(frozen=True)
class RoleOptions:
    """What every role of a node is made with."""

    node_id: str
    mesh: str
    boot: str
    around: Neighbourhood
    """The supervisor's; to be read only: what it knows by then."""

    def gather_ms(self) -> float:
        """See PeerSync."""
        return gather_ms(len(self.around.sessions))


MakeRole = Callable[..., PeerSync]
"""Makes the role of a session: PeerSync, or a subclass of it."""


class SessionActor(RequestActor):
    """Runs one role on one connection: it wires the role's inputs to its mailbox and tells the supervisor what happens.

    A dialled one keeps dialling until it is closed; an accepted one ends with its connection.
    """

    def __init__(
        self,
        runtime: Runtime,
        edges: Edges,
        key: str,
        make_role: MakeRole,
        log: KeptLog,
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
        self._refused: set[str] = set()
        """What was told about events that were not taken."""
        self._undo_stable: Undo | None = None
        self._is_troubled = False

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

    def describe(self) -> dict[str, Any]:
        """What `status` shows of this session."""
        role = self._role
        if role is None:
            return {"state": "connecting", "lag": None}
        return {"state": role.state, "lag": role.lag if role.authenticated else None}

    def on_stop(self) -> None:
        self._end(self._farewell)
        self._tell(Closed(self._key, self._farewell))

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
            held=options.around.held,
            gather_ms=options.gather_ms,
        )
        role.catch(self._on_error)
        role.on("connect", self._on_met)
        role.on("dialled", lambda: self._tell(Dialled(self._key, role.connection_id)))
        role.on("authenticated", self._on_authenticated)
        role.on("state", lambda: self._tell(StateChanged(self._key, role.state)))
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
        racing = RacingConnection(lambda: self._addresses, self._edges.network.dial, clock=self._edges.clock)
        self._reconnect = Reconnect(
            racing,
            clock=self._edges.clock,
            random=self._edges.random,
            min_delay=MIN_REDIAL_MS,
            max_delay=MAX_REDIAL_MS,
            resets_on_connect=False,
        )
        return self._reconnect

    def _on_met(self) -> None:
        role = self._role
        assert role is not None and role.other_hello is not None
        if role.other_node_id == self._options.node_id:
            is_this_run = role.other_hello.boot == self._options.boot
            raise SyncError(OURSELVES if is_this_run else CLONE, None, other_node_id=role.other_node_id)

    def _judge(self, credentials: Any, node_id: str) -> bool:
        """Whether they are let in. Raises SyncError for a paused one, so that it waits longer before each further attempt."""
        hello = self._role.other_hello if self._role is not None else None
        if hello is not None and self._options.around.is_paused(node_id, hello.boot):
            raise SyncError(PAUSED, None, other_node_id=node_id)
        return bool(credentials == self._options.mesh)

    def _on_authenticated(self) -> None:
        role = self._role
        assert role is not None and role.other_node_id is not None and role.other_hello is not None
        self._cancel_stable()
        if self._reconnect is not None and not self._is_troubled:
            self._reconnect.reset()
        on_stable = self.into_mailbox(self._on_stable)
        self._undo_stable = self._edges.clock.call_later(STABLE_MS, partial(on_stable, role.connection_id))
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

    def _on_stable(self, connection_id: str) -> None:
        role = self._role
        if role is None or not role.authenticated or role.connection_id != connection_id:
            return  # it was lost while this waited in the mailbox
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
        # Only a dialler is told that it is a clone; whoever dials us is judged here.
        is_clone = error.type == CLONE and (self._accepted is None or not error.received)
        if error.is_fatal or error.type == OURSELVES or is_clone:
            self._tell(Refused(self._key, error.other_node_id, _why_refused(error)))
            return
        self._is_troubled = True
        self._farewell = error.description
        sentence = str(error)
        if error.other_node_id is None and self._role is not None and self._role.connection.address:
            sentence = f"{self._role.connection.address}: {sentence}"
        # Once is enough until it works again.
        if sentence != self._noted and (error.type != PAUSED or error.received):
            self._noted = sentence
            self._tell(Noted(self._key, sentence))

    def _on_disconnect(self, reason: str) -> None:
        self._cancel_stable()
        if self._reconnect is None:
            self._farewell = reason or self._farewell
            self.stop()
        else:
            self._tell(Closed(self._key, reason))

    def _end(self, reason: str) -> None:
        self._cancel_stable()
        if self._role is not None:
            self._role.destroy(reason)
        elif self._accepted is not None:
            self._accepted.disconnect(reason)
        if self._reconnect is not None:
            self._reconnect.destroy()


def _why_refused(error: SyncError) -> str:
    """Without its subject: Neighbourhood knows best who that is."""
    why = {"wrong-credentials": ANOTHER_MESH, OURSELVES: THIS_NODE, CLONE: CLONED}.get(error.type)
    return why or (f"it sent {error.type}: {error.description}" if error.received else error.description)
