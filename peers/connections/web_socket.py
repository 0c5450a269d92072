"""The network of WebSocket connections: wires that are dialled or accepted, and the doors that accept them."""

from __future__ import annotations

import asyncio
import errno
import http
import logging
import re
import socket
from collections.abc import Callable, Coroutine
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.connection import Connection as LibraryConnection
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus
from websockets.frames import CloseCode, Frame, Opcode
from websockets.http11 import Request, Response
from websockets.protocol import Event, State

from peers.connections.address import Target, parse_address, show_address
from peers.connections.connection import Connection, Listening
from peers.connections.web_socket_connection import CLOSE_SECONDS, Channel, WebSocketConnection, WireError
from peers.later import Later

__all__ = [
    "MAX_FRAME",
    "WebSocketConnection",
    "WebSocketListening",
    "WebSocketNetwork",
    "parse_address",
]

MAX_FRAME = 1024 * 1024
"""Bytes of one frame; a longer one closes the connection."""
MAX_ACCEPTED = 512
"""Open connections that one door keeps."""
MAX_OPENING = 128
"""Connections at one door that have not finished, or not begun, their opening handshake."""
ACCEPT_SECONDS = 5.0

NO_ROUTE = {errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EADDRNOTAVAIL, errno.ENETDOWN, errno.EHOSTDOWN}
RESET = {errno.ECONNRESET, errno.EPIPE, errno.ECONNABORTED}

log = logging.getLogger(__name__)
_QUIET = logging.Logger("websockets", level=logging.CRITICAL + 1)  # the library logs tracebacks of peers that vanish


class _Wire(LibraryConnection):
    """What is added to a connection of the library: signs of life, no binary frames, a bound on how long it ends."""

    channel: Channel | None = None
    refusal: Exception | None = None
    _deadline: asyncio.TimerHandle | None = None

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch_end()
        if self.channel is not None:
            self.channel.on_bytes()

    def eof_received(self) -> None:
        super().eof_received()
        self._end_within(CLOSE_SECONDS)  # else asyncio waits until the other end has read what is still to be written

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if self._deadline is not None:
            self._deadline.cancel()
        if self.channel is not None:
            self.channel.on_lost()

    def process_event(self, event: Event) -> None:
        if self.refusal is not None:
            return  # nothing counts after what was refused
        if not isinstance(event, Frame) or event.opcode is not Opcode.BINARY:
            super().process_event(event)
            return
        self.refusal = ValueError("it sent a binary frame, and frames here are text")
        if self.protocol.state is State.OPEN:
            self.protocol.fail(CloseCode.POLICY_VIOLATION, "frames here are text")
            self.send_data()

    @property
    def is_lost(self) -> bool:
        return self.protocol.state is State.CLOSED

    async def recv_frame(self) -> bytes:
        try:
            return await self.recv(decode=False)
        except ConnectionClosed as closed:
            raise WireError(*explain_end(closed, self.refusal)) from closed

    def write_frames(self, frames: list[bytes]) -> None:
        """Write text frames in one go; `drain` then waits until the socket has taken them."""
        if self.protocol.state is not State.OPEN:
            return
        for frame in frames:
            self.protocol.send_text(frame)
        # Not writelines: before Python 3.12.9 and 3.13.2 it ignores the high-water mark (CVE-2024-12254).
        self.transport.write(b"".join(self.protocol.data_to_send()))

    def abort(self) -> None:
        self.transport.abort()

    def _watch_end(self) -> None:
        # The library bounds a close that we begin, not one that the other end, or a fault in what it sent, begins.
        if self.protocol.close_expected():
            is_no_answer = self.protocol.state is State.CONNECTING and isinstance(self, ClientConnection)
            self._end_within(0 if is_no_answer else CLOSE_SECONDS)

    def _end_within(self, seconds: float) -> None:
        if self._deadline is None:
            self._deadline = self.loop.call_later(seconds, self.transport.abort)


class _DialledWire(_Wire, ClientConnection):
    pass


class _AcceptedWire(_Wire, ServerConnection):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        if len(self.server.handler_tasks) - len(self.server.all_connections) > MAX_OPENING:
            self.transport.abort()


class _Dial(connect):
    def process_redirect(self, exc: Exception) -> Exception | str:
        return exc  # whoever answers decides about itself, not about where we go


class WebSocketListening:
    """An open door; `close` closes it for newcomers only."""

    def __init__(self, server: Server, loop: asyncio.AbstractEventLoop) -> None:
        self.port: int = server.sockets[0].getsockname()[1]
        self.server = server
        self._loop = loop
        self._closed: Later[None] | None = None

    def close(self) -> Later[None]:
        if self._closed is None:
            self._closed = Later()
            self.server.close(close_connections=False)  # its task closes the sockets in its first step
            self._loop.call_soon(self._closed.set)
        return self._closed


class WebSocketNetwork:
    """A `Network` of WebSocket connections, all on one loop.

    `max_frame` is in bytes; `connect_seconds` bounds an attempt with its handshake; `purpose` is what a door
    answers to a browser that opens it by mistake. `tls` is not built yet: everything is in the clear.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        *,
        max_frame: int = MAX_FRAME,
        connect_seconds: float = 3.0,
        tls: None = None,
        purpose: str = "This door is for WebSocket connections between the nodes of a mesh; there is no page here.",
    ) -> None:
        self.loop = loop
        self.connect_seconds = connect_seconds
        self.is_closed = False
        self.channels: dict[Channel, None] = {}
        self._purpose = purpose
        self._listenings: list[WebSocketListening] = []
        self._tasks: dict[asyncio.Task[Any], None] = {}
        self._options: dict[str, Any] = {
            "compression": None,
            "ping_interval": None,
            "close_timeout": CLOSE_SECONDS,
            "max_size": max_frame,
            "max_queue": 1,
            "logger": _QUIET,
        }

    def dial(self, address: str) -> WebSocketConnection:
        return WebSocketConnection(self, address, parse_address(address))

    def listen(self, host: str, port: int, on_connection: Callable[[Connection], None]) -> Later[Listening]:
        """As the port says; an empty host is every address of this machine, IPv4 and IPv6."""
        if not 0 <= port <= 65535:
            raise ValueError(f"{port} is not a port: take one from 1 to 65535, or 0 for any free one")
        later: Later[Listening] = Later()
        self.spawn(self._listen(later, host, port, on_connection))
        return later

    def close(self) -> Later[None]:
        """Close every door and connection; resolved when no socket and no task of this network is left."""
        later: Later[None] = Later()
        self.is_closed = True
        self._shut_doors()
        for channel in tuple(self.channels):
            channel.finish("this end is closing", code=CloseCode.GOING_AWAY)
        tasks = tuple(self._tasks)

        async def wait() -> None:
            await asyncio.gather(*tasks, return_exceptions=True)
            self._shut_doors()  # one may have opened meanwhile
            for listening in self._listenings:
                await listening.server.wait_closed()
            later.set()

        self.spawn(wait())
        return later

    def _shut_doors(self) -> None:
        for listening in self._listenings:
            listening.close()

    async def reach(self, target: Target) -> _Wire:
        """Dial. Raises WireError, and nothing else, however it fails."""
        try:
            wire = await _Dial(
                target.uri,
                host=target.host,
                port=target.port,
                proxy=None,
                user_agent_header=None,
                open_timeout=self.connect_seconds,
                create_connection=_DialledWire,
                **self._options,
            )
            assert isinstance(wire, _Wire)
        except Exception as error:  # whatever it was, the attempt ends in exactly one disconnect
            is_refusal = isinstance(error, InvalidHandshake) and not _is_passing(error)
            reason = explain_failure(error, target, self.connect_seconds)
            raise WireError(reason, error if is_refusal else None) from error
        return wire

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = self.loop.create_task(work)
        self._tasks[task] = None
        task.add_done_callback(self._forget)
        return task

    def _forget(self, task: asyncio.Task[None]) -> None:
        del self._tasks[task]
        if not task.cancelled() and task.exception() is not None:
            self.loop.call_exception_handler(
                {"message": "a listener failed", "exception": task.exception(), "task": task}
            )

    async def _listen(
        self, later: Later[Listening], host: str, port: int, on_connection: Callable[[Connection], None]
    ) -> None:
        async def accept(wire: ServerConnection) -> None:
            assert isinstance(wire, _Wire)
            self._accept(wire, on_connection)
            await wire.wait_closed()

        try:
            where = {"host": host, "port": port} if host else {"sock": _every_address(port)}
            server = await serve(
                accept,
                process_request=self._answer,
                server_header=None,
                open_timeout=ACCEPT_SECONDS,
                create_connection=_AcceptedWire,
                **where,
                **self._options,
            )
        except (OSError, UnicodeError) as error:
            later.fail(error if isinstance(error, OSError) else OSError(f"{host!r} is not a host: {error}"))
            return
        listening = WebSocketListening(server, self.loop)
        self._listenings.append(listening)
        later.set(listening)

    def _accept(self, wire: _Wire, on_connection: Callable[[Connection], None]) -> None:
        connection = WebSocketConnection(self, show_address(wire.remote_address))
        connection.adopt(wire)
        try:
            on_connection(connection)
        except Exception:  # one caller must not close the door for the others
            log.exception("connection %s: nobody could take it", connection.address)
            connection.disconnect("internal error")

    def _answer(self, wire: ServerConnection, request: Request) -> Response | None:
        upgrades = ",".join(request.headers.get_all("Upgrade")).lower()
        if "websocket" not in upgrades:
            response = wire.respond(http.HTTPStatus.UPGRADE_REQUIRED, self._purpose + "\n")
            response.headers["Upgrade"] = "websocket"
            if request.method == "HEAD":
                response.body = b""
            return response
        if len(wire.server.all_connections) >= MAX_ACCEPTED:
            return wire.respond(http.HTTPStatus.SERVICE_UNAVAILABLE, "All places here are taken; try again later.\n")
        return None


def _every_address(port: int) -> socket.socket:
    if socket.has_dualstack_ipv6():
        try:
            return socket.create_server(("", port), family=socket.AF_INET6, dualstack_ipv6=True)
        except OSError as error:
            if error.errno not in NO_ROUTE:
                raise  # the port is taken; otherwise IPv6 is built in but switched off
    return socket.create_server(("", port))


def _is_passing(error: InvalidHandshake) -> bool:
    """Whether it was no answer at all, or one that asks to come back later."""
    if isinstance(error, InvalidStatus):
        return error.response.status_code == http.HTTPStatus.SERVICE_UNAVAILABLE
    return isinstance(error.__cause__, EOFError)


def explain_failure(error: Exception, target: Target, seconds: float) -> str:
    """In a few words, why an attempt to open failed."""
    if isinstance(error, TimeoutError):
        return f"timed out after {seconds:g} s"
    if isinstance(error, socket.gaierror):
        return f"no address known for {target.host}"
    if isinstance(error, InvalidStatus):
        status = error.response.status_code
        return "the other end is full" if _is_passing(error) else f"not a WebSocket: it answered HTTP {status}"
    if isinstance(error, InvalidHandshake):
        return "closed during the handshake" if _is_passing(error) else f"not a WebSocket: {error}"
    if isinstance(error, ConnectionClosed):
        return "closed during the handshake"
    if isinstance(error, OSError):
        return _explain_os_error(error)
    return f"failed: {error!r}"


def _explain_os_error(error: OSError) -> str:
    number = error.errno
    if number is None:  # asyncio tried several addresses and joined the sentences
        found = re.search(r"\[Errno (\d+)\]", str(error))
        number = int(found[1]) if found else 0
    if number == errno.ECONNREFUSED:
        return "refused"
    if number in NO_ROUTE:
        return "no route"
    if number in RESET:
        return "reset"
    return error.strerror or str(error)


def explain_end(closed: ConnectionClosed, refusal: Exception | None) -> tuple[str, Exception | None]:
    """Why an open connection ended, and what the channel could not take, if that was why."""
    fault = refusal or closed.__cause__
    if isinstance(fault, Exception) and not isinstance(fault, (OSError, EOFError)):
        return f"it sent what cannot be taken: {fault}", fault
    if closed.rcvd is not None:
        return closed.rcvd.reason or f"closed by the other end (code {closed.rcvd.code})", None
    if isinstance(fault, TimeoutError):
        return "lost: timed out", None
    if isinstance(fault, OSError):
        return f"lost: {_explain_os_error(fault)}", None
    return "lost", None
