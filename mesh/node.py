"""Node: one machine's part of the mesh, for plain threads and for asyncio."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from random import Random, SystemRandom
from types import TracebackType
from typing import Any, Concatenate, ParamSpec, Self, Unpack

from mesh.actors.environment import Environment
from mesh.actors.listener import DoorError
from mesh.actors.log_proxy import LogProxy, safely
from mesh.actors.node_supervisor import NodeSupervisor
from mesh.actors.peer_session import MakeRole
from mesh.actors.runtime.loop_actor import LoopActorRef
from mesh.actors.runtime.loop_thread import LoopThread, Spawner
from mesh.actors.runtime.mailbox import Runtime
from mesh.actors.synchronized_waiters import resolve
from mesh.actors.thread_disk import ThreadDisk
from mesh.control.server import ControlServer
from mesh.discovery.mdns.mdns import MdnsDiscovery
from mesh.discovery.mdns.query_schedule import MIN_REQUERY_SECONDS, REQUERY_SECONDS
from mesh.discovery.port import Discovery
from mesh.discovery.static import StaticDiscovery
from mesh.errors import MeshError
from mesh.forking import check_log, forking, unwatch, watch
from mesh.gateway.gateways import Gateways
from mesh.gateway.options import GatewayOptions
from mesh.holders import THREAD, Holders
from mesh.listening import door_notices, where_to_listen, why_not_listening
from mesh.membership.actions import Notice
from mesh.membership.status import Status
from mesh.node_log import NodeLog, checked
from mesh.notices import log_notice, start_notices, stop_notice
from mesh.settings.config import WAIT_SECONDS, Settings, parse_address
from mesh.settings.home import Home
from mesh.settings.kept_peers import KeptPeers, show_sources
from mesh.settings.paths import LOG_FILE, default_home
from peers.clock import LoopClock, Undo
from peers.emitter import Emitter
from peers.later import Later
from peers.roles.peer import PeerSync
from peers.stores.sqlite.store import SqliteStore
from peers.transport.http import no_pages
from peers.transport.web_socket import WebSocketNetwork

P = ParamSpec("P")


class Node:
    """One node, with a home on disk and real sockets. Use it as `with Node(...)` from threads, `async with` on a loop.

    `name` and `mesh` are fixed with the home; the port is chosen at the first start and kept. `listen` and `peers` are
    `HOST:PORT`; to listen, `:PORT` is every address of this machine, as by default, `0.0.0.0:PORT` every IPv4 and
    `[::]:PORT` every IPv6 one. `interfaces` are addresses or names that mDNS may use (None: all LANs of the machine).
    Starting raises MeshError or StoreError, with a sentence. `role` is PeerSync or a subclass of it. With `existing`,
    starting fails where there is no home yet, as on a disk that is not mounted; otherwise a new node is made there.

    What `mesh up` prints, a node says in `logging.getLogger("mesh")`: trouble as WARNING or ERROR, the rest as INFO.

    A node belongs to the process that started it. In a child made by `os.fork` every call raises MeshError, and leaving the
    `with` does nothing: start another node there, with another home.

    Others than nodes (mesh.gateway.options has the names and types of these options):
    - `clients`, HOST:PORT, opens a door for Logux clients and browsers; `clients_cert` and `clients_key` are PEM files,
      `clients_origins` pages that may connect besides our own, `clients_hosts` further names of this machine. Clients show
      a token of `mesh token add`. What each user may write and see is decided by `in_filter`, `in_map`, `out_filter` and
      `out_map` (event, meta, user), as the options of a role that are called so.
    - `upstream`, a ws:// or wss:// URL, makes the node a client of a Logux server, as `upstream_user` with `upstream_token`.
      A @logux/server sends only what goes over `upstream_channels`, and may ask for an `upstream_subprotocol`. It carries
      out what it is sent: let one node of a mesh alone be its client.
    - `serve` {HOST:PORT: role} and `dial` {URL: role}: roles of your own, subclasses of BaseSync, are started at that door
      or on that line, supervised and restarted like the built-in ones.
    """

    def __init__(
        self,
        name: str | None = None,
        *,
        home: str | Path | None = None,
        mesh: str | None = None,
        existing: bool = False,
        listen: str | None = None,
        peers: Sequence[str] = (),
        mdns: bool = True,
        interfaces: Sequence[str] | None = None,
        requery_seconds: float = REQUERY_SECONDS,
        role: MakeRole = PeerSync,
        **outside: Unpack[GatewayOptions],
    ) -> None:
        for address in peers:
            parse_address(address, "the peer", is_dialled=True)
        if requery_seconds < MIN_REQUERY_SECONDS:
            raise MeshError(f"the requery interval is {requery_seconds} s: take {MIN_REQUERY_SECONDS} s or more")
        self._listen = parse_address(listen, "the address to listen on") if listen is not None else None
        self._path = Path(home) if home is not None else default_home()
        self._name, self._mesh, self._existing = name, mesh, existing
        self._peers = tuple(dict.fromkeys(peers))
        self._mdns, self._interfaces, self._requery_seconds = mdns, interfaces, requery_seconds
        self._role = role
        self._openings = Gateways(**outside)
        self._kept = LogProxy()
        self._kept_peers = KeptPeers(self._path)
        self._emitter = Emitter()
        self._home: Home | None = None
        self._network: WebSocketNetwork | None = None
        self._spawner: Spawner | None = None
        self._supervisor: LoopActorRef[NodeSupervisor] | None = None
        self._control: ControlServer | None = None
        self._thread: LoopThread | None = None
        self._holders = Holders()
        self.log = NodeLog(self._kept)
        self.port = 0

    @property
    def node_id(self) -> str:
        """`NAME~HASH`. Raises MeshError before the start."""
        return self._opened().node_id

    @property
    def clients_port(self) -> int:
        """Of the clients' door; 0 while there is none."""
        return self._openings.clients_port

    @property
    def clients_url(self) -> str:
        """Where browsers find the page of this node, as seen from this machine if the door is open to all; empty without."""
        return self._openings.clients_url

    @property
    def is_clients_door_in_clear(self) -> bool:
        """Whether tokens cross the network readably."""
        return self._openings.is_in_clear

    @property
    def door_ports(self) -> Mapping[str, int]:
        """Where we listen for others than nodes, by the key of the door."""
        return self._openings.ports

    @property
    def mesh(self) -> str:
        return self._opened().facts.mesh

    @property
    def home(self) -> Path:
        return self._path

    @property
    def is_new(self) -> bool:
        """Whether this start made the home, and so a new node. Raises MeshError before the start."""
        return self._opened().is_new

    def on(self, event: str, listener: Callable[[Notice], Any]) -> Undo:
        """Call `listener(notice)` on the loop at each `change` (a peer connected, unreachable, lost ...); returns the undo.

        Another event is `stop`: somebody ran `mesh stop`, and whoever owns this node should stop it.
        """
        self.log.check()
        return self._emitter.on(checked(event, {"change", "stop"}, listener), safely(listener, event))

    def status(self) -> Later[Status]:
        """What `mesh status --json` prints."""
        return self._ask(NodeSupervisor.status)

    def synchronized(self, *, peers: int = 1, timeout: float = WAIT_SECONDS) -> Later[None]:
        """Wait until at least `peers` nodes are connected, and this node and each of them hold what either held at the call.

        An event counts as held once its `add` was answered. Fails with TimeoutError after `timeout` seconds, which says who is
        missing or behind, and by how much; with ValueError for `peers` below 1 or a `timeout` that is not above 0; with
        MeshError when the node stops.
        """
        if peers < 1 or not 0 < timeout < math.inf:
            return Later.failed(ValueError(f"peers={peers}, timeout={timeout}: take 1 or more, and seconds above 0"))
        abandoned = Later[None]()
        waited = self._ask(NodeSupervisor.synchronized, peers, timeout, abandoned)
        waited.on_abandoned = partial(resolve, abandoned)
        return waited

    def static_peers(self) -> Later[list[dict[str, str | None]]]:
        """The addresses that are dialled whatever discovery finds: rows with `address`, `source` (`--peer`, which is `peers=`
        too, or `peers.json`) and the `node_id` that answered there, None until one did. Fails with MeshError.
        """
        return self._ask(NodeSupervisor.static_peers).transform(
            lambda found: show_sources(self._peers, self._kept_peers.list(), found)
        )

    def add_peer(self, address: str) -> Later[None]:
        """Dial `address`, HOST:PORT, from now on and after each start: it is kept in `peers.json`. Fails with MeshError."""
        return self._change_peer(address, is_wanted=True)

    def remove_peer(self, address: str) -> Later[None]:
        """Dial an address of `add_peer` no more, and close the connection by it unless discovery knows that node, too.

        Fails with MeshError for any other address, as one of `peers=`.
        """
        return self._change_peer(address, is_wanted=False)

    def retry(self) -> Later[None]:
        """Start everything that was paused or refused again."""
        return self._ask(NodeSupervisor.retry)

    def start(self) -> Self:
        """Start on a thread and loop of its own; a loop that runs in the caller's thread stands still meanwhile."""
        thread = LoopThread()
        try:
            thread.run(self.begin())
        except BaseException:
            thread.close()
            raise
        self._thread = self._holders[THREAD] = thread
        return self

    def stop(self) -> None:
        """Say goodbye, close the log, end the thread. Harmless when it is stopped.

        Raises RuntimeError on the node's own loop, where it could not wait for itself; the node then goes on.
        """
        self.log.check()
        if self._thread is not None:
            self._thread.check_outside()
            thread, self._thread = self._thread, None
            try:
                thread.run(self.end())
            finally:
                thread.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if not self.log.is_disowned:
            self.stop()

    async def __aenter__(self) -> Self:
        await self.begin()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.end()

    async def begin(self) -> None:
        """Start on the running loop; `end` must follow."""
        self.log.check()
        if self._home is not None:
            raise MeshError("this node runs already")
        self._holders.begin()
        watch(self)
        try:
            with forking:
                home = self._home = Home(self._path, name=self._name, mesh=self._mesh, existing=self._existing)
                self._holders["home"] = home
            check_log(home.log_path)
            await self._start(home)
        except BaseException:
            await self.end()
            raise

    async def end(self) -> None:
        """Stop what `begin` started."""
        if self.log.is_disowned:
            return
        control, self._control = self._control, None
        supervisor, self._supervisor = self._supervisor, None
        network, self._network = self._network, None
        spawner, self._spawner = self._spawner, None
        home, self._home = self._home, None
        if control is not None:
            await control.close()
        try:
            if supervisor is not None and supervisor.is_alive():
                await supervisor.ask_to(NodeSupervisor.end)
                await supervisor.stop(block=False)
        finally:
            try:
                if network is not None:
                    await network.close()
                await self._openings.close()
                if spawner is not None:
                    await spawner.close()
            finally:
                if home is not None:
                    home.close()
                    if control is not None:
                        log_notice(stop_notice(home.node_id))
                unwatch(self)
                self._holders.clear()

    def on_forked(self) -> None:
        """See mesh.forking: everything here is the parent's."""
        self.log.disown(
            f"this is the node of process {self._holders.pid}, which forked: "
            "start a node of its own in this process, with another home"
        )
        self._holders.leave(self._path / LOG_FILE)

    async def _start(self, home: Home) -> None:
        loop = asyncio.get_running_loop()
        random = Random(SystemRandom().getrandbits(256))
        kept = home.facts.port
        settings = Settings(
            home.node_id,
            home.facts.mesh,
            f"{random.getrandbits(64):016x}",
            *where_to_listen(self._listen, kept, random),
            tuple(dict.fromkeys((*self._peers, *self._kept_peers.list()))),
        )
        self._network, self._spawner = WebSocketNetwork(loop, on_request=no_pages), Spawner(loop)
        self._holders["network"] = self._network
        self._holders.runtime = Runtime(loop)
        store = SqliteStore(home.log_path)  # one for all keepers: it knows its file again
        edges = Environment(
            runtime=self._holders.runtime,
            clock=LoopClock(loop),
            random=random,
            network=self._network,
            spawn=self._spawner,
            open_disk=lambda: ThreadDisk(loop, store),
            discovery=lambda: self._discovery(loop, random),
        )
        outside = self._openings.make(loop, home.node_id, home.path, edges.clock, self.status)
        self._holders |= {f"opening {number}": network for number, network in enumerate(self._openings.networks)}
        self._supervisor = NodeSupervisor.start(
            edges.runtime,
            edges,
            settings,
            self._kept,
            on_notice=self._on_notice,
            make_role=self._role,
            endpoints=outside,
        )
        try:
            opened = await self._supervisor.ask_to(NodeSupervisor.begin)
        except DoorError as error:
            raise MeshError(why_not_listening(error)) from None
        self.port = opened.nodes.port
        self._openings.opened(opened.ports)
        if not kept and (self._listen is None or self._listen[1]):  # what port 0 gave is for this run
            home.keep_port(self.port)
        wanted = kept if self._listen is None else 0
        for notice in door_notices(opened.nodes, wanted, is_mdns_on=self._mdns):
            self._on_notice(notice)
        self._control = self._holders["control"] = ControlServer(self, on_stop=self._on_stop_asked)
        await self._control.start()
        for notice in start_notices(self):
            log_notice(notice)

    def _discovery(self, loop: asyncio.AbstractEventLoop, random: Random) -> Discovery:
        if not self._mdns:
            return StaticDiscovery()
        found = MdnsDiscovery(
            loop, LoopClock(loop), random, interfaces=self._interfaces, requery_seconds=self._requery_seconds
        )
        self._holders["discovery"] = found
        return found

    def _change_peer(self, address: str, *, is_wanted: bool) -> Later[None]:
        self.log.check()
        try:
            self._opened()
            if is_wanted:
                self._kept_peers.add(address)
            else:
                self._kept_peers.remove(address, self._peers)
        except MeshError as error:
            return Later.failed(error)
        return Later.done(None) if address in self._peers else self._ask(NodeSupervisor.change_peer, address, is_wanted)

    def _on_notice(self, notice: Notice) -> None:
        log_notice(notice)
        self._emitter.emit("change", notice)

    def _on_stop_asked(self) -> bool:
        is_heard = self._emitter.has_listeners("stop")
        self._emitter.emit("stop", Notice("stop", None, "asked to stop"))
        return is_heard

    def _ask(
        self, method: Callable[Concatenate[NodeSupervisor, P], Any], *args: P.args, **options: P.kwargs
    ) -> Later[Any]:
        self.log.check()
        if self._supervisor is None:
            return Later.failed(MeshError("this node is not running"))
        return self._supervisor.ask_to(method, *args, **options)

    def _opened(self) -> Home:
        if self._home is None:
            raise MeshError("this node is not running")
        return self._home
