"""Where a node touches the world: everything that the lab replaces and a LAN provides."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from mesh.actors.runtime.mailbox import Runtime
from mesh.discovery.port import Discovery
from peers.clock import Clock
from peers.protocol.ports import Spawn
from peers.stores.disk import Disk
from peers.transport.port import Network


@dataclass(frozen=True)
class Environment:
    """Handed to a node's supervisor, and by it to each child."""

    runtime: Runtime
    clock: Clock
    random: Random
    network: Network
    spawn: Spawn
    open_disk: Callable[[], Disk]
    """A disk over the node's store, again after each failure of the log's keeper."""
    discovery: Callable[[], Discovery]
    """A discovery of its own for each start."""

    def now_seconds(self) -> float:
        """The monotonic clock, as membership and restart policy take it."""
        return self.clock.elapsed_ms() / 1000
