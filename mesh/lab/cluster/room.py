"""One machine of the lab: a disk that survives, and the node that is started on it again and again."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from random import Random
from typing import Any

from mesh.actors.environment import Environment
from mesh.actors.listener import ListenAddresses
from mesh.actors.log_proxy import LogProxy
from mesh.actors.node_supervisor import NodeSupervisor
from mesh.actors.peer_session import MakeRole
from mesh.actors.reports import Report
from mesh.actors.runtime.inspection import abandon_actors, living_actors
from mesh.actors.runtime.loop_actor import LoopActorRef
from mesh.actors.runtime.loop_thread import Spawner
from mesh.actors.runtime.mailbox import Runtime
from mesh.discovery.port import Discovery
from mesh.discovery.static import StaticDiscovery
from mesh.gateway.endpoints import MakeGatewayRole
from mesh.lab.checks.subject import Witness
from mesh.lab.cluster.arguments import check_awake
from mesh.lab.cluster.room_parts import LabMesh, Surroundings, make_endpoints, make_identity, make_settings, node_edges
from mesh.lab.cluster.story_log import VIRTUAL_ANSWER_SECONDS, StoryLog
from mesh.lab.roles.hostile import HostilePeerSync
from mesh.lab.roles.watched import WatchedPeerSync
from mesh.lab.simulation.clock import RoomClock
from mesh.lab.simulation.disk import SimDisk
from mesh.lab.simulation.storage import FileStore, LabStore, Medium, all_entries
from mesh.membership.actions import Notice
from mesh.membership.diagnosis.disk_room import DiskUse
from mesh.node_log import NodeLog
from mesh.settings.config import WAIT_SECONDS
from peers.events.created import Created
from peers.events.entry import Entry
from peers.events.signature import KeySigner
from peers.later import Later
from peers.limits import LimitHits, Limits
from peers.log.draft import Meta


class Room:
    """A node that can be started, stopped, crashed and started again on the same disk. `Cluster.start` makes them.

    `log.add(event)` writes an event while the node runs. `events`, `types` and `entries` are what the disk holds, in the order
    that is the same on all nodes. `peers` are the nodes that it has a session with.
    """

    def __init__(
        self,
        name: str,
        lab: Surroundings,
        *,
        links: tuple[str, ...] | None,
        mesh: LabMesh | None,
        medium: Medium,
        on_notice: Callable[[Room, Notice], None],
    ) -> None:
        """`links` are the rooms that it dials by address; None: it finds others by discovery. `medium` makes its disks.

        `mesh` is the one that its node is in; None: the node is open. `on_notice` gets each notice of the node.
        """
        self.name = name
        self.mesh = mesh
        self.is_revoked = False
        """Whether a story has revoked the key that its node has now."""
        self.medium = medium
        self.store: LabStore = medium.blank()
        self.links = links
        self.key_of: Room | None = None
        """The room of which its home is a copy, so that both have the same key."""
        self.role: MakeRole = partial(WatchedPeerSync, on_events=self._on_events)
        self.is_hostile = False
        """Whether a story makes its node break the rules: nothing is promised of it, and nobody has to agree with it."""
        self.events_came = 0
        """Events that came from other nodes, also those that it had."""
        self.serve: Mapping[int, MakeGatewayRole] = {}
        """Roles that are served besides the node's own, by their port."""
        self.limits = Limits()
        """Those of its node, from its next start on."""
        self.disk_share = 0.0
        """How much of its disk is in use; `fill_disk` changes that too."""
        self.dial: Mapping[str, MakeGatewayRole] = {}
        """Roles that dial, by the `room:port` that they dial."""
        self.log = StoryLog(lab.loop, name, self._write)
        self.is_running = False
        self.peers: dict[str, None] = {}
        """Node ids that it has a session with."""
        self.witness: Witness | None = None
        """What watches this room for the checker."""
        self._seed, self._loop, self._network, self._air, self._summary_seconds = lab
        self._on_notice = on_notice
        self._lives = self._homes = 0
        self._kept: LogProxy | None = None
        self._supervisor: LoopActorRef[NodeSupervisor] | None = None
        self._disk: SimDisk | None = None
        self._last_entries: list[Entry] | None = None
        self._frozen: list[Callable[[], None]] | None = None
        """While it is frozen: the drains of its actors that are due."""
        self.clock = RoomClock(lab.loop)
        self.runtime = Runtime(lab.loop)

    def __repr__(self) -> str:
        return self.name

    @property
    def node_id(self) -> str:
        """The node id, from name and key. `wipe` changes it."""
        return self.identity[0]

    @property
    def key(self) -> bytes:
        """The public key that its node signs with. `wipe` changes it."""
        return self.identity[1].public

    @property
    def circle(self) -> str:
        """Rooms of one circle speak with each other: the name of its mesh, empty for an open one; a revoked one is alone."""
        return f"*{self.name}" if self.is_revoked else self.mesh.name if self.mesh is not None else ""

    @property
    def identity(self) -> tuple[str, KeySigner]:
        """Node id and key."""
        return self.key_of.identity if self.key_of is not None else make_identity(self._seed, self.name, self._homes)

    @property
    def entries(self) -> list[Entry]:
        """What the disk shows, by (time, created)."""
        return self._last_entries if self._last_entries is not None else all_entries(self.store)

    @property
    def events(self) -> list[dict[str, Any]]:
        """The events of `entries`."""
        return [entry.event for entry in self.entries]

    @property
    def types(self) -> list[str]:
        """The types of `events`."""
        return [event["type"] for event in self.events]

    @property
    def acknowledged(self) -> dict[Created, None]:
        """Events whose `add` succeeded, in order: the checker holds the cluster to them."""
        return self.log.acknowledged

    @property
    def kept(self) -> LogProxy | None:
        """The log of its last life, as its sessions have it; None before the first."""
        return self._kept

    @property
    def is_disk_full(self) -> bool:
        """Whether `fill_disk` has made its commits fail."""
        return self.disk_share >= 1

    @property
    def is_frozen(self) -> bool:
        """Whether its process was stopped by `freeze`."""
        return self._frozen is not None

    @property
    def seconds(self) -> float:
        """Virtual seconds since the cluster was made."""
        return self._loop.time()

    @property
    def waiting(self) -> int:
        """Pieces of work that wait for its disk."""
        return self._disk.waiting if self._disk is not None else 0

    @property
    def is_behind(self) -> bool:
        """Whether its disk holds changes that its node has not published yet. False while it is frozen."""
        if self._kept is None or self.is_frozen:
            return False
        return self._kept.is_open and self._kept.state.last_position != self.store.state.last_position

    @property
    def actors(self) -> list[str]:
        """Class names of the actors that run in it."""
        return [ref.actor_class.__name__ for ref in living_actors(self.runtime)]

    def status(self) -> dict[str, Any]:
        """What `mesh status` shows. Virtual time passes until the node has answered.

        Raises ValueError if it does not run or is frozen, and TimeoutError after VIRTUAL_ANSWER_SECONDS.
        """
        check_awake(self)
        asked = self.ask_status()
        if not self._loop.run_until(lambda: asked.is_done, VIRTUAL_ANSWER_SECONDS):
            raise TimeoutError(f"{self.name} did not answer within {VIRTUAL_ANSWER_SECONDS:.0f} s")
        return asked.result()

    def begin(self) -> Later[ListenAddresses]:
        """Start a node on what the disk holds. Resolves with its ports once it listens."""
        self._lives += 1
        random = Random(f"{self._seed} {self.name} {self._lives}")
        loop = self._loop
        self.runtime = Runtime(loop, schedule=self._schedule, messages_per_turn=1)
        self._disk = SimDisk(loop, random, self.store)
        self._disk.is_full = self.is_disk_full
        self._kept = LogProxy()
        if self.witness is not None:
            self.witness.on_life(self, self._kept)
        network = self._network.room(self.name)
        edges = Environment(
            runtime=self.runtime,
            clock=self.clock,
            random=random,
            spawn=Spawner(loop),
            open_disk=self._open_disk,
            discovery=self._discovery,
            hits=LimitHits(self.clock),
            limits=replace(self.limits, changes_shown=1_000_000),  # `peers` is made from all of them
            disk_use=DiskUse(self.name, lambda: self.disk_share),
            **node_edges(self.mesh, self.identity, self.store, self._kept, network, self._report),
        )
        self._supervisor = NodeSupervisor.start(
            self.runtime,
            edges,
            make_settings(self.node_id, random, self.links, self._summary_seconds),
            self._kept,
            on_notice=lambda notice: self._on_notice(self, notice),
            make_role=self.role,
            endpoints=make_endpoints(self.serve, self.dial, network),
        )
        self.is_running = True
        return self._supervisor.ask_to(NodeSupervisor.begin)

    def end(self) -> Later[Any]:
        """Stop the node as its operator would. Resolves once it has said goodbye and closed its log."""
        self.is_running = False
        self.peers.clear()
        assert self._supervisor is not None
        supervisor, stopped = self._supervisor, Later[Any]()

        def on_ended(_: Later[Any]) -> None:
            self._network.room(self.name).close()
            self.store.open()  # so that the disk of a room that is off can be read
            supervisor.stop(block=False).then(stopped.follow)

        supervisor.ask_to(NodeSupervisor.end).then(on_ended)
        return stopped

    def crash(self) -> None:
        """Cut the power: no goodbye, and what was not committed is lost."""
        self.is_running = False
        self.peers.clear()
        self._frozen = None
        self._network.thaw(self.name)
        self._network.drop_room(self.name)
        self._air.drop_room(self.name)
        self.clock.stop()
        dropped = self._disk.crash() if self._disk is not None else []
        abandon_actors(self.runtime)
        random = Random(f"{self._seed} {self.name} {self._lives} crash")
        self.store = self.medium.after_crash(self.store, dropped, random)
        self.clock = self.clock.next_life()

    def freeze(self) -> None:
        """See Cluster.freeze."""
        self._network.freeze(self.name)
        self._frozen = []
        self.clock.freeze()

    def thaw(self) -> None:
        """See Cluster.thaw."""
        due, self._frozen = self._frozen or [], None
        for drain in due:
            self._loop.schedule_drain(drain)
        self.clock.thaw()
        self._network.thaw(self.name)

    def fill_disk(self, is_full: bool) -> None:
        """Let all commits that write fail because the disk is full, or succeed again."""
        self.disk_share = float(is_full)
        if self._disk is not None:
            self._disk.is_full = is_full

    def fail_commits(self, count: int) -> None:
        """Let the next `count` commits that write something fail, until the node is started anew."""
        if self._disk is not None:
            self._disk.failing = count

    def snapshot(self) -> LabStore:
        """See Cluster.snapshot."""
        return self.medium.copy(self.store)

    def restore(self, snapshot: LabStore) -> None:
        """See Cluster.restore."""
        store = self.medium.copy(snapshot)
        store.close()
        self._put_back(store)

    def may_resume(self, snapshot: LabStore) -> bool:
        """Whether a snapshot is of a machine with its key, as far as that wrote."""
        epoch = snapshot.state.epoch
        birth = snapshot.birth(epoch) if epoch is not None else None
        return birth is None or birth.key == self.key

    def resume(self, snapshot: LabStore) -> Later[ListenAddresses]:
        """See Cluster.resume."""
        store = self.medium.copy(snapshot)
        self._put_back(store)
        if self.witness is not None:
            self.witness.on_resumed(self, store.state.epoch)
        return self.begin()

    def become_hostile(self, role: type[HostilePeerSync]) -> None:
        """See Cluster.make_hostile."""
        self.is_hostile = True
        dice = Random(f"{self._seed} {self.name} hostile")
        self.role = partial(role, on_events=self._on_events, dice=dice)

    def wipe(self) -> None:
        """Delete the whole home, key included: it returns as a new node."""
        self._homes += 1
        self.is_revoked = False
        self.lose_log()

    def lose_log(self) -> None:
        """Delete the log and keep the key."""
        self._put_in(self.medium.blank())
        self.acknowledged.clear()

    def note(self, notice: Notice) -> None:
        """Update `peers` after a notice of its node."""
        if notice.node_id is None:
            return
        if notice.kind == "connected":
            self.peers[notice.node_id] = None
        elif notice.kind in {"disconnected", "left", "lost", "paused", "refused"}:
            self.peers.pop(notice.node_id, None)

    def ask_status(self) -> Later[dict[str, Any]]:
        """What `mesh status` shows, later."""
        assert self._supervisor is not None
        return self._supervisor.ask_to(NodeSupervisor.status).transform(lambda status: {**status})

    def ask_synchronized(self, peers: int = 1, timeout_seconds: float = WAIT_SECONDS) -> Later[None]:
        """See Node.synchronized."""
        assert self._supervisor is not None
        return self._supervisor.ask_to(NodeSupervisor.synchronized, peers, timeout_seconds, Later())

    def close_disk(self) -> None:
        """The run is over: keep what `entries` shows, and leave no file open."""
        if self._last_entries is None and isinstance(self.store, FileStore):
            self.store.open()
            self._last_entries = self.entries

    def _put_back(self, store: LabStore) -> None:
        self._put_in(store)
        held = {entry.created for entry in self.entries}
        self.log.acknowledged = {created: None for created in self.acknowledged if created in held}

    def _put_in(self, store: LabStore) -> None:
        before, self.store = self.store, store
        self.store.open()
        if self.witness is not None:
            self.witness.on_disk(self, before)
        self.medium.discard(before)

    def _report(self, report: Report) -> None:
        if self._supervisor is not None:
            self._supervisor.tell_to(NodeSupervisor.on_report, report)

    def _schedule(self, drain: Callable[[], None]) -> None:
        if self._frozen is None:
            self._loop.schedule_drain(drain)
        else:
            self._frozen.append(drain)

    def _write(self, event: dict[str, Any], meta: Meta | None) -> Later[Meta | None]:
        if self._kept is None or not self.is_running:
            raise RuntimeError(f"{self.name} does not run: start it before it can write")
        result: Later[Any] = NodeLog(self._kept).add(event, meta)
        result.then(self._on_written)
        if self.witness is not None:
            self.witness.on_add(self, event, result, is_timed=meta is None or "created" not in meta)
        return result

    def _on_written(self, done: Later[Meta | None]) -> None:
        if done.exception is not None:
            self._on_notice(self, Notice("note", None, f"not written: {done.exception}"))

    def _on_events(self, count: int, other_node_id: str | None, known: str) -> None:
        self.events_came += count
        if known and self.witness is not None:
            self.witness.on_sent_again(self, other_node_id or "", known)

    def _open_disk(self) -> SimDisk:
        assert self._disk is not None
        return self._disk

    def _discovery(self) -> Discovery:
        return StaticDiscovery() if self.links is not None else self._air.discovery(self.name)
