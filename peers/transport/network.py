"""WiredNetwork: the connections, listening sockets and tasks of one kind, on one loop, and their common end."""

from __future__ import annotations

import asyncio
import logging
import socket
from abc import ABC, abstractmethod
from collections.abc import Callable, Container, Coroutine, Sequence
from typing import Any, Protocol

from peers.later import Later
from peers.limits import Limits
from peers.transport.accepting.door import Door, Note, note_nothing
from peers.transport.accepting.listening_socket import ListeningSocket, open_listening_sockets
from peers.transport.channel import GOING_AWAY, Channel, WiredConnection
from peers.transport.large_frames import return_no_memory
from peers.transport.port import Connection, Listening
from peers.transport.sockets import check_port, hosts_of
from peers.transport.wire import Wire

log = logging.getLogger(__name__)


class Server(Protocol):
    """Accepts the connections of one listening socket: `asyncio.Server` is one."""

    @property
    def sockets(self) -> Sequence[Any]:
        """Its listening socket; nothing once it is closed."""

    def close(self) -> None:
        """Accept nothing more. Connections that were accepted stay open."""

    async def wait_closed(self) -> None:
        """Wait until its socket is closed."""


class ServerListening:
    """A Listening over the sockets of one port, one for each address of its host, and the server of each."""

    def __init__(
        self, listening: Sequence[ListeningSocket], servers: Sequence[Server], loop: asyncio.AbstractEventLoop
    ) -> None:
        self._listening = listening
        self._servers = servers
        self._loop = loop
        self._closed: Later[None] | None = None
        self.port: int = self.sockets[0].getsockname()[1]
        self.hosts = hosts_of(self.sockets)

    @property
    def sockets(self) -> list[socket.socket]:
        """Those that are open."""
        return [one for server in self._servers for one in server.sockets]

    def close(self) -> Later[None]:
        """As Listening says."""
        if self._closed is None:
            self._closed = Later()
            for one in self._listening:
                one.stop()
            self._loop.call_soon(self._close_servers, self._closed)
        return self._closed

    def _close_servers(self, closed: Later[None]) -> None:
        for server in self._servers:
            server.close()  # some close the socket in the first step of a task
        self._loop.call_soon(closed.set)

    async def wait_closed(self) -> None:
        """Wait until nothing of it is left, then end what is left of the connections that it accepted."""
        for server in self._servers:
            await server.wait_closed()
        for one in self._listening:
            await one.end_accepted()


class WiredNetwork(ABC):
    """A Network without its kind of wire: a subclass says how a wire is dialled (`dial`) and how it is accepted (`serve`).

    Everything of it runs on `loop`. tests/support/message_pack.py is an example of a whole subclass.
    """

    refusal = b""
    """What a connection gets that is turned away before anything of it is read."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        *,
        limits: Limits | None = None,
        note: Note = note_nothing,
        known: Container[str] = (),
    ) -> None:
        """Each port that is listened on has a Door with these `limits`, None: the defaults. `known` is asked whether the
        address of a connection, as `address_key` writes it, is one of those that are not turned away for what others do.
        """
        self.loop = loop
        self.limits = limits or Limits()
        self._note = note
        self._known = known
        self._doors: list[Door] = []
        self.is_closed = False
        self.channels: dict[Channel, None] = {}
        self.sent_bytes = self.received_bytes = 0
        self.listenings: list[ServerListening] = []
        self._tasks: dict[asyncio.Task[Any], None] = {}

    @abstractmethod
    def dial(self, address: str, *, max_segment: int | None = None, node_id: str = "") -> WiredConnection:
        """As Network says: a WiredConnection whose `open_wire` dials `address`."""

    @abstractmethod
    async def serve(self, listening: ListeningSocket, on_connection: Callable[[Connection], None]) -> Server:
        """Accept connections at this socket, and give each to `accept` once its handshake is done. Raises OSError.

        When `welcome` of a connection is called, the wire calls `listening.let_in`: until then it has a deadline.
        """

    def listen(self, host: str, port: int, on_connection: Callable[[Connection], None]) -> Later[Listening]:
        """As Network says. Raises ValueError for a port above 65535."""
        check_port(port)
        later: Later[Listening] = Later()
        self.spawn(self._listen(later, host, port, on_connection))
        return later

    async def _listen(
        self, later: Later[Listening], host: str, port: int, on_connection: Callable[[Connection], None]
    ) -> None:
        door = Door(self.loop, self.limits, self._note, self._known)
        sockets: list[ListeningSocket] = []
        try:
            sockets = await open_listening_sockets(self.loop, host, port, door=door, refusal=self.refusal)
            listening = ServerListening(sockets, [await self.serve(one, on_connection) for one in sockets], self.loop)
        except (OSError, UnicodeError) as error:
            for one in sockets:
                one.stop()
                one.close()
            later.fail(error if isinstance(error, OSError) else OSError(f"{host!r} is not a host: {error}"))
            return
        self._doors.append(door)
        self.listenings.append(listening)
        later.set(listening)

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run `work` as a task, which `close` waits for."""
        task = self.loop.create_task(work)
        self._tasks[task] = None
        task.add_done_callback(self._forget)
        return task

    def accept(self, connection: WiredConnection, wire: Wire, on_connection: Callable[[Connection], None]) -> None:
        """Open `connection` over a wire that the other end dialled, and call `on_connection` with it."""
        connection.open_accepted(wire)
        try:
            on_connection(connection)
        except Exception:  # the listening socket stays open for the others
            log.exception("connection %s: no listener accepted it", connection.address)
            connection.disconnect("internal error")

    def close(self) -> Later[None]:
        """Close every listening socket and connection; resolved when no socket and no task of this network is left."""
        later: Later[None] = Later()
        self.is_closed = True
        self._close_listenings()
        for door in self._doors:
            door.close()
        for channel in tuple(self.channels):
            channel.finish("this end is closing", code=GOING_AWAY)
        tasks = tuple(self._tasks)

        async def wait() -> None:
            await asyncio.gather(*tasks, return_exceptions=True)
            self._close_listenings()  # one may have opened meanwhile
            for listening in self.listenings:
                await listening.wait_closed()
            return_no_memory(self.loop)
            later.set()

        self.spawn(wait())
        return later

    def abandon(self) -> None:
        """Cancel every task without a word to the other ends: for a forked process, to which no connection belongs."""
        self.is_closed = True
        for task in tuple(self._tasks):
            task.cancel()

    def _close_listenings(self) -> None:
        for listening in self.listenings:
            listening.close()

    def _forget(self, task: asyncio.Task[None]) -> None:
        del self._tasks[task]
        if not task.cancelled() and task.exception() is not None:
            self.loop.call_exception_handler(
                {"message": "a listener failed", "exception": task.exception(), "task": task}
            )
