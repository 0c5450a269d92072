"""NodeSupervisor: starts, watches, restarts and stops everything that a node runs; it decides nothing itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from itertools import count
from typing import Any

from mesh.actors.children import CHILD_ANSWER_SECONDS, SESSIONS_CLOSE_SECONDS, Children, is_in_time
from mesh.actors.discoverer import Discoverer
from mesh.actors.environment import Environment
from mesh.actors.gateway_supervisor import GatewaySupervisor
from mesh.actors.listener import ListenAddress, ListenAddresses, Listener, ListenError
from mesh.actors.log_keeper import LogKeeper
from mesh.actors.log_proxy import LogProxy
from mesh.actors.peer_session import MakeRole, PeerSession
from mesh.actors.reports import (
    Accepted,
    AddressesGone,
    Answered,
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
from mesh.actors.runtime.loop_actor import LoopActor
from mesh.actors.runtime.mailbox import Runtime
from mesh.actors.shown.log_figures import log_figures
from mesh.actors.shown.shown_notices import ShownNotices
from mesh.actors.shown.whole_mesh import WholeMesh
from mesh.actors.synchronized_waiters import SynchronizedWaiters
from mesh.actors.watch.clock_watch import ClockWatch
from mesh.actors.watch.examination import examine
from mesh.discovery.port import Announcement
from mesh.gateway.endpoints import Endpoints
from mesh.membership.actions import Action, Ask, Close, Dial, LookAgain, Notice, Redial, Requery
from mesh.membership.diagnosis.disk_room import DiskRoom
from mesh.membership.diagnosis.links import LinkRow
from mesh.membership.diagnosis.rare_notices import RareNotices
from mesh.membership.dialling.link_selection import Link
from mesh.membership.dialling.refusals import ALONE_SECONDS, alone_sentence
from mesh.membership.ended_sessions import GOODBYE
from mesh.membership.membership import Membership
from mesh.membership.status import NO_DISCOVERY, Status, show_status
from mesh.settings.config import Settings
from peers.later import Later
from peers.roles.run_peer import RunPeerSync

BEGIN_SECONDS = 10.0
"""How long `end` waits for a start that is under way."""

KEEPER = "log"
LISTENER = "listener"
DISCOVERY = "discovery"
GATEWAY = "gateway"


class NodeSupervisor(LoopActor):
    """Ask it to `begin`, ask it to `end`, then stop it.

    Its children are the keeper of the log, the listener, the discoverer, the supervisor of the gateway, and one session
    for each connection with a node. They fail and restart one for one, except that a failure of the keeper closes all
    sessions. It asks children with a limit of time, and they report without waiting; Membership decides what follows.
    """

    def __init__(
        self,
        runtime: Runtime,
        environment: Environment,
        settings: Settings,
        log: LogProxy,
        *,
        on_notice: Callable[[Notice], None],
        make_role: MakeRole = RunPeerSync,
        endpoints: Endpoints | None = None,
    ) -> None:
        """`on_notice` gets the notices that people see; `make_role` makes the role of each session."""
        super().__init__(runtime)
        self._environment, self._settings, self._log = environment, settings, log
        limits, hits = environment.limits, environment.hits
        self._make_role = make_role
        self._endpoints = endpoints or Endpoints()
        self._membership = Membership(
            settings.node_id, settings.instance, settings.peers, limits=limits, hits=hits, hosts=environment.known_hosts
        )
        self._children: Children[PeerSession] = Children(environment, self.defer, self._on_notice)
        self._notices = ShownNotices(RareNotices(limits, hits), on_notice, self._children.later_unless_ending)
        self._mesh = WholeMesh(environment, settings, log, self.into_mailbox)
        self._waiters = SynchronizedWaiters(self._children, self._membership, log, self.into_mailbox)
        self._report = self.into_mailbox(self.on_report)
        self._address, self._ports = ListenAddress(0, ()), dict[str, int]()
        self._accepted, self._is_beginning = count(1), False
        self._begun: Later[None] = Later()
        self._clocks = ClockWatch(environment, self._membership, log, self._children, self._perform)
        self._undo_store = log.on("store", lambda sentence: self._on_notice(Notice("store", None, sentence)))

    @property
    def membership(self) -> Membership:
        """What this node knows of the others, for checks that read it on the loop and change nothing."""
        return self._membership

    async def begin(self) -> ListenAddresses:
        """Open the log and the listening sockets, then look for other nodes; the result is where this node listens.

        Raises StoreError, ListenError or MeshError.
        """
        self._is_beginning = True
        try:
            for start in (self._start_keeper, self._start_listener, self._start_gateway):
                if not self._children.is_ending:
                    await start()
            self._clocks.begin()
            self._perform(self._membership.on_begin())
            if not self._children.is_ending:
                await self._start_discovery()
                self._children.later(ALONE_SECONDS, self._notice_if_alone)
        finally:
            self._begun.set()
        return ListenAddresses(self._address, self._ports)

    async def end(self) -> None:
        """Say goodbye and close everything, in the reverse order of `begin`; each step has a limit of time."""
        self._children.is_ending = True
        self._waiters.end()
        self._mesh.stop()
        # What `begin` opens meanwhile has to be closed, too.
        if self._is_beginning and not await is_in_time(self._begun, BEGIN_SECONDS):
            self._on_notice(Notice("note", None, f"the start did not end within {BEGIN_SECONDS:.0f} s"))
        await self._children.close(DISCOVERY)
        await self._children.close(LISTENER)
        await self._children.close(GATEWAY, seconds=SESSIONS_CLOSE_SECONDS + CHILD_ANSWER_SECONDS)
        self._perform(self._membership.close_all(GOODBYE))
        await self._children.until_closed()
        await self._children.close(KEEPER)

    async def status(self) -> Status:
        """Everything that `mesh status` shows of this node."""
        described = await self._children.ask_sessions(PeerSession.describe)
        failures = {**self._children.failures, **self._membership.failures}
        gateway = {"doors": self._ports, **(await self._children.ask(GATEWAY, GatewaySupervisor.show) or {})}
        gateway["discovery"] = await self._children.ask(DISCOVERY, Discoverer.describe)
        gateway |= {
            "limits": self._environment.hits.rows(),
            "mesh_nodes": self._mesh.nodes(),
            **self._clocks.shown(),
            **self._environment.shown_of_home(),
            **await log_figures(self._log, self._environment.clock.now_ms()),
        }
        return show_status(
            self._settings,
            self._address.port,
            self._log,
            self._membership,
            described,
            failures,
            gateway,
            now_ms=self._environment.clock.now_ms(),
            now_seconds=self._now(),
        )

    async def examine(self) -> list[LinkRow]:
        """What `mesh doctor` asks of the links of this node."""
        return await examine(self._children, self._address.port)

    async def synchronized(self, peers: int, timeout_seconds: float, abandoned: Later[None]) -> None:
        """See SynchronizedWaiters.wait."""
        await self._waiters.wait(peers, timeout_seconds, abandoned)

    def static_peers(self) -> dict[str, str | None]:
        """The addresses that are dialled whatever discovery finds, each with the node id that answered there."""
        return dict(self._membership.static)

    def change_peers(self, gone: Sequence[str], wanted: Sequence[str]) -> None:
        """Stop dialling the static addresses `gone`, and dial those in `wanted`."""
        for address in gone:
            self._perform(self._membership.remove_static(address))
        for address in wanted:
            self._perform(self._membership.add_static(address, self._now()))

    def retry(self) -> None:
        """Start everything that was paused or refused again."""
        for name in self._children.forgive():
            self.defer(self._restart, name)
        self._perform(self._membership.on_retry(self._now()))
        self._children.tell(GATEWAY, GatewaySupervisor.retry)

    def on_report(self, report: Report) -> None:
        """Called for each report of a child."""
        membership = self._membership
        match report:
            case Sighted(sighting):
                self._perform(membership.on_sighting(sighting, self._now()))
            case AddressesGone(hosts):
                for key in self._children.sessions:
                    self._children.tell(key, PeerSession.leave, hosts)
            case Accepted():
                self._on_accepted(report)
            case Dialled(key, connection_id):
                self._perform(membership.on_dialled(key, connection_id, self._now()))
            case Greeted():
                self._on_greeted(report)
            case Answered(key, connection_id):
                self._perform(membership.on_answered(key, connection_id, self._now()))
            case Compared(key, span):
                self._clocks.on_compared(key, span)
            case StateChanged(key, state):
                self._perform(membership.on_state(key, state))
            case Closed(key, reason, note, cause, outcome):
                self._perform(membership.on_closed(key, reason, self._now(), note=note, cause=cause, outcome=outcome))
                if key not in membership.sessions:
                    self._children.forget(key)
            case Refused(key, other_node_id, why):
                self._perform(membership.on_refused(key, other_node_id, why, self._now()))
            case SecondRun(key, other_node_id, boot, address):
                self._perform(membership.on_turned_away(key, other_node_id, boot, address, self._now()))
            case Noted(_, sentence, kind, cause, who):
                self._on_notice(Notice(kind, None, sentence, cause, who))
            case Failed(key, why):
                self._on_failed(key, why)
        self._waiters.look()

    def _on_accepted(self, report: Accepted) -> None:
        connection = report.connection
        if not self._may_start_sessions:
            connection.disconnect("not ready")
            return
        key = f"accepted:{next(self._accepted)}"
        self._membership.on_accepted(key, connection.address)
        self._start_session(key, accepted=connection)

    def _on_greeted(self, report: Greeted) -> None:
        session = self._membership.sessions.get(report.key)
        if session is None:
            return
        now = self._now()
        link = Link(report.key, report.connection_id, session.dialled, report.boot, now, report.is_proven)
        self._perform(
            self._membership.on_greeted(report.key, report.other_node_id, link, report.held, report.address, now)
        )

    def _on_failed(self, key: str, why: str) -> None:
        if key in self._children.sessions:
            self._children.forget(key)
            share = self._environment.random.random()
            self._perform(self._membership.on_failed(key, why, self._now(), share))
        elif not self._children.is_ending:
            self._on_service_failed(key, why)

    def _on_service_failed(self, name: str, why: str) -> None:
        if name == KEEPER:
            self._children.services.pop(KEEPER, None)
            self._perform(self._membership.close_all("the log restarts"))
        if self._children.on_failed(name, why, partial(self._restart, name), name=f"the {name}"):
            self._on_notice(Notice("restarted", None, f"the {name} failed and restarts: {why}"))

    async def _restart(self, name: str) -> None:
        if self._children.is_ending:
            return
        starts = {KEEPER: self._start_keeper, LISTENER: self._start_listener, DISCOVERY: self._start_discovery}
        try:
            await starts[name]()
        except Exception as error:  # noqa: BLE001 - it counts as the child's next failure
            self._on_service_failed(name, f"{type(error).__name__}: {error}")
            return
        if name == KEEPER:
            self._perform(self._membership.on_free(self._now()))

    def on_stop(self) -> None:
        self._undo_store()
        self._mesh.stop()
        self._log.end()
        self._children.stop()

    def on_failure(self, exception_type: Any, exception_value: Any, traceback: Any) -> None:
        self.on_stop()  # nothing restarts this actor, so its children must not outlive it
        self._on_notice(Notice("failed", None, f"the node failed: {exception_type.__name__}: {exception_value}"))

    def _perform(self, actions: list[Action]) -> None:
        for action in actions:
            match action:
                case Dial(key, addresses):
                    if self._may_start_sessions:
                        self._start_session(key, addresses=addresses)
                    else:
                        self._membership.forget(key)
                case Redial(key, addresses):
                    self._children.tell(key, PeerSession.redial, addresses)
                case Close(key, reason):
                    self._children.tell(key, PeerSession.close, reason)
                case Ask(key):
                    self._children.tell(key, PeerSession.ask)
                case LookAgain(subject, delay_seconds):
                    self._children.later(delay_seconds, partial(self._look, subject))
                case Requery():
                    self._children.tell(DISCOVERY, Discoverer.requery)
                case Notice():
                    self._on_notice(action)

    async def _notice_if_alone(self) -> None:
        if self._membership.is_alone:
            discovery = await self._children.ask(DISCOVERY, Discoverer.describe) or NO_DISCOVERY
            self._on_notice(Notice("note", None, alone_sentence(self._address.port, discovery)))

    def _on_notice(self, notice: Notice) -> None:
        self._notices.on_notice(notice)

    def _look(self, subject: str) -> None:
        self._perform(self._membership.on_look(subject, self._now()))

    @property
    def _may_start_sessions(self) -> bool:
        return KEEPER in self._children.services and not self._children.is_ending

    def _start_session(self, key: str, **how: Any) -> None:
        environment = self._environment
        self._children.sessions[key] = PeerSession.start(
            environment.runtime,
            environment,
            key,
            self._make_role,
            self._log,
            self._settings,
            self._membership,
            self._report,
            **how,
        )

    async def _start_keeper(self) -> None:
        environment = self._environment
        keeper = LogKeeper.start(
            environment.runtime,
            self._settings.node_id,
            environment.open_disk,
            self._log,
            clock=environment.clock,
            random=environment.random,
            signer=environment.signer,
            room=DiskRoom(environment.limits, environment.disk_use),
            hits=environment.hits,
            max_future_seconds=environment.limits.max_future_seconds,
            on_failed=lambda why: self._report(Failed(KEEPER, why)),
            adopts_unknown=environment.adopts_unknown,
        )
        await self._children.open(KEEPER, keeper, keeper.ask_to(LogKeeper.open))
        self._log.kept_by(keeper)
        environment.check_member()
        self._mesh.start()

    async def _start_listener(self) -> None:
        environment, settings = self._environment, self._settings
        listener = Listener.start(environment.runtime, environment.network, self._report)
        ports = (self._address.port,) if self._address.port else settings.ports  # others know where it listened before
        opening = listener.ask_to(
            Listener.open_first, settings.host, ports, settings.patience_seconds, environment.clock
        )
        try:
            self._address = await self._children.open(LISTENER, listener, opening)
        except OSError as error:
            raise ListenError("", settings.host, ports[0], error) from error

    async def _start_gateway(self) -> None:
        if not self._endpoints.listens and not self._endpoints.dials:
            return
        environment = self._environment
        gateway = GatewaySupervisor.start(
            environment.runtime,
            environment,
            self._settings.node_id,
            self._log,
            self._endpoints,
            on_notice=self._on_notice,
        )
        self._ports = await self._children.open(GATEWAY, gateway, gateway.ask_to(GatewaySupervisor.open))

    async def _start_discovery(self) -> None:
        environment, settings, address = self._environment, self._settings, self._address
        discoverer = Discoverer.start(environment.runtime, environment.discovery(), self._report, environment.clock)
        announcement = Announcement(
            settings.node_id, settings.mesh_mark, settings.instance, address.port, address.hosts
        )
        await self._children.open(DISCOVERY, discoverer, discoverer.ask_to(Discoverer.open, announcement))

    def _now(self) -> float:
        return self._environment.now_seconds()
