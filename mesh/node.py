"""Node: one machine's part of the mesh, for plain threads and for asyncio."""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from pathlib import Path
from random import Random, SystemRandom
from types import TracebackType
from typing import Any, Self, TypeVar

from mesh.actions import Notice
from mesh.actors.disk import ThreadDisk
from mesh.actors.log_keeper import KeptLog, safely
from mesh.actors.loop_actor import LoopActorRef
from mesh.actors.mailbox import Runtime
from mesh.actors.request import Request
from mesh.actors.session import MakeRole
from mesh.actors.supervisor import NodeSupervisor
from mesh.config import DEFAULT_HOST, Settings, parse_address
from mesh.control import ControlServer
from mesh.discovery.discovery import Discovery
from mesh.discovery.fixed import FixedDiscovery
from mesh.discovery.mdns import MIN_REQUERY_SECONDS, MdnsDiscovery
from mesh.edges import Edges
from mesh.errors import MeshError
from mesh.identity import Home
from mesh.paths import default_home
from mesh.status import Status
from peers.clock import LoopClock, Undo
from peers.connections.web_socket import WebSocketNetwork
from peers.emitter import Emitter
from peers.entry import Entry
from peers.later import Later
from peers.log import Meta
from peers.peer_sync import PeerSync
from peers.stores.sqlite_store import SqliteStore
from peers.stores.store import Order

T = TypeVar("T")
EventAndMeta = tuple[dict[str, Any], Meta]

REQUERY_SECONDS = 45.0
START_SECONDS = 30.0


class NodeLog:
    """The node's log for applications. Results are Later: `.get()` in a plain thread, `await` on a loop."""

    def __init__(self, kept: KeptLog) -> None:
        self._kept = kept

    @property
    def last_added(self) -> int:
        """This log's counter of events. Raises MeshError before the start."""
        if not self._kept.is_open:
            raise MeshError("this node is not running")
        return self._kept.published.state.last_added

    def add(self, event: dict[str, Any], meta: Meta | None = None) -> Later[Meta | None]:
        """Add an event; the result is its meta once it is on disk, None if its `created` was known.

        Fails with ValueError for what is not an event, BusyError when too many wait, StoreError if the disk fails.
        """
        return self._kept.add(event, meta)

    def add_batch(self, items: Sequence[tuple[Any, Meta | None]]) -> Later[list[Meta | ValueError | None]]:
        """Add (event, meta) pairs in one transaction: for each its meta, None if known, or what is wrong with it."""
        return self._kept.add_batch(items)

    def page(
        self, *, order: Order = "created", after: Entry | None = None, since: int = 0, limit: int = 500
    ) -> Later[tuple[Entry, ...]]:
        """A page of entries, by (time, created) or by `added`, after the last one of the page before."""
        return self._kept.each(order=order, after=after, since=since, limit=limit)

    def each(self, *, order: Order = "created", since: int = 0) -> EventWalk:
        """All events with their metas: `for event, meta in log.each()`, or `async for` on a loop.

        `order="created"` is the same on every node; `since` leaves out what has an `added` up to it.
        """
        return EventWalk(self, order, since)

    def on(self, event: str, listener: Callable[..., Any]) -> Undo:
        """Call `listener(event, meta)` on the loop for each new `event`; returns the undo."""
        return self._kept.on(_checked(event, {"event", "change"}, listener), listener)


class EventWalk:
    """A walk over the log, a page at a time."""

    def __init__(self, log: NodeLog, order: Order, since: int) -> None:
        self._log = log
        self._order: Order = order
        self._since = since

    def __iter__(self) -> Iterator[EventAndMeta]:
        after: Entry | None = None
        while page := self._page(after).get():
            yield from ((entry.event, entry.meta) for entry in page)
            after = page[-1]

    async def __aiter__(self) -> AsyncIterator[EventAndMeta]:
        after: Entry | None = None
        while page := await self._page(after):
            for entry in page:
                yield entry.event, entry.meta
            after = page[-1]

    def _page(self, after: Entry | None) -> Later[tuple[Entry, ...]]:
        return self._log.page(order=self._order, after=after, since=self._since)


class Node:
    """One node, with a home on disk and real sockets. Use it as `with Node(...)` from threads, `async with` on a loop.

    `name` and `mesh` are fixed with the home; the port is chosen at the first start and kept. `listen` and `peers` are
    `HOST:PORT`. `interfaces` are addresses or names that mDNS may use (None: all LANs of the machine). Starting raises
    MeshError or StoreError, with a sentence. `role` is PeerSync or a subclass of it.
    """

    def __init__(
        self,
        name: str | None = None,
        *,
        home: str | Path | None = None,
        mesh: str | None = None,
        listen: str | None = None,
        peers: Sequence[str] = (),
        mdns: bool = True,
        interfaces: Sequence[str] | None = None,
        requery_seconds: float = REQUERY_SECONDS,
        role: MakeRole = PeerSync,
    ) -> None:
        for address in peers:
            parse_address(address, "the peer", is_dialled=True)
        if requery_seconds < MIN_REQUERY_SECONDS:
            raise MeshError(f"the requery interval is {requery_seconds} s: take {MIN_REQUERY_SECONDS} s or more")
        self._listen = parse_address(listen, "the address to listen on") if listen is not None else None
        self._path = Path(home) if home is not None else default_home()
        self._name, self._mesh = name, mesh
        self._peers = tuple(dict.fromkeys(peers))
        self._mdns, self._interfaces, self._requery_seconds = mdns, interfaces, requery_seconds
        self._role = role
        self._kept = KeptLog()
        self._emitter = Emitter()
        self._home: Home | None = None
        self._network: WebSocketNetwork | None = None
        self._supervisor: LoopActorRef[NodeSupervisor] | None = None
        self._control: ControlServer | None = None
        self._thread: _LoopThread | None = None
        self.log = NodeLog(self._kept)
        self.port = 0

    @property
    def node_id(self) -> str:
        """`NAME~HASH`. Raises MeshError before the start."""
        return self._opened().node_id

    @property
    def mesh(self) -> str:
        return self._opened().facts.mesh

    @property
    def home(self) -> Path:
        return self._path

    def on(self, event: str, listener: Callable[[Notice], Any]) -> Undo:
        """Call `listener(notice)` on the loop at each `change` (a peer found, connected, lost ...); returns the undo.

        Another event is `stop`: somebody ran `mesh stop`, and whoever owns this node should stop it.
        """
        return self._emitter.on(_checked(event, {"change", "stop"}, listener), safely(listener, event))

    def status(self) -> Later[Status]:
        """What `mesh status --json` prints."""
        return self._ask("status")

    def retry(self) -> Later[None]:
        """Start everything that was paused or refused again."""
        return self._ask("retry")

    def start(self) -> Self:
        """Start on a thread and loop of its own."""
        thread = _LoopThread()
        try:
            thread.run(self.begin())
        except BaseException:
            thread.close()
            raise
        self._thread = thread
        return self

    def stop(self) -> None:
        """Say goodbye, close the log, end the thread. Harmless when it is stopped."""
        if self._thread is not None:
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
        if self._home is not None:
            raise MeshError("this node runs already")
        home = self._home = Home(self._path, name=self._name, mesh=self._mesh)
        try:
            await self._start(home)
        except BaseException:
            await self.end()
            raise

    async def end(self) -> None:
        """Stop what `begin` started."""
        control, self._control = self._control, None
        supervisor, self._supervisor = self._supervisor, None
        network, self._network = self._network, None
        home, self._home = self._home, None
        if control is not None:
            await control.close()
        try:
            if supervisor is not None and supervisor.is_alive():
                await supervisor.ask(Request("end"), block=False)
                await supervisor.stop(block=False)
        finally:
            try:
                if network is not None:
                    await network.close()
            finally:
                if home is not None:
                    home.close()

    async def _start(self, home: Home) -> None:
        loop = asyncio.get_running_loop()
        random = Random(SystemRandom().getrandbits(256))
        host, port = self._listen or (DEFAULT_HOST, home.facts.port)
        settings = Settings(
            node_id=home.node_id,
            mesh=home.facts.mesh,
            instance=f"{random.getrandbits(64):016x}",
            host=host,
            port=port,
            peers=self._peers,
        )
        self._network = WebSocketNetwork(loop)
        edges = self._edges(loop, random, home, self._network)
        self._supervisor = NodeSupervisor.start(
            edges.runtime, edges, settings, self._kept, on_notice=self._on_notice, make_role=self._role
        )
        try:
            self.port = await self._supervisor.ask(Request("begin"), block=False)
        except OSError as error:
            raise MeshError(_why_not_listening(host, port, error)) from None
        if not home.facts.port:
            home.keep_port(self.port)
        self._control = ControlServer(self, on_stop=self._on_stop_asked)
        await self._control.start()

    def _edges(self, loop: asyncio.AbstractEventLoop, random: Random, home: Home, network: WebSocketNetwork) -> Edges:
        clock = LoopClock(loop)

        def discovery() -> Discovery:
            if not self._mdns:
                return FixedDiscovery()
            return MdnsDiscovery(
                loop, clock, random, interfaces=self._interfaces, requery_seconds=self._requery_seconds
            )

        return Edges(
            runtime=Runtime(loop),
            clock=clock,
            random=random,
            network=network,
            spawn=Spawner(loop),
            open_disk=lambda: ThreadDisk(loop, SqliteStore(home.log_path)),
            discovery=discovery,
        )

    def _on_notice(self, notice: Notice) -> None:
        self._emitter.emit("change", notice)

    def _on_stop_asked(self) -> bool:
        is_heard = self._emitter.has_listeners("stop")
        self._emitter.emit("stop", Notice("stop", None, "asked to stop"))
        return is_heard

    def _ask(self, method: str) -> Later[Any]:
        if self._supervisor is None:
            return Later.failed(MeshError("this node is not running"))
        return self._supervisor.ask(Request(method), block=False)

    def _opened(self) -> Home:
        if self._home is None:
            raise MeshError("this node is not running")
        return self._home


class Spawner:
    """Runs coroutine callbacks of users as tasks that are kept until they are done. See peers.sync_core.Spawn."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._tasks: dict[asyncio.Task[Any], None] = {}

    def __call__(self, work: Coroutine[Any, Any, T], /) -> Later[T]:
        result: Later[T] = Later()
        task = self._loop.create_task(work)
        self._tasks[task] = None

        def on_done(done: asyncio.Task[T]) -> None:
            del self._tasks[done]
            if done.cancelled():
                result.fail(asyncio.CancelledError())
            elif (error := done.exception()) is not None:
                result.fail(error)
            else:
                result.set(done.result())

        task.add_done_callback(on_done)
        return result


class _LoopThread:
    """A thread that runs one loop."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="peermesh-loop", daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def close(self) -> None:
        self.run(self._loop.shutdown_asyncgens())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


def _checked(event: str, known: set[str], listener: Callable[..., Any]) -> str:
    if event not in known:
        raise ValueError(f"there is no event {event!r} here: take one of {', '.join(sorted(known))}")
    if inspect.iscoroutinefunction(listener):
        raise TypeError("a listener must be a plain function, called on the loop: let it start a task of yours")
    return event


def _why_not_listening(host: str, port: int, error: OSError) -> str:
    where = f"{host}:{port}"
    if error.errno == 98 or "in use" in str(error):
        return f"another program listens on {where} already: stop it, or choose another port with --listen {host}:PORT"
    return f"cannot listen on {where}: {error.strerror or error}; choose another address with --listen HOST:PORT"
