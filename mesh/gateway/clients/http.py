"""ClientGateway: a port for clients and browsers, or for metrics alone: checks HTTP requests, answers or upgrades them."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from pathlib import Path

import msgspec

from mesh.errors import MeshError
from mesh.gateway.clients.access import check_host, check_origin, judge_origin
from mesh.gateway.clients.answers import answer, text_answer
from mesh.gateway.clients.channels import Channels
from mesh.gateway.clients.event_pages import BUSY, EventPages, GoneError
from mesh.gateway.clients.event_search import EventSearch, read_search
from mesh.gateway.clients.guard import Guard
from mesh.gateway.clients.page import PAGE_FILES
from mesh.gateway.clients.role import ClientGatewaySync, Hooks
from mesh.gateway.clients.tokens import Pass, Tokens
from mesh.gateway.endpoints import CLIENTS_DOOR, CLIENTS_KEY, METRICS_DOOR, METRICS_KEY, TOO_LONG, Listen
from mesh.gateway.metrics.monitoring import Monitoring
from mesh.gateway.options import FUNCTIONS, SECURE_DOOR, GatewayOptions, listed
from mesh.gateway.turned_away import TurnedAway
from mesh.membership.status import Status
from mesh.settings.config import parse_address
from peers.clock import Clock
from peers.errors import SyncError
from peers.later import Later
from peers.limits import Limits
from peers.log.port import SyncLog
from peers.protocol.ports import Spawn, begin
from peers.stores.store import StoreError
from peers.transport.accepting.door import Note
from peers.transport.address import address_key, is_loopback
from peers.transport.http import HttpAnswer, HttpRequest
from peers.transport.large_frames import FrameMemory
from peers.transport.web_socket import MAX_CLIENT_FRAME, OnRequest, WebSocketNetwork

AnswerUser = Callable[[str], OnRequest]
"""(user) -> the answer to this user, whose token is right."""
HOSTS_MS = 5_000
"""How long the list of this machine's addresses is used before it is read again."""
BEARER = "Bearer "
FORWARDED = frozenset(("forwarded", "x-forwarded-for", "x-real-ip", "via"))
"""Headers that proxies add."""
ADVICE = {
    "wrong-credentials": "it shows no token that holds for this user (`mesh token list` shows which do), or its id is none of "
    "a client: USER or USER:..., without ~",
    "bruteforce": "too many wrong tokens came from there: for a minute none is looked at",
}


class ClientGateway:
    """The clients' port of a node, or that for metrics alone: made with the node, `make` at each start."""

    def __init__(self, address: str, options: GatewayOptions, *, has_clients: bool = True) -> None:
        """`address` is the option `clients`; without `has_clients` it is `metrics`, and no client comes in there.

        Raises MeshError, with a sentence, for options that cannot be used.
        """
        self.has_clients = has_clients
        self.key, self.name = (CLIENTS_KEY, CLIENTS_DOOR) if has_clients else (METRICS_KEY, METRICS_DOOR)
        """As in Listen."""
        cert, key = options.get("clients_cert"), options.get("clients_key")
        if (cert is None) != (key is None):
            raise MeshError(f"{self.name} needs a certificate and its key: give both, or none")
        self.host, self.port = parse_address(address, f"the address of {self.name}")
        """Where to listen; port 0 takes a free one at each start."""
        self.origins = [check_origin(origin, "the origin") for origin in listed(options.get("clients_origins", ()))]
        """Origins of pages that may connect, besides our own page."""
        self.further_hosts = [check_host(name, "the host") for name in listed(options.get("clients_hosts", ()))]
        """Names under which this node is reached, besides its addresses."""
        self.is_tls = cert is not None
        if self.is_in_clear and not options.get("clients_insecure"):
            raise MeshError(
                f"{self.name} at {address} would be open to the network and not encrypted, so tokens could be read on "
                f"their way: {SECURE_DOOR}, or --clients-insecure, or open it at 127.0.0.1"
            )
        self._files = (cert, key)
        given: Mapping[str, object] = options
        for function in FUNCTIONS:
            if given.get(function) is not None and not callable(given[function]):
                raise MeshError(f"`{function}` is a function, and cannot be {given[function]!r}")
        channels = options.get("channels")
        self._tls: ssl.SSLContext | None = None
        """While it is open, with certificate."""
        self._hooks = Hooks(
            options.get("in_filter"),
            options.get("in_map"),
            options.get("out_filter"),
            options.get("out_map"),
            None if channels is None else Channels(channels),
            options.get("may_undo"),
        )
        self._auth = options.get("auth")
        self._make_role = options.get("clients_role", ClientGatewaySync)

    @property
    def is_in_clear(self) -> bool:
        """Whether clients from other machines send their tokens without encryption."""
        return not self.is_tls and not is_loopback(self.host)

    def renew_certificate(self) -> None:
        """Read its files again, for clients that connect from now on. Raises MeshError if they cannot be used."""
        cert, key = self._files
        if self._tls is not None and cert is not None and key is not None:
            _tls(cert, key)  # a pair that does not fit together would stay in the context
            _load(self._tls, cert, key)

    def make(
        self,
        make_network: Callable[..., WebSocketNetwork],
        home: Path,
        *,
        clock: Clock,
        spawn: Spawn,
        limits: Limits,
        note: Note,
        status: Callable[[], Later[Status]],
        monitoring: Monitoring,
        log: SyncLog,
        frame_memory: FrameMemory,
        turned_away: TurnedAway,
    ) -> tuple[Listen, WebSocketNetwork, HttpRequests]:
        """What to open; its network, which the caller closes; and what answers its requests, once the caller sets its port.

        `make_network`: see Gateways.make; `home` is the folder with the tokens.
        Raises MeshError for a certificate that cannot be used.
        """
        guard = Guard(Tokens(home), clock, self._auth)
        self._tls = _tls(*self._files)
        requests = HttpRequests(
            self,
            guard,
            clock=clock,
            spawn=spawn,
            status=status,
            monitoring=monitoring,
            # A role of the application's own may send less than the hooks let pass, and what it sends is its to say.
            pages=EventPages(log, self._hooks) if self._make_role is ClientGatewaySync else None,
            turned_away=turned_away,
        )
        network = make_network(
            max_frame=MAX_CLIENT_FRAME,
            tls=self._tls,
            on_request=requests.answer,
            frame_memory=frame_memory,
            too_long=TOO_LONG,
            waits=True,
        )
        hooks = replace(self._hooks, max_subscriptions=limits.subscriptions, note=note)
        options = {"guard": guard, "hooks": hooks}
        listen = Listen(self.key, self.name, self.host, self.port, network, self._make_role, options, ADVICE)
        return listen, network, requests


class HttpRequests:
    """Answers the HTTP requests at such a port, in one run of the node. The caller sets `port` once it is open."""

    def __init__(
        self,
        gateway: ClientGateway,
        guard: Guard,
        *,
        clock: Clock,
        spawn: Spawn,
        status: Callable[[], Later[Status]],
        monitoring: Monitoring,
        pages: EventPages | None,
        turned_away: TurnedAway,
    ) -> None:
        """`pages` is None if events are only sent over the web socket."""
        self.port = gateway.port
        self._gateway = gateway
        self._guard = guard
        self._clock = clock
        self._spawn = spawn
        self._status = status
        self._monitoring = monitoring
        self._pages = pages
        self._turned_away = turned_away
        self._hosts: frozenset[str] = frozenset()
        self._hosts_at = float("-inf")

    def answer(self, request: HttpRequest) -> OnRequest:
        """A file of the page, the status, or an error; None: upgrade to a WebSocket."""
        why_not = judge_origin(
            request.headers.get("origin"),
            request.headers.get("host"),
            port=self.port,
            allowed_origins=self._gateway.origins,
            own_hosts=self._own_hosts(),
            is_tls=self._gateway.is_tls,
        )
        if why_not is not None:
            self._turned_away.note(self._gateway.name, request.address, "", why_not)
            return text_answer(403, why_not)
        if request.is_upgrade and self._gateway.has_clients:
            return None
        if request.method not in ("GET", "HEAD"):
            return text_answer(405, "only GET is understood here", Allow="GET, HEAD")
        path, _, query = request.path.partition("?")
        watched = self._monitoring.pages.get(path)
        if watched is not None:
            return watched() if _is_from_here(request) else self._answer_user(request, lambda user: watched())
        if not self._gateway.has_clients:
            return text_answer(404, "there is nothing here: ask for /metrics, /healthz or /readyz")
        if path == "/status":
            return self._answer_user(request, lambda user: self._status().transform(_json))
        if path == "/events":
            return self._answer_user(request, lambda user: self._answer_events(query, user))
        file = PAGE_FILES.get(path)
        if file is None:
            return text_answer(404, "there is nothing here: the page of this node is at /")
        return answer(200, file.content_type, file.body)

    def _answer_user(self, request: HttpRequest, answer: AnswerUser) -> OnRequest:
        """The answer to a user with a token, or why there is none."""
        scheme, _, credentials = request.headers.get("authorization", "").partition(" ")
        user, _, token = credentials.partition(":")
        try:
            held = self._guard.judge(user, token, request.address) if scheme == BEARER.strip() else None
        except (SyncError, MeshError) as error:
            return self._refused(error, user, request.address)
        if isinstance(held, Awaitable):
            return begin(self._wait(held, user, request, answer), self._spawn)
        return self._answer_judged(held, user, request, answer)

    async def _wait(
        self, judged: Awaitable[Pass | None], user: str, request: HttpRequest, answer: AnswerUser
    ) -> HttpAnswer | None:
        try:
            held = await judged
        except SyncError as error:
            return self._refused(error, user, request.address)
        given = self._answer_judged(held, user, request, answer)
        return await given if isinstance(given, Later) else given

    def _answer_judged(self, held: Pass | None, user: str, request: HttpRequest, answer: AnswerUser) -> OnRequest:
        if held is not None:
            return answer(held.user)
        if user:
            self._turned_away.note(self._gateway.name, request.address, user, ADVICE["wrong-credentials"])
        return text_answer(
            401, "give the header Authorization: Bearer USER:TOKEN, with a token of `mesh token add USER`"
        )

    def _answer_events(self, query: str, user: str) -> OnRequest:
        if self._pages is None:
            return text_answer(
                403, "this node serves its clients by a role of its own: events come over the web socket alone"
            )
        try:
            search = read_search(query)
        except ValueError as error:
            return text_answer(400, str(error))
        return begin(self._read_page(self._pages, search, user), self._spawn)

    async def _read_page(self, pages: EventPages, search: EventSearch, user: str) -> HttpAnswer:
        try:
            return answer(200, "application/json", msgspec.json.encode(await pages.page(search, user)))
        except GoneError as error:
            return text_answer(410, str(error))
        except (TimeoutError, StoreError) as error:
            return text_answer(503, str(error) or BUSY)

    def _refused(self, error: SyncError | MeshError, user: str, address: str) -> HttpAnswer:
        if isinstance(error, MeshError):
            return text_answer(503, str(error))
        self._turned_away.note(self._gateway.name, address, user, ADVICE.get(error.type, error.description))
        if error.type == "store":
            return text_answer(503, error.description)
        return text_answer(429, f"too many wrong tokens came from here ({error.type}): wait a minute")

    def _own_hosts(self) -> frozenset[str]:
        now = self._clock.elapsed_ms()
        if now - self._hosts_at > HOSTS_MS:
            self._hosts, self._hosts_at = _hosts_of_this_machine().union(self._gateway.further_hosts), now
        return self._hosts


def _is_from_here(request: HttpRequest) -> bool:
    """Whether a program of this machine asks, and not a proxy here for another machine."""
    return is_loopback(address_key(request.address)) and FORWARDED.isdisjoint(request.headers)


def _hosts_of_this_machine() -> frozenset[str]:
    name = socket.gethostname()
    hosts = {"localhost", "127.0.0.1", "::1", name, name.partition(".")[0], f"{name.partition('.')[0]}.local"}
    import ifaddr  # imported here: it brings libraries that are needed for the first request only

    for adapter in ifaddr.get_adapters():
        hosts.update(ip.ip if isinstance(ip.ip, str) else ip.ip[0] for ip in adapter.ips)
    return frozenset(hosts)


def _tls(cert: str | Path | None, key: str | Path | None) -> ssl.SSLContext | None:
    if cert is None or key is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    _load(context, cert, key)
    return context


def _load(context: ssl.SSLContext, cert: str | Path, key: str | Path) -> None:
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


def _unusable(cert: str | Path, key: str | Path, why: str) -> MeshError:
    return MeshError(
        f"the clients' door cannot use the certificate {cert} with the key {key}: {why}; give two PEM files that belong "
        "together"
    )


def _json(status: Status) -> HttpAnswer:
    return answer(200, "application/json", msgspec.json.encode(status))
