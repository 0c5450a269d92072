"""Environment: the clock, the network, the disk and all else outside of a node, which the lab replaces."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Any

from mesh.actors.runtime.mailbox import Runtime
from mesh.discovery.port import Discovery
from mesh.membership.diagnosis.dial_backs import DialBacks
from mesh.membership.diagnosis.disk_room import DiskUse
from mesh.membership.known_hosts import KnownHosts
from mesh.trust.tls import may_speak
from peers.budgets import Budgets
from peers.clock import Clock
from peers.events.signature import Signer
from peers.limits import LimitHits, Limits
from peers.protocol.ports import Spawn
from peers.stores.disk import Disk
from peers.transport.port import Network


@dataclass(frozen=True)
class Environment:
    """Given to the supervisor of a node, and by it to each child."""

    runtime: Runtime
    clock: Clock
    random: Random
    network: Network
    spawn: Spawn
    open_disk: Callable[[], Disk]
    """Makes a disk over the store of the node; called again after each failure of the log's keeper."""
    signer: Signer
    """The key of the node."""
    discovery: Callable[[], Discovery]
    """Makes a discovery; called for each start of the Discoverer."""
    hits: LimitHits
    """Counts whenever one of `limits` was hit."""
    limits: Limits = Limits()  # noqa: RUF009 - it is frozen
    failures: Counter[str] = field(default_factory=Counter)
    """How often parts of the node failed, by their kind."""
    known_hosts: KnownHosts = field(default_factory=KnownHosts)
    """Kept by the membership, and read by the doors of the network."""
    shown_of_home: Callable[[], Mapping[str, Any]] = dict
    """What the status says of the files of the home: see `show_status`."""
    disk_use: DiskUse = DiskUse()  # noqa: RUF009 - it is frozen
    """How much of the disk of the log is in use."""
    may_speak: Callable[[bytes, str], str] = may_speak
    """Why an end that proved this key, and greets with this id, is not to be spoken to, as in a MaySpeak."""
    check_member: Callable[[], object] = bool
    """Raises MeshError, when the log is open, for a node that has left its mesh."""
    adopts_unknown: bool = True
    """Whether events of keys that never were in the mesh are adopted, if the log has any; else they stay here."""
    cpu_ms: Callable[[], float] = float
    """The processor time of this thread, in ms; always 0 in the lab, where it has no meaning."""
    dial_backs: DialBacks = field(default_factory=DialBacks)
    """Which requests of other nodes to be dialled are fulfilled."""
    budgets: Budgets = field(init=False)
    """What members may cost."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "budgets", Budgets(self.limits, self.hits, self.clock, self.cpu_ms))

    def now_seconds(self) -> float:
        """The monotonic clock, as membership and restart policy take it."""
        return self.clock.elapsed_ms() / 1000
