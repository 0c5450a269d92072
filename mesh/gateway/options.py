"""Openings: the doors and lines of a node besides those to other nodes, as they were asked for at its start."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mesh.errors import MeshError
from mesh.gateway.clients.access import check_host, check_origin
from mesh.gateway.clients.http import CLIENTS, STRANGER_FRAME, TOO_LONG, ClientGateway, ClientSettings
from mesh.gateway.clients.role import ClientGatewaySync, Hook, Hooks
from mesh.gateway.endpoints import DialOut, Endpoints, Listen, MakeRole
from mesh.gateway.turned_away import TurnedAway
from mesh.gateway.upstream.role import UpstreamSync
from mesh.membership.status import Status
from mesh.settings.config import parse_address
from peers.clock import Clock
from peers.later import Later
from peers.transport.address import is_loopback, parse_url
from peers.transport.http import no_pages
from peers.transport.large_frames import FrameMemory
from peers.transport.web_socket import MAX_CLIENT_FRAME, WebSocketNetwork

UPSTREAM = "the upstream server"
UPSTREAM_ADVICE = {
    "wrong-credentials": "check --upstream-user and --upstream-token",
    "wrong-subprotocol": "check --upstream-subprotocol",
}


@dataclass(frozen=True, kw_only=True)
class EndpointOptions:
    """The options of Node that are about others than nodes; see there."""

    clients: str | None = None
    clients_cert: str | Path | None = None
    clients_key: str | Path | None = None
    clients_origins: Sequence[str] = ()
    clients_hosts: Sequence[str] = ()
    clients_role: MakeRole = ClientGatewaySync
    in_filter: Hook | None = None
    in_map: Hook | None = None
    out_filter: Hook | None = None
    out_map: Hook | None = None
    upstream: str | None = None
    upstream_user: str | None = None
    upstream_token: str | None = None
    upstream_channels: Sequence[str] = ()
    upstream_subprotocol: int | str = 0
    upstream_role: MakeRole = UpstreamSync
    serve: Mapping[str, MakeRole] = field(default_factory=dict)
    dial: Mapping[str, MakeRole] = field(default_factory=dict)


class GatewayOptions:
    """Made and checked with the node; `make` for each start, `close` at each end."""

    def __init__(self, options: EndpointOptions) -> None:
        """Raises MeshError, with a sentence, for options that cannot be used."""
        self._options = options
        self._clients = _client_settings(options)
        self._served = [(address, *parse_address(address, "the address to serve at")) for address in options.serve]
        for url in (*options.dial, *([options.upstream] if options.upstream else [])):
            _check_url(url)
        self.networks: list[WebSocketNetwork] = []
        """Of all doors and lines."""
        self._door: ClientGateway | None = None
        self.ports: Mapping[str, int] = {}
        """By the key of the door, while the node runs."""

    @property
    def clients_port(self) -> int:
        """Of the clients' door; 0 without one."""
        return self.ports.get(CLIENTS, 0)

    @property
    def clients_url(self) -> str:
        """Where the page is; empty while it is nowhere."""
        if self._clients is None or not self.clients_port:
            return ""
        host = {"0.0.0.0": "127.0.0.1", "": "127.0.0.1", "::": "::1"}.get(self._clients.host, self._clients.host)
        shown = f"[{host}]" if ":" in host else host
        return f"{'https' if self._clients.cert else 'http'}://{shown}:{self.clients_port}/"

    @property
    def is_in_clear(self) -> bool:
        """Whether the clients' door is open to the network without encryption."""
        return self._clients is not None and self._clients.cert is None and not is_loopback(self._clients.host)

    def make(
        self,
        loop: asyncio.AbstractEventLoop,
        node_id: str,
        home: Path,
        clock: Clock,
        status: Callable[[], Later[Status]],
    ) -> Endpoints:
        """What the supervisor is to open. Raises MeshError."""
        doors: list[Listen] = []
        frame_memory, turned_away = FrameMemory(), TurnedAway(clock)
        if self._clients is not None:
            self._door = ClientGateway(
                self._clients, home, clock=clock, status=status, frame_memory=frame_memory, turned_away=turned_away
            )
            door, network = self._door.make(loop)
            doors.append(door)
            self.networks.append(network)
        network = WebSocketNetwork(
            loop,
            max_frame=MAX_CLIENT_FRAME,
            stranger_frame=STRANGER_FRAME,
            binary="ignore",
            on_request=no_pages,
            frame_memory=frame_memory,
            too_long=TOO_LONG,
        )
        self.networks.append(network)
        for address, host, port in self._served:
            doors.append(Listen(address, f"the door {address}", host, port, network, self._options.serve[address]))
        lines = [
            DialOut(f"the line to {url}", url, network, make_role)
            for url, make_role in sorted(self._options.dial.items())
        ]
        if self._options.upstream is not None:
            lines.append(self._upstream(self._options.upstream, node_id, network))
        return Endpoints(tuple(doors), tuple(lines), turned_away)

    def opened(self, ports: Mapping[str, int]) -> None:
        """The doors are open at these ports."""
        self.ports = ports
        if self._door is not None:
            self._door.port = ports[CLIENTS]

    async def close(self) -> None:
        """Close every network. Harmless when they are closed."""
        networks, self.networks = self.networks, []
        self.ports = {}
        for network in networks:
            await network.close()

    def _upstream(self, url: str, node_id: str, network: WebSocketNetwork) -> DialOut:
        options = self._options
        user = options.upstream_user
        return DialOut(
            UPSTREAM,
            url,
            network,
            options.upstream_role,
            node_id=node_id if user is None else f"{user}:{node_id}",
            options={
                "url": url,
                "credentials": options.upstream_token,
                "channels": tuple(options.upstream_channels),
                "subprotocol": options.upstream_subprotocol,
            },
            cursors_key=f"upstream:{url}",
            advice=UPSTREAM_ADVICE,
        )


def _client_settings(options: EndpointOptions) -> ClientSettings | None:
    if options.clients is None:
        return None
    if (options.clients_cert is None) != (options.clients_key is None):
        raise MeshError("the clients' door needs a certificate and its key: give both, or none")
    host, port = parse_address(options.clients, "the address of the clients' door")
    return ClientSettings(
        host=host,
        port=port,
        cert=None if options.clients_cert is None else Path(options.clients_cert),
        key=None if options.clients_key is None else Path(options.clients_key),
        origins=tuple(check_origin(origin, "the origin") for origin in options.clients_origins),
        hosts=tuple(check_host(name, "the host") for name in options.clients_hosts),
        hooks=Hooks(options.in_filter, options.in_map, options.out_filter, options.out_map),
        make_role=options.clients_role,
    )


def _check_url(url: str) -> None:
    try:
        parse_url(url) if "://" in url else parse_address(url, "the address to dial", is_dialled=True)
    except ValueError as error:
        raise MeshError(f"{url!r} cannot be dialled: {error}") from None
