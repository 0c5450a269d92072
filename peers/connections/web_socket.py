"""Connections over WebSocket: dialled, accepted, and the door that accepts them."""

from __future__ import annotations

import asyncio
import errno
import http
import ipaddress
import logging
import re
import socket
from collections import deque
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.connection import Connection as LibraryConnection
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus
from websockets.frames import CloseCode, Frame, Opcode
from websockets.http11 import Request, Response
from websockets.protocol import Event, State

from peers.clock import Undo
from peers.connections.connection import Connection, Listening
from peers.emitter import Emitter
from peers.later import Later

MAX_FRAME = 1024 * 1024
"""Bytes of one frame; a longer one closes the connection."""
SEND_BYTES = 16 * 1024 * 1024
"""Bytes that `send` may queue for an end that does not read; above it the connection is closed as too slow."""
WRITE_BATCH = 64 * 1024
"""Bytes after which queued frames are handed to the socket in one write."""
READ_TURN = 64
"""Frames delivered before the rest of the loop gets its turn."""
MAX_ACCEPTED = 512
"""Open connections that one door keeps."""
MAX_OPENING = 128
"""Connections at one door that have not finished, or not begun, their opening handshake."""
ACCEPT_SECONDS = 5.0
CLOSE_SECONDS = 1.0
ACTIVITY_SECONDS = 0.1
REASON_BYTES = 123  # RFC 6455, 5.5: a control frame carries at most 125 bytes, two of them the code

NO_ROUTE = {errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EADDRNOTAVAIL, errno.ENETDOWN, errno.EHOSTDOWN}
RESET = {errno.ECONNRESET, errno.EPIPE, errno.ECONNABORTED}

log = logging.getLogger(__name__)
_QUIET = logging.Logger("websockets", level=logging.CRITICAL + 1)  # the library logs tracebacks of peers that vanish


@dataclass(frozen=True)
class Target:
    """Where to dial: the host may carry an IPv6 scope, which the URI must not (RFC 6874)."""

    host: str
    port: int
    uri: str


def parse_address(address: str) -> Target:
    """Read `host:port`, `[v6]:port` or `[v6%scope]:port`. Raises ValueError with a sentence."""
    found = re.fullmatch(r"(?:\[([^\[\]]+)\]|([^\[\]:]+)):([0-9]{1,5})", address)
    if found is None:
        raise ValueError(f"{address!r} is not an address: write host:port, or [address]:port for IPv6")
    bracketed, plain, port = found[1], found[2], int(found[3])
    if not 1 <= port <= 65535:
        raise ValueError(f"{address!r} has no port that can be dialled: take one from 1 to 65535")
    if bracketed is None:
        _check_plain_host(plain, address)
        return Target(plain, port, f"ws://{plain}:{port}/")
    try:
        v6 = ipaddress.IPv6Address(bracketed)
    except ValueError as error:
        raise ValueError(f"{address!r} has no IPv6 address between its brackets: {error}") from None
    if v6.is_link_local and v6.scope_id is None:
        raise ValueError(f"{address!r} is link-local: name the interface too, as in [{v6}%eth0]:{port}")
    return Target(bracketed, port, f"ws://[{bracketed.partition('%')[0]}]:{port}/")


def _check_plain_host(host: str, address: str) -> None:
    if re.fullmatch(r"[0-9.]+", host):
        try:
            ipaddress.IPv4Address(host)
        except ValueError as error:
            raise ValueError(f"{address!r} has no IPv4 address: {error}") from None
    elif len(host) > 253 or not re.fullmatch(r"[A-Za-z0-9_-]{1,63}(\.[A-Za-z0-9_-]{1,63})*\.?", host):
        raise ValueError(
            f"{address!r} has no host name: letters, digits, '-', '_' and '.' make one, or use its address"
        )


def _show_address(name: Any) -> str:
    if not isinstance(name, tuple) or len(name) < 2:
        return "unknown"  # the socket was gone before it could be asked
    host, port = str(name[0]), name[1]
    if host.startswith("::ffff:") and "." in host:
        return f"{host.removeprefix('::ffff:')}:{port}"
    if ":" not in host:
        return f"{host}:{port}"
    if "%" not in host and len(name) == 4 and name[3]:
        host = f"{host}%{name[3]}"
    return f"[{host}]:{port}"


class _Wire(LibraryConnection):
    """What is added to a connection of the library: signs of life, no binary frames, a bound on how long it ends."""

    channel: _Channel | None = None
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

    def write_frames(self, frames: list[bytes]) -> None:
        """Write text frames in one go; `drain` then waits until the socket has taken them."""
        if self.protocol.state is not State.OPEN:
            return
        for frame in frames:
            self.protocol.send_text(frame)
        # Not writelines: before Python 3.12.9 and 3.13.2 it ignores the high-water mark (CVE-2024-12254).
        self.transport.write(b"".join(self.protocol.data_to_send()))

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


class _Channel:
    """One attempt to open, the opening that may follow, and its end; dialling again makes a new one."""

    def __init__(self, connection: WebSocketConnection, network: WebSocketNetwork) -> None:
        self.is_over = False
        self._connection = connection
        self._network = network
        self._opening: asyncio.Task[None] | None = None
        self._writer: asyncio.Task[None] | None = None
        self._wire: _Wire | None = None
        self._queue: deque[bytes] = deque()
        self._queued_bytes = 0
        self._wake = asyncio.Event()
        self._flowing = asyncio.Event()
        self._is_paused = False
        self._is_deaf = False
        self._grace: asyncio.TimerHandle | None = None
        self._next_activity = 0.0
        network.channels[self] = None

    def dial(self, target: Target) -> None:
        self._opening = self._network.spawn(self._open(target))

    async def _open(self, target: Target) -> None:
        if self.is_over:
            return
        try:
            self._tell("connecting")
            wire = await self._network.reach(target)
        except Exception as error:  # noqa: BLE001 - however an attempt fails, it ends in exactly one disconnect
            reason = explain_failure(error, target, self._network.connect_seconds)
            refused = isinstance(error, InvalidHandshake) and not _is_passing(error)
            self.finish(reason, error=error if refused else None)
            return
        if self.is_over:
            wire.transport.abort()
            await wire.wait_closed()
            return
        self.start(wire)
        self._tell("connect")

    def start(self, wire: _Wire) -> None:
        """Read and write from here on."""
        self._wire = wire
        wire.channel = self
        self._connection.connected = True
        self.regulate()
        self._writer = self._network.spawn(self._write(wire))
        self._network.spawn(self._read(wire))
        if wire.protocol.state is State.CLOSED:
            self.on_lost()

    def send(self, frame: bytes) -> None:
        if self.is_over:
            return  # `disconnect` is on its way
        self._queued_bytes += len(frame)
        if self._queued_bytes > SEND_BYTES:
            self._queue.clear()
            self.finish("too slow", code=CloseCode.POLICY_VIOLATION)
            return
        self._queue.append(frame)
        self._wake.set()

    async def _write(self, wire: _Wire) -> None:
        while True:
            while self._queue:
                frames, size = self._take_batch()
                try:
                    wire.write_frames(frames)
                    await wire.drain()
                except OSError:
                    return  # the reader learns why, and says so
                self._queued_bytes -= size
                if self._queue:
                    await asyncio.sleep(0)
            if self.is_over:
                return
            self._wake.clear()
            await self._wake.wait()

    def _take_batch(self) -> tuple[list[bytes], int]:
        frames = []
        size = 0
        while self._queue and size < WRITE_BATCH:
            frame = self._queue.popleft()
            frames.append(frame)
            size += len(frame)
        return frames, size

    async def _read(self, wire: _Wire) -> None:
        try:
            while True:
                for _ in range(READ_TURN):
                    frame = await wire.recv(decode=False)
                    while not self._flowing.is_set():
                        await self._flowing.wait()
                    if not self._is_deaf:
                        self._tell("message", frame)
                await asyncio.sleep(0)
        except ConnectionClosed as closed:
            reason, error = explain_end(closed, wire.refusal)
            self.finish(reason, error=error)

    def _tell(self, event: str, *args: Any) -> None:
        """Emit one event; a listener that fails ends the connection, since it may have lost what it was told."""
        try:
            self._connection.emitter.emit(event, *args)
        except Exception as failure:
            log.exception("connection %s: a listener of %s failed", self._connection.address, event)
            self.finish(f"internal error: {type(failure).__name__}", code=CloseCode.INTERNAL_ERROR)

    def pause(self, is_paused: bool) -> None:
        self._is_paused = is_paused
        self.regulate()

    def regulate(self) -> None:
        """Let frames through, or hold them: while it is paused, and until somebody listens to them."""
        if self._is_deaf or (not self._is_paused and self._connection.emitter.has_listeners("message")):
            self._flowing.set()
        else:
            self._flowing.clear()

    def on_bytes(self) -> None:
        now = self._network.loop.time()
        if now >= self._next_activity and not self.is_over:
            self._next_activity = now + ACTIVITY_SECONDS
            self._tell("activity")

    def on_lost(self) -> None:
        if not self._flowing.is_set():  # what came before the end is still delivered if it is resumed soon
            self._grace = self._network.loop.call_later(CLOSE_SECONDS, self._turn_deaf)

    def _turn_deaf(self) -> None:
        self._is_deaf = True
        self.regulate()

    def finish(self, reason: str, *, code: int = CloseCode.NORMAL_CLOSURE, error: Exception | None = None) -> None:
        """Deliver nothing more, say so on the next turn of the loop, close in the background. Harmless when over."""
        if self.is_over:
            return
        self.is_over = True
        if self._grace is not None:
            self._grace.cancel()
        self._turn_deaf()  # frames that still come are read and dropped, so that the other end's close gets through
        self._wake.set()
        log.debug("connection %s: %s", self._connection.address, reason)
        self._network.loop.call_soon(self._connection.on_end, reason, error)
        self._network.spawn(self._end(code, reason))

    async def _end(self, code: int, reason: str) -> None:
        try:
            if self._opening is not None and self._wire is None:
                self._opening.cancel()
            if self._wire is not None and self._writer is not None:
                await self._close_wire(self._wire, self._writer, code, reason)
        finally:
            del self._network.channels[self]

    async def _close_wire(self, wire: _Wire, writer: asyncio.Task[None], code: int, reason: str) -> None:
        try:
            async with asyncio.timeout(CLOSE_SECONDS):  # the library's own timeout does not cover a full send buffer
                await writer
                await wire.close(code, reason.encode("utf-8", "replace")[:REASON_BYTES].decode("utf-8", "ignore"))
        except TimeoutError:
            log.debug("connection %s: cut, it did not close within %g s", self._connection.address, CLOSE_SECONDS)
        finally:
            wire.transport.abort()
        await wire.wait_closed()


class WebSocketConnection:
    """A `Connection` over one WebSocket after another.

    Frames that come before somebody listens to `message` are held, so that an accepted connection can be handed on.
    Between `disconnect()` and the event, one turn of the loop later, `send` drops what it is given.
    """

    def __init__(self, network: WebSocketNetwork, address: str, target: Target | None = None) -> None:
        self.connected = False
        self.dialled = target is not None
        self.address = address
        self._network = network
        self._target = target
        self.emitter = Emitter()
        self._channel: _Channel | None = None

    def connect(self) -> None:
        if self._target is None:
            raise RuntimeError(f"{self.address} was accepted: only the end that dialled can open it again")
        if self._network.is_closed:
            raise RuntimeError(f"{self.address} cannot be dialled: this network is closed")
        if self._channel is not None:
            raise RuntimeError(f"{self.address} is open or being opened: it can be dialled again after `disconnect`")
        self._channel = _Channel(self, self._network)
        self._channel.dial(self._target)

    def disconnect(self, reason: str = "") -> None:
        if self._channel is not None:
            self._channel.finish(reason or "closed by this end")

    def send(self, frame: bytes) -> None:
        if self._channel is None or not self.connected:
            raise RuntimeError(f"{self.address} is not open: frames can be sent after `connect`")
        self._channel.send(frame)

    def pause(self) -> None:
        if self._channel is not None:
            self._channel.pause(True)

    def resume(self) -> None:
        if self._channel is not None:
            self._channel.pause(False)

    def on(self, event: str, listener: Callable[..., Any]) -> Undo:
        undo = self.emitter.on(event, listener)
        if self._channel is not None:
            self._channel.regulate()
        return undo

    def adopt(self, wire: _Wire) -> None:
        """Begin with a channel that the other end opened."""
        self._channel = _Channel(self, self._network)
        self._channel.start(wire)

    def on_end(self, reason: str, error: Exception | None) -> None:
        self._channel = None
        self.connected = False
        try:
            if error is not None:
                self.emitter.emit("error", error)
        finally:
            self.emitter.emit("disconnect", reason)


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
        self.channels: dict[_Channel, None] = {}
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
        connection = WebSocketConnection(self, _show_address(wire.remote_address))
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
