"""One machine of the lab: a disk that survives, and the node that is started on it again and again."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from dataclasses import replace
from functools import partial
from random import Random
from typing import Any, TypeVar

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
from mesh.lab.apps.room_log import RoomLog
from mesh.lab.apps.room_node import AppShown, MakeApp, RoomNode
from mesh.lab.checks.subject import Witness
from mesh.lab.cluster.arguments import check_awake
from mesh.lab.cluster.machine import Machine
from mesh.lab.cluster.room_parts import LabMesh, Surroundings, make_endpoints, make_settings, node_edges
from mesh.lab.roles.hostile import HostilePeerSync
from mesh.lab.roles.watched import WatchedPeerSync
from mesh.lab.simulation.app_tasks import AppTasks
from mesh.lab.simulation.clock import RoomClock
from mesh.lab.simulation.disk import SimDisk
from mesh.lab.simulation.storage import LabStore, Medium
from mesh.membership.actions import Notice
from mesh.membership.diagnosis.disk_room import DiskUse
from mesh.views.store import ViewStore
from mesh.views.views import Views
from peers.later import Later
from peers.limits import LimitHits, Limits

T = TypeVar("T")


class Room(Machine):
    """A node that can be started, stopped, crashed and started again on the same disk. `Cluster.start` makes them.

    `log` is a NodeLog of the node while it runs; its walks, and `get` of its results, let virtual time pass. `events`, `types`
    and `entries` are what the disk holds, in the order that is the same on all nodes. `peers` are the nodes that it has a
    session with, and `app` is its application.
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
        super().__init__(name, lab.seed, mesh, medium)
        self.links = links
        self.role: MakeRole = partial(WatchedPeerSync, on_events=self._on_events)
        self.is_hostile = False
        """Whether a story makes its node break the rules: nothing is promised of it, and no other node has to agree with it."""
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
        self.make_app: MakeApp | None = None
        """Starts the application in it, at each start."""
        self.log = RoomLog(lab.loop, name, self._running_log, self._on_add)
        self.is_running = False
        self.peers: dict[str, None] = {}
        """Node ids that it has a session with."""
        self.witness: Witness | None = None
        """What watches this room for the checker."""
        self._loop, self._network, self._air = lab.loop, lab.network, lab.air
        self._summary_seconds = lab.summary_seconds
        self._on_notice = on_notice
        self._lives = 0
        self._kept: LogProxy | None = None
        self._node: RoomNode | None = None
        self._supervisor: LoopActorRef[NodeSupervisor] | None = None
        self._disk: SimDisk[LabStore] | None = None
        self._view_disk: SimDisk[ViewStore] | None = None
        self._frozen: list[Callable[[], None]] | None = None
        """While it is frozen: the drains of its actors that are due."""
        self.clock = RoomClock(lab.loop)
        self.runtime = Runtime(lab.loop)

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
    def views_behind(self) -> str:
        """What a view of its application lacks; empty if all have what its log has, and while it is frozen."""
        return "" if self._node is None or self.is_frozen or not self.is_running else self._node.behind()

    @property
    def actors(self) -> list[str]:
        """Class names of the actors that run in it."""
        return [ref.actor_class.__name__ for ref in living_actors(self.runtime)]

    @property
    def node(self) -> RoomNode:
        """The node that runs in it, as an application has it. Raises ValueError if it does not run or is frozen."""
        check_awake(self)
        assert self._node is not None
        return self._node

    @property
    def app(self) -> Any:
        """What the function that was given to `start` as `app` returned in this life; None if there was none.

        A result of the application that is a Later lets virtual time pass at `get`; `spawn` runs its coroutines.
        Raises ValueError if the room does not run or is frozen.
        """
        return self.node.app

    def spawn(self, work: Coroutine[Any, Any, T]) -> Later[T]:
        """Run a coroutine of the application, as a task that ends with this life of the room.

        `get` lets virtual time pass until it is done, and raises what it raised. Raises ValueError as `app`.
        """
        return self.node.tasks.start(work)

    def status(self) -> dict[str, Any]:
        """What `mesh status` shows. Virtual time passes until the node has answered.

        Raises ValueError if it does not run or is frozen, and TimeoutError after VIRTUAL_ANSWER_SECONDS.
        """
        return {**self.node.status().get()}

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
        tasks = AppTasks(loop, self._on_app_error)
        views = Views(
            self._kept,
            runtime=self.runtime,
            clock=self.clock,
            store=self.view_store,
            open_disk=lambda store: self._open_view_disk(store, random),
            make_shown=lambda: AppShown(tasks.guard),
        )
        edges = Environment(
            runtime=self.runtime,
            clock=self.clock,
            random=random,
            spawn=Spawner(loop),
            open_disk=self._open_disk,
            discovery=self._discovery,
            hits=LimitHits(self.clock),
            limits=replace(self.limits, changes_shown=1_000_000),  # `peers` is made from all of them
            shown_of_home=lambda: {"views": views.status()},
            disk_use=DiskUse(self.name, lambda: self.disk_share),
            **node_edges(self.mesh, self.identity, self.store, self._kept, network, self._report),
        )
        self._supervisor = NodeSupervisor.start(
            self.runtime,
            edges,
            make_settings(self.node_id, random, self.links, self._summary_seconds),
            self._kept,
            on_notice=self._on_node_notice,
            make_role=self.role,
            endpoints=make_endpoints(self.serve, self.dial, network),
        )
        self._node = RoomNode(self.node_id, self._kept, self._supervisor, views=views, tasks=tasks, on_add=self._on_add)
        self.is_running = True
        begun = self._supervisor.ask_to(NodeSupervisor.begin)
        return begun if self.make_app is None else self._node.start_app(self.make_app, begun, self._in_app)

    def end(self) -> Later[Any]:
        """Stop the node as its operator would. Resolves once it has said goodbye and closed its log.

        The application hears `stop`, then its tasks are cancelled; the node stops once they have ended.
        """
        self.is_running = False
        self.peers.clear()
        assert self._supervisor is not None and self._node is not None
        supervisor, stopped = self._supervisor, Later[Any]()

        def on_ended(_: Later[Any]) -> None:
            self._network.room(self.name).close()
            self.store.open()  # so that the disk of a room that is off can be read
            supervisor.stop(block=False).then(stopped.follow)

        def on_app_ended(done: Later[None]) -> None:
            if done.exception is not None:
                self._on_app_error(done.exception)
            supervisor.ask_to(NodeSupervisor.end).then(on_ended)

        self._node.end().then(on_app_ended)
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
        if self._node is not None:
            self._node.tasks.drop()
        if self._view_disk is not None:
            self._view_disk.crash()
        dropped = self._disk.crash() if self._disk is not None else []
        abandon_actors(self.runtime)
        if self._kept is not None:
            self._kept.withdraw()  # code that still holds it gets no answer any more
            self._kept.end()
        random = Random(f"{self._seed} {self.name} {self._lives} crash")
        self.store = self.medium.after_crash(self.store, dropped, random)
        self.clock = self.clock.next_life()

    def freeze(self) -> None:
        """See Cluster.freeze."""
        self._network.freeze(self.name)
        self._frozen = []
        self.clock.freeze()
        if self._node is not None:
            self._node.tasks.freeze()

    def thaw(self) -> None:
        """See Cluster.thaw."""
        due, self._frozen = self._frozen or [], None
        for drain in due:
            self._loop.schedule_drain(drain)
        self.clock.thaw()
        if self._node is not None:
            self._node.tasks.thaw()
        self._network.thaw(self.name)

    def fill_disk(self, is_full: bool) -> None:
        """Let all commits that write fail because the disk is full, or succeed again."""
        self.disk_share = float(is_full)
        for disk in (self._disk, self._view_disk):
            if disk is not None:
                disk.is_full = is_full

    def fail_commits(self, count: int) -> None:
        """Let the next `count` commits that write something fail, until the node is started anew."""
        if self._disk is not None:
            self._disk.failing = count

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

    def note(self, notice: Notice) -> None:
        """Update `peers` after a notice of its node."""
        if notice.node_id is None:
            return
        if notice.kind == "connected":
            self.peers[notice.node_id] = None
        elif notice.kind in {"disconnected", "left", "lost", "paused", "refused"}:
            self.peers.pop(notice.node_id, None)

    def _on_other_disk(self, before: LabStore) -> None:
        if self.witness is not None:
            self.witness.on_disk(self, before)

    def _report(self, report: Report) -> None:
        if self._supervisor is not None:
            self._supervisor.tell_to(NodeSupervisor.on_report, report)

    def _schedule(self, drain: Callable[[], None]) -> None:
        if self._frozen is None:
            self._loop.schedule_drain(drain)
        else:
            self._frozen.append(drain)

    def _running_log(self) -> LogProxy:
        if self._kept is None or not self.is_running:
            raise RuntimeError(f"{self.name} does not run: start it before its log is used; `entries` shows its disk")
        return self._kept

    def _on_add(self, event: dict[str, Any], result: Later[Any], is_timed: bool) -> None:
        result.then(self._on_written)
        if self.witness is not None:
            self.witness.on_add(self, event, result, is_timed=is_timed)

    def _on_written(self, done: Later[Any]) -> None:
        if done.exception is not None:
            self._on_notice(self, Notice("note", None, f"not written: {done.exception}"))
        elif (meta := done.result()) is not None:
            self.acknowledged[meta["created"]] = None

    def _on_app_error(self, error: BaseException) -> None:
        self._loop.record(self._in_app(error))

    def _in_app(self, error: BaseException) -> BaseException:
        error.add_note(f"in the application of {self.name}, at {self.seconds:.3f} s")
        return error

    def _on_node_notice(self, notice: Notice) -> None:
        self._on_notice(self, notice)
        if self._node is not None:
            self._node.tell("change", notice)

    def _on_events(self, count: int, other_node_id: str | None, known: str) -> None:
        self.events_came += count
        if known and self.witness is not None:
            self.witness.on_sent_again(self, other_node_id or "", known)

    def _open_view_disk(self, store: ViewStore, random: Random) -> SimDisk[ViewStore]:
        self._view_disk = SimDisk(self._loop, random, store)
        self._view_disk.is_full = self.is_disk_full
        return self._view_disk

    def _open_disk(self) -> SimDisk[LabStore]:
        assert self._disk is not None
        return self._disk

    def _discovery(self) -> Discovery:
        return StaticDiscovery() if self.links is not None else self._air.discovery(self.name)
