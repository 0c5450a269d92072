"""ClockWatch: reads this machine's clock again and again, and compares it with those of connected nodes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mesh.actors.children import Children
from mesh.actors.environment import Environment
from mesh.actors.log_proxy import LogProxy
from mesh.membership.actions import Action
from mesh.membership.diagnosis.clocks import CHECK_SECONDS, Clocks
from mesh.membership.membership import Membership
from peers.roles.clock_offset import Span


class ClockWatch:
    """To be used in the turns of the supervisor of a node; `perform` carries out what follows."""

    def __init__(
        self,
        environment: Environment,
        membership: Membership,
        log: LogProxy,
        children: Children[Any],
        perform: Callable[[list[Action]], None],
    ) -> None:
        self._environment, self._membership, self._log, self._children = environment, membership, log, children
        self._perform = perform
        self._clocks = Clocks(membership)

    def begin(self) -> None:
        """Read it now, and every CHECK_SECONDS from now on."""
        self._read()
        self._children.later(CHECK_SECONDS, self.begin)

    def on_compared(self, key: str, span: Span) -> None:
        """The clock of the other end of a session was compared with ours."""
        session = self._membership.sessions.get(key)
        if session is not None and session.other_node_id is not None:
            self._perform(self._clocks.on_compared(session.other_node_id, span))

    def shown(self) -> dict[str, Any]:
        """What `show_status` takes of clocks, by a new reading."""
        self._read()
        return {"clocks": self._clocks.rows(), "ahead_ms": self._clocks.ahead_ms()}

    def _read(self) -> None:
        clock = self._environment.clock
        self._perform(self._clocks.on_reading(clock.now_ms(), clock.uptime_ms(), self._log.clock_ms))
