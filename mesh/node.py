"""Node: one machine's part of the mesh, for plain threads and for asyncio."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from inspect import signature
from pathlib import Path
from random import Random, SystemRandom
from typing import Any, Concatenate, ParamSpec, Unpack

from mesh.actors.listener import ListenError
from mesh.actors.log_proxy import LogProxy, SafeListener
from mesh.actors.node_supervisor import NodeSupervisor
from mesh.actors.peer_session import MakeRole
from mesh.actors.runtime.loop_service import LoopService
from mesh.actors.synchronized_waiters import ask_synchronized
from mesh.app_node import AppNode
from mesh.control.server import ControlServer
from mesh.discovery.mdns.query_schedule import MIN_REQUERY_SECONDS, REQUERY_SECONDS
from mesh.discovery.options import DiscoveryOptions
from mesh.errors import MeshError, for_python, in_python
from mesh.gateway.gateways import Gateways
from mesh.gateway.options import GatewayOptions, check_names, listed
from mesh.listening import Open, check_free, check_open, listen_notices, where_to_listen, why_not_listening
from mesh.membership.actions import Notice
from mesh.membership.diagnosis.links import LinkRow
from mesh.membership.status import Status, in_application
from mesh.node_log import NodeLog
from mesh.node_resources import NodeResources
from mesh.notices import log_notice, start_notices
from mesh.settings.config import ONLY_HERE, WAIT_SECONDS, parse_address
from mesh.settings.home import Home, is_fresh
from mesh.settings.kept_peers import KeptPeers
from mesh.settings.paths import default_home
from mesh.trust.new_mesh import ShowCode
from mesh.views.state import Apply
from mesh.views.view import View
from peers.clock import Undo
from peers.emitter import Emitter, checked
from peers.later import Later
from peers.limits import Limits
from peers.roles.run_peer import RunPeerSync

P = ParamSpec("P")


class Node(LoopService, AppNode):
    """One node, with a home on disk and real sockets.

    From threads, use it as a context manager; the node runs on a thread of its own, and `.get()` waits for a result:

        with Node("kitchen") as node:
            node.log.add({"type": "milk"}).get()

    On an asyncio loop, use `async with` and await the results; the node runs on that loop:

        async with Node("kitchen") as node:
            await node.log.add({"type": "milk"})

    - `name`: the name of the node, fixed when the home is made; None: the name of the machine.
    - `home`: the folder with the identity, the log and the settings of the node; None: the default one of this user. Only nodes
      of its mesh connect. A fresh one founds a mesh; one with a log that is in no mesh is refused, unless `open` is given.
    - `mesh`: the name of the mesh, fixed when the home is made; a home that joins a mesh takes over the name of that. An open
      node connects with others of the same name.
    - `existing`: fail if there is no home yet, as on a disk that is not mounted, instead of making a new node there.
    - `open`: be in no mesh: links are neither encrypted nor authenticated, and anyone who reaches the node can read and write
      its log. True: only programs of this machine reach it; "lan": all networks do. A home of a mesh refuses it.
    - `on_recovery_code`: called with the recovery code of a mesh that is founded, which then is kept nowhere; None: it is
      written to `recovery-code.txt` in the home, from which it should be put away.
    - `listen`: HOST:PORT at which other nodes connect. `:PORT` is every address of this machine, `0.0.0.0:PORT` every IPv4
      and `[::]:PORT` every IPv6 address. None: every address, and the port that was chosen at the first start.
    - `peers`: HOST:PORT of nodes that are always dialled, whatever discovery finds; a str is one of them.
    - `mdns`: whether to announce this node on the LAN and to look for others there.
    - `interfaces`: addresses or names of the network interfaces that mDNS may use, a str is one; None: all LANs of the machine.
    - `requery_seconds`: how often mDNS asks for other nodes, MIN_REQUERY_SECONDS or more.
    - `role`: PeerSync, or a subclass of it, for the sessions with other nodes.
    - `limits`: what strangers and members may cost this node; None: the defaults of Limits.
    - `outside`: ports and connections for clients and servers that are no nodes; GatewayOptions lists these options.

    The constructor raises MeshError for options that cannot be used, with a sentence; starting raises MeshError or
    StoreError. Whatever `mesh up` prints is logged to `logging.getLogger("mesh")`: trouble as WARNING or ERROR, the rest as
    INFO.

    A node belongs to the process that started it. In a child made by `os.fork` every call raises MeshError, and leaving the
    `with` does nothing: start another node there, with another home.
    """

    log: NodeLog
    """The event log of this node."""
    port: int
    """The port at which this node listens for other nodes; 0 before the first start."""

    def __init__(
        self,
        name: str | None = None,
        *,
        home: str | Path | None = None,
        mesh: str | None = None,
        existing: bool = False,
        open: Open = False,
        on_recovery_code: ShowCode | None = None,
        listen: str | None = None,
        peers: str | Sequence[str] = (),
        mdns: bool = True,
        interfaces: str | Sequence[str] | None = None,
        requery_seconds: float = REQUERY_SECONDS,
        role: MakeRole = RunPeerSync,
        limits: Limits | None = None,
        **outside: Unpack[GatewayOptions],
    ) -> None:
        check_names(outside, signature(Node).parameters)
        interfaces = listed(interfaces) if interfaces is not None else None
        if requery_seconds < MIN_REQUERY_SECONDS:
            raise MeshError(f"the requery interval is {requery_seconds} s: take {MIN_REQUERY_SECONDS} s or more")
        self._listen = parse_address(listen, "the address to listen on") if listen is not None else None
        with for_python():
            check_open(open, self._listen, interfaces)
            self._gateways = Gateways(**outside)
        self._open: Open = open
        self._show_code = on_recovery_code
        self._path = Path(home) if home is not None else default_home()
        self._name, self._mesh, self._existing = name, mesh, existing
        own = [ONLY_HERE] if open is True and interfaces is None else interfaces
        self._discovery = DiscoveryOptions(mdns, own, requery_seconds)
        self._role = role
        self._limits = replace(limits or Limits())  # of its own: see change_limits
        self._log_proxy = LogProxy()
        self._peers = KeptPeers(self._path, listed(peers))
        self._emitter = Emitter()
        self._resources: NodeResources | None = None
        self.log = NodeLog(self._log_proxy)
        self.port = 0
        self.reloads_by: Callable[[], list[str]] | None = None
        """Takes over changed options of the program that runs this node, on its loop; it returns lines for people."""
        self.given_flags: Sequence[str] = ()
        """The options of `mesh up` that stood on its command line, for `mesh doctor`."""

    @property
    def node_id(self) -> str:
        """The node id, `NAME~HASH`. Raises MeshError while the node does not run."""
        return self._opened().node_id

    @property
    def clients_port(self) -> int:
        """The port of the clients' door; 0 while it is closed."""
        return self._gateways.clients_port

    @property
    def clients_url(self) -> str:
        """The URL of the page for browsers, as seen from this machine; empty while the clients' door is closed."""
        return self._gateways.clients_url

    @property
    def is_clients_door_in_clear(self) -> bool:
        """Whether clients from other machines send their tokens without encryption."""
        return self._gateways.is_in_clear

    @property
    def door_ports(self) -> Mapping[str, int]:
        """The ports for clients and servers that are no nodes, by the key of the door: `clients`, or a HOST:PORT of `serve`."""
        return self._gateways.ports

    @property
    def mesh(self) -> str:
        """The mesh that this node belongs to. Raises MeshError while the node does not run."""
        return self._opened().facts.mesh

    @property
    def is_trusted(self) -> bool:
        """Whether only nodes with certificates of its mesh connect, over TLS. Raises MeshError while the node does not run."""
        self._opened()
        return self._resources is not None and self._resources.certificates is not None

    @property
    def home(self) -> Path:
        """The folder of this node."""
        return self._path

    @property
    def is_new(self) -> bool:
        """Whether this start made the home, and so a new node. Raises MeshError while the node does not run."""
        return self._opened().is_new

    def on(self, event: str, listener: Callable[[Notice], Any]) -> Undo:
        """Call `listener(notice)` on the node's loop for each event; the result is a function that ends this.

        - `change`: a Notice for people, as that a node was connected, unreachable or lost.
        - `stop`: a user called `mesh stop`. The node does not stop itself: the program that started it should do so.

        The listener must be a plain function that does not block. What it raises is logged; on a loop of yours `sys.exit` ends
        the program. Raises ValueError for another event, and TypeError for a coroutine function.
        """
        self.log.check()
        return self._emitter.on(checked(event, {"change", "stop"}, listener), SafeListener(listener, event))

    def status(self) -> Later[Status]:
        """What `mesh status --json` prints. Fails with MeshError while the node does not run."""
        status: Later[Status] = self._ask(NodeSupervisor.status)
        return status if self.reloads_by else status.transform(in_application)

    def examine(self) -> Later[list[LinkRow]]:
        """What is known of the links with other nodes; up to three of them dial this one meanwhile, and say whether they could.
        Fails with MeshError while the node does not run.
        """
        return self._ask(NodeSupervisor.examine)

    def synchronized(self, *, peers: int = 1, timeout: float = WAIT_SECONDS) -> Later[None]:
        """Wait until at least `peers` nodes are connected, and this node and each of them hold all that either held at the
        call. An event counts as held once its `add` was answered.

        Fails with TimeoutError after `timeout` seconds, which says who is missing or behind, by how much, and why; with
        ValueError for `peers` below 1 or a `timeout` that is not above 0; with MeshError when the node stops.
        """
        return ask_synchronized(lambda *waited: self._ask(NodeSupervisor.synchronized, *waited), peers, timeout)

    def static_peers(self) -> Later[list[dict[str, str | None]]]:
        """The addresses that are dialled whatever discovery finds: rows with `address`, `source` (`--peer`, which stands for
        `peers=` too, or `peers.json`) and `node_id`, the node that answered there, or None. Fails as `examine`.
        """
        return self._ask(NodeSupervisor.static_peers).transform(self._peers.rows)

    def add_peer(self, address: str) -> Later[None]:
        """Dial `address`, HOST:PORT, from now on and after each start: it is kept in `peers.json`.
        Fails with MeshError for what is no address, and while the node does not run.
        """
        return self._change_peer(address, is_wanted=True)

    def remove_peer(self, address: str) -> Later[None]:
        """Stop dialling an address of `add_peer`, and close its connection unless discovery has found that node, too.
        Fails with MeshError for any other address, also for one of `peers=`.
        """
        return self._change_peer(address, is_wanted=False)

    def change_peers(self, peers: Sequence[str]) -> Later[None]:
        """Dial these addresses from now on, until the node is made anew, instead of those of `peers=`.
        Raises MeshError for what is no address. Fails with MeshError while the node does not run.
        """
        before, wanted = self._peers.replace(peers), self._peers.all()
        gone = [address for address in before if address not in wanted]
        return self._ask(NodeSupervisor.change_peers, gone, wanted)

    def change_limits(self, limits: Limits) -> None:
        """Go on with these limits, on the loop of the node. Those of `peers.limits.FIXED` stay until the node is made anew."""
        self.log.check()
        self._limits.change(limits)
        if self._resources is not None:
            self._resources.renew_budgets()

    def renew_clients_certificate(self) -> None:
        """Read the files of `clients_cert` and `clients_key` again, for clients that connect from now on.
        Raises MeshError, and goes on with what it has, for files that cannot be used.
        """
        self._gateways.renew_certificate()

    def shown_options(self) -> dict[str, Any]:
        """What `mesh doctor` needs of the options. `in_python`: an application gave them, not `mesh up`."""
        shown = {"open": self._open, "listen": self._listen, "limits": asdict(self._limits)}
        discovery = {"mdns": self._discovery.mdns, "interfaces": self._discovery.interfaces}
        return shown | discovery | {"in_python": self.reloads_by is None, "flags": self.given_flags}

    def reload(self) -> list[str]:
        """What `mesh reload` does: call `reloads_by`. Raises MeshError without it."""
        if self.reloads_by is None:
            raise MeshError("this node runs inside another program, which gives it its options: see there")
        return self.reloads_by()

    def retry(self) -> Later[None]:
        """Start everything that was paused or refused again. Fails with MeshError while the node does not run."""
        return self._ask(NodeSupervisor.retry)

    def view(self, name: str, apply: Apply, *, types: Sequence[str] | None = None, version: int = 1) -> Later[View]:
        """A View: a map of text keys to JSON values that `apply(state, event, meta)` folds from the events in log order.

        `types`: the types of the events to fold; None: all. `version`: count it up whenever `apply` changes, and all is folded
        anew; nodes with different code under one version differ for good. View says what `apply` may do.

        The result comes once a state answers, with all that the log has, or has stopped: see `View.error`. The same call gives
        the same View again. Fails with TypeError or ValueError for wrong arguments, as others for a name that is open; with
        MeshError for a state of a newer version or without a running node, and with StoreError.
        """
        self.log.check()
        if self._resources is None or self._resources.views is None:
            return Later.failed(MeshError("this node is not running"))
        return self._resources.views.view(name, apply, types=types, version=version)

    def stop(self) -> None:
        try:
            super().stop()
        finally:
            if self._thread is None and not self.is_disowned:
                self._log_proxy.end()  # also after a Ctrl-C: no thread waits for the log any more

    @property
    def is_disowned(self) -> bool:
        return self.log.is_disowned

    def check(self) -> None:
        self.log.check()

    async def begin(self) -> None:
        """Start on the running loop, as `async with` does; `end` must follow. Raises MeshError or StoreError."""
        self.log.check()
        if self._resources is not None:
            raise MeshError("this node runs already")
        self._resources = NodeResources(self._path, self._gateways, self.log.disown, self._thread)
        try:
            with for_python():
                await self._start(self._resources)
        except BaseException:
            await self.end()
            raise

    async def end(self) -> None:
        """Stop what `begin` started. Harmless when it is stopped."""
        resources, self._resources = self._resources, None
        if resources is not None and not self.log.is_disowned:
            await resources.close()

    async def _start(self, resources: NodeResources) -> None:
        if not self._existing and is_fresh(self._path):
            await check_free(self._listen)
        home = resources.open_home(name=self._name, mesh=self._mesh, existing=self._existing)
        resources.enter_mesh(self._open, self._show_code, self._on_notice)
        await resources.upgrade_log(self._on_notice)
        random = Random(SystemRandom().getrandbits(256))
        kept = home.facts.port
        settings = resources.settings(
            random, where_to_listen(self._listen, kept, random, self._open), self._peers.all()
        )
        environment = resources.open_environment(
            random, partial(self._discovery.make, random, self._limits), self._limits, self._log_proxy
        )
        resources.supervisor = NodeSupervisor.start(
            environment.runtime,
            environment,
            settings,
            self._log_proxy,
            on_notice=self._on_notice,
            make_role=self._role,
            endpoints=resources.open_gateways(home, self._log_proxy, self.status),
        )
        try:
            opened = await resources.supervisor.ask_to(NodeSupervisor.begin)
        except ListenError as error:
            raise MeshError(why_not_listening(error)) from None
        self.port = opened.nodes.port
        self._gateways.opened(opened.ports)
        if not kept and (self._listen is None or self._listen[1]):  # a port that port 0 gave is for this run only
            home.keep_port(self.port)
        wanted = kept if self._listen is None else 0
        for notice in listen_notices(opened.nodes, wanted, self._open, is_mdns_on=self._discovery.mdns):
            self._on_notice(notice)
        node_mesh = resources.node_mesh(
            self._log_proxy,
            environment.clock,
            lambda seconds: self.synchronized(timeout=seconds),
            partial(self._emitter.has_listeners, "stop"),
        )
        await resources.open_control(ControlServer(self, mesh=node_mesh, on_stop=self._on_stop_asked))
        for notice in start_notices(self):
            log_notice(self._spoken(notice))

    def _change_peer(self, address: str, *, is_wanted: bool) -> Later[None]:
        self.log.check()
        try:
            self._opened()
            self._peers.change(address, is_wanted=is_wanted)
        except MeshError as error:
            return Later.failed(error)
        changed = [] if address in self._peers.given else [address]
        return self._ask(NodeSupervisor.change_peers, *(([], changed) if is_wanted else (changed, [])))

    def _on_notice(self, notice: Notice) -> None:
        notice = self._spoken(notice)
        log_notice(notice)
        self._emitter.emit("change", notice)

    def _spoken(self, notice: Notice) -> Notice:
        return notice if self.reloads_by else replace(notice, sentence=in_python(notice.sentence))

    def _on_stop_asked(self) -> bool:
        is_heard = self._emitter.has_listeners("stop")
        self._emitter.emit("stop", Notice("stop", None, "asked to stop"))
        return is_heard

    def _ask(
        self, method: Callable[Concatenate[NodeSupervisor, P], Any], *args: P.args, **options: P.kwargs
    ) -> Later[Any]:
        self.log.check()
        if self._resources is None or self._resources.supervisor is None:
            return Later.failed(MeshError("this node is not running"))
        return self._resources.supervisor.ask_to(method, *args, **options)

    def _opened(self) -> Home:
        if self._resources is None or self._resources.home is None:
            raise MeshError("this node is not running")
        return self._resources.home
