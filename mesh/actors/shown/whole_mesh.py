"""WholeMesh: has a node tell the mesh how it does, and shows how the others do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mesh.actors.environment import Environment
from mesh.actors.log_proxy import LogProxy
from mesh.membership.overview import Known, mesh_nodes
from mesh.membership.status_rows import MeshNodeStatus
from mesh.settings.config import Settings
from mesh.version import __version__
from peers.codec.summary import Measures
from peers.roles.summaries import BoardHost


class WholeMesh:
    """Reads what the summaries of the log's sessions say."""

    def __init__(
        self,
        environment: Environment,
        settings: Settings,
        log: LogProxy,
        turn: Callable[[Callable[..., Any]], Callable[..., Any]],
    ) -> None:
        """`turn` makes a function that has this one run in a turn of the supervisor."""
        self._environment, self._settings, self._log, self._turn = environment, settings, log, turn
        self._began_ms = environment.clock.elapsed_ms()

    def start(self) -> None:
        """Make summaries from now on, and read those of others. The log is open."""
        environment, seconds = self._environment, self._settings.summary_seconds
        if seconds <= 0 or self._log.summaries.is_running:
            return
        self._log.find_last_event()
        self._log.summaries.start(
            BoardHost(
                self._settings.node_id,
                environment.signer,
                environment.clock,
                environment.limits,
                environment.hits,
                environment.may_speak,
                self._measure,
                self._turn,
                seconds,
            )
        )

    def stop(self) -> None:
        """Make and read no more."""
        self._log.summaries.stop()

    def nodes(self) -> list[MeshNodeStatus]:
        """The rows of `mesh_nodes`; none if no summaries are made and read."""
        environment, board, roster = self._environment, self._log.summaries, self._log.roster
        if not board.is_running:
            return []
        may_speak = environment.may_speak
        return mesh_nodes(
            Known(
                environment.signer.public,
                self._settings.node_id,
                self._measure(),
                board.linked(),
                {key: one for key, one in board.heard.items() if not may_speak(key, one.summary.node_id)},
                roster.members if roster is not None else {},
                environment.clock.now_ms(),
                environment.clock.elapsed_ms(),
            )
        )

    def _measure(self) -> Measures:
        environment, log = self._environment, self._log
        return Measures(
            __version__,
            log.last_event_ms,
            log.state.last_added if log.is_open else 0,
            log.waiting_adds[0],
            round(environment.disk_use.read() * 100),
            -log.neighbours.clock_ahead_ms,
            round((environment.clock.elapsed_ms() - self._began_ms) / 1000),
        )
