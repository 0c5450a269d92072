"""GatewaySession: the session with one client or server that is no node."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Protocol, runtime_checkable

from mesh.actors.environment import Environment
from mesh.actors.log_proxy import LogProxy
from mesh.actors.reports import Closed, Met, Noted, Refused, Report
from mesh.actors.runtime.mailbox import Runtime
from mesh.actors.session_base import SessionBase
from mesh.gateway.endpoints import DialOut, Listen
from mesh.membership.dialling.refusals import unreachable_sentence
from peers.errors import SyncError
from peers.later import Later
from peers.roles.base import BaseSync
from peers.transport.port import Connection
from peers.transport.reconnect import KEEPS_TRYING

MAX_NOTES = 20
"""Notices about one session until it has been stable again."""
FIXES_IDS = (
    "fix_time changes who an event is in Logux 0.1, and in a mesh one event would circle for ever as new ones: "
    "leave it out, or say protocol=5 or protocol=7"
)


@runtime_checkable
class Finishing(Protocol):
    """A role that needs a moment before its session ends."""

    def finish(self, done: Callable[[], None]) -> None:
        """Start nothing new; call `done` once all is sent."""


@runtime_checkable
class WithUser(Protocol):
    """A role that knows which user is at the other end."""

    @property
    def user(self) -> str: ...


class GatewaySession(SessionBase[BaseSync]):
    """Runs the role of an endpoint: on an address that it dials until it is closed, or on a connection that was accepted."""

    def __init__(
        self,
        runtime: Runtime,
        environment: Environment,
        key: str,
        node_id: str,
        log: LogProxy,
        endpoint: Listen | DialOut,
        tell: Callable[[Report], None],
        *,
        accepted: Connection | None = None,
    ) -> None:
        super().__init__(runtime, environment, key, log, tell, accepted)
        self._node_id = node_id
        self._endpoint = endpoint
        self._notes = 0
        self._was_open = False

    def on_start(self) -> None:
        self.defer(self._begin)  # Pykka calls no hook for what is raised in on_start itself

    def close(self, reason: str) -> None:
        """End for good; the other end gets the reason. A role that is Finishing may finish first."""
        self._farewell = reason
        if isinstance(self._role, Finishing):
            self._role.finish(self.stop)
        else:
            self.stop()

    def redial(self) -> None:
        """Dial at once, also when an error had ended that for good."""
        if self._reconnect is not None and not self._reconnect.connected:
            self._noted = ""
            self._reconnect.connect()

    def describe(self) -> dict[str, Any]:
        """What `status` shows of this session."""
        role = self._role
        if role is None:
            return {"node_id": None, "state": "connecting", "lag": None, "user": None}
        return {
            "node_id": role.other_node_id if role.authenticated else None,
            "state": "refused" if self._is_refused else role.state,
            "lag": role.lag if role.authenticated else None,
            "user": role.user if isinstance(role, WithUser) else None,
        }

    @property
    def _is_refused(self) -> bool:
        """Whether it is not dialled again."""
        reconnect = self._reconnect
        return reconnect is not None and not reconnect.connected and not reconnect.reconnecting

    def on_stop(self) -> None:
        try:
            self._end(self._farewell)
        finally:
            self._tell(Closed(self._key, self._farewell))

    def _begin(self) -> None:
        endpoint = self._endpoint
        if isinstance(endpoint, DialOut):
            if endpoint.cursors_key is None:
                self._dial(endpoint)
            else:
                self._log.cursors(endpoint.cursors_key).then(self.into_mailbox(self._on_cursors))
        elif self._accepted is not None and self._accepted.connected:
            self._start(self._accepted)
            self._accepted.resume()
        else:
            self.stop()

    def _on_cursors(self, done: Later[tuple[int, int]]) -> None:
        synced, other_synced = done.result()
        assert isinstance(self._endpoint, DialOut)
        self._dial(self._endpoint, synced=synced, other_synced=other_synced)

    def _dial(self, dial_out: DialOut, **cursors: int) -> None:
        connection = self._reconnecting(dial_out.network.dial(dial_out.url))
        connection.on("connect", self.into_mailbox(self._on_open))
        self._start(connection, **cursors)
        connection.connect()

    def _start(self, connection: Connection, **cursors: int) -> None:
        connection.on("disconnect", self.into_mailbox(self._on_disconnect))
        endpoint = self._endpoint
        role = self._start_role(endpoint.make_role, self._node_id, connection, **endpoint.options, **cursors)
        if role.fix_time and not isinstance(role.protocol, int):
            raise ValueError(FIXES_IDS)
        role.catch(self._on_error)
        role.on("authenticated", self._on_authenticated)
        role.on("refused", partial(self._note, cause="an event of a client or line"))

    def _on_authenticated(self) -> None:
        assert self._role is not None
        self._noted = ""
        self._on_let_in(self._on_stable)
        self._tell(Met(self._key, self._role.other_node_id or ""))

    def _on_stable(self) -> None:
        if self._role is not None and self._role.authenticated:
            self._notes = 0
            self._note_stable()

    def _on_open(self) -> None:
        self._was_open = True

    def _on_error(self, error: SyncError) -> None:
        self._is_troubled = True
        endpoint = self._endpoint
        if isinstance(endpoint, Listen):
            self._farewell = str(error)  # which the notice of the end has
            if not self._is_met and not error.received and self._role is not None:
                why = endpoint.advice.get(error.type, error.description)
                self._tell(Refused(self._key, self._role.other_node_id, why))
            return
        advice = [endpoint.advice[error.type]] if error.type in endpoint.advice else []
        if error.is_fatal:
            advice.append("`mesh retry` tries it again")
        self._note("; ".join([f"{endpoint.name} ({endpoint.shown_url}): {error}", *advice]), "an error of a line")

    def _note(self, sentence: str, cause: str) -> None:
        if sentence == self._noted or self._notes > MAX_NOTES:
            return
        self._noted = sentence
        self._notes += 1
        more = "; further ones of this session are not shown" if self._notes > MAX_NOTES else ""
        who = self._role.other_node_id if self._role is not None else None
        self._tell(Noted(self._key, f"{sentence}{more}", cause=cause, who=who or ""))

    def _on_disconnect(self, reason: str) -> None:
        self._cancel_stable()
        if not isinstance(self._endpoint, DialOut):
            self._farewell = self._farewell or reason
            self.stop()
            return
        self._tell(Closed(self._key, reason))
        if reason and not (self._is_met or self._is_refused or reason in KEEPS_TRYING):
            why = f"it hung up before it let us in ({reason})" if self._was_open else reason
            self._note(unreachable_sentence(self._endpoint.shown_url, (self._endpoint.shown_url,), why), "a line")
        self._was_open = self._is_met = False
