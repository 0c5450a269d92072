"""ClientGateway: the port for Logux clients and browsers: checks HTTP requests, serves the page, upgrades to WebSocket."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import ifaddr
import msgspec

from mesh.errors import MeshError
from mesh.gateway.clients.access import judge_origin
from mesh.gateway.clients.guard import Guard
from mesh.gateway.clients.page import PAGE_FILES, SECURITY_HEADERS
from mesh.gateway.clients.role import ClientGatewaySync, Hooks
from mesh.gateway.clients.tokens import Tokens
from mesh.gateway.endpoints import Listen, MakeRole
from mesh.gateway.turned_away import TurnedAway
from mesh.membership.status import Status
from peers.clock import Clock
from peers.codec.codec import encode_plain
from peers.codec.messages import Debug
from peers.errors import SyncError
from peers.later import Later
from peers.transport.http import HttpAnswer, HttpRequest
from peers.transport.large_frames import FrameMemory
from peers.transport.web_socket import MAX_CLIENT_FRAME, OnRequest, WebSocketNetwork

CLIENTS_KEY = "clients"
"""The key of this port in `Node.door_ports` and in JSON."""
CLIENTS_DOOR = "the clients' door"
STRANGER_FRAME = 64 * 1024
"""Limit of a frame, in bytes, from a client that is not authenticated yet."""
HOSTS_MS = 5_000
"""How long the list of this machine's addresses is used before it is read again."""
BEARER = "Bearer "
ADVICE = {
    "wrong-credentials": "it shows no token that holds for this user: `mesh token list` shows which do",
    "bruteforce": "too many wrong tokens came from there: for a minute none is looked at",
}
TOO_LONG = encode_plain(
    Debug(
        "error",
        f"not taken: a message of more than {MAX_CLIENT_FRAME} bytes; send what waits in several messages: @logux/core 0.12 "
        "does so by itself (option syncBatch), older ones send all in one, so let fewer or smaller events wait",
    )
)
"""The message to a client that sends too long a frame, before its connection ends."""


@dataclass(frozen=True)
class ClientSettings:
    """The options `clients...` of GatewayOptions, checked."""

    host: str
    port: int
    cert: Path | None = None
    key: Path | None = None
    origins: tuple[str, ...] = ()
    """Origins of pages that may connect, besides our own page."""
    hosts: tuple[str, ...] = ()
    """Names under which this node is reached, besides its addresses."""
    hooks: Hooks = Hooks()  # noqa: RUF009 - frozen
    make_role: MakeRole = ClientGatewaySync


class ClientGateway:
    """Made anew at each start of the node. The caller sets `port` once the port is open."""

    def __init__(
        self,
        settings: ClientSettings,
        home: Path,
        *,
        clock: Clock,
        status: Callable[[], Later[Status]],
        frame_memory: FrameMemory,
        turned_away: TurnedAway,
    ) -> None:
        self.port = settings.port
        self.network: WebSocketNetwork
        """Set by `make`; the caller closes it at the end."""
        self._settings = settings
        self._clock = clock
        self._status = status
        self._frame_memory = frame_memory
        self._turned_away = turned_away
        self._guard = Guard(Tokens(home), clock)
        self._hosts: frozenset[str] = frozenset()
        self._hosts_at = float("-inf")

    def make(self, loop: asyncio.AbstractEventLoop) -> Listen:
        """What to open. Raises MeshError for a certificate that cannot be used."""
        settings = self._settings
        self.network = WebSocketNetwork(
            loop,
            max_frame=MAX_CLIENT_FRAME,
            stranger_frame=STRANGER_FRAME,
            tls=_tls(settings.cert, settings.key),
            on_request=self.on_request,
            frame_memory=self._frame_memory,
            too_long=TOO_LONG,
        )
        options = {"guard": self._guard, "hooks": settings.hooks}
        where = (settings.host, settings.port)
        return Listen(CLIENTS_KEY, CLIENTS_DOOR, *where, self.network, settings.make_role, options, ADVICE)

    def on_request(self, request: HttpRequest) -> OnRequest:
        """The answer to an HTTP request: a file of the page, the status, or an error; None: upgrade to a WebSocket."""
        why_not = judge_origin(
            request.headers.get("origin"),
            request.headers.get("host"),
            port=self.port,
            allowed_origins=self._settings.origins,
            own_hosts=self._own_hosts(),
            is_tls=self._settings.cert is not None,
        )
        if why_not is not None:
            self._turned_away.note(CLIENTS_DOOR, request.address, "", why_not)
            return _text(403, why_not)
        if request.is_upgrade:
            return None
        if request.method not in ("GET", "HEAD"):
            return _text(405, "only GET is understood here", Allow="GET, HEAD")
        path = request.path.partition("?")[0]
        if path == "/status":
            return self._answer_status(request)
        file = PAGE_FILES.get(path)
        if file is None:
            return _text(404, "there is nothing here: the page of this node is at /")
        return _answer(200, file.content_type, file.body)

    def _answer_status(self, request: HttpRequest) -> OnRequest:
        scheme, _, credentials = request.headers.get("authorization", "").partition(" ")
        user, _, token = credentials.partition(":")
        try:
            held = self._guard.judge(user, token, request.address) if scheme == BEARER.strip() else None
        except SyncError as error:
            self._turned_away.note(CLIENTS_DOOR, request.address, user, ADVICE[error.type])
            return _text(429, f"too many wrong tokens came from here ({error.type}): wait a minute")
        except MeshError as error:
            return _text(503, str(error))
        if held is None:
            if credentials:
                self._turned_away.note(CLIENTS_DOOR, request.address, user, ADVICE["wrong-credentials"])
            return _text(401, "give the header Authorization: Bearer USER:TOKEN, with a token of `mesh token add USER`")
        return self._status().transform(_json)

    def _own_hosts(self) -> frozenset[str]:
        now = self._clock.elapsed_ms()
        if now - self._hosts_at > HOSTS_MS:
            self._hosts, self._hosts_at = _hosts_of_this_machine().union(self._settings.hosts), now
        return self._hosts


def _hosts_of_this_machine() -> frozenset[str]:
    name = socket.gethostname()
    hosts = {"localhost", "127.0.0.1", "::1", name, name.partition(".")[0], f"{name.partition('.')[0]}.local"}
    for adapter in ifaddr.get_adapters():
        hosts.update(ip.ip if isinstance(ip.ip, str) else ip.ip[0] for ip in adapter.ips)
    return frozenset(hosts)


def _tls(cert: Path | None, key: Path | None) -> ssl.SSLContext | None:
    if cert is None or key is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)

    def refuse() -> str:  # called by the library, which would otherwise ask at the terminal
        raise MeshError(f"the key {key} is encrypted, and a node cannot ask for its password: give it decrypted")

    try:
        context.load_cert_chain(cert, key, refuse)
    except ssl.SSLError as error:
        is_mismatch = error.reason == "KEY_VALUES_MISMATCH"
        why = "the key is another one's" if is_mismatch else "they are not a certificate and a key in PEM"
        raise _unusable(cert, key, why) from None
    except OSError as error:
        raise _unusable(cert, key, error.strerror or str(error)) from None
    return context


def _unusable(cert: Path, key: Path, why: str) -> MeshError:
    return MeshError(
        f"the clients' door cannot use the certificate {cert} with the key {key}: {why}; give two PEM files that belong "
        "together"
    )


def _json(status: Status) -> HttpAnswer:
    return _answer(200, "application/json", msgspec.json.encode(status))


def _text(status: int, sentence: str, **headers: str) -> HttpAnswer:
    printable = "".join(letter if letter.isprintable() else "?" for letter in sentence)
    return _answer(status, "text/plain; charset=utf-8", f"{printable}\n".encode(), **headers)


def _answer(status: int, content_type: str, body: bytes, **headers: str) -> HttpAnswer:
    return HttpAnswer(
        status, {**SECURITY_HEADERS, "Content-Type": content_type, "Cache-Control": "no-store", **headers}, body
    )
