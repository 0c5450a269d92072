"""A Logux client of the lab: somebody outside of the mesh, with a log of its own, who dials a port that a room serves."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Any

from mesh.lab.clock import RoomClock
from mesh.lab.disk import SimDisk
from mesh.lab.network import SimNetwork
from mesh.lab.room import Room
from mesh.lab.virtual_loop import VirtualLoop
from mesh.loop_thread import Spawner
from peers.client_sync import ClientSync
from peers.connections.reconnect import Reconnect
from peers.created import Created
from peers.entry import Entry
from peers.later import Later
from peers.log import Log, Meta
from peers.stores.memory_store import MemoryStore
from peers.sync_error import SyncError

MAX_REDIAL_MS = 5_000
"""What the client of Logux waits at most."""


class Client:
    """A ClientSync that is kept connected; made by `Cluster.client`. `log.add(event)` writes at any time, online or not."""

    def __init__(
        self,
        name: str,
        seed: int,
        loop: VirtualLoop,
        network: SimNetwork,
        *,
        to: str,
        protocol: int | Sequence[int] | None,
        **options: Any,
    ) -> None:
        """`to` is the `room:port` that it dials, `protocol` is (0, 1), 5 or 7; None finds out what is spoken there."""
        self.name = name
        self.to = to.partition(":")[0]
        """The room that it dials."""
        self.store = MemoryStore()
        self.clock = RoomClock(loop)
        self.acknowledged: dict[Created, None] = {}
        """What `add` confirmed at this client, in order."""
        self.errors: list[str] = []
        """What the protocol had to complain about, in order."""
        self.log = ClientLog(self)
        self._random = Random(f"{seed} client {name}")
        self._disk = SimDisk(loop, self._random, self.store)
        self._spawn = Spawner(loop)
        self._door = network.door(name)
        self._url = to
        self._options = {**options, "protocol": protocol}
        self._log: Log | None = None
        self._role: ClientSync | None = None

    def __repr__(self) -> str:
        return self.name

    @property
    def entries(self) -> list[Entry]:
        """What its log holds, by (time, created)."""
        found: list[Entry] = []
        while page := self.store.each(after=found[-1] if found else None):
            found += page
        return found

    @property
    def types(self) -> list[str]:
        return [entry.event["type"] for entry in self.entries]

    @property
    def state(self) -> str:
        """One of the five states of Logux."""
        return self._role.state if self._role is not None else "disconnected"

    @property
    def is_quiet(self) -> bool:
        """Whether it has sent all and been confirmed all."""
        return self.state == "synchronized" and self._disk.waiting == 0

    def begin(self) -> Later[None]:
        """Open its log and dial."""
        return Log.open(self._disk, self.name, clock=self.clock, random=self._random).transform(self._dial)

    def end(self) -> None:
        """Hang up for good."""
        if self._role is not None:
            self._role.destroy()
        self._door.close()
        self.clock.stop()

    def add(self, event: dict[str, Any], meta: Meta | None = None) -> Later[Meta | None]:
        """See Client.log."""
        assert self._log is not None
        result = self._log.add(event, meta)
        result.then(self._on_added)
        return result

    def faults(self, room: Room) -> list[str]:
        """What it and the room that it dials do not agree about, now that both are quiet."""
        missing = [created for created in self.acknowledged if room.store.find(created) is None]
        faults = [f"{room.name} lacks {len(missing)} events of {self.name}, the first {missing[0]}"] if missing else []
        expected = [entry.created for entry in room.entries]
        if self._role is not None and self._role.protocol == [0, 1]:
            expected.sort()  # this protocol knows no `time`: its clients have the order of `created`
        if [entry.created for entry in self.entries] != expected:
            faults.append(
                f"{self.name} shows {len(self.entries)} events, {room.name} {len(room.entries)}, not the same"
            )
        return faults

    def _dial(self, log: Log) -> None:
        self._log = log
        connection = Reconnect(
            self._door.dial(self._url), clock=self.clock, random=self._random, max_delay=MAX_REDIAL_MS
        )
        self._role = ClientSync(
            self.name, log, connection, clock=self.clock, random=self._random, spawn=self._spawn, **self._options
        )
        self._role.catch(self._on_error)
        connection.connect()

    def _on_added(self, done: Later[Meta | None]) -> None:
        if done.exception is None and (meta := done.result()) is not None:
            created: Created = meta["created"]
            self.acknowledged[created] = None

    def _on_error(self, error: SyncError) -> None:
        self.errors.append(str(error))


class ClientLog:
    """`client.log`, so that a story reads like the library."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def add(self, event: dict[str, Any], meta: Meta | None = None) -> Later[Meta | None]:
        """Write an event at this client, online or not."""
        return self._client.add(event, meta)
