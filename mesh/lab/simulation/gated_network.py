"""GatedNetwork: the network of a room whose node takes only members of its mesh."""

from __future__ import annotations

from collections.abc import Callable

from mesh.lab.simulation.connection import SimConnection
from mesh.lab.simulation.gate import SimGate
from mesh.lab.simulation.network import RoomNetwork
from peers.later import Later
from peers.transport.port import Connection, Listening


class GatedNetwork:
    """Implements `Network` over that of a room: both ends of each of its connections pass `gate`."""

    def __init__(self, network: RoomNetwork, gate: SimGate) -> None:
        self._network = network
        self._gate = gate

    def dial(self, address: str, *, max_segment: int | None = None, node_id: str = "") -> SimConnection:
        return self._network.dial(address, node_id=node_id, gate=self._gate)

    def listen(self, host: str, port: int, on_connection: Callable[[Connection], None]) -> Later[Listening]:
        return self._network.listen(host, port, on_connection, gate=self._gate)

    def close(self) -> Later[None]:
        return self._network.close()
