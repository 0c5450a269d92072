"""LiveCluster: the verbs of a Cluster on real hosts, for scenarios that are played with `--live`."""

from __future__ import annotations

import select
import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any, NoReturn

from mesh.errors import MeshError
from mesh.lab.checks.checker import Violation, show_types
from mesh.lab.cluster.arguments import SECONDS, check, check_awake, check_types
from mesh.lab.cluster.fault_verbs import FaultVerbs
from mesh.lab.cluster.places import Places
from mesh.lab.cluster.room_parts import PORT
from mesh.lab.cluster.topology import Links, groups_of, may_be_linked, partners_of, read_links
from mesh.lab.live.checks import Logs, group_faults, log_faults, shown, types_of
from mesh.lab.live.disk import DISK_BYTES
from mesh.lab.live.homes import FoundedMesh
from mesh.lab.live.link import LabLink
from mesh.lab.live.namespaces import Host, NetLab
from mesh.lab.live.network import LiveNetwork
from mesh.lab.live.not_live import NOT_LIVE, NotLive
from mesh.lab.live.room import LIVE_REQUERY_SECONDS, LiveRoom, alive_peers
from mesh.lab.live.timers import LiveTimers
from mesh.lab.recording.trace import Trace
from mesh.settings.config import DEFAULT_MESH

UP_SECONDS = 30.0
"""Within this, nodes that start must say that they are up."""
LIVE_AGREE_SECONDS = 90.0
"""Real seconds within which all that can talk must agree: a dial after the longest pause (30 s), and time to carry all over."""
LIVE_CONFIRM_SECONDS = 20.0
"""Within this, `mesh add` must confirm what it was given."""
POLL_SECONDS = 0.2
"""Pause between two looks whether the rooms agree."""
RUN_SECONDS = 120.0
"""The longest time that one `run` takes: it stands for longer ones, and a line says so."""
TICK_MS = 2
"""Pause between writes in two rooms, so that their order in time is that of the story."""


class LiveCluster(FaultVerbs[LiveRoom, LiveRoom, Path]):
    """Real hosts in network namespaces: a bridge, nft rules, bad links in user space, real mDNS, `mesh up` and kill -9.

    It has the verbs of Cluster but for those in NOT_LIVE, which raise NotLive. Use it as a context manager: leaving it judges,
    as the checker does, and ends and removes everything, also after an error or Ctrl-C.
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

        `now_seconds` is a monotonic clock. With `has_small_disks` each home has a disk of its own, which can be filled. `seed`
        decides what bad links lose and when flaky ones break; nothing else is decided by it. Raises NetLabError.
        """
        places: Places[LiveRoom, LiveRoom] = Places()
        self.rooms = places.rooms
        self.random = Random(seed)
        self._trace = Trace(on_trace)
        self.trace = self._trace.lines
        self.saw: list[str] = []
        """Once it has failed: what each room saw, and the last notices of each node."""
        self._on_line = on_line if on_trace is None else None
        self._clock = LiveTimers(now_seconds)
        self._hosts: dict[str, Host] = {}
        self._has_small_disks = has_small_disks
        self._last_writer: LiveRoom | None = None
        self._meshes: dict[str, FoundedMesh] = {}
        self._folder = Path(tempfile.mkdtemp(prefix="mesh-live-"))
        try:
            self._lab = NetLab(flags)
        except BaseException:
            shutil.rmtree(self._folder)
            raise
        self._link = LabLink(self._lab, seed=seed)
        self._network = LiveNetwork(self._link, self._host)
        super().__init__(
            places,
            self._network,
            self._clock,
            say=self._say,
            random_for=lambda what: Random(f"{seed} {what}"),
        )

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
            raise AttributeError(f"a live cluster has no {name}")

    @property
    def seconds(self) -> float:
        """Real seconds since the beginning."""
        return self._clock.time()

    def start(
        self,
        *names: str,
        links: Links | None = None,
        store: str = "sqlite",
        mesh: str = DEFAULT_MESH,
        **roles: Any,
    ) -> tuple[LiveRoom, ...]:
        """As Cluster.start; rooms with `links` use no mDNS, `store` is ignored. Raises MeshError too, and NotLive for roles."""
        if any(role is not None for role in roles.values()):
            raise NotLive("runs roles or applications of its own")
        pairs = read_links(names, links)
        self._places.expect([name for pair in pairs or () for name in pair], "start")
        for name in names:
            room = self._room(name, mesh)
            if room.is_running:
                raise ValueError(f"{name} runs already")
            if pairs is not None:
                room.links = partners_of(name, pairs)
        self._begin([self.rooms[name] for name in names], f"start {', '.join(names)}")
        return tuple(self.rooms[name] for name in names)

    def stop(self, *rooms: LiveRoom | str) -> None:
        """As Cluster.stop; they confirm first what they were given."""
        for room in map(self._places.room, rooms):
            check_awake(room)
            self._flush(room)
            room.stop()
            self._say(f"stop {room.name}")

    def crash(self, *rooms: LiveRoom | str) -> None:
        """End processes by kill -9."""
        for room in map(self._places.room, rooms):
            room.crash()
            self._say(f"crash {room.name}")

    def restart(self, *rooms: LiveRoom | str) -> None:
        """Start nodes again on their homes; those that run are killed first."""
        found = [self._places.room(room) for room in rooms]
        self.crash(*[room for room in found if room.is_running])
        self._begin(found, f"restart {', '.join(room.name for room in found)}")

    def run(self, seconds: float) -> None:
        """Let real time pass, but no more than RUN_SECONDS."""
        check("run", "seconds", seconds, SECONDS)
        if seconds > RUN_SECONDS:
            self._beat(f"{seconds:g} s are too long to wait for: {RUN_SECONDS:g} s stand for them")
        self._wait(lambda: False, min(seconds, RUN_SECONDS))

    def settle(self, sentence: str, *, limit_seconds: float = LIVE_AGREE_SECONDS) -> None:
        """As Cluster.settle, in real time."""
        check("settle", "limit_seconds", limit_seconds, SECONDS)
        if not self._wait(self._is_settled_now, limit_seconds, pause_seconds=POLL_SECONDS):
            raise Violation(f"{sentence}: no agreement within {limit_seconds:.0f} s: {'; '.join(self.what_each_saw())}")
        counts = "  ".join(f"{room.name} {_count(room)}" for room in self.rooms.values())
        self._beat(f"{sentence}  {counts}")

    def assert_converged(self, types: Sequence[str] | None = None) -> None:
        """As Cluster.assert_converged."""
        check_types(types)
        house = self._find_mesh(DEFAULT_MESH)
        logs = self._logs([room for room in self._running() if room.mesh is house])
        _judge(group_faults(logs, {name: self.rooms[name].acknowledged for name in logs}))
        if types is not None and any(types_of(log) != list(types) for log in logs.values()):
            raise Violation(f"expected {list(types)}: {'; '.join(self.what_each_saw())}")

    def end(self) -> None:
        """Judge the logs of all rooms, also of those that are off, and stop all nodes. Raises as Cluster.end, and MeshError."""
        self._places.check_expected()
        self._wait(self._is_settled_now, LIVE_AGREE_SECONDS, pause_seconds=POLL_SECONDS)
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
        """A sentence for each room: the types of the events that it holds, in order."""
        sentences = []
        for room in self.rooms.values():
            try:
                seen = show_types(room.types) if room.is_running else "nothing: it is off"
            except MeshError as error:
                seen = str(error)
            sentences.append(f"{room.name} saw {seen}")
        return sentences

    # Inside

    def _say(self, text: str) -> None:
        self._trace.write(f"{self.seconds:.3f} * {text}")

    def _beat(self, text: str) -> None:
        self._say(text)
        if self._on_line is not None:
            self._on_line(f"{self.seconds:.3f}s  {text}")

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
            return ["--requery", str(LIVE_REQUERY_SECONDS)]
        addresses = [f"{self._host(other).ip}:{PORT}" for other in room.links]
        return ["--no-mdns", *(option for address in addresses for option in ("--peer", address))]

    def _host(self, name: str) -> Host:
        """The host of a room, which is made when the name is used for the first time."""
        if name not in self._hosts:
            (self._hosts[name],) = self._lab.hosts(1)
        return self._hosts[name]

    def _room(self, name: str, mesh: str) -> LiveRoom:
        """The room of this name; a new one, in this mesh, if there is none yet."""
        if name not in self.rooms:
            host, home, seen = self._host(name), self._folder / name, None
            if self._has_small_disks:
                home.mkdir()
                seen = self._lab.mount(home, size_bytes=DISK_BYTES)
            self.rooms[name] = LiveRoom(
                name, host, home, mesh=self._find_mesh(mesh), seen=seen, before_add=self._before_add
            )
        return self.rooms[name]

    def _find_mesh(self, name: str) -> FoundedMesh | None:
        return self._meshes.setdefault(name, FoundedMesh(name)) if name else None

    def _running(self) -> list[LiveRoom]:
        return [room for room in self.rooms.values() if room.is_running]

    def _logs(self, rooms: Sequence[LiveRoom]) -> Logs:
        return {room.name: room.entries for room in rooms}

    def _before_add(self, room: LiveRoom) -> None:
        """Wait until what another room was given before is confirmed, and TICK_MS more."""
        last, self._last_writer = self._last_writer, room
        if last is not None and last is not room and not last.is_frozen:
            self._flush(last)
            self.run(TICK_MS / 1000)

    def _flush(self, room: LiveRoom) -> None:
        if not self._wait(lambda: not room.pending, LIVE_CONFIRM_SECONDS):
            raise Violation(f"{room.name} did not confirm {room.pending} events within {LIVE_CONFIRM_SECONDS:.0f} s")

    def _wait(self, is_done: Callable[[], bool], seconds: float, *, pause_seconds: float = 0.01) -> bool:
        """Ask `is_done` again and again, and look after the rooms meanwhile. False if it is not true within `seconds`."""
        end = self.seconds + seconds
        while True:
            self._look_after_all()
            if is_done():
                return True
            left = end - self.seconds
            if left <= 0:
                return False
            select.select([], [], [], min(left, pause_seconds))

    def _look_after_all(self) -> None:
        self._clock.run_due()
        self._link.check()
        for room in self.rooms.values():
            room.check()
            room.take_confirmed()
            for notice in room.take_notices():
                self._trace.write(f"{self.seconds:.3f} {room.name}: {notice}")

    def _is_settled_now(self) -> bool:
        try:
            return self._is_settled()
        except MeshError:
            return False  # it is too busy to answer; `check` notices a node that has ended

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

    def _can_talk(self, one: LiveRoom, other: LiveRoom) -> bool:
        is_frozen = one.is_frozen or other.is_frozen
        may_meet = one.mesh is other.mesh and may_be_linked(one, other)
        return not is_frozen and may_meet and self._network.is_open(one.name, other.name)

    def _remember(self) -> None:
        """It has failed: keep what explains that, since the hosts end now."""
        words = [line for room in self.rooms.values() for line in room.last_words()]
        self.saw = [*self.what_each_saw(), *words]

    def _leave(self) -> None:
        """End every process, and delete the namespaces and the homes."""
        try:
            self._lab.close()
        finally:
            shutil.rmtree(self._folder, ignore_errors=True)


def _count(room: LiveRoom) -> str:
    """How many events it holds, for a beat."""
    if not room.is_running:
        return "off"
    return "frozen" if room.is_frozen else str(room.status()["events"])


def _judge(faults: Sequence[str]) -> None:
    if faults:
        raise Violation("; ".join(faults))
