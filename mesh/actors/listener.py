"""Listener: keeps the door open and hands up whoever comes in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mesh.actors.mailbox import Runtime
from mesh.actors.reports import Accepted, Failed, Report
from mesh.actors.request import RequestActor
from peers.connections.connection import Connection, Listening, Network
from peers.later import Later


class Listener(RequestActor):
    """Ask it to `open`; from then on each connection is told up, paused until its session reads."""

    def __init__(self, runtime: Runtime, network: Network, tell: Callable[[Report], None]) -> None:
        super().__init__(runtime)
        self._network = network
        self._tell = tell
        self._listening: Listening | None = None

    def open(self, host: str, port: int) -> Later[int]:
        """Open the door; the port it got. Fails with OSError."""
        return self._network.listen(host, port, self._on_connection).transform(self._on_open)

    def close(self) -> Later[None]:
        """Shut the door; who came in stays."""
        return self._listening.close() if self._listening is not None else Later.done(None)

    def on_stop(self) -> None:
        self.close()

    def on_failure(self, exception_type: Any, exception_value: Any, traceback: Any) -> None:
        self.close()
        self._tell(Failed("listener", f"{exception_type.__name__}: {exception_value}"))

    def _on_open(self, listening: Listening) -> int:
        self._listening = listening
        return listening.port

    def _on_connection(self, connection: Connection) -> None:
        connection.pause()  # nothing may be read before the session listens
        self._tell(Accepted(connection))
