"""GatewaySupervisor: starts, watches and restarts the sessions with clients and servers that are no nodes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from mesh.actors.children import Children
from mesh.actors.environment import Environment
from mesh.actors.gateway_session import GatewaySession
from mesh.actors.listener import Listener, ListenError
from mesh.actors.log_proxy import LogProxy
from mesh.actors.reports import Accepted, Closed, Failed, Met, Noted, Refused, Report
from mesh.actors.runtime.loop_actor import LoopActor
from mesh.actors.runtime.mailbox import Runtime
from mesh.gateway.endpoints import DialOut, Endpoints, Listen
from mesh.gateway.turned_away import TurnedAway
from mesh.membership.actions import Notice
from mesh.membership.ended_sessions import PAUSED
from peers.transport.address import address_key


@dataclass
class _Row:
    """What is known of one session."""

    endpoint: Listen | DialOut
    subject: str
    """What failures are counted for: the name of a DialOut; at a port, the address, then the user once it is known."""
    address: str
    node_id: str = ""


class GatewaySupervisor(LoopActor):
    """Ask it to `open`, later to `close`, then stop it. It restarts what fails by the same rules as NodeSupervisor."""

    def __init__(
        self,
        runtime: Runtime,
        environment: Environment,
        node_id: str,
        log: LogProxy,
        endpoints: Endpoints,
        *,
        on_notice: Callable[[Notice], None],
    ) -> None:
        super().__init__(runtime)
        self._environment = environment
        self._node_id = node_id
        self._log = log
        self._endpoints = endpoints
        self._on_notice = on_notice
        self._turned_away = endpoints.turned_away or TurnedAway(environment.clock)
        self._turned_away.tell = partial(self._note, cause="turned away")
        self._children: Children[GatewaySession] = Children(environment, self.defer, on_notice)
        self._rows: dict[str, _Row] = {}
        self._ports: dict[str, int] = {}
        """The ports that are open, by `Listen.name`."""
        self._accepted = 0

    async def open(self) -> dict[str, int]:
        """Open all ports and dial all addresses; the result is the port numbers by `Listen.key`. Raises ListenError."""
        for listen in self._endpoints.listens:
            await self._open_port(listen, listen.port)
        for dial_out in self._endpoints.dials:
            self._dial(dial_out)
        return {listen.key: self._ports[listen.name] for listen in self._endpoints.listens}

    async def close(self) -> None:
        """Close the ports, then the sessions."""
        self._children.is_ending = True
        for listen in self._endpoints.listens:
            await self._children.close(listen.name)
        for key in self._rows:
            self._children.tell(key, GatewaySession.close, "goodbye")
        await self._children.until_closed()

    def retry(self) -> None:
        """Start everything that was paused again, and dial each address at once."""
        paused = self._children.forgive()
        for listen in self._endpoints.listens:
            if listen.name in paused:
                self.defer(self._reopen, listen)
        for dial_out in self._endpoints.dials:
            self._children.tell(_dial_key(dial_out), GatewaySession.redial)
            self._dial(dial_out)

    async def show(self) -> dict[str, list[dict[str, Any]]]:
        """What `status` shows of the gateway: its sessions, what is paused, and who was turned away."""
        paused = [
            {"what": subject, "why": record.why, "restarts": record.restarts}
            for subject, record in sorted(self._children.failures.items())
            if record.is_paused
        ]
        return {"clients": await self._describe(), "paused": paused, "turned_away": self._turned_away.rows()}

    async def _describe(self) -> list[dict[str, Any]]:
        described = await self._children.ask_sessions(GatewaySession.describe)
        return [
            {"at": row.endpoint.name, "address": row.address, **_UNKNOWN, **(described.get(key) or {})}
            for key, row in self._rows.items()
        ]

    def on_report(self, report: Report) -> None:
        """Called for each report of a session."""
        match report:
            case Met(key, other_node_id):
                self._on_met(key, other_node_id)
            case Closed(key, reason):
                self._on_closed(key, reason)
            case Refused(key, other_node_id, why):
                if key in self._rows:
                    row = self._rows[key]
                    self._turned_away.note(row.endpoint.name, row.address, other_node_id or "", why)
            case Noted(_, sentence, _, cause, who):
                self._note(sentence, cause, who)
            case Failed(key, why):
                self._on_failed(key, why)

    def on_listener(self, listen: Listen, report: Report) -> None:
        """Called for each connection that was accepted at a port, and when its listener failed."""
        if isinstance(report, Accepted):
            self._on_accepted(listen, report)
        elif isinstance(report, Failed) and not self._children.is_ending:
            self._on_notice(Notice("restarted", None, f"{listen.name} failed and restarts: {report.why}"))
            self._children.on_failed(listen.name, report.why, partial(self._reopen, listen))

    def on_stop(self) -> None:
        self._children.stop()

    def on_failure(self, exception_type: Any, exception_value: Any, traceback: Any) -> None:
        self.on_stop()
        text = f"the doors and lines of this node failed: {exception_type.__name__}: {exception_value}"
        self._on_notice(Notice("failed", None, text))

    def _note(self, sentence: str, cause: str, who: str = "") -> None:
        self._on_notice(Notice("note", None, sentence, cause, who))

    def _on_accepted(self, listen: Listen, report: Accepted) -> None:
        connection = report.connection
        subject = f"{listen.name} from {address_key(connection.address)}"
        if self._children.is_ending or self._children.failures.is_paused(subject):
            connection.disconnect(PAUSED)
            return
        self._accepted += 1
        self._start(f"in:{self._accepted}", listen, subject, connection.address, accepted=connection)

    def _dial(self, dial_out: DialOut) -> None:
        if _dial_key(dial_out) not in self._rows:  # a retry may have dialled it already
            self._start(_dial_key(dial_out), dial_out, dial_out.name, dial_out.shown_url)

    def _start(self, key: str, endpoint: Listen | DialOut, subject: str, address: str, **how: Any) -> None:
        environment = self._environment
        node_id = endpoint.node_id if isinstance(endpoint, DialOut) and endpoint.node_id else self._node_id
        tell = self.into_mailbox(self.on_report)
        self._children.sessions[key] = GatewaySession.start(
            environment.runtime, environment, key, node_id, self._log, endpoint, tell, **how
        )
        self._rows[key] = _Row(endpoint, subject, address)

    def _on_met(self, key: str, other_node_id: str) -> None:
        row = self._rows.get(key)
        if row is None:
            return
        row.node_id = other_node_id
        if isinstance(row.endpoint, Listen):
            # From now on its failures count for the user, since others may use the same address.
            row.subject = f"{other_node_id.partition(':')[0]} at {row.endpoint.name}"
            if self._children.failures.is_paused(row.subject):
                self._children.tell(key, GatewaySession.close, PAUSED)
                return
        self._on_notice(
            Notice("client", other_node_id, f"{other_node_id} is connected, by {row.endpoint.name}", "came")
        )

    def _on_closed(self, key: str, reason: str) -> None:
        row = self._rows.get(key)
        if row is None:
            return
        node_id, row.node_id = row.node_id, ""
        why = f": {reason}" if reason else ""
        if node_id and reason != PAUSED:  # connections that were not let in come and go without a notice
            self._on_notice(Notice("client", node_id, f"{node_id} is gone, by {row.endpoint.name}{why}", "went"))
        if isinstance(row.endpoint, Listen) or not self._children.sessions[key].is_alive():
            self._forget(key)

    def _on_failed(self, key: str, why: str) -> None:
        row = self._rows.get(key)
        if row is None:
            return
        self._forget(key)
        if self._children.is_ending:
            return
        text = f"the session with {row.node_id or row.subject} failed: {why}"
        self._on_notice(Notice("restarted", row.node_id or None, text, "a session of a client or line"))
        dial = partial(self._dial, row.endpoint) if isinstance(row.endpoint, DialOut) else None
        self._children.on_failed(row.subject, why, dial, kind=row.endpoint.name)

    def _forget(self, key: str) -> None:
        self._rows.pop(key, None)
        self._children.forget(key)

    async def _open_port(self, listen: Listen, port: int) -> None:
        listener = Listener.start(
            self._environment.runtime, listen.network, self.into_mailbox(partial(self.on_listener, listen))
        )
        try:
            opened = await self._children.open(listen.name, listener, listener.ask_to(Listener.open, listen.host, port))
        except OSError as error:
            raise ListenError(listen.name, listen.host, port, error) from error
        self._ports[listen.name] = opened.port

    async def _reopen(self, listen: Listen) -> None:
        try:
            await self._open_port(listen, self._ports[listen.name])
        except Exception as error:  # noqa: BLE001 - whatever it is, it is the next failure of this port alone
            why = str(error) if isinstance(error, ListenError) else f"{type(error).__name__}: {error}"
            if not self._children.is_ending:
                self._children.on_failed(listen.name, why, partial(self._reopen, listen))
            return
        if self._children.is_ending:
            await self._children.close(listen.name)


_UNKNOWN = {"node_id": None, "state": "busy", "lag": None, "user": None}


def _dial_key(dial_out: DialOut) -> str:
    return f"line:{dial_out.name}"
