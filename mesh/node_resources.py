"""NodeResources: all that a node has open from its start to its end, and how a forked process leaves it to the parent."""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

from mesh.actors.environment import Environment
from mesh.actors.log_proxy import LogProxy
from mesh.actors.node_supervisor import NodeSupervisor
from mesh.actors.reports import Noted, refused_at_door
from mesh.actors.runtime.inspection import abandon_actors
from mesh.actors.runtime.loop_actor import ActorDeadError, LoopActorRef
from mesh.actors.runtime.loop_thread import LoopThread, Spawner
from mesh.actors.runtime.mailbox import Runtime
from mesh.actors.thread_disk import ThreadDisk
from mesh.control.node_mesh import NodeMesh
from mesh.control.server import ControlServer
from mesh.discovery.port import Discovery
from mesh.errors import MeshError
from mesh.forking import Abandonable, Holder, check_log, forking, leave_log, let_go, part, unwatch, watch, work_lock
from mesh.gateway.endpoints import Endpoints
from mesh.gateway.gateways import Gateways
from mesh.gateway.metrics.histogram import Histogram
from mesh.joining.inviting import Inviting
from mesh.listening import Open
from mesh.membership.actions import Notice
from mesh.membership.diagnosis.clones import clone_notice
from mesh.membership.diagnosis.disk_room import DiskUse
from mesh.membership.known_hosts import KnownHosts
from mesh.membership.status import Status
from mesh.node_measuring import NodeMeasuring
from mesh.notices import founded_notice, log_notice, recovery_notice, stop_notice, upgrade_notice, upgraded_notice
from mesh.settings.config import Settings
from mesh.settings.home import Home
from mesh.settings.paths import CERTIFICATES_FILE, LOG_FILE, RECOVERY_FILE, VIEWS_FILE, disk_share, log_bytes
from mesh.settings.upgrade import is_log_old, kept_file, upgrade_home
from mesh.trust.certificates import CertificateChain, read_certificates
from mesh.trust.judge import KeyJudge, OwnMembership
from mesh.trust.new_mesh import ShowCode, found_at_start, has_recovery_code
from mesh.trust.recovery_code import SECRET_BYTES
from mesh.trust.second_holder import SecondHolder
from mesh.trust.tls import tls_contexts
from mesh.views.store import ViewStore
from mesh.views.views import Views
from peers.clock import Clock, LoopClock, Undo
from peers.events.created import MAX_DRIFT_MS
from peers.later import Later
from peers.limits import LimitHits, Limits
from peers.stores.runs.sqlite.store import SqliteRunStore
from peers.transport.http import no_pages
from peers.transport.web_socket import WebSocketNetwork


class NodeResources:
    """Made for each run of a node, on the loop that runs it. What is opened here, or set, is closed by `close`.

    Opening may fail at any step; `close` must follow in any case. In a process that is forked meanwhile, `on_forked` lets
    go of everything without closing it, because it belongs to the parent.
    """

    def __init__(
        self, path: Path, gateways: Gateways, disown: Callable[[str], None], thread: LoopThread | None
    ) -> None:
        """`path` is the home; `disown` gets, in a forked process, the sentence why the node cannot be used there.

        `thread` is that of the loop, if it belongs to the node; the caller closes it.
        """
        self.home: Home | None = None
        self.certificates: CertificateChain | None = None
        """Those of the home; None: this node is open."""
        self.supervisor: LoopActorRef[NodeSupervisor] | None = None
        self.control: ControlServer | None = None
        self.views: Views | None = None
        self.inviting: Inviting | None = None
        """None without certificates."""
        self._own: OwnMembership | None = None
        """None without certificates."""
        self._thread = thread
        self._is_closed = False
        self._path = path
        self._gateways = gateways
        self._disown = disown
        self._pid, self._loop_thread = os.getpid(), threading.get_ident()
        self._network: WebSocketNetwork | None = None
        self._make_network: Callable[..., WebSocketNetwork] = WebSocketNetwork
        self._spawner: Spawner | None = None
        self._discovery: Discovery | None = None
        self._undos: list[Undo] = []
        self._commits = Histogram()
        self._gateway_networks: tuple[WebSocketNetwork, ...] = ()
        self._environment: Environment | None = None  # kept, so that a forked process never destroys the store
        watch(self)

    def open_home(self, *, name: str | None, mesh: str | None, existing: bool) -> Home:
        """Open the home, or make it. Raises MeshError."""
        with forking:
            self.home = Home(self._path, name=name, mesh=mesh, existing=existing)
        check_log(self.home.log_path)
        return self.home

    def enter_mesh(self, is_open: Open, show: ShowCode | None, on_notice: Callable[[Notice], None]) -> None:
        """Read the certificates of the home, or found a mesh, unless the node is open. Raises MeshError.

        `show` gets the recovery code; see found_new_mesh. `on_notice` gets what users should know of it.
        """
        assert self.home is not None
        certificates = self._path / CERTIFICATES_FILE
        if is_open and certificates.exists():
            raise MeshError(
                f"this home is in a mesh, by {certificates}, so its node cannot be open: "
                "leave --open out, or use another --home"
            )
        if is_open:
            return
        if not certificates.exists():
            with forking:
                found_at_start(self.home, os.urandom(SECRET_BYTES), time.time_ns() // 1_000_000, show)
            on_notice(founded_notice(self.home.facts.mesh))
        self.certificates = read_certificates(self._path, self.home.signer.public)
        if has_recovery_code(self._path, self.certificates.mesh_key):
            on_notice(recovery_notice(self._path / RECOVERY_FILE))

    def settings(self, random: Random, where: tuple[str, tuple[int, ...], float], peers: tuple[str, ...]) -> Settings:
        """Those of this run, which listens `where`; the home is open, and the mesh entered."""
        assert self.home is not None
        mesh_key = self.certificates.mesh_key if self.certificates is not None else b""
        instance = f"{random.getrandbits(64):016x}"
        return Settings(self.home.node_id, self.home.facts.mesh, instance, *where, peers, mesh_key)

    async def upgrade_log(self, on_notice: Callable[[Notice], None]) -> None:
        """Bring the log of an older release up to date, in a thread, since it may take a minute. Raises MeshError.

        `on_notice` gets a notice before and after it.
        """
        assert self.home is not None
        if not is_log_old(self._path):
            return
        loop = asyncio.get_running_loop()
        on_notice(upgrade_notice(self.home.node_id, self.home.log_path.stat().st_size))
        begun = loop.time()
        thread = ThreadPoolExecutor(1, thread_name_prefix="peermesh-upgrade")
        work = loop.run_in_executor(thread, upgrade_home, self.home)
        try:
            upgraded = await asyncio.shield(work)
        except asyncio.CancelledError:
            await asyncio.wait([work])  # no other node may have the home meanwhile
            raise
        finally:
            thread.shutdown()
        assert upgraded is not None
        kept = kept_file(self._path).path
        on_notice(upgraded_notice(self.home.node_id, upgraded.events, loop.time() - begun, kept))

    def open_environment(
        self,
        random: Random,
        make_discovery: Callable[[Clock, LimitHits], Discovery],
        limits: Limits,
        log: LogProxy,
    ) -> Environment:
        """The network, the disk and the loop of this run, on the running loop; the home is open. Raises MeshError."""
        assert self.home is not None
        loop = asyncio.get_running_loop()
        clock = LoopClock(loop)
        # One for all keepers, so that it knows its own file again.
        store = SqliteRunStore(self._path / LOG_FILE, checkpoint_lock=work_lock(is_inner=True))
        if self.certificates is not None:
            store.enter_mesh(self.certificates.mesh_key)

        def discovery() -> Discovery:
            self._discovery = make_discovery(clock, hits)
            return self._discovery

        self._spawner = Spawner(loop)
        hits, known = LimitHits(clock), KnownHosts()
        self._make_network = partial(WebSocketNetwork, loop, limits=limits, note=hits.note, known=known)
        secure, judged = self._secured(log, clock) if self.certificates is not None else ({}, {})
        self._network = self._make_network(on_request=no_pages, waits=True, on_refused=self._on_refused, **secure)
        runtime = Runtime(loop)
        views = self.views = Views(
            log,
            runtime=runtime,
            clock=clock,
            store=ViewStore(self._path / VIEWS_FILE),
            open_disk=lambda store: ThreadDisk(loop, store, answers_on_loop=False),
        )
        self._environment = Environment(
            runtime=runtime,
            clock=clock,
            random=random,
            network=self._network,
            spawn=self._spawner,
            open_disk=lambda: ThreadDisk(loop, store, answers_on_loop=False, note_seconds=self._commits.note),
            signer=self.home.signer,
            discovery=discovery,
            hits=hits,
            limits=limits,
            known_hosts=known,
            adopts_unknown=self.home.facts.with_log,
            disk_use=DiskUse(str(self._path), partial(disk_share, self._path)),
            cpu_ms=lambda: time.thread_time() * 1000,
            shown_of_home=lambda: self._shown_of_home() | {"views": views.status()},
            **judged,
        )
        return self._environment

    def _secured(self, log: LogProxy, clock: Clock) -> tuple[dict[str, Any], dict[str, Any]]:
        """What the certificates add to the arguments of the network, and to those of the environment."""
        assert self.home is not None and self.certificates is not None
        accepting, dialling = tls_contexts(self._path, self.certificates)
        judge = KeyJudge(self.certificates.mesh_key, self.home.signer.public, lambda: log.facts)
        self.inviting = Inviting(
            self.home,
            self.certificates,
            accepting,
            judge,
            clock,
            facts=lambda: log.facts,
            learn=lambda facts: log.write(lambda store: [store.learn(facts)]),
            on_joined=self._on_joined,
        )
        self._own = own = OwnMembership(judge, self.home.node_id, self._on_gone, self._on_name)
        second = SecondHolder(
            self.home.signer.public,
            self.home.node_id,
            clock.now_ms() + MAX_DRIFT_MS,
            lambda: log.state.epoch,
            self._on_second,
        )
        self._undos = [log.on("commit", each.on_commit) for each in (own, second)]
        secure = {"tls": accepting, "dial_tls": dialling, "may_speak": judge.may_enter}
        return (
            secure | {"on_no_certificate": self.inviting.door},
            {"may_speak": judge.may_greet, "check_member": own.check},
        )

    def open_gateways(self, home: Home, log: LogProxy, status: Callable[[], Later[Status]]) -> Endpoints:
        """What the supervisor is to open and to dial for others than nodes. Raises MeshError."""
        assert self._environment is not None and self._network is not None
        nodes = self._network
        measuring = NodeMeasuring(
            self._environment,
            log,
            home.log_path,
            self._commits,
            status,
            lambda: {"nodes": [nodes], "others": self._gateways.networks},
        )
        endpoints = self._gateways.make(
            self._make_network,
            home.node_id,
            self._path,
            self._environment.clock,
            self._environment.spawn,
            self._environment.limits,
            self._environment.hits.note,
            status,
            measuring,
            log,
        )
        self._gateway_networks = tuple(self._gateways.networks)
        return endpoints

    def node_mesh(
        self, log: LogProxy, clock: Clock, synchronized: Callable[[float], Later[None]], can_stop: Callable[[], bool]
    ) -> NodeMesh:
        """What commands ask of the mesh of this node, which is open."""
        assert self.home is not None
        key = self.certificates.mesh_key if self.certificates is not None else b""
        return NodeMesh(self.home, key, log, clock, self.inviting, synchronized=synchronized, can_stop=can_stop)

    def _shown_of_home(self) -> dict[str, Any]:
        """What the status says of the files of the home."""
        path, chain = self._path, self.certificates
        return {
            "log_bytes": log_bytes(path),
            "old_log_bytes": kept_file(path).size,
            "out_of_mesh": self._own.why_out if self._own is not None else "",
            "has_recovery_file": chain is not None and has_recovery_code(path, chain.mesh_key),
        }

    def renew_budgets(self) -> None:
        """The limits have changed."""
        if self._environment is not None:
            self._environment.budgets.renew()

    async def open_control(self, control: ControlServer) -> None:
        """Let commands reach the node. Raises MeshError if `close` has begun meanwhile."""
        if self._is_closed:
            raise MeshError("this node was ended while it started")
        self.control = control
        await control.start()

    async def close(self) -> None:
        """Stop the node and close what is open, in the reverse order of opening."""
        self._is_closed = True
        try:
            if self.inviting is not None:
                self.inviting.close()
            if self.control is not None:
                await self.control.close()
            if self.views is not None:
                await self.views.close()
            if self.supervisor is not None and self.supervisor.is_alive():
                with contextlib.suppress(ActorDeadError):  # the application ends the program in a callback
                    await self.supervisor.ask_to(NodeSupervisor.end)
                await self.supervisor.stop(block=False)
        finally:
            try:
                if self._network is not None:
                    await self._network.close()
                await self._gateways.close()
                if self._spawner is not None:
                    await self._spawner.close()
                for undo in self._undos:
                    undo()
            finally:
                if self.home is not None:
                    self.home.close()
                    if self.control is not None:
                        log_notice(stop_notice(self.home.node_id))
                unwatch(self)

    def _on_refused(self, address: str, why: str) -> None:
        if self.supervisor is not None:
            self.supervisor.tell_to(NodeSupervisor.on_report, refused_at_door(address, why))

    def _on_joined(self, sentence: str) -> None:
        self._note(sentence, "joined")

    def _on_gone(self, sentence: str) -> None:
        self._note(sentence, "revoked")

    def _on_name(self, name: str) -> None:
        """The mesh has this label, from the next start on: a home that was made by the recovery code has another one."""
        assert self.home is not None
        if name != self.home.facts.mesh:
            with contextlib.suppress(MeshError):  # it is tried again with the next facts
                self.home.keep_mesh(name, with_log=self.home.facts.with_log)

    def _on_second(self) -> None:
        assert self.home is not None
        notice = clone_notice(self.home.node_id, [])
        self._note(notice.sentence, notice.kind)

    def _note(self, sentence: str, kind: str) -> None:
        if self.supervisor is not None:
            self.supervisor.tell_to(NodeSupervisor.on_report, Noted("", sentence, kind=kind))

    def on_forked(self) -> None:
        """Called in a process that was forked from this one: see mesh.forking."""
        why = (
            f"this is the node of process {self._pid}, which forked: "
            "start a node of its own in this process, with another home"
        )
        self._disown(why)
        if self.views is not None:
            self.views.disown(why)
        leave_log(self._path / LOG_FILE)
        leave_log(self._path / VIEWS_FILE)
        for holder in self._holders():
            with contextlib.suppress(Exception):  # one that is being changed does not stop the others
                let_go(holder.descriptors())
        if threading.get_ident() == self._loop_thread and self._environment is not None:
            self._silence(self._environment.runtime)

    def _holders(self) -> list[Holder]:
        """Whatever has files or sockets open."""
        opened = (self.home, self._thread, self._network, self.control, self._discovery, *self._gateway_networks)
        return [each for each in opened if isinstance(each, Holder)]

    def _silence(self, runtime: Runtime) -> None:
        """The loop lives on in the child: nothing of this node may happen there any more."""
        if self._thread is not None:
            runtime.loop.stop()  # a listener forked: the child's copy of the node's own thread ends with its loop
        part(runtime.loop)
        abandon_actors(runtime)
        for holder in self._holders():
            if isinstance(holder, Abandonable):
                holder.abandon()
