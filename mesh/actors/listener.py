"""Listener: accepts connections at one listening socket and reports each to its supervisor."""

from __future__ import annotations

import errno
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from mesh.actors.reports import Accepted, Failed, Report
from mesh.actors.runtime.loop_actor import LoopActor
from mesh.actors.runtime.mailbox import Runtime
from peers.clock import Clock
from peers.later import Later
from peers.transport.port import Connection, Listening, Network

BUSY_PAUSE_MS = 100.0
"""Pause between two attempts to listen at a port that is in use."""


@dataclass(frozen=True, slots=True)
class ListenAddress:
    """Where one socket listens."""

    port: int
    hosts: tuple[str, ...]
    """The addresses, as Listening has them."""


@dataclass(frozen=True, slots=True)
class ListenAddresses:
    """Where a node listens: for nodes, and for others by `Listen.key`."""

    nodes: ListenAddress
    ports: dict[str, int]


class ListenError(OSError):
    """A port could not be opened. `name` is that of the endpoint, empty for the port for nodes."""

    def __init__(self, name: str, host: str, port: int, error: OSError) -> None:
        super().__init__(error.errno, error.strerror or str(error))
        self.name = name
        self.host = host
        self.port = port
        self.error = error


class Listener(LoopActor):
    """Ask it to `open`, later to `close`. It reports each connection as Accepted, paused until its session reads."""

    def __init__(self, runtime: Runtime, network: Network, tell: Callable[[Report], None]) -> None:
        super().__init__(runtime)
        self._network = network
        self._tell = tell
        self._listening: Listening | None = None

    def open(self, host: str, port: int) -> Later[ListenAddress]:
        """Listen at `host` and `port` (0: any free one); the result says where. Fails with OSError."""
        return self._network.listen(host, port, self._on_connection).transform(self._on_open)

    async def open_first(self, host: str, ports: Sequence[int], patience_seconds: float, clock: Clock) -> ListenAddress:
        """Listen at the first of `ports` that is free; `ports[0]` is tried again for `patience_seconds` before the others.

        Fails with the OSError of the last port if all are in use, and at once with any other OSError.
        """
        deadline_ms = clock.elapsed_ms() + patience_seconds * 1000
        waiting = list(ports)
        while True:
            try:
                return await self.open(host, waiting[0])
            except OSError as error:
                if error.errno != errno.EADDRINUSE:
                    raise
                is_patient = clock.elapsed_ms() < deadline_ms
                if not is_patient and len(waiting) == 1:
                    raise
            if is_patient:
                pause: Later[None] = Later()
                clock.call_later(BUSY_PAUSE_MS, pause.set)
                await pause
            else:
                del waiting[0]

    def close(self) -> Later[None]:
        """Stop to listen; connections that were accepted stay open."""
        return self._listening.close() if self._listening is not None else Later.done(None)

    def on_stop(self) -> None:
        self.close()

    def on_failure(self, exception_type: Any, exception_value: Any, traceback: Any) -> None:
        self.close()
        self._tell(Failed.of("listener", exception_value))

    def _on_open(self, listening: Listening) -> ListenAddress:
        self._listening = listening
        return ListenAddress(listening.port, listening.hosts)

    def _on_connection(self, connection: Connection) -> None:
        connection.pause()  # nothing may be read before the session listens
        self._tell(Accepted(connection))
