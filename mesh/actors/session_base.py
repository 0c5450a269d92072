"""SessionBase: what the session with a node and the session with a client or server have in common."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar

from mesh.actors.environment import Environment
from mesh.actors.log_proxy import LogProxy
from mesh.actors.reports import Failed, Report
from mesh.actors.runtime.loop_actor import LoopActor
from mesh.actors.runtime.mailbox import Runtime
from peers.clock import Undo
from peers.protocol.session import SessionMessages
from peers.transport.address import UNKNOWN_KEY, address_key
from peers.transport.port import Connection
from peers.transport.reconnect import Reconnect

MIN_REDIAL_MS = 500
MAX_REDIAL_MS = 30_000
STABLE_MS = 5_000
"""How long a link must live after an error before the next loss is followed by a short delay again."""

RoleT = TypeVar("RoleT", bound=SessionMessages)


class SessionBase(LoopActor, Generic[RoleT]):
    """An actor that runs one role on one connection and reports to its supervisor.

    A session that dials does so again after each loss, until it is closed. A session of an accepted connection ends with it.
    """

    def __init__(
        self,
        runtime: Runtime,
        environment: Environment,
        key: str,
        log: LogProxy,
        tell: Callable[[Report], None],
        accepted: Connection | None,
    ) -> None:
        super().__init__(runtime)
        address = address_key(accepted.address) if accepted is not None else UNKNOWN_KEY
        if address != UNKNOWN_KEY:
            self.share_turns(address)  # an address with many connections delays those
        self._environment = environment
        self._key = key
        self._log = log
        self._tell = tell
        self._accepted = accepted
        self._reconnect: Reconnect | None = None
        self._role: RoleT | None = None
        self._farewell = ""
        """The reason that the other end gets when the session ends."""
        self._noted = ""
        """The last sentence for people: it is not repeated until the link works again."""
        self._is_met = False
        """Whether the other end has passed the greeting of this connection."""
        self._is_troubled = False
        """Whether an error ended a link since the last one that was stable."""
        self._undo_stable: Undo | None = None

    @property
    def role(self) -> RoleT | None:
        """The role, to be read on the loop; None until the session has begun."""
        return self._role

    def on_failure(self, exception_type: Any, exception_value: Any, traceback: Any) -> None:
        try:
            self._end("failed")
        finally:
            self._tell(Failed.of(self._key, exception_value))

    def _reconnecting(self, connection: Connection) -> Reconnect:
        """Let `connection` open again after each loss."""
        self._reconnect = Reconnect(
            connection,
            clock=self._environment.clock,
            random=self._environment.random,
            min_delay=MIN_REDIAL_MS,
            max_delay=MAX_REDIAL_MS,
            resets_on_connect=False,
        )
        return self._reconnect

    def _start_role(
        self, make_role: Callable[..., RoleT], node_id: str, connection: Connection, **options: Any
    ) -> RoleT:
        self._role = make_role(
            node_id,
            self._log,
            connection,
            clock=self._environment.clock,
            random=self._environment.random,
            spawn=self._environment.spawn,
            turn=self.into_mailbox,
            budgets=self._environment.budgets,
            **options,
        )
        return self._role

    def _on_let_in(self, on_stable: Callable[[], None]) -> None:
        """The greeting is done; `on_stable` is called in a turn of its own once the link has lived for STABLE_MS."""
        self._is_met = True
        if self._reconnect is not None and not self._is_troubled:
            self._reconnect.reset()
        self._watch_stable(on_stable)

    def _watch_stable(self, on_stable: Callable[[], None]) -> None:
        self._cancel_stable()
        self._undo_stable = self._environment.clock.call_later(STABLE_MS, self.into_mailbox(on_stable))

    def _note_stable(self) -> None:
        """The link is stable: the next loss is followed by a short delay."""
        self._is_troubled = False
        if self._reconnect is not None:
            self._reconnect.reset()

    def _cancel_stable(self) -> None:
        if self._undo_stable is not None:
            self._undo_stable()
            self._undo_stable = None

    def _end(self, reason: str) -> None:
        self._cancel_stable()
        connection = self._accepted or self._reconnect
        if self._role is not None:
            self._role.destroy(reason)  # and with it the connection
        elif connection is not None:
            connection.disconnect(reason)
