"""Two Memberships and everything between them, where only the order of what happens is left open.

Reports wait in the mailbox of an end, commands in that of a session, frames in a direction of a wire. `steps` lists what
may happen next; a test picks. Nothing of it is real but Membership.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from mesh.discovery.port import Sighting
from mesh.membership.actions import Action, Close, Dial, LookAgain, Notice, Redial, Requery
from mesh.membership.dialling.link_selection import Link
from mesh.membership.membership import GOODBYE, Membership

REDIAL_SECONDS = 0.5
Step = Callable[[], None]


@dataclass(eq=False)
class Wire:
    """One connection; `ends` are (end, session) of the dialler and of the acceptor."""

    connection_id: str
    ends: list[tuple[End, Talk]] = field(default_factory=list)
    frames: tuple[deque[Any], deque[Any]] = field(default_factory=lambda: (deque(), deque()))
    """On their way to the dialler, to the acceptor."""

    def send(self, talk: Talk, *frame: Any) -> None:
        to = 1 if self.ends[0][1] is talk else 0
        if self.ends[to][1].wire is self:
            self.frames[to].append(frame)


@dataclass(eq=False)
class Talk:
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
        self.membership = Membership(node_id, f"{node_id}{run}", static)
        self.talks: dict[str, Talk] = {}
        self.reports: deque[Callable[[], list[Action] | None]] = deque()
        self.looks: list[tuple[float, str]] = []
        self.notices: list[str] = []
        self.accepted = 0

    def perform(self, actions: list[Action]) -> None:
        for action in actions:
            match action:
                case Dial(key, _):
                    assert key not in self.talks, f"{key} is dialled twice"
                    self.talks[key] = Talk(key, dialled=True)
                case Redial(key, _) | Close(key, _):
                    if key in self.talks:
                        self.talks[key].commands.append(action)
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

    def tell_closed(self, talk: Talk, reason: str) -> None:
        def closed() -> list[Action]:
            actions = self.membership.on_closed(talk.key, reason, self.world.now)
            if talk.key not in self.membership.sessions:
                self.talks.pop(talk.key, None)
            return actions

        self.reports.append(closed)

    def tell_greeted(self, talk: Talk, other: End, held: tuple[str, ...]) -> None:
        assert talk.wire is not None
        connection_id, boot = talk.wire.connection_id, other.membership.instance

        def greeted() -> list[Action]:
            now = self.world.now
            link = Link(talk.key, connection_id, talk.dialled, boot, now)
            return self.membership.on_greeted(talk.key, other.node_id, link, held, "x:1", now)

        self.reports.append(greeted)

    def take_command(self, talk: Talk) -> None:
        command = talk.commands.popleft()
        if isinstance(command, Redial):
            talk.ready_seconds = self.world.now
        elif isinstance(command, Close):
            talk.is_over = True
            wire, talk.wire = talk.wire, None
            if wire is not None:
                wire.send(talk, "close", command.reason)
            self.tell_closed(talk, command.reason)

    def fail(self, talk: Talk) -> None:
        """The session's actor dies of a bug."""
        wire, talk.wire, talk.is_over = talk.wire, None, True
        if wire is not None:
            wire.send(talk, "close", "failed")

        def failed() -> list[Action]:
            self.talks.pop(talk.key, None)
            return self.membership.on_failed(talk.key, "a bug", self.world.now, 1.0)

        self.reports.append(failed)

    def take_frame(self, wire: Wire, talk: Talk, other: End, frame: tuple[Any, ...]) -> None:
        if talk.wire is not wire:
            return
        match frame:
            case ("connect", held):
                wire.send(talk, "connected", self.membership.sessions.held(other.node_id))
                self.tell_greeted(talk, other, held)
            case ("connected", held):
                self.tell_greeted(talk, other, held)
            case ("close", reason):
                talk.wire = None
                talk.is_over = not talk.dialled
                talk.ready_seconds = self.world.now + REDIAL_SECONDS
                self.tell_closed(talk, reason)


class TwoEnds:
    """Nodes `a` and `b`. `static` addresses of one lead to the other, whatever they are called."""

    def __init__(self, a_static: tuple[str, ...] = (), b_static: tuple[str, ...] = ()) -> None:
        self.now = 0.0
        self.runs = 0
        self.wires: list[Wire] = []
        self.dials = 0
        self.has_wall = False
        self.static = {"a": a_static, "b": b_static}
        self.ends = {name: self.make(name) for name in ("a", "b")}
        self.a, self.b = self.ends["a"], self.ends["b"]

    def make(self, name: str) -> End:
        self.runs += 1
        return End(self, name, self.runs, self.static[name])

    def other(self, end: End) -> End:
        return self.ends["b" if end.node_id == "a" else "a"]

    def steps(self, *, with_redials: bool = False) -> list[Step]:
        """What may happen next without time passing."""
        found: list[Step] = []
        for end in self.ends.values():
            if end.reports:
                found.append(end.take_report)
            for talk in tuple(end.talks.values()):
                if talk.is_over:
                    continue
                if talk.commands:
                    found.append(partial(end.take_command, talk))
                if talk.dialled and talk.wire is None and self._may_dial(end, talk, with_redials):
                    found.append(partial(self.dial, end, talk))
        for wire in self.wires:
            for to, frames in enumerate(wire.frames):
                if frames and not self._must_wait(wire, to):
                    found.append(partial(self._deliver, wire, to))
        return found

    def _must_wait(self, wire: Wire, to: int) -> bool:
        """What an earlier run of a node sent comes before what the next one sends; sightings may overtake it."""
        receiver, sender = wire.ends[to][0], wire.ends[1 - to][0]
        return any(
            frames and other.ends[side][0] is receiver and other.ends[1 - side][0].run < sender.run
            for other in self.wires
            for side, frames in enumerate(other.frames)
        )

    def _may_dial(self, end: End, talk: Talk, with_redials: bool) -> bool:
        if talk.is_first:
            return True
        # An attempt after a loss takes longer than what waits in mailboxes.
        return with_redials and talk.ready_seconds <= self.now and not talk.commands and not end.reports

    def dial(self, end: End, talk: Talk) -> None:
        talk.is_first = False
        other = self.other(end)
        if self.has_wall:
            talk.ready_seconds = self.now + REDIAL_SECONDS
            end.tell_closed(talk, "no route")
            return
        self.dials += 1
        other.accepted += 1
        key = f"accepted:{other.accepted}"
        wire = Wire(f"{end.node_id}-{self.dials}")
        acceptor = Talk(key, dialled=False, wire=wire)
        talk.wire = wire
        wire.ends = [(end, talk), (other, acceptor)]
        self.wires.append(wire)
        other.talks[key] = acceptor
        other.membership.on_accepted(key, "x:1")
        held = end.membership.sessions.held(None)  # before the supervisor has heard of this dial
        end.reports.append(lambda: end.membership.on_dialled(talk.key, wire.connection_id, self.now))
        wire.send(talk, "connect", held)

    def _deliver(self, wire: Wire, to: int) -> None:
        end, talk = wire.ends[to]
        end.take_frame(wire, talk, wire.ends[1 - to][0], wire.frames[to].popleft())
        self.wires = [w for w in self.wires if any(w.frames) or any(t.wire is w for _, t in w.ends)]

    def cut(self, wire: Wire) -> None:
        """It breaks; each end notices when its time comes."""
        for frames in wire.frames:
            frames.clear()
            frames.append(("close", "lost"))

    def restart(self, name: str, *, goodbye: bool) -> None:
        """The process ends and comes again as a new run."""
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
        """Do everything that waits, in a fixed order, and let no time pass."""
        for _ in range(1000):
            steps = self.steps(with_redials=True)
            if not steps:
                return
            steps[0]()
        raise AssertionError("it never comes to rest")

    def pass_time(self, seconds: float) -> None:
        """Let time pass, with everything that is due."""
        end_seconds = self.now + seconds
        while True:
            self.settle()
            due = [when for end in self.ends.values() for when, _ in end.looks]
            due += [t.ready_seconds for end in self.ends.values() for t in end.talks.values() if waits(t, self.now)]
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
        """Connections that both ends hold."""
        return sorted(w.connection_id for w in self.wires if all(t.wire is w and not t.is_over for _, t in w.ends))

    def met(self, name: str) -> list[str]:
        """Connections on which the node believes to be in touch."""
        return sorted(s.connection_id for s in self.ends[name].membership.sessions.values() if s.is_met)


def waits(talk: Talk, now: float) -> bool:
    return talk.dialled and talk.wire is None and not talk.is_over and talk.ready_seconds > now
