"""NodeSupervisor: starts, watches, restarts and stops everything that a node runs; it decides nothing itself."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

from mesh.actors.agreeing import Agreeing
from mesh.actors.children import ANSWER_SECONDS, answer, ask, close_child, start_asking, tell
from mesh.actors.discoverer import Discoverer
from mesh.actors.environment import Environment
from mesh.actors.gateway_supervisor import DoorError, GatewaySupervisor
from mesh.actors.listener import Listener, OpenDoor, OpenDoors
from mesh.actors.log_keeper import LogKeeper, LogProxy
from mesh.actors.peer_session import MakeRole, PeerSession, RoleOptions
from mesh.actors.reports import (
    Accepted,
    AddressesGone,
    Closed,
    Compared,
    Dialled,
    Failed,
    Greeted,
    Noted,
    Refused,
    Report,
    SecondRun,
    Sighted,
    StateChanged,
)
from mesh.actors.runtime.loop_actor import LoopActorRef
from mesh.actors.runtime.mailbox import Runtime
from mesh.actors.runtime.request import Request, RequestActor, Work
from mesh.discovery.port import Announcement
from mesh.gateway.endpoints import Endpoints
from mesh.membership.actions import Action, Close, Dial, LookAgain, Notice, Redial, Requery
from mesh.membership.diagnosis.clocks import CHECK_SECONDS, Clocks
from mesh.membership.dialling.link_selection import Link
from mesh.membership.dialling.refusals import ALONE_SECONDS, alone_sentence
from mesh.membership.membership import GOODBYE, Membership
from mesh.membership.restart_policy import Pause, Record, on_failure, on_retry
from mesh.membership.status import NO_DISCOVERY, Status, show_status
from mesh.settings.config import Settings, mesh_mark
from peers.clock import Undo
from peers.later import Later
from peers.roles.clock_offset import Span
from peers.roles.peer import PeerSync

GOODBYE_SECONDS = 3.0
BEGIN_SECONDS = 10.0
"""How long a start that is given up may take to come to its next step."""


class NodeSupervisor(RequestActor):
    """Ask it to `begin`, ask it to `end`, then stop it. Children fail one for one; the log's keeper takes the sessions along.

    It asks down with a timeout, children tell up, and what is to be done about a report is Membership's decision.
    """

    def __init__(
        self,
        runtime: Runtime,
        edges: Environment,
        settings: Settings,
        kept: LogProxy,
        *,
        on_notice: Callable[[Notice], None],
        make_role: MakeRole = PeerSync,
        outside: Endpoints | None = None,
    ) -> None:
        super().__init__(runtime)
        self._edges = edges
        self._settings = settings
        self._kept = kept
        self._on_notice = on_notice
        self._make_role = make_role
        self._outside = outside or Endpoints()
        self._neighbourhood = Membership(settings.node_id, settings.instance, settings.peers)
        self._options = RoleOptions(settings.node_id, settings.mesh, settings.instance, self._neighbourhood)
        self._sessions: dict[str, LoopActorRef[PeerSession]] = {}
        self._agreeing = Agreeing(self._sessions, self._neighbourhood, kept, self._describe, self.into_mailbox)
        self._keeper: LoopActorRef[LogKeeper] | None = None
        self._listener: LoopActorRef[Listener] | None = None
        self._discoverer: LoopActorRef[Discoverer] | None = None
        self._roles: LoopActorRef[GatewaySupervisor] | None = None
        self._own_failures: dict[str, Record] = {}
        self._door = OpenDoor(0, ())
        self._door_ports: dict[str, int] = {}
        self._accepted = 0
        self._is_ending = False
        self._timers: dict[Callable[[], None], Undo] = {}
        self._all_closed: Later[None] = Later()
        self._is_beginning = False
        self._begun: Later[None] = Later()
        self._clocks = Clocks(self._neighbourhood)
        self._undo_store = kept.on("store", lambda sentence: on_notice(Notice("store", None, sentence)))

    @property
    def membership(self) -> Membership:
        """What it knows of other nodes. For checks from outside."""
        return self._neighbourhood

    async def begin(self) -> OpenDoors:
        """Open the log and the doors, then look for others; where we listen. Raises StoreError or DoorError."""
        self._is_beginning = True
        try:
            for start in (self._start_keeper, self._start_listener, self._start_roles):
                if not self._is_ending:
                    await start()
            self._look_at_clocks()
            self._perform(self._neighbourhood.on_begin())
            if not self._is_ending:
                await self._start_discovery()
                self._later(ALONE_SECONDS, lambda: self.actor_ref.tell(Work(self._tell_if_alone)))
        finally:
            self._begun.set()
        return OpenDoors(self._door, self._door_ports)

    async def end(self) -> None:
        """Say goodbye and close everything, in the reverse order of `begin`; each step has its limit."""
        self._is_ending = True
        self._agreeing.end()
        if self._is_beginning:
            await self._until(self._begun, BEGIN_SECONDS)  # what is opened just now must be closed, too
        await close_child(self._discoverer)
        await close_child(self._listener)
        await close_child(self._roles, seconds=GOODBYE_SECONDS + ANSWER_SECONDS)
        self._perform(self._neighbourhood.close_all(GOODBYE))
        if self._sessions:
            await self._until(self._all_closed, GOODBYE_SECONDS)
        await close_child(self._keeper)

    async def status(self) -> Status:
        """Everything that the CLI shows of this node."""
        described = await self._describe()
        failures = {**self._own_failures, **self._neighbourhood.failures}
        outside = {"doors": self._door_ports, **(await ask(self._roles, "show") or {})}
        self._read_clocks()
        outside["discovery"], outside["clocks"] = await ask(self._discoverer, "describe"), self._clocks.rows()
        return show_status(
            self._settings,
            self._door.port,
            self._kept,
            self._neighbourhood,
            described,
            failures,
            outside,
            now_ms=self._edges.clock.now_ms(),
            now_seconds=self._now(),
        )

    async def _describe(self) -> dict[str, Any]:
        """What each session says of itself, None if it is too busy."""
        asked = {key: start_asking(ref, "describe") for key, ref in self._sessions.items()}
        return {
            key: await answer(asking) for key, asking in asked.items()
        }  # all are asked before the first is waited for

    def synchronized(self, *wanted: Any) -> Coroutine[Any, Any, None]:
        """See Agreeing.wait."""
        return self._agreeing.wait(*wanted)

    def static_peers(self) -> dict[str, str | None]:
        """The addresses that are dialled whatever discovery finds, and the node id that answered there."""
        return dict(self._neighbourhood.static)

    def change_peer(self, address: str, is_wanted: bool) -> None:
        """Dial an address from now on, or no more."""
        around = self._neighbourhood
        self._perform(around.add_static(address, self._now()) if is_wanted else around.remove_static(address))

    def retry(self) -> None:
        """Start everything that was paused or refused again."""
        for name, record in self._own_failures.items():
            self._own_failures[name] = on_retry(record)
            if record.is_paused:
                self.defer(self._restart_own, name)
        self._perform(self._neighbourhood.on_retry(self._now()))
        tell(self._roles, "retry")

    def on_report(self, report: Report) -> None:
        """Something happened to a child."""
        neighbourhood = self._neighbourhood
        match report:
            case Sighted(sighting):
                self._perform(neighbourhood.on_sighting(sighting, self._now()))
            case AddressesGone(hosts):
                for session in self._sessions.values():
                    tell(session, "leave", hosts)
            case Accepted():
                self._on_accepted(report)
            case Dialled(key, connection_id):
                self._perform(neighbourhood.on_dialled(key, connection_id, self._now()))
            case Greeted():
                self._on_greeted(report)
            case Compared(key, span):
                self._on_compared(key, span)
            case StateChanged(key, state):
                self._perform(neighbourhood.on_state(key, state))
            case Closed(key, reason, note, outcome):
                self._perform(neighbourhood.on_closed(key, reason, self._now(), note=note, outcome=outcome))
                if key not in neighbourhood.sessions:
                    self._forget(key)
            case Refused(key, other_node_id, why):
                self._perform(neighbourhood.on_refused(key, other_node_id, why, self._now()))
            case SecondRun(key, other_node_id, boot, address):
                self._perform(neighbourhood.on_turned_away(key, other_node_id, boot, address, self._now()))
            case Noted(_, sentence, kind):
                self._on_notice(Notice(kind, None, sentence))
            case Failed(key, why):
                self._on_failed(key, why)
        self._agreeing.look()

    def _on_accepted(self, report: Accepted) -> None:
        connection = report.connection
        if self._is_ending or self._keeper is None:
            connection.disconnect("not ready")
            return
        self._accepted += 1
        key = f"accepted:{self._accepted}"
        self._neighbourhood.on_accepted(key, connection.address)
        self._start_session(key, accepted=connection)

    def _on_greeted(self, report: Greeted) -> None:
        session = self._neighbourhood.sessions.get(report.key)
        if session is None:
            return
        now = self._now()
        link = Link(report.key, report.connection_id, session.dialled, report.boot, now)
        self._perform(
            self._neighbourhood.on_greeted(report.key, report.other_node_id, link, report.held, report.address, now)
        )

    def _on_compared(self, key: str, span: Span) -> None:
        session = self._neighbourhood.sessions.get(key)
        if session is not None and session.other_node_id is not None:
            self._perform(self._clocks.on_compared(session.other_node_id, span))

    def _look_at_clocks(self) -> None:
        self._read_clocks()
        self._later(CHECK_SECONDS, self._look_at_clocks)

    def _read_clocks(self) -> None:
        clock = self._edges.clock
        self._perform(self._clocks.on_reading(clock.now_ms(), clock.uptime_ms(), self._kept.clock_ms))

    def _on_failed(self, key: str, why: str) -> None:
        if key in self._sessions:
            self._forget(key)
            share = self._edges.random.random()
            self._perform(self._neighbourhood.on_failed(key, why, self._now(), share))
        elif not self._is_ending:
            self._on_own_failed(key, why)

    def _on_own_failed(self, name: str, why: str) -> None:
        """The keeper, the listener or the discoverer failed."""
        if name == "log":
            self._keeper = None
            self._perform(self._neighbourhood.close_all("the log restarts"))
        record, outcome = on_failure(
            self._own_failures.get(name, Record()), self._now(), why, self._edges.random.random()
        )
        self._own_failures[name] = record
        if isinstance(outcome, Pause):
            text = f"paused the {name} after too many failures: {why}; `mesh retry` starts it again"
            self._on_notice(Notice("paused", None, text))
            return
        self._on_notice(Notice("restarted", None, f"the {name} failed and restarts: {why}"))
        self._later(outcome.delay_seconds, lambda: self._restart_own(name))

    def _restart_own(self, name: str) -> None:
        if self._is_ending:
            return
        starts: dict[str, Callable[[], Coroutine[Any, Any, None]]] = {
            "log": self._start_keeper,
            "listener": self._start_listener,
            "discovery": self._start_discovery,
        }

        async def restart() -> None:
            try:
                await starts[name]()
            except Exception as error:  # noqa: BLE001 - it counts as the child's next failure
                self._on_own_failed(name, f"{type(error).__name__}: {error}")
                return
            if name == "log":
                self._perform(self._neighbourhood.on_free(self._now()))

        self.actor_ref.tell(Work(restart))

    def on_stop(self) -> None:
        self._undo_store()
        for undo in self._timers.values():
            undo()
        self._timers.clear()

    def on_failure(self, exception_type: Any, exception_value: Any, traceback: Any) -> None:
        self.on_stop()
        # Nobody above restarts this one: children must not outlive it unseen.
        for ref in (*self._sessions.values(), self._discoverer, self._listener, self._roles, self._keeper):
            if ref is not None:
                ref.stop(block=False)
        self._on_notice(Notice("failed", None, f"the node failed: {exception_type.__name__}: {exception_value}"))

    def _perform(self, actions: list[Action]) -> None:
        for action in actions:
            match action:
                case Dial(key, addresses):
                    if self._is_ending or self._keeper is None:
                        self._neighbourhood.forget(key)
                    else:
                        self._start_session(key, addresses=addresses)
                case Redial(key, addresses):
                    tell(self._sessions.get(key), "redial", addresses)
                case Close(key, reason):
                    tell(self._sessions.get(key), "close", reason)
                case LookAgain(subject, delay_seconds):
                    self._later(delay_seconds, partial(self._look, subject))
                case Requery():
                    tell(self._discoverer, "requery")
                case Notice():
                    self._on_notice(action)

    async def _tell_if_alone(self) -> None:
        if self._neighbourhood.is_alone and not self._is_ending:
            discovery = await ask(self._discoverer, "describe") or NO_DISCOVERY
            self._on_notice(Notice("note", None, alone_sentence(self._door.port, discovery)))

    def _forget(self, key: str) -> None:
        self._sessions.pop(key, None)
        if self._is_ending and not self._sessions and not self._all_closed.is_done:
            self._all_closed.set(None)

    def _look(self, subject: str) -> None:
        if not self._is_ending:
            self._perform(self._neighbourhood.on_look(subject, self._now()))

    def _start_session(self, key: str, **how: Any) -> None:
        self._sessions[key] = PeerSession.start(
            self._edges.runtime,
            self._edges,
            key,
            self._make_role,
            self._kept,
            self._options,
            self.into_mailbox(self.on_report),
            **how,
        )

    async def _start_keeper(self) -> None:
        edges = self._edges
        keeper = LogKeeper.start(
            edges.runtime,
            self._settings.node_id,
            edges.open_disk,
            self._kept,
            clock=edges.clock,
            random=edges.random,
            on_failed=lambda why: self.defer(self.on_report, Failed("log", why)),
        )
        await self._open(keeper, "open")
        self._keeper = keeper
        self._kept.kept_by(keeper)

    async def _start_listener(self) -> None:
        edges, settings = self._edges, self._settings
        listener = Listener.start(edges.runtime, edges.network, self.into_mailbox(self.on_report))
        ports = (self._door.port,) if self._door.port else settings.ports  # others know where it was open before
        where = (settings.host, ports, settings.patience_seconds, edges.clock)
        try:
            self._door = await self._open(listener, "open_first", *where)
        except OSError as error:
            raise DoorError("", settings.host, ports[0], error) from error
        self._listener = listener

    async def _start_roles(self) -> None:
        if not self._outside.doors and not self._outside.lines:
            return
        edges = self._edges
        roles = GatewaySupervisor.start(
            edges.runtime, edges, self._settings.node_id, self._kept, self._outside, on_notice=self._on_notice
        )
        self._door_ports = await self._open(roles, "open")
        self._roles = roles

    async def _start_discovery(self) -> None:
        edges, settings, door = self._edges, self._settings, self._door
        discoverer = Discoverer.start(edges.runtime, edges.discovery(), self.into_mailbox(self.on_report), edges.clock)
        mark = mesh_mark(settings.mesh)
        announcement = Announcement(settings.node_id, mark, settings.instance, door.port, door.hosts)
        await self._open(discoverer, "open", announcement)
        self._discoverer = discoverer

    async def _open(self, ref: LoopActorRef[Any], method: str, *arguments: Any) -> Any:
        """Ask a new child to open; one that cannot is stopped again, whatever it had opened is closed."""
        try:
            return await ref.ask(Request(method, arguments), block=False)
        except BaseException:
            await close_child(ref)
            raise

    async def _until(self, later: Later[None], seconds: float) -> None:
        """Let reports come in until `later` is resolved or the time is up."""
        try:
            async with asyncio.timeout(seconds):
                await later
        except TimeoutError:
            self._on_notice(Notice("note", None, f"some sessions did not close within {seconds:.0f} s"))

    def _later(self, delay_seconds: float, work: Callable[[], None]) -> None:
        def due() -> None:
            del self._timers[due]
            self.defer(work)

        self._timers[due] = self._edges.clock.call_later(delay_seconds * 1000, due)

    def _now(self) -> float:
        return self._edges.clock.elapsed_ms() / 1000
