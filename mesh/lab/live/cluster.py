"""LiveCluster: the verbs of a Cluster on real hosts, so that a story is played with `--live` by real nodes."""

from __future__ import annotations

import select
import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from types import CodeType
from typing import TYPE_CHECKING, Any, NoReturn

from mesh.errors import MeshError
from mesh.lab.checks.checker import show_types
from mesh.lab.cluster.arguments import name_of, nobody
from mesh.lab.cluster.cluster import Violation
from mesh.lab.cluster.topology import Links, groups_of, read_links
from mesh.lab.live.checks import Logs, group_faults, log_faults, shown, types_of
from mesh.lab.live.disk import DISK_BYTES
from mesh.lab.live.fault_verbs import LiveFaultVerbs, Named
from mesh.lab.live.link import LiveLink
from mesh.lab.live.namespaces import NetLab
from mesh.lab.live.room import PORT, REQUERY_SECONDS, LiveRoom, NotLive, alive_peers
from mesh.lab.recording.trace import TRACE_LINES

UP_SECONDS = 30.0
"""How long nodes that start may take until they say that they are up."""
SETTLE_SECONDS = 90.0
"""Real seconds within which all who can talk must agree: a dial at the cap of 30 s, and time to carry everything over."""
CONFIRM_SECONDS = 20.0
"""How long `mesh add` may take to confirm what it was given."""
LOOK_SECONDS = 0.2
"""The rooms are asked no more often than this."""
RUN_SECONDS = 120.0
"""The longest that a story may let pass at once: for more than that this stands, and a line says so."""
TICK_MS = 2
"""Between writes in two rooms, so that their order in time is that of the story."""
NOT_LIVE = {
    "skew": "skews clocks",
    "drift": "lets clocks drift",
    "forge_sighting": "forges sightings",
    "repeat_sighting": "forges sightings",
    "bad_air": "lets sightings get lost",
    "failing_commits": "lets commits fail",
    "move": "has Logux clients",
    "client": "has Logux clients",
    "dials": "counts attempts to dial",
    "store": "looks at a disk",
    "seed": "depends on its seed",
}
"""What a Cluster or Room offers and real hosts do not, and what a story does that uses it."""


class LiveCluster(LiveFaultVerbs):
    """Real hosts in network namespaces: a bridge, nft rules, a link in user space, real mDNS, `mesh up` and kill -9.

    It has those verbs of Cluster that make sense there; the others raise NotLive. Use it as a context manager: leaving it
    judges, as the checker does, and ends and removes everything, also after an error or Ctrl-C.
    """

    def __init__(
        self,
        flags: tuple[str, ...],
        *,
        now_seconds: Callable[[], float],
        on_line: Callable[[str], None] | None = None,
        on_trace: Callable[[str], None] | None = None,
        has_small_disks: bool = False,
        seed: int = 0,
    ) -> None:
        """`flags` are those of `find_flags`; `on_line` gets each beat, `on_trace` beats, verbs and notices of nodes.

        With `has_small_disks` each home has a disk of its own, which can be filled.
        `seed` decides what bad links lose and when flaky ones break; all else is as it comes. Raises NetLabError.
        """
        self.rooms: dict[str, LiveRoom] = {}
        self.trace: list[str] = []
        self.saw: list[str] = []
        """Once it has failed: what each room saw, and the last words of each node."""
        self._now_seconds = now_seconds
        self._began_seconds = now_seconds()
        self._on_line, self._on_trace = on_line, on_trace
        self._has_small_disks = has_small_disks
        self._last_writer: LiveRoom | None = None
        self._folder = Path(tempfile.mkdtemp(prefix="mesh-live-"))
        try:
            self._lab = NetLab(flags)
        except BaseException:
            shutil.rmtree(self._folder)
            raise
        super().__init__(LiveLink(self._lab, seed=seed), seed=seed)

    def __enter__(self) -> LiveCluster:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: object) -> None:
        try:
            if kind is None:
                self.end()
        except Exception:
            self._remember()
            raise
        else:
            if kind is not None and issubclass(kind, Exception):
                self._remember()
        finally:
            self._leave()

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> NoReturn:
            if name in NOT_LIVE:
                raise NotLive(NOT_LIVE[name])
            raise AttributeError(f"a house that is played live has no {name}")

    @property
    def seconds(self) -> float:
        """Real time since the beginning."""
        return self._now_seconds() - self._began_seconds

    def start(
        self, *names: str, links: Links | None = None, store: str = "sqlite", **roles: Any
    ) -> tuple[LiveRoom, ...]:
        """As Cluster.start: rooms with `links` dial each other's address and use no mDNS. Raises MeshError, NotLive.

        Whatever `store` is: real nodes have real files.
        """
        if any(role is not None for role in roles.values()):
            raise NotLive("runs roles of its own")
        pairs = read_links(names, links)
        for name in names:
            room = self._room(name)
            if room.is_running:
                raise ValueError(f"{name} runs already")
            if pairs is not None:
                room.links = tuple(b if a == name else a for a, b in pairs if name in (a, b))
        self._begin([self.rooms[name] for name in names], f"start {', '.join(names)}")
        return tuple(self.rooms[name] for name in names)

    def stop(self, *rooms: Named) -> None:
        """Stop nodes as their operator would: they confirm what they were given and say goodbye."""
        for room in map(self._find, rooms):
            self._flush(room)
            room.stop()
            self._say(f"stop {room.name}")

    def crash(self, *rooms: Named) -> None:
        """kill -9."""
        for room in map(self._find, rooms):
            room.crash()
            self._say(f"crash {room.name}")

    def restart(self, *rooms: Named) -> None:
        """Start nodes again on their homes; those that run are killed first."""
        found = [self._find(room) for room in rooms]
        self.crash(*[room for room in found if room.is_running])
        self._begin(found, f"restart {', '.join(room.name for room in found)}")

    def run(self, seconds: float) -> None:
        """Let real time pass, but no more than RUN_SECONDS."""
        if seconds > RUN_SECONDS:
            self._say(f"{seconds:g} s are too long to wait for: {RUN_SECONDS:g} s stand for them", is_beat=True)
        self._wait(lambda: False, min(seconds, RUN_SECONDS))

    def settle(self, sentence: str, *, limit_seconds: float = SETTLE_SECONDS) -> None:
        """Wait until all who can talk have met and show the same, and tell the beat. Raises Violation."""
        if not self._wait(self._is_settled_now, limit_seconds, pause_seconds=LOOK_SECONDS):
            raise Violation(f"{sentence}: no agreement within {limit_seconds:.0f} s: {'; '.join(self.what_each_saw())}")
        counts = "  ".join(f"{room.name} {_count(room)}" for room in self.rooms.values())
        self._say(f"{sentence}  {counts}", is_beat=True)

    def assert_converged(self, types: Sequence[str] | None = None) -> None:
        """All running rooms show the same events in the same order; `types`, if given, is that order. Raises Violation."""
        logs = self._logs(self._running())
        _judge(group_faults(logs, {name: self.rooms[name].acknowledged for name in logs}))
        if types is not None and any(types_of(log) != list(types) for log in logs.values()):
            raise Violation(f"expected {list(types)}: {'; '.join(self.what_each_saw())}")

    def status(self, room: Named) -> dict[str, Any]:
        """What `mesh status` shows in a room."""
        return self._find(room).status()

    def end(self) -> None:
        """Judge what the logs show, those of rooms that are off too, and stop all.

        Raises Violation, MeshError, and ValueError if a room was named that never came.
        """
        came = [room.name for room in self.rooms.values() if room.has_begun]
        for name in self.rooms:
            if name not in came:
                raise ValueError(f"{name} was named and never came: {nobody(name, came)}")
        self._wait(self._is_settled_now, SETTLE_SECONDS, pause_seconds=LOOK_SECONDS)
        running = self._running()
        faults = []
        for group in self._groups(running):
            logs = self._logs(group)
            faults += group_faults(logs, {name: self.rooms[name].acknowledged for name in logs})
        for room in running:
            if room.is_frozen:
                self.thaw(room)
        off = [room for room in self.rooms.values() if not room.is_running and room.has_home]
        self._begin(off, "", is_alone=True)
        for name, log in self._logs([*running, *off]).items():
            faults += log_faults(name, log, self.rooms[name].acknowledged)
        _judge(faults)
        ending = [*running, *off]
        for room in ending:
            room.terminate()
        for room in ending:
            room.wait_stopped()

    def what_each_saw(self) -> list[str]:
        """A sentence for every room: the types of what it holds, in order."""
        sentences = []
        for room in self.rooms.values():
            try:
                seen = show_types(room.types) if room.is_running else "nothing: it is off"
            except MeshError as error:
                seen = str(error)
            sentences.append(f"{room.name} saw {seen}")
        return sentences

    # Inside

    def _begin(self, rooms: Sequence[LiveRoom], what: str, *, is_alone: bool = False) -> None:
        for room in rooms:
            room.begin(*self._options(room, is_alone=is_alone))
        if not self._wait(lambda: all(room.is_up() for room in rooms), UP_SECONDS):
            names = ", ".join(room.name for room in rooms if not room.is_up())
            raise MeshError(f"{names}: `mesh up` did not say within {UP_SECONDS:.0f} s that it is up")
        if what:
            self._say(what)

    def _options(self, room: LiveRoom, *, is_alone: bool) -> list[str]:
        if is_alone:
            return ["--no-mdns"]
        if room.links is None:
            return ["--requery", str(REQUERY_SECONDS)]
        addresses = [f"{self._room(other).host.ip}:{PORT}" for other in room.links]
        return ["--no-mdns", *(option for address in addresses for option in ("--peer", address))]

    def _room(self, name: str) -> LiveRoom:
        """The room of this name, which gets its host when it is first spoken of."""
        if name not in self.rooms:
            (host,) = self._lab.hosts(1)
            home, seen = self._folder / name, None
            if self._has_small_disks:
                home.mkdir()
                seen = self._lab.mount(home, size_bytes=DISK_BYTES)
            self.rooms[name] = LiveRoom(name, host, home, seen=seen, before_add=self._before_add)
        return self.rooms[name]

    def _find(self, room: Named) -> LiveRoom:
        name = name_of(room)
        if name not in self.rooms:
            raise nobody(name, self.rooms)
        return self.rooms[name]

    def _running(self) -> list[LiveRoom]:
        return [room for room in self.rooms.values() if room.is_running]

    def _logs(self, rooms: Sequence[LiveRoom]) -> Logs:
        return {room.name: room.entries for room in rooms}

    def _before_add(self, room: LiveRoom) -> None:
        """Whatever another room was given before is confirmed, and a moment has passed."""
        last, self._last_writer = self._last_writer, room
        if last is not None and last is not room and not last.is_frozen:
            self._flush(last)
            self.run(TICK_MS / 1000)

    def _flush(self, room: LiveRoom) -> None:
        if not self._wait(lambda: not room.pending, CONFIRM_SECONDS):
            raise Violation(f"{room.name} did not confirm {room.pending} events within {CONFIRM_SECONDS:.0f} s")

    def _wait(self, is_done: Callable[[], bool], seconds: float, *, pause_seconds: float = 0.01) -> bool:
        """Ask again and again, and look after the rooms meanwhile. Whether it came true in time."""
        end = self._now_seconds() + seconds
        while True:
            self._look_after_all()
            if is_done():
                return True
            left = end - self._now_seconds()
            if left <= 0:
                return False
            select.select([], [], [], min(left, pause_seconds))

    def _look_after_all(self) -> None:
        self._do_due()
        self._link.check()
        for room in self.rooms.values():
            room.check()
            room.take_confirmed()
            for notice in room.take_notices():
                self._tell(f"{self.seconds:.3f} {room.name}: {notice}")

    def _is_settled_now(self) -> bool:
        try:
            return self._is_settled()
        except MeshError:
            return False  # a node that is too busy to answer; one that has ended is noticed elsewhere

    def _is_settled(self) -> bool:
        running = [room for room in self._running() if not room.is_frozen]
        if any(room.pending for room in running):
            return False
        statuses = {room.name: room.status() for room in running}
        alive = {name: alive_peers(status) for name, status in statuses.items()}
        groups = self._groups(running)
        for room in running:
            met = [other for other in running if other is not room and self._can_talk(room, other)]
            if any(other.node_id not in alive[room.name] for other in met):
                return False
        if any(len({statuses[room.name]["events"] for room in group}) > 1 for group in groups):
            return False
        return all(self._show_the_same(group) for group in groups)

    def _show_the_same(self, group: Sequence[LiveRoom]) -> bool:
        first, *others = [shown(log) for log in self._logs(group).values()]
        return all(other == first for other in others)

    def _groups(self, running: Sequence[LiveRoom]) -> list[list[LiveRoom]]:
        return groups_of(running, self._can_talk)

    def _say(self, text: str, *, is_beat: bool = False) -> None:
        self._tell(f"{self.seconds:.3f} * {text}")
        if is_beat and self._on_line is not None and self._on_trace is None:
            self._on_line(f"{self.seconds:.3f}s  {text}")

    def _tell(self, line: str) -> None:
        if len(self.trace) < TRACE_LINES:
            self.trace.append(line)
        if self._on_trace is not None:
            self._on_trace(line)

    def _remember(self) -> None:
        """It failed: keep what explains it beyond the end of the hosts."""
        words = [line for room in self.rooms.values() for line in room.last_words()]
        self.saw = [*self.what_each_saw(), *words]

    def _leave(self) -> None:
        """End every process, give up the namespaces and the homes."""
        try:
            self._lab.close()
        finally:
            shutil.rmtree(self._folder, ignore_errors=True)


def why_not_live(story: Callable[..., None]) -> str | None:
    """What a story does that cannot be done live, as far as its code names it; None: it may be played."""
    used = names_in(story.__code__)
    return next((reason for name, reason in NOT_LIVE.items() if name in used), None)


def names_in(code: CodeType) -> set[str]:
    """What a story names, its inner functions too."""
    inner = [constant for constant in code.co_consts if isinstance(constant, CodeType)]
    return {*code.co_names, *(name for one in inner for name in names_in(one))}


def _count(room: LiveRoom) -> str:
    """How many events it holds, for a beat."""
    if not room.is_running:
        return "off"
    return "frozen" if room.is_frozen else str(room.status()["events"])


def _judge(faults: Sequence[str]) -> None:
    if faults:
        raise Violation("; ".join(faults))
