"""GatewaySession: one role of any kind in one mailbox."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from mesh.actors.environment import Environment
from mesh.actors.log_keeper import LogProxy
from mesh.actors.reports import Closed, Failed, Met, Noted, Refused, Report, StateChanged
from mesh.actors.runtime.mailbox import Runtime
from mesh.actors.runtime.request import RequestActor
from mesh.gateway.endpoints import DialOut, Listen
from mesh.membership.dialling.refusals import unreachable_sentence
from peers.clock import Undo
from peers.errors import SyncError
from peers.later import Later
from peers.roles.base import BaseSync
from peers.transport.port import Connection
from peers.transport.reconnect import KEEPS_TRYING, Reconnect

MIN_REDIAL_MS = 500
MAX_REDIAL_MS = 30_000
STABLE_MS = 5_000
"""After an error, a link has to live this long before the next loss is answered soon again."""
MAX_NOTES = 20
"""What is told of one session until it has been stable again."""
FIXES_IDS = (
    "fix_time changes who an event is in Logux 0.1, and in a mesh one event would circle for ever as new ones: "
    "leave it out, or say protocol=5 or protocol=7"
)


class GatewaySession(RequestActor):
    """Runs the role of a line, which it dials until it is closed, or of somebody who came in by a door."""

    def __init__(
        self,
        runtime: Runtime,
        edges: Environment,
        key: str,
        node_id: str,
        log: LogProxy,
        place: Listen | DialOut,
        tell: Callable[[Report], None],
        *,
        accepted: Connection | None = None,
    ) -> None:
        super().__init__(runtime)
        self._edges = edges
        self._key = key
        self._node_id = node_id
        self._log = log
        self._place = place
        self._tell = tell
        self._accepted = accepted
        self._connection: Connection | None = accepted
        self._role: BaseSync | None = None
        self._farewell = ""
        self._noted = ""
        self._notes = 0
        self._is_troubled = False
        self._undo_stable: Undo | None = None
        self._was_open = self._was_met = False

    def on_start(self) -> None:
        self.defer(self._begin)  # what is raised in on_start itself reaches no hook of Pykka

    def close(self, reason: str) -> None:
        """End for good; the other end is told the reason. A role with a method `finish(done)` may take a moment first."""
        self._farewell = reason
        finish = getattr(self._role, "finish", None)
        if finish is None:
            self.stop()
        else:
            finish(self.stop)

    def redial(self) -> None:
        """Dial at once, also when an error had ended that for good."""
        if isinstance(self._connection, Reconnect) and not self._connection.connected:
            self._noted = ""
            self._connection.connect()

    def describe(self) -> dict[str, Any]:
        """What `status` shows of this session."""
        role = self._role
        if role is None:
            return {"node_id": None, "state": "connecting", "lag": None, "user": None}
        lag = role.lag if role.authenticated else None
        return {
            "node_id": role.other_node_id if role.authenticated else None,
            "state": "refused" if self._is_refused else role.state,
            "lag": lag,
            "user": getattr(role, "user", None),
        }

    @property
    def _is_refused(self) -> bool:
        """Whether it is not dialled again."""
        connection = self._connection
        return isinstance(connection, Reconnect) and not connection.connected and not connection.reconnecting

    def on_stop(self) -> None:
        try:
            self._end(self._farewell)
        finally:
            self._tell(Closed(self._key, self._farewell))

    def on_failure(self, exception_type: Any, exception_value: Any, traceback: Any) -> None:
        try:
            self._end("failed")
        finally:
            self._tell(Failed(self._key, f"{exception_type.__name__}: {exception_value}"))

    def _begin(self) -> None:
        if isinstance(self._place, Listen):
            self._start({})
        elif self._place.cursors_key is None:
            self._dial({})
        else:
            self._log.cursors(self._place.cursors_key).then(self.into_mailbox(self._on_cursors))

    def _on_cursors(self, done: Later[tuple[int, int]]) -> None:
        synced, other_synced = done.result()
        self._dial({"synced": synced, "other_synced": other_synced})

    def _dial(self, cursors: dict[str, int]) -> None:
        assert isinstance(self._place, DialOut)
        self._connection = Reconnect(
            self._place.network.dial(self._place.url),
            clock=self._edges.clock,
            random=self._edges.random,
            min_delay=MIN_REDIAL_MS,
            max_delay=MAX_REDIAL_MS,
            resets_on_connect=False,
        )
        self._connection.on("connect", self.into_mailbox(self._on_open))
        self._start(cursors)
        self._connection.connect()

    def _start(self, cursors: dict[str, int]) -> None:
        connection = self._connection
        assert connection is not None
        if self._accepted is not None and not connection.connected:
            self.stop()
            return
        connection.on("disconnect", self.into_mailbox(self._on_disconnect))
        role = self._role = self._place.make_role(
            self._node_id,
            self._log,
            connection,
            clock=self._edges.clock,
            random=self._edges.random,
            spawn=self._edges.spawn,
            turn=self.into_mailbox,
            **self._place.options,
            **cursors,
        )
        if role.fix_time and not isinstance(role.protocol, int):
            raise ValueError(FIXES_IDS)
        role.catch(self._on_error)
        role.on("authenticated", self._on_authenticated)
        role.on("state", lambda: self._tell(StateChanged(self._key, role.state)))
        role.on("refused", self._note)
        if self._accepted is not None:
            connection.resume()

    def _on_authenticated(self) -> None:
        assert self._role is not None
        self._noted = ""
        self._was_met = True
        if isinstance(self._connection, Reconnect) and not self._is_troubled:
            self._connection.reset()
        self._cancel_stable()
        on_stable = self.into_mailbox(partial(self._on_stable, self._role))
        self._undo_stable = self._edges.clock.call_later(STABLE_MS, on_stable)
        welcome = getattr(self._connection, "welcome", None)
        if welcome is not None:
            welcome()
        self._tell(Met(self._key, self._role.other_node_id or ""))

    def _on_stable(self, role: BaseSync) -> None:
        if role.authenticated and role is self._role:
            self._is_troubled = False
            self._notes = 0
            if isinstance(self._connection, Reconnect):
                self._connection.reset()

    def _cancel_stable(self) -> None:
        if self._undo_stable is not None:
            self._undo_stable()
            self._undo_stable = None

    def _on_open(self) -> None:
        self._was_open = True

    def _on_error(self, error: SyncError) -> None:
        self._is_troubled = True
        if not isinstance(self._place, DialOut):
            self._farewell = str(error)
            if not self._was_met and not error.received and self._role is not None:
                why = self._place.advice.get(error.type, error.description)
                self._tell(Refused(self._key, self._role.other_node_id, why))
            return  # told with the end
        advice = [self._place.advice[error.type]] if error.type in self._place.advice else []
        if error.is_fatal:
            advice.append("`mesh retry` tries it again")
        self._note("; ".join([f"{self._place.name} ({self._place.shown_url}): {error}", *advice]))

    def _note(self, sentence: str) -> None:
        if sentence == self._noted or self._notes > MAX_NOTES:  # once is enough until it works again
            return
        self._noted = sentence
        self._notes += 1
        more = "; further ones of this session are not told" if self._notes > MAX_NOTES else ""
        self._tell(Noted(self._key, f"{sentence}{more}"))

    def _on_disconnect(self, reason: str) -> None:
        if not isinstance(self._place, DialOut):
            self._farewell = self._farewell or reason
            self.stop()
            return
        self._tell(Closed(self._key, reason))
        if reason and not (self._was_met or self._is_refused or reason in KEEPS_TRYING):
            why = f"it hung up before it let us in ({reason})" if self._was_open else reason
            self._note(unreachable_sentence(self._place.shown_url, (self._place.shown_url,), why))
        self._was_open = self._was_met = False

    def _end(self, reason: str) -> None:
        self._cancel_stable()
        if self._role is not None:
            self._role.destroy(reason)
        elif self._connection is not None:
            self._connection.disconnect(reason)
