"""WebSocketNetwork: connections over WebSocket, dialled and accepted, with TLS and HTTP answers."""

from __future__ import annotations

import asyncio
import http
import logging
import socket
import ssl
from collections.abc import Callable, Container, Iterator
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any, Literal
from weakref import WeakSet

from websockets.asyncio.client import connect
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus
from websockets.http11 import Request, Response
from websockets.server import ServerProtocol

from peers.later import Later
from peers.limits import Limits
from peers.transport.accepting.accepted_wire import AcceptedWire
from peers.transport.accepting.door import Note, note_nothing
from peers.transport.accepting.handshakes import Handshakes
from peers.transport.accepting.listening_socket import AcceptedSocket, ListeningSocket
from peers.transport.address import Target, parse_address, parse_url, show_address
from peers.transport.channel import CLOSE_SECONDS, WiredConnection
from peers.transport.http import HttpAnswer, HttpRequest
from peers.transport.large_frames import MOST_READ_BYTES, FrameMemory
from peers.transport.network import WiredNetwork
from peers.transport.port import MAX_FRAME, Connection
from peers.transport.sockets import dial_options, explain_os_error
from peers.transport.tls.gate import (
    NO_CERTIFICATE,
    NO_TLS_REASONS,
    NOT_TAKEN,
    OTHER_IS_CLOSED,
    OTHER_IS_OPEN,
    OTHER_MESH,
    PLAIN_ANSWER,
    TLS_BYTES,
    TLS_ONLY,
    Gate,
    MaySpeak,
    has_certificate,
    proven_certificate,
    refuse_all,
    spare_memory,
    why_no_handshake,
)
from peers.transport.web_socket_wire import DialledWire, WebSocketWire
from peers.transport.wire import WireError

MAX_CLIENT_FRAME = 64 * 1024 * 1024
"""Bytes of one frame of a Logux client: JavaScript ones send all their backlog in one frame."""
FULL = "All places here are taken; try again later.\n"
REFUSAL = (
    f"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nContent-Type: text/plain\r\nContent-Length: {len(FULL)}\r\n\r\n"
    f"{FULL}"
).encode()
"""What a connection gets that is turned away unread, unless it expects TLS."""

OnRequest = HttpAnswer | None | Later[HttpAnswer | None]
"""An answer to an HTTP request, now or later; None accepts it."""

log = logging.getLogger(__name__)
_QUIET = logging.Logger("websockets", level=logging.CRITICAL + 1)  # the library logs tracebacks of peers that vanish


class _Dial(connect):
    def process_redirect(self, exc: Exception) -> Exception | str:
        return exc  # the end that answers does not decide which end is dialled


class WebSocketNetwork(WiredNetwork):
    """A Network of WebSocket connections, all on one loop.

    Frames are never compressed.

    - `max_frame`: bytes of one frame that is received; a longer one closes the connection
    - `too_long`: a frame that an authenticated end gets before its frame above `max_frame` closes the connection
    - `connect_seconds`: limit of one attempt to open, with its handshake
    - `tls`: accept connections over TLS only; `dial_tls`: for dialling `wss://`; None: the machine's trusted certificates
    - `may_speak`: every connection is over TLS, with `tls` and `dial_tls`, and both ends prove a key: it is asked about the
      certificate of the other end before anything is sent or read, see MaySpeak
    - `on_no_certificate`: gets the address of an end that proves no key, where `tls` does not demand a certificate; the result
      takes the connection over, with the deadline of a stranger; None refuses it
    - `on_refused`: called with the address of a connection that was not let in because of TLS, and why, for each of them
    - `binary`: whether binary frames end a connection ("refuse") or are ignored: a Logux 7 server sends some at first
    - `on_request`: called on the loop with every HTTP request, upgrades too; see OnRequest
    - `purpose`: the text of the answer to a browser that opens the port by mistake
    - `frame_memory`: the memory for large frames, if several networks share it
    - `waits`: give an accepted connection away once it has sent a message: until then it takes less memory
    - `limits`, `note`, `known`: of its listening ports, see WiredNetwork
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        *,
        max_frame: int = MAX_FRAME,
        connect_seconds: float = 3.0,
        tls: ssl.SSLContext | None = None,
        dial_tls: ssl.SSLContext | None = None,
        may_speak: MaySpeak | None = None,
        on_no_certificate: Callable[[str], asyncio.Protocol | None] = refuse_all,
        on_refused: Callable[[str, str], None] = note_nothing,
        binary: Literal["refuse", "ignore"] = "refuse",
        on_request: Callable[[HttpRequest], OnRequest] | None = None,
        frame_memory: FrameMemory | None = None,
        too_long: bytes | None = None,
        purpose: str = "This door is for WebSocket connections between the nodes of a mesh; there is no page here.",
        waits: bool = False,
        limits: Limits | None = None,
        note: Note = note_nothing,
        known: Container[str] = (),
    ) -> None:
        super().__init__(loop, limits=limits, note=note, known=known)
        self.refusal = REFUSAL if tls is None else b""
        self.connect_seconds = connect_seconds
        self._tls = tls
        self._dial_tls = dial_tls
        self._may_speak = may_speak
        self._on_no_certificate = on_no_certificate
        self._on_refused = on_refused
        self._on_request = on_request
        self._purpose = purpose
        self._waits = waits
        self._buffer = bytearray()
        """Into which all its connections over TLS read."""
        self._handshakes: list[Handshakes] = []
        """One for each listening socket with TLS."""
        self._wires: WeakSet[WebSocketWire] = WeakSet()
        self._wire_options: dict[str, Any] = {
            "ignores_binary": binary == "ignore",
            "wires": self._wires,
            "frame_memory": frame_memory or FrameMemory(),
            "max_frame": max_frame,
            "too_long": too_long,
        }
        self._options: dict[str, Any] = {
            "compression": None,
            "ping_interval": None,
            "close_timeout": CLOSE_SECONDS,
            "max_size": max_frame,
            "max_queue": 1,
            "logger": _QUIET,
        }

    def dial(self, address: str, *, max_segment: int | None = None, node_id: str = "") -> WiredConnection:
        """As Network says; `ws://host:port/path` and `wss://host:port/path` are addresses too."""
        target = parse_url(address) if "://" in address else parse_address(address)
        is_secure = target.is_secure or self._may_speak is not None
        target = replace(target, max_segment=max_segment, is_secure=is_secure)
        return WiredConnection(self, address, partial(self.open_wire, target, node_id))

    def descriptors(self) -> Iterator[int]:
        """The file numbers of all its sockets: those that listen, and those of connections, also during their handshake."""
        yield from (one.fileno() for listening in self.listenings for one in listening.sockets)
        yield from (number for handshakes in self._handshakes for number in handshakes.descriptors())
        yield from (wire.transport.get_extra_info("socket").fileno() for wire in tuple(self._wires))

    async def open_wire(self, target: Target, node_id: str = "") -> WebSocketWire:
        """Dial `target`; `node_id` is as in `dial`. Raises WireError, and nothing else, when that fails."""
        try:
            secure: dict[str, Any] = {}
            if target.is_secure:
                secure = {"ssl": await self._trusted(), "ssl_shutdown_timeout": CLOSE_SECONDS}
            async with asyncio.timeout(self.connect_seconds):
                place = await dial_options(self.loop, target)
            wire = await _Dial(
                target.uri,
                proxy=None,
                user_agent_header=None,
                open_timeout=self.connect_seconds,
                create_connection=self._made_of(DialledWire, check=partial(self._check_dialled, node_id)),
                **place,
                **secure,
                **self._options,
            )
            assert isinstance(wire, WebSocketWire)
            wire.forget_handshake()
        except WireError:
            raise
        except Exception as error:  # an attempt ends in exactly one `disconnect`
            if self._may_speak is not None:
                raise WireError(
                    _explain_untrusted(error) or explain_failure(error, target, self.connect_seconds)
                ) from error
            is_refusal = isinstance(error, (InvalidHandshake, ssl.SSLError)) and not _is_passing(error)
            reason = explain_failure(error, target, self.connect_seconds)
            raise WireError(reason, error if is_refusal else None) from error
        return wire

    def _made_of(self, kind: type[WebSocketWire], **options: Any) -> Any:
        return partial(kind, **self._wire_options, **options)

    async def _trusted(self) -> ssl.SSLContext:
        if self._dial_tls is None:  # to read the machine's certificates takes some ms
            self._dial_tls = await asyncio.to_thread(ssl.create_default_context)
        return self._dial_tls

    def _check_dialled(self, node_id: str, transport: asyncio.BaseTransport) -> bytes | None:
        """The key of the other end, once it may speak; None if none is asked for. Raises WireError."""
        self._spare_memory(transport)
        if self._may_speak is None:
            return None
        key, why = self._judge_key(transport, node_id)
        if why:
            raise WireError(why)
        return key

    def _spare_memory(self, transport: asyncio.BaseTransport) -> None:
        if transport.get_extra_info("ssl_object") is not None:
            self._buffer = self._buffer or bytearray(MOST_READ_BYTES)
            spare_memory(transport, self._buffer)

    def _judge_key(self, transport: asyncio.BaseTransport, node_id: str = "") -> tuple[bytes, str]:
        """The key of the other end, and why it is not to be spoken to."""
        assert self._may_speak is not None
        try:
            certificate = proven_certificate(transport)
        except ValueError as error:
            return b"", f"its certificate cannot be used: {error}"
        return certificate.public, self._may_speak(certificate, node_id)

    async def _shake_hands(self, listening: ListeningSocket, server: Server, accepted: AcceptedSocket) -> None:
        address = show_address(accepted.peer)

        def admit(transport: asyncio.Transport) -> asyncio.Protocol | None:
            accepted.left = None
            self._spare_memory(transport)
            if self._may_speak is not None and not has_certificate(transport):
                protocol = self._on_no_certificate(address)
                if protocol is None:
                    self._on_refused(address, NO_CERTIFICATE)
                return protocol
            key, why = self._judge_key(transport) if self._may_speak is not None else (None, "")
            if why:
                self._on_refused(address, why)
                return None
            wire: AcceptedWire = self._accepted_by(listening)(
                ServerProtocol(max_size=self._options["max_size"], logger=_QUIET),
                server,
                **{name: self._options[name] for name in ("ping_interval", "close_timeout", "max_queue")},
            )
            wire.proven_key = key
            return wire

        accepted.left = self.limits.handshake_bytes
        try:
            await self.loop.connect_accepted_socket(
                partial(Gate, admit),
                accepted,
                ssl=self._tls,
                ssl_handshake_timeout=self.limits.greeting_seconds,  # the door is stricter
                ssl_shutdown_timeout=CLOSE_SECONDS,
            )
        except OSError as error:
            why = why_no_handshake(error)
            if why:
                self._on_refused(address, why)

    def _on_plain(self, accepted: AcceptedSocket) -> None:
        self._on_refused(show_address(accepted.peer), OTHER_IS_OPEN)
        with suppress(OSError):
            accepted.recv(TLS_BYTES)
            accepted.send(PLAIN_ANSWER)

    def _accepted_by(self, listening: ListeningSocket) -> Any:
        return self._made_of(AcceptedWire, listening=listening, limits=self.limits, on_refused=self._on_refused)

    async def serve(self, listening: ListeningSocket, on_connection: Callable[[Connection], None]) -> Server:
        async def accept(wire: ServerConnection) -> None:
            assert isinstance(wire, AcceptedWire)
            wire.forget_handshake()
            if self._waits:
                await wire.until_message()
                if wire.is_lost:
                    return
            connection = WiredConnection(self, show_address(wire.remote_address))
            connection.on_welcome = wire.welcome
            self.accept(connection, wire, on_connection)
            await wire.until_lost()

        server = serve(
            accept,
            sock=listening,
            backlog=1,
            process_request=self._answer,
            server_header=None,
            open_timeout=None,  # the door has a deadline
            create_connection=self._accepted_by(listening),
            **self._options,
        )
        if self._tls is not None:
            begin = partial(self._shake_hands, listening, server)
            handshakes = Handshakes(self.loop, self.limits, begin=begin, on_plain=self._on_plain, spawn=self.spawn)
            self._handshakes.append(handshakes)
            listening.on_accepted = handshakes.add
        await server
        server.close = partial(server.close, close_connections=False)  # type: ignore[method-assign]
        return server

    async def _answer(self, wire: ServerConnection, request: Request) -> Response | None:
        is_upgrade = "websocket" in ",".join(request.headers.get_all("Upgrade")).lower()
        answer = await self._judge(wire, request, is_upgrade)
        if answer is not None:
            return _respond(wire, request.method, answer)
        if not is_upgrade:
            body = f"{self._purpose}\n".encode()
            return _respond(wire, request.method, HttpAnswer(426, {"Upgrade": "websocket"}, body))
        return None

    async def _judge(self, wire: ServerConnection, request: Request, is_upgrade: bool) -> HttpAnswer | None:
        if self._on_request is None:
            return None
        headers: dict[str, str] = {}
        for name, value in request.headers.raw_items():
            headers[name.lower()] = f"{headers[name.lower()]}, {value}" if name.lower() in headers else value
        address = show_address(wire.remote_address)
        try:
            answer = self._on_request(HttpRequest(request.method, request.path, headers, address, is_upgrade))
            return await answer if isinstance(answer, Later) else answer
        except Exception:  # a fault in one request must not end the server
            log.exception("request of %s: it could not be answered", address)
            return HttpAnswer(500, body=b"This request could not be answered; the log of this machine says why.\n")


def _respond(wire: ServerConnection, method: str, answer: HttpAnswer) -> Response:
    response = wire.respond(answer.status, "")
    response.body = b"" if method == "HEAD" else answer.body
    for name, value in {**answer.headers, "Content-Length": str(len(answer.body)), "Connection": "close"}.items():
        if name in response.headers:
            del response.headers[name]
        response.headers[name] = value
    return response


def _is_passing(error: Exception) -> bool:
    """Whether another attempt may succeed: there was no answer at all, or one that asks for it."""
    if isinstance(error, InvalidStatus):
        return error.response.status_code == http.HTTPStatus.SERVICE_UNAVAILABLE
    return isinstance(error.__cause__, EOFError)


def _explain_untrusted(error: Exception) -> str:
    """Why an attempt between nodes that prove keys failed, if it was because of them; else empty."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return OTHER_MESH
    if isinstance(error, ssl.SSLError) and error.reason in NO_TLS_REASONS:
        return OTHER_IS_OPEN
    return NOT_TAKEN if isinstance(error, InvalidHandshake) and isinstance(error.__cause__, EOFError) else ""


def explain_failure(error: Exception, target: Target, seconds: float) -> str:
    """In a few words, why an attempt to open failed."""
    if isinstance(error, TimeoutError):
        return f"timed out after {seconds:g} s"
    if isinstance(error, socket.gaierror):
        _, is_scoped, scope = target.host.partition("%")
        return f"this machine has no network interface {scope}" if is_scoped else f"no address known for {target.host}"
    if isinstance(error, InvalidStatus):
        status = error.response.status_code
        if TLS_ONLY in error.response.headers.get("Upgrade", ""):
            return OTHER_IS_CLOSED
        return "the other end is full" if _is_passing(error) else f"not a WebSocket: it answered HTTP {status}"
    if isinstance(error, InvalidHandshake):
        return "closed during the handshake" if _is_passing(error) else f"not a WebSocket: {error}"
    if isinstance(error, ConnectionClosed):
        return "closed during the handshake"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return f"no TLS that both ends speak: {error.reason or error}"
    if isinstance(error, OSError):
        return explain_os_error(error)
    return f"failed: {error!r}"
