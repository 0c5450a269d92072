"""Gateways: the ports and connections of a node for others than nodes, as its options ask for them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Unpack

from mesh.errors import MeshError
from mesh.gateway.endpoints import CLIENTS_KEY, TOO_LONG, DialOut, Endpoints, Listen
from mesh.gateway.metrics.measured import Measuring
from mesh.gateway.options import GatewayOptions, check_clients, listed
from mesh.gateway.turned_away import TurnedAway
from mesh.membership.status import Status
from mesh.settings.config import parse_address
from peers.clock import Clock
from peers.later import Later
from peers.limits import Limits
from peers.log.port import SyncLog
from peers.protocol.ports import Spawn
from peers.transport.accepting.door import Note
from peers.transport.address import parse_url
from peers.transport.http import no_pages
from peers.transport.large_frames import FrameMemory
from peers.transport.web_socket import MAX_CLIENT_FRAME, WebSocketNetwork

if TYPE_CHECKING:  # they are loaded with the options that ask for them
    from mesh.gateway.clients.http import ClientGateway, HttpRequests
    from mesh.gateway.metrics.monitoring import Monitoring

UPSTREAM = "the upstream server"
UPSTREAM_ADVICE = {
    "wrong-credentials": "check --upstream-user and --upstream-token",
    "wrong-subprotocol": "check --upstream-subprotocol",
}


class Gateways:
    """Made with the node. At each start call `make`, open what it returns, then call `opened`; at each end call `close`."""

    def __init__(self, **options: Unpack[GatewayOptions]) -> None:
        """Raises MeshError, with a sentence, for options that cannot be used."""
        check_clients(options)
        self._options = options
        self._serve, self._dial = options.get("serve", {}), options.get("dial", {})
        self._upstream_url = options.get("upstream")
        clients, metrics = options.get("clients"), options.get("metrics")
        self._clients: ClientGateway | None = None
        self._doors: list[ClientGateway] = []
        """The ports that answer HTTP requests: that for clients and that for metrics alone."""
        if clients is not None or metrics is not None:
            from mesh.gateway.clients.http import ClientGateway

            if clients is not None:
                self._clients = ClientGateway(clients, options)
                self._doors.append(self._clients)
            if metrics is not None:
                self._doors.append(ClientGateway(metrics, options, has_clients=False))
        self._served = [(address, *parse_address(address, "the address to serve at")) for address in self._serve]
        for url in (*self._dial, *([self._upstream_url] if self._upstream_url else [])):
            _check_url(url)
        self._requests: dict[str, HttpRequests] = {}
        """What answers at these ports, by `Listen.key`."""
        self._monitoring: Monitoring | None = None
        self.networks: list[WebSocketNetwork] = []
        """The networks of all ports and connections, while the node runs."""
        self.ports: Mapping[str, int] = {}
        """The port numbers by `Listen.key`, while the node runs."""

    @property
    def clients_port(self) -> int:
        """The port of the clients' door; 0 while it is closed."""
        return self.ports.get(CLIENTS_KEY, 0)

    @property
    def clients_url(self) -> str:
        """The URL of the page for browsers, as seen from this machine; empty while the clients' door is closed."""
        if self._clients is None or not self.clients_port:
            return ""
        host = {"0.0.0.0": "127.0.0.1", "": "127.0.0.1", "::": "::1"}.get(self._clients.host, self._clients.host)
        shown = f"[{host}]" if ":" in host else host
        return f"{'https' if self._clients.is_tls else 'http'}://{shown}:{self.clients_port}/"

    @property
    def is_in_clear(self) -> bool:
        """Whether clients from other machines send their tokens without encryption."""
        return any(door.is_in_clear for door in self._doors)

    def make(
        self,
        make_network: Callable[..., WebSocketNetwork],
        node_id: str,
        home: Path,
        clock: Clock,
        spawn: Spawn,
        limits: Limits,
        note: Note,
        status: Callable[[], Later[Status]],
        measuring: Measuring,
        log: SyncLog,
    ) -> Endpoints:
        """What to open and to dial. Raises MeshError for a certificate that cannot be used.

        `make_network` makes a network from the options that are not the same for all of a node; `note` gets the limits that are
        hit; `status` is what the port for clients shows, `measuring` where metrics come from.
        """
        listens: list[Listen] = []
        frame_memory, turned_away = FrameMemory(), TurnedAway(clock)
        if self._doors:
            from mesh.gateway.metrics.monitoring import Monitoring

            self._monitoring = Monitoring(measuring, clock, turned_away)
            for door in self._doors:
                listen, network, self._requests[door.key] = door.make(
                    make_network,
                    home,
                    clock=clock,
                    spawn=spawn,
                    limits=limits,
                    note=note,
                    status=status,
                    monitoring=self._monitoring,
                    log=log,
                    frame_memory=frame_memory,
                    turned_away=turned_away,
                )
                listens.append(listen)
                self.networks.append(network)
        network = make_network(
            max_frame=MAX_CLIENT_FRAME,
            binary="ignore",
            on_request=no_pages,
            frame_memory=frame_memory,
            too_long=TOO_LONG,
        )
        self.networks.append(network)
        for address, host, port in self._served:
            listens.append(Listen(address, f"the door {address}", host, port, network, self._serve[address]))
        dials = [
            DialOut(f"the line to {url}", url, network, make_role) for url, make_role in sorted(self._dial.items())
        ]
        if self._upstream_url is not None:
            dials.append(self._upstream(self._upstream_url, node_id, network))
        return Endpoints(tuple(listens), tuple(dials), turned_away)

    def opened(self, ports: Mapping[str, int]) -> None:
        """The ports are open: their numbers, by `Listen.key`."""
        self.ports = ports
        for key, requests in self._requests.items():
            requests.port = ports[key]

    def renew_certificate(self) -> None:
        """See Node.renew_clients_certificate."""
        for door in self._doors:
            door.renew_certificate()

    async def close(self) -> None:
        """Close all networks. A second call does nothing."""
        networks, self.networks = self.networks, []
        self.ports = {}
        if self._monitoring is not None:
            self._monitoring.close()
        for network in networks:
            await network.close()

    def _upstream(self, url: str, node_id: str, network: WebSocketNetwork) -> DialOut:
        from mesh.gateway.upstream.role import UpstreamSync, cursors_key

        options = self._options
        user = options.get("upstream_user")
        return DialOut(
            UPSTREAM,
            url,
            network,
            options.get("upstream_role", UpstreamSync),
            node_id=node_id if user is None else f"{user}:{node_id}",
            options={
                "url": url,
                "credentials": options.get("upstream_token"),
                "channels": listed(options.get("upstream_channels", ())),
                "subprotocol": options.get("upstream_subprotocol", 0),
            },
            cursors_key=cursors_key(url),
            advice=UPSTREAM_ADVICE,
        )


def _check_url(url: str) -> None:
    try:
        parse_url(url) if "://" in url else parse_address(url, "the address to dial", is_dialled=True)
    except ValueError as error:
        raise MeshError(f"{url!r} cannot be dialled: {error}") from None
