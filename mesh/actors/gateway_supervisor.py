"""GatewaySupervisor: starts, watches and restarts the sessions with those who are no nodes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pykka

from mesh.actors.environment import Environment
from mesh.actors.gateway_session import GatewaySession
from mesh.actors.listener import Listener
from mesh.actors.log_keeper import LogProxy
from mesh.actors.reports import Accepted, Closed, Failed, Met, Noted, Refused, Report, StateChanged
from mesh.actors.runtime.loop_actor import LoopActorRef
from mesh.actors.runtime.mailbox import Runtime
from mesh.actors.runtime.request import Request, RequestActor
from mesh.gateway.clients.access import address_key
from mesh.gateway.endpoints import DialOut, Endpoints, Listen
from mesh.gateway.turned_away import TurnedAway
from mesh.membership.actions import Notice
from mesh.membership.restart_policy import Pause, Record, on_failure, on_retry
from peers.clock import Undo
from peers.later import Later

MAX_SESSIONS = 512
"""Sessions at all doors together."""
MAX_STRANGERS = 32
"""Connections of one address at one door that were not let in yet."""
MAX_RECORDS = 4_096
"""Whose failures are remembered; beyond it the oldest are forgotten."""
PAUSED = "paused"
ANSWER_SECONDS = 2.0
CLOSE_SECONDS = 3.0


class DoorError(OSError):
    """A door that could not be opened; the name is empty for the one of the nodes."""

    def __init__(self, name: str, host: str, port: int, error: OSError) -> None:
        super().__init__(error.errno, error.strerror or str(error))
        self.name = name
        self.host = host
        self.port = port
        self.error = error


@dataclass
class _Row:
    """One session."""

    ref: LoopActorRef[GatewaySession]
    place: Listen | DialOut
    subject: str
    """Whose failures count together: a line; at a door one address, and once it is known who it is, one user."""
    address: str
    node_id: str = ""
    state: str = "connecting"


@dataclass
class _Opened:
    """A door, and who listens there."""

    door: Listen
    ref: LoopActorRef[Listener] = field(repr=False)
    port: int


class GatewaySupervisor(RequestActor):
    """Ask it to `open`, later to `close`. Sessions fail one for one, by the same rules as those with nodes."""

    def __init__(
        self,
        runtime: Runtime,
        edges: Environment,
        node_id: str,
        kept: LogProxy,
        outside: Endpoints,
        *,
        on_notice: Callable[[Notice], None],
    ) -> None:
        super().__init__(runtime)
        self._edges = edges
        self._node_id = node_id
        self._kept = kept
        self._outside = outside
        self._on_notice = on_notice
        self._turned_away = outside.turned_away or TurnedAway(edges.clock)
        self._turned_away.tell = lambda line: on_notice(Notice("note", None, line))
        self._rows: dict[str, _Row] = {}
        self._opened: dict[str, _Opened] = {}
        self._records: dict[str, Record] = {}
        self._timers: dict[Callable[[], None], Undo] = {}
        self._accepted = 0
        self._is_full = False
        self._is_ending = False
        self._all_closed: Later[None] = Later()

    async def open(self) -> dict[str, int]:
        """Open the doors and dial the lines; the port of each door by its key. Raises DoorError."""
        for door in self._outside.doors:
            await self._open_door(door, door.port)
        for line in self._outside.lines:
            self._dial(line)
        return {opened.door.key: opened.port for opened in self._opened.values()}

    async def close(self) -> None:
        """Close everything."""
        self._is_ending = True
        for opened in self._opened.values():
            await self._close_listener(opened.ref)
        for row in self._rows.values():
            _tell(row.ref, "close", "goodbye")
        if self._rows:
            try:
                async with asyncio.timeout(CLOSE_SECONDS):
                    await self._all_closed
            except TimeoutError:
                self._on_notice(Notice("note", None, f"some sessions did not close within {CLOSE_SECONDS:.0f} s"))
        self._stop_all()

    def _stop_all(self) -> None:
        refs: list[LoopActorRef[Any]] = [row.ref for row in self._rows.values()]
        for ref in (*refs, *(opened.ref for opened in self._opened.values())):
            if ref.is_alive():
                ref.stop(block=False)

    def retry(self) -> None:
        """Give everything that was paused a new chance."""
        paused = {subject for subject, record in self._records.items() if record.is_paused}
        for subject, record in self._records.items():
            self._records[subject] = on_retry(record)
        for opened in list(self._opened.values()):
            if opened.door.name in paused:
                self._reopen(opened)
        for row in self._rows.values():
            if isinstance(row.place, DialOut):
                _tell(row.ref, "redial")
        for line in self._outside.lines:
            self._dial(line)

    def paused(self) -> list[dict[str, Any]]:
        """What `status` shows as paused."""
        return [
            {"what": subject, "why": record.why, "restarts": record.restarts}
            for subject, record in sorted(self._records.items())
            if record.is_paused
        ]

    async def show(self) -> dict[str, list[dict[str, Any]]]:
        """What `status` shows of all this."""
        return {"clients": await self.describe(), "paused": self.paused(), "turned_away": self._turned_away.rows()}

    async def describe(self) -> list[dict[str, Any]]:
        """What `status` shows of each session."""
        asked = {key: row.ref.ask(Request("describe"), block=False) for key, row in self._rows.items()}
        shown = []
        for key, answer in asked.items():  # all were asked before the first is waited for
            described = await _answer(answer)
            row = self._rows.get(key)
            if row is not None:
                shown.append({"at": row.place.name, "address": row.address, **_UNKNOWN, **(described or {})})
        return shown

    def on_report(self, report: Report) -> None:
        """Something happened to a child."""
        match report:
            case Accepted(connection):
                raise RuntimeError(f"{connection.address} came in by no door")
            case Met(key, other_node_id):
                self._on_met(key, other_node_id)
            case StateChanged(key, state):
                if key in self._rows:
                    self._rows[key].state = state
            case Closed(key, reason):
                self._on_closed(key, reason)
            case Refused(key, other_node_id, why):
                if key in self._rows:
                    row = self._rows[key]
                    self._turned_away.note(row.place.name, row.address, other_node_id or "", why)
            case Noted(_, sentence):
                self._on_notice(Notice("note", None, sentence))
            case Failed(key, why):
                self._on_failed(key, why)

    def on_door(self, door: Listen, report: Report) -> None:
        """Somebody came in by a door, or it failed."""
        if isinstance(report, Accepted):
            self._on_accepted(door, report)
        elif isinstance(report, Failed) and not self._is_ending:
            opened = self._opened[door.name]
            self._on_notice(Notice("restarted", None, f"{door.name} failed and restarts: {report.why}"))
            self._after_failure(door.name, report.why, lambda: self._reopen(opened))

    def on_stop(self) -> None:
        for undo in self._timers.values():
            undo()
        self._timers.clear()
        self._stop_all()  # they must not outlive it unseen

    def on_failure(self, exception_type: Any, exception_value: Any, traceback: Any) -> None:
        self.on_stop()
        text = f"the doors and lines of this node failed: {exception_type.__name__}: {exception_value}"
        self._on_notice(Notice("failed", None, text))

    def _on_accepted(self, door: Listen, report: Accepted) -> None:
        connection = report.connection
        subject = f"{door.name} from {address_key(connection.address)}"
        was_full, self._is_full = self._is_full, len(self._rows) >= MAX_SESSIONS
        if self._is_full and not was_full:
            text = f"all {MAX_SESSIONS} places at the doors of this node are taken: others are turned away"
            self._on_notice(Notice("note", None, text))
        if self._is_ending or self._is_full or self._is_paused(subject):
            connection.disconnect("all places are taken" if self._is_full else PAUSED)
            return
        self._make_room(subject)
        self._accepted += 1
        self._start(f"in:{self._accepted}", door, subject, connection.address, accepted=connection)

    def _make_room(self, subject: str) -> None:
        """Let whoever came first go, if one address has many connections that were not let in."""
        strangers = [row for row in self._rows.values() if row.subject == subject and not row.node_id]
        for row in strangers[: max(0, len(strangers) - MAX_STRANGERS + 1)]:
            row.subject = ""  # it is counted no more while it closes
            _tell(row.ref, "close", "others wait for this place")

    def _is_paused(self, subject: str) -> bool:
        return self._records.get(subject, Record()).is_paused

    def _dial(self, line: DialOut) -> None:
        key = f"line:{line.name}"
        if key not in self._rows:  # a retry may have been quicker
            self._start(key, line, line.name, line.shown_url)

    def _start(self, key: str, place: Listen | DialOut, subject: str, address: str, **how: Any) -> None:
        node_id = place.node_id if isinstance(place, DialOut) and place.node_id else self._node_id
        tell = self.into_mailbox(self.on_report)
        ref = GatewaySession.start(self._edges.runtime, self._edges, key, node_id, self._kept, place, tell, **how)
        self._rows[key] = _Row(ref, place, subject, address)

    def _on_met(self, key: str, other_node_id: str) -> None:
        row = self._rows.get(key)
        if row is None:
            return
        row.node_id = other_node_id
        if isinstance(row.place, Listen):
            # From here on it is known whose failures they are: others may come from the same address.
            row.subject = f"{other_node_id.partition(':')[0]} at {row.place.name}"
            if self._is_paused(row.subject):
                _tell(row.ref, "close", PAUSED)
                return
        self._on_notice(Notice("client", other_node_id, f"{other_node_id} is connected, by {row.place.name}"))

    def _on_closed(self, key: str, reason: str) -> None:
        row = self._rows.get(key)
        if row is None:
            return
        is_met, name = bool(row.node_id), row.node_id or row.address
        row.node_id = ""
        why = f": {reason}" if reason else ""
        if is_met and reason != PAUSED:  # strangers come and go without a word
            self._on_notice(Notice("client", name if is_met else None, f"{name} is gone, by {row.place.name}{why}"))
        if isinstance(row.place, Listen) or not row.ref.is_alive():
            self._forget(key)

    def _on_failed(self, key: str, why: str) -> None:
        row = self._rows.get(key)
        if row is None:
            return
        self._forget(key)
        if self._is_ending:
            return
        place = row.place
        who = row.node_id or row.subject
        self._on_notice(Notice("restarted", row.node_id or None, f"the session with {who} failed: {why}"))
        self._after_failure(row.subject, why, partial(self._dial, place) if isinstance(place, DialOut) else None)

    def _after_failure(self, subject: str, why: str, restart: Callable[[], None] | None) -> None:
        record = self._records.pop(subject, Record())
        now_seconds = self._edges.clock.elapsed_ms() / 1000
        self._records[subject], outcome = on_failure(record, now_seconds, why, self._edges.random.random())
        while len(self._records) > MAX_RECORDS:
            del self._records[next(iter(self._records))]
        if isinstance(outcome, Pause):
            text = f"paused {subject} after too many failures: {why}; `mesh retry` starts it again"
            self._on_notice(Notice("paused", None, text))
        elif restart is not None:
            self._later(outcome.delay_seconds, restart)

    async def _open_door(self, door: Listen, port: int) -> None:
        tell = self.into_mailbox(partial(self.on_door, door))
        ref = Listener.start(self._edges.runtime, door.network, tell)
        try:
            opened = await ref.ask(Request("open", (door.host, port)), block=False)
        except BaseException as error:
            ref.stop(block=False)
            if isinstance(error, OSError):
                raise DoorError(door.name, door.host, port, error) from error
            raise
        self._opened[door.name] = _Opened(door, ref, opened.port)

    def _reopen(self, opened: _Opened) -> None:
        async def reopen() -> None:
            try:
                await self._open_door(opened.door, opened.port)
            except DoorError as error:
                if not self._is_ending:
                    self._after_failure(opened.door.name, str(error), lambda: self._reopen(opened))
                return
            if self._is_ending:
                await self._close_listener(self._opened[opened.door.name].ref)

        self._edges.spawn(reopen())

    async def _close_listener(self, ref: LoopActorRef[Listener]) -> None:
        if ref.is_alive():
            await _answer(ref.ask(Request("close"), block=False))
            await ref.stop(block=False)

    def _forget(self, key: str) -> None:
        self._rows.pop(key, None)
        if self._is_ending and not self._rows and not self._all_closed.is_done:
            self._all_closed.set(None)

    def _later(self, delay_seconds: float, work: Callable[[], None]) -> None:
        def due() -> None:
            del self._timers[due]
            if not self._is_ending:
                self.defer(work)

        self._timers[due] = self._edges.clock.call_later(delay_seconds * 1000, due)


_UNKNOWN = {"node_id": None, "state": "busy", "lag": None, "user": None}


async def _answer(asked: Later[Any]) -> Any:
    """The answer of a child, or None if it is dead or takes too long."""
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            return await asked
    except (TimeoutError, pykka.ActorDeadError):
        return None


def _tell(ref: LoopActorRef[Any], method: str, *arguments: Any) -> None:
    if ref.is_alive():
        ref.tell(Request(method, arguments))
