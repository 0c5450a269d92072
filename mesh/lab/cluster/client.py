"""A Logux client of the lab: it is no node, has a log of its own, and dials a port that a room serves."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from random import Random
from typing import TYPE_CHECKING, Any

from mesh.actors.runtime.loop_thread import Spawner
from mesh.lab.apps.story_log import StoryLog
from mesh.lab.cluster.client_roles import CURSORS, ClientRole
from mesh.lab.cluster.room import Room
from mesh.lab.simulation.clock import RoomClock
from mesh.lab.simulation.disk import SimDisk
from mesh.lab.simulation.network import SimNetwork
from mesh.lab.simulation.storage import all_entries, held_on
from mesh.lab.simulation.virtual_loop import VirtualLoop
from peers.errors import SyncError
from peers.events.created import Created
from peers.events.entry import Entry
from peers.later import Later
from peers.log.draft import Meta
from peers.log.run_log import RunLog
from peers.stores.runs.memory import MemoryRunStore
from peers.transport.reconnect import Reconnect

if TYPE_CHECKING:
    from mesh.lab.checks.ledger import Ledger

CLIENT_REDIAL_MS = 5_000
"""The longest pause before the client of Logux redials."""


class Client:
    """A ClientSync that redials after each loss. `log.add(event)` writes while it runs, also offline."""

    def __init__(
        self,
        name: str,
        seed: int,
        loop: VirtualLoop,
        network: SimNetwork,
        *,
        to: str,
        protocol: int | Sequence[int] | None,
        on_confirmed: Callable[[Client, Entry], None],
        **options: Any,
    ) -> None:
        """`to` is the `room:port` that it dials; `protocol` is (0, 1), 5 or 7, or None to find out what is spoken there.

        `on_confirmed` gets each event of its own that the room confirms. `options` are those of ClientSync.
        """
        self.name = name
        self.is_running = False
        self.to = to.partition(":")[0]
        """The room that it dials."""
        self.store = MemoryRunStore()
        self.clock = RoomClock(loop)
        self.errors: list[str] = []
        """The errors of the protocol, in order."""
        self.log = StoryLog(loop, name, self._write)
        self._seed = seed
        self._lives = 0
        self._loop = loop
        self._network = network
        self._disk: SimDisk[MemoryRunStore]
        self._random: Random
        self._url = to
        self._options = {"credentials": name, **options, "protocol": protocol}
        self._on_confirmed = on_confirmed
        self._confirmed = 0
        """The highest `added` that its room has confirmed."""
        self._seen: tuple[object, ...] = ()
        self._log: RunLog | None = None
        self._role: ClientRole | None = None

    def __repr__(self) -> str:
        return self.name

    @property
    def entries(self) -> list[Entry]:
        """What its log shows, by (time, created)."""
        return all_entries(self.store)

    @property
    def types(self) -> list[str]:
        """The types of `entries`."""
        return [entry.event["type"] for entry in self.entries]

    @property
    def state(self) -> str:
        """One of the five states of Logux: disconnected, wait, connecting, sending or synchronized."""
        return self._role.state if self._role is not None else "disconnected"

    @property
    def is_quiet(self) -> bool:
        """Whether it has sent all events and got a confirmation of each."""
        return self.state == "synchronized" and not self._disk.is_busy

    def begin(self) -> Later[RunLog]:
        """Open its log and dial, with the cursors of its last life. Resolves with the log when it dials."""
        self._lives += 1
        self._random = Random(f"{self._seed} client {self.name} {self._lives}")
        self._disk = SimDisk(self._loop, self._random, self.store)
        self.is_running = True
        dialled: Later[RunLog] = Later()

        def on_opened(done: Later[RunLog]) -> None:
            self._log = log = done.result()
            log.cursors(CURSORS).then(lambda kept: dial(log, *kept.result()))

        def dial(log: RunLog, synced: int, other_synced: int) -> None:
            self._dial(synced, other_synced)
            dialled.set(log)

        RunLog.open(self._disk, self.name, clock=self.clock, random=self._random).then(on_opened)
        return dialled

    def crash(self) -> None:
        """Cut the power: what its log had not committed is lost."""
        self.is_running = False
        self._role = self._log = None
        self._network.drop_room(self.name)
        self.clock.stop()
        self._disk.crash()
        self.store.close()
        self.store.open()
        self.clock = self.clock.next_life()

    def move(self, to: str) -> None:
        """Dial another `room:port` from now on, with the cursors of the one before."""
        self._url, self.to = to, to.partition(":")[0]
        if self._role is not None:
            synced, other_synced = self._role.synced, self._role.other_synced
            self._role.destroy()
            self._dial(synced, other_synced)

    def end(self) -> None:
        """Disconnect for good."""
        if self._role is not None:
            self._role.destroy()
        if self.is_running:
            self._network.room(self.name).close()
        self.is_running = False
        self.clock.stop()

    def shows_all_of(self, room: Room) -> bool:
        """Whether it has all that `room` shows. It may have more, which the rooms have lost or cleaned."""
        if self.store.state.events < room.store.state.events:
            return False
        seen = (room.node_id, room.store.state, self.store.state)
        if seen != self._seen and all(self.store.find(entry.created) for entry in room.entries):
            self._seen = seen
        return seen == self._seen

    def faults(self, room: Room, rooms: Iterable[Room], ledger: Ledger) -> list[str]:
        """The differences between it and the room that it dials, once both are quiet; `rooms` are all rooms of the cluster.

        What it wrote or received must be on the disk of some room, unless it was lost or cleaned; and it must have what its
        room shows, in the same order.
        """
        gone = ledger.gone()
        ours, theirs = self.entries, room.entries
        shown = {entry.created: entry.time for entry in theirs}
        common = [each for each in ours if each.created in shown]
        alone = [each.created for each in ours if each.created not in shown and each.created not in gone]
        held = {created for each in rooms for created in held_on(each.store)} if alone else {}
        missing = [one for one in alone if one not in held]
        own = [one for one in missing if one in self.log.acknowledged]
        faults = [f"no room has {len(own)} events of {self.name}, the first {own[0]}"] if own else []
        is_stormy = bool(ledger.disks_changed or room.store.state.conflicts)
        retimed = {
            each.created
            for each in common
            if each.time != shown[each.created] and self._may_be_retimed(each, is_stormy)
        }
        if (missing and not ledger.disks_changed) or self._order(common, retimed) != self._order(theirs, retimed):
            faults.append(f"{self.name} shows {len(ours)} events, {room.name} {len(theirs)}, not the same")
        return faults

    def _may_be_retimed(self, entry: Entry, is_stormy: bool) -> bool:
        """Whether an event may have another time here than on a node.

        The node that gets a client's event limits the event's time by its own clock, and cannot tell the client. That happens
        again if the rooms lose the event and get it back; or another copy of the event may be the one that is shown.
        """
        return entry.created[1] == self.name or (is_stormy and "~" not in entry.created[1])

    def _order(self, entries: list[Entry], retimed: set[Created]) -> list[Created]:
        """The order that both ends must show. Protocol 0.1 has no `time`: it orders by `created`."""
        if self._role is not None and self._role.protocol == [0, 1]:
            return sorted(entry.created for entry in entries)
        return [entry.created for entry in entries if entry.created not in retimed]

    def _dial(self, synced: int, other_synced: int) -> None:
        assert self._log is not None
        self._confirmed = synced
        wire = self._network.room(self.name).dial(self._url)
        connection = Reconnect(wire, clock=self.clock, random=self._random, max_delay=CLIENT_REDIAL_MS)
        self._role = ClientRole(
            self.name,
            self._log,
            connection,
            clock=self.clock,
            random=self._random,
            spawn=Spawner(self._loop),
            synced=synced,
            other_synced=other_synced,
            **self._options,
        )
        self._role.catch(self._on_error)
        self._role.on("synced", self._on_synced)
        self._role.on("state", self._on_state)
        connection.connect()

    def _on_state(self) -> None:
        if self._role is not None:  # what was confirmed may have to be sent again
            self._confirmed = min(self._confirmed, self._role.synced)

    def _on_synced(self) -> None:
        assert self._role is not None
        before, self._confirmed = self._confirmed, self._role.synced
        while before < self._confirmed and (page := self.store.each(order="added", since=before)):
            before = page[-1].added
            for entry in page:
                if entry.added <= self._confirmed and entry.created[1] == self.name:
                    self._on_confirmed(self, entry)

    def _write(self, event: dict[str, Any], meta: Meta | None) -> Later[Meta | None]:
        if self._log is None or not self.is_running:
            raise RuntimeError(f"{self.name} does not run: restart it before it can write")
        return self._log.add(event, meta)

    def _on_error(self, error: SyncError) -> None:
        self.errors.append(str(error))
