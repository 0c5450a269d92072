"""TwoEnds: two Memberships with a simulated network between them, in which a test chooses the order of all steps.

Reports wait in the mailbox of an end, commands in that of a session, frames in each direction of a wire. `steps` lists the
steps that are possible next. Only Membership is real code.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from mesh.discovery.port import Sighting
from mesh.membership.actions import Action, Ask, Close, Dial, LookAgain, Notice, Redial, Requery
from mesh.membership.dialling.link_selection import Link
from mesh.membership.ended_sessions import GOODBYE
from tests.support.one_node import membership

REDIAL_SECONDS = 0.5
Step = Callable[[], None]


@dataclass(eq=False)
class Wire:
    """One connection; `ends` are (end, session) of the dialler and of the acceptor."""

    connection_id: str
    ends: list[tuple[End, EndSession]] = field(default_factory=list)
    frames: tuple[deque[Any], deque[Any]] = field(default_factory=lambda: (deque(), deque()))
    """Those on their way to the dialler, and to the acceptor."""

    def send(self, session: EndSession, *frame: Any) -> None:
        to = 1 if self.ends[0][1] is session else 0
        if self.ends[to][1].wire is self:
            self.frames[to].append(frame)


@dataclass(eq=False)
class EndSession:
    """One session actor."""

    key: str
    dialled: bool
    wire: Wire | None = None
    is_over: bool = False
    is_first: bool = True
    ready_seconds: float = 0.0
    commands: deque[Action] = field(default_factory=deque)


class End:
    """One run of one node."""

    def __init__(self, world: TwoEnds, node_id: str, run: int, static: tuple[str, ...]) -> None:
        self.world = world
        self.node_id = node_id
        self.run = run
        self.membership = membership(node_id, f"{node_id}{run}", static)
        self.sessions: dict[str, EndSession] = {}
        self.reports: deque[Callable[[], list[Action] | None]] = deque()
        self.looks: list[tuple[float, str]] = []
        self.notices: list[str] = []
        self.accepted = 0

    def perform(self, actions: list[Action]) -> None:
        for action in actions:
            match action:
                case Dial(key, _):
                    assert key not in self.sessions, f"{key} is dialled twice"
                    self.sessions[key] = EndSession(key, dialled=True)
                case Redial(key, _) | Close(key, _) | Ask(key):
                    if key in self.sessions:
                        self.sessions[key].commands.append(action)
                case LookAgain(subject, delay):
                    self.looks.append((self.world.now + delay, subject))
                case Notice(kind, _, _):
                    self.notices.append(kind)
                case Requery():
                    pass

    def sight(self, other: End) -> None:
        sighting = Sighting(other.node_id, other.membership.instance, (f"{other.node_id}:1",))
        self.perform(self.membership.on_sighting(sighting, self.world.now))

    def take_report(self) -> None:
        self.perform(self.reports.popleft()() or [])

    def report_closed(self, session: EndSession, reason: str) -> None:
        def closed() -> list[Action]:
            actions = self.membership.on_closed(session.key, reason, self.world.now)
            if session.key not in self.membership.sessions:
                self.sessions.pop(session.key, None)
            return actions

        self.reports.append(closed)

    def report_greeted(self, session: EndSession, other: End, held: tuple[str, ...]) -> None:
        assert session.wire is not None
        connection_id, boot = session.wire.connection_id, other.membership.instance

        def greeted() -> list[Action]:
            now = self.world.now
            link = Link(session.key, connection_id, session.dialled, boot, now)
            return self.membership.on_greeted(session.key, other.node_id, link, held, "x:1", now)

        self.reports.append(greeted)

    def take_command(self, session: EndSession) -> None:
        command = session.commands.popleft()
        if isinstance(command, Redial):
            session.ready_seconds = self.world.now
        elif isinstance(command, Ask):
            if session.wire is not None:
                session.wire.send(session, "ping")
        elif isinstance(command, Close):
            session.is_over = True
            wire, session.wire = session.wire, None
            if wire is not None:
                wire.send(session, "close", command.reason)
            self.report_closed(session, command.reason)

    def fail(self, session: EndSession) -> None:
        """The actor of a session fails."""
        wire, session.wire, session.is_over = session.wire, None, True
        if wire is not None:
            wire.send(session, "close", "failed")

        def failed() -> list[Action]:
            self.sessions.pop(session.key, None)
            return self.membership.on_failed(session.key, "a bug", self.world.now, 1.0)

        self.reports.append(failed)

    def take_frame(self, wire: Wire, session: EndSession, other: End, frame: tuple[Any, ...]) -> None:
        if session.wire is not wire:
            return
        match frame:
            case ("connect", held):
                wire.send(session, "connected", self.membership.sessions.held(other.node_id))
                self.report_greeted(session, other, held)
            case ("connected", held):
                self.report_greeted(session, other, held)
            case ("ping",):
                wire.send(session, "pong")
            case ("pong",):
                answered = partial(self.membership.on_answered, session.key, wire.connection_id, self.world.now)
                self.reports.append(answered)
            case ("close", reason):
                session.wire = None
                session.is_over = not session.dialled
                session.ready_seconds = self.world.now + REDIAL_SECONDS
                self.report_closed(session, reason)


class Stranger(End):
    """A host that greets under the id of a node, and answers questions whether it lives if it `answers`."""

    def __init__(self, world: TwoEnds, node_id: str, boot: str, *, answers: bool) -> None:
        super().__init__(world, node_id, 0, ())
        self.membership.instance = boot
        self.answers = answers

    def take_frame(self, wire: Wire, session: EndSession, other: End, frame: tuple[Any, ...]) -> None:
        if frame == ("ping",) and self.answers:
            wire.send(session, "pong")
        elif frame[0] == "close":
            session.wire = None


class TwoEnds:
    """Nodes `a` and `b`. Every static address of one leads to the other."""

    def __init__(self, a_static: tuple[str, ...] = (), b_static: tuple[str, ...] = ()) -> None:
        self.now = 0.0
        self.runs = 0
        self.wires: list[Wire] = []
        self.dials = 0
        self.is_partitioned = False
        self.static = {"a": a_static, "b": b_static}
        self.ends = {name: self.make(name) for name in ("a", "b")}
        self.a, self.b = self.ends["a"], self.ends["b"]

    def make(self, name: str) -> End:
        self.runs += 1
        return End(self, name, self.runs, self.static[name])

    def other(self, end: End) -> End:
        return self.ends["b" if end.node_id == "a" else "a"]

    def steps(self, *, with_redials: bool = False) -> list[Step]:
        """The steps that are possible now, without a wait."""
        found: list[Step] = []
        for end in self.ends.values():
            if end.reports:
                found.append(end.take_report)
            for session in tuple(end.sessions.values()):
                if session.is_over:
                    continue
                if session.commands:
                    found.append(partial(end.take_command, session))
                if session.dialled and session.wire is None and self._may_dial(end, session, with_redials):
                    found.append(partial(self.dial, end, session))
        for wire in self.wires:
            for to, frames in enumerate(wire.frames):
                if frames and not self._must_wait(wire, to):
                    found.append(partial(self._deliver, wire, to))
        return found

    def _must_wait(self, wire: Wire, to: int) -> bool:
        """Frames of an earlier run of a node arrive before those of the next run; sightings may overtake them."""
        receiver, sender = wire.ends[to][0], wire.ends[1 - to][0]
        return sender.run > 0 and any(
            frames and other.ends[side][0] is receiver and 0 < other.ends[1 - side][0].run < sender.run
            for other in self.wires
            for side, frames in enumerate(other.frames)
        )

    def _may_dial(self, end: End, session: EndSession, with_redials: bool) -> bool:
        if session.is_first:
            return True
        # A new attempt after a loss takes longer than the reports in the mailboxes.
        return with_redials and session.ready_seconds <= self.now and not session.commands and not end.reports

    def dial(self, end: End, session: EndSession) -> None:
        session.is_first = False
        other = self.other(end)
        if self.is_partitioned:
            session.ready_seconds = self.now + REDIAL_SECONDS
            end.report_closed(session, "no route")
            return
        self.dials += 1
        other.accepted += 1
        key = f"accepted:{other.accepted}"
        wire = Wire(f"{end.node_id}-{self.dials}")
        acceptor = EndSession(key, dialled=False, wire=wire)
        session.wire = wire
        wire.ends = [(end, session), (other, acceptor)]
        self.wires.append(wire)
        other.sessions[key] = acceptor
        other.membership.on_accepted(key, "x:1")
        held = end.membership.sessions.held(None)  # before the report of this dial
        end.reports.append(lambda: end.membership.on_dialled(session.key, wire.connection_id, self.now))
        wire.send(session, "connect", held)

    def intrude(self, name: str, *, boot: str, answers: bool, held: tuple[str, ...] = ()) -> None:
        """A stranger connects with a node under the id of the other one, as its run `boot`."""
        end = self.ends[name]
        stranger = Stranger(self, self.other(end).node_id, boot, answers=answers)
        self.dials += 1
        end.accepted += 1
        wire = Wire(f"stranger-{self.dials}")
        acceptor, dialler = EndSession(f"accepted:{end.accepted}", False, wire), EndSession("stranger", True, wire)
        wire.ends = [(stranger, dialler), (end, acceptor)]
        self.wires.append(wire)
        end.sessions[acceptor.key] = acceptor
        end.membership.on_accepted(acceptor.key, "10.0.0.66:1")
        wire.send(dialler, "connect", held)

    def strangers_leave(self) -> None:
        """All strangers hang up."""
        for wire in self.wires:
            if isinstance(wire.ends[0][0], Stranger):
                wire.ends[0][1].wire = None
                self.cut(wire)

    def _deliver(self, wire: Wire, to: int) -> None:
        end, session = wire.ends[to]
        end.take_frame(wire, session, wire.ends[1 - to][0], wire.frames[to].popleft())
        self.wires = [w for w in self.wires if any(w.frames) or any(t.wire is w for _, t in w.ends)]

    def cut(self, wire: Wire) -> None:
        """A connection breaks; each end notices at a step of its own."""
        for frames in wire.frames:
            frames.clear()
            frames.append(("close", "lost"))

    def restart(self, name: str, *, goodbye: bool) -> None:
        """The process of a node ends, and starts as a new run."""
        for wire in self.wires:
            for to, (end, _) in enumerate(wire.ends):
                if end is self.ends[name]:
                    wire.frames[to].clear()
                    if not goodbye:
                        wire.frames[1 - to].clear()
                    wire.frames[1 - to].append(("close", GOODBYE if goodbye else "lost"))
                    wire.ends[to][1].wire = None
        self.ends[name] = self.make(name)
        self.a, self.b = self.ends["a"], self.ends["b"]
        self.ends[name].perform(self.ends[name].membership.on_begin())

    def settle(self) -> None:
        """Do all possible steps in a fixed order, without time passing."""
        for _ in range(1000):
            steps = self.steps(with_redials=True)
            if not steps:
                return
            steps[0]()
        raise AssertionError("there is always another step")

    def pass_time(self, seconds: float) -> None:
        """Let time pass, and do all steps that become possible."""
        end_seconds = self.now + seconds
        while True:
            self.settle()
            due = [when for end in self.ends.values() for when, _ in end.looks]
            due += [
                t.ready_seconds for end in self.ends.values() for t in end.sessions.values() if is_waiting(t, self.now)
            ]
            soon = [when for when in due if when <= end_seconds]
            if not soon:
                break
            self.now = max(self.now, min(soon))
            for end in self.ends.values():
                looks, end.looks = end.looks, []
                for when, subject in looks:
                    if when > self.now:
                        end.looks.append((when, subject))
                    elif not subject:
                        end.perform(end.membership.on_free(self.now))
                    else:
                        end.perform(end.membership.on_look(subject, self.now))
        self.now = end_seconds

    def open_wires(self) -> list[str]:
        """The connections that both ends have open."""
        return sorted(w.connection_id for w in self.wires if all(t.wire is w and not t.is_over for _, t in w.ends))

    def met(self, name: str) -> list[str]:
        """The connections that a node counts as connected."""
        return sorted(s.connection_id for s in self.ends[name].membership.sessions.values() if s.is_met)


def is_waiting(session: EndSession, now: float) -> bool:
    return session.dialled and session.wire is None and not session.is_over and session.ready_seconds > now
