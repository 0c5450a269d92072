"""The player: plays the steps of a script in a cluster, mends everything at the end, and checks what the nodes reported."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from mesh.lab.cluster.client import Client
from mesh.lab.cluster.client_roles import clients_door
from mesh.lab.cluster.cluster import Cluster
from mesh.lab.cluster.room import Room
from mesh.lab.cluster.topology import Links, full, line, ring, star, two_lans
from mesh.lab.fuzz.guests import Guests
from mesh.lab.fuzz.script import Script, Step
from mesh.lab.simulation.disk import COMMIT_MS
from mesh.lab.simulation.storage import LabStore
from mesh.lab.simulation.wire import LATENCY_MS
from mesh.node_log import NodeLog

CLIENTS_PORT = 5_000
LINKS: dict[str, Links] = {"line": line, "ring": ring, "star": star, "full": full, "two_lans": two_lans}
"""Of the shapes of a script all but `air`, in which every room may find every other one."""
RUNNING = ("on", "frozen")
"""States of a place: these, `off`, and `missing`."""
LAST_BEAT = "the storm is over"
HARMLESS = frozenset({"write", "say", "twin", "status", "clean", "tell", "wait"})
"""Verbs that break nothing."""
AGAIN_SECONDS = 0.25
"""Of two crossing connections one may end before this end has heard that the other is open; a redial takes longer."""
NOTICE_LETTERS = 400
"""What is quoted of the notice of an actor that failed."""
_FAILED = re.compile(r": (restarted|paused): (?!.*(?:disk is full|disk I/O error))(.*)")
_LINK = re.compile(r"^([\d.]+) (\S+): (dis)?connected: (?:lost the connection|connected) to ([^\s:]+)")


class Player:
    """Plays a script. A step that makes no sense by now does nothing."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.counts: Counter[str] = Counter()
        """How many steps of each verb were played, those that made no sense left out."""
        self.cluster: Cluster
        self._guests: Guests
        self._written = 0
        self._backups: dict[str, LabStore] = {}
        self._held: dict[tuple[str, str], None] = {}
        self._slowed: dict[tuple[str, str], None] = {}
        self._air = {"loss": 0.0, "late_seconds": 0.0}

    def play(self, cluster: Cluster) -> None:
        """Play all steps, mend everything and wait until all agree. Raises AssertionError if a promise is broken."""
        self.cluster = cluster
        self._guests = Guests(cluster.seed)
        clients = self.script.clients
        serve = {CLIENTS_PORT: clients_door} if clients else None
        links = LINKS.get(self.script.shape)
        cluster.start(*self.script.rooms, links=links, store=self.script.store, serve=serve)
        if self.script.liar:
            cluster.stop(self.script.liar)
            cluster.make_hostile(self.script.liar, lies=True)
            cluster.restart(self.script.liar)
        for name, room, protocol in clients:
            cluster.client(name, to=f"{room}:{CLIENTS_PORT}", protocol=protocol)
        for step in self.script.steps:
            if self._play_step(step):
                self.counts[step.verb] += 1
        self._mend()
        cluster.settle(LAST_BEAT)
        cluster.assert_converged()
        self._judge_notices()

    def _play_step(self, step: Step) -> bool:
        """Whether the step made sense."""
        verb = VERBS[step.verb]
        if verb.states and self._state(step.arguments[0]) not in verb.states:
            return False
        return verb.play(self, *step.arguments) is not False

    def _state(self, name: str) -> str:
        place = self.cluster.rooms.get(name) or self.cluster.clients.get(name)
        if place is None:
            return "missing"
        return "off" if not place.is_running else "frozen" if isinstance(place, Room) and place.is_frozen else "on"

    def _mend(self) -> None:
        cluster = self.cluster
        cluster.heal()
        cluster.bad_air()
        for pair in self._held:
            cluster.release(*pair)
        for pair in self._slowed:
            cluster.slow(*pair)
        for room in cluster.rooms.values():
            if room.is_disk_full:
                cluster.disk_full(room, is_full=False)
            if room.is_frozen:
                cluster.thaw(room)
            room.fail_commits(0)
        cluster.run(0)
        places: list[Room | Client] = [*cluster.rooms.values(), *cluster.clients.values()]
        for place in places:
            if not place.is_running:
                cluster.restart(place)

    def _judge_notices(self) -> None:
        """No actor may fail, and while nothing is broken no link may."""
        of_liar = f" {self.script.liar}: "
        trace = [line for line in self.cluster.trace if not self.script.liar or of_liar not in line]
        failed = [match[0] for line in trace if (match := _FAILED.search(line))]
        assert not failed, f"an actor failed: {failed[0].lstrip(': ')[:NOTICE_LETTERS]}"
        if HARMLESS.issuperset(self.counts) and not self.script.liar:
            broke = _broken_links(trace)
            assert not broke, f"a link broke by itself: {broke[0]}"

    # Verbs that are more than one of the cluster's

    def write(self, name: str, count: int, size: int = 0) -> None:
        """A room or a client writes `count` events, each with so many letters."""
        place = self.cluster.rooms.get(name) or self.cluster.clients[name]
        for _ in range(count):
            self._written += 1
            event: dict[str, Any] = {"type": f"{name} {self._written}"}
            place.log.add({**event, "text": "x" * size} if size else event)

    def twin(self, one: str, other: str, differs: bool) -> bool:
        """A client's event comes to two rooms, because it resends; with another text if two clients share an id."""
        rooms = [self.cluster.rooms[name] for name in (one, other) if self._state(name) in RUNNING]
        self._written += 1
        for number, room in enumerate(rooms):
            event = {"type": f"twin {self._written}{' other' if differs and number else ''}"}
            created = (room.clock.now_ms() - 1_000, "ann", self._written)
            room.log.add(event, {"created": created, "time": 1_700_000_000_000})
        return bool(rooms)

    def status(self, name: str) -> bool:
        """A room writes an event that supersedes the one before of its kind."""
        self._written += 1
        is_running = self._state(name) in RUNNING
        if is_running:
            self.cluster.rooms[name].log.add({"type": f"status {self._written}"}, {"keep_last": f"status of {name}"})
        return is_running

    def clean(self, name: str, share: float) -> None:
        """A room cleans the oldest share of its log."""
        room = self.cluster.rooms[name]
        assert room.kept is not None
        NodeLog(room.kept).remove_reason("log", max_added=int(room.store.state.last_added * share))

    def tell(self, name: str, number: int, is_revoked: bool) -> bool:
        """A room gets a fact of the mesh: that a guest was certified, or revoked."""
        return self._guests.tell(self.cluster.rooms[name], number, is_revoked=is_revoked)

    def wall(self, *side: str) -> None:
        names = [*self.script.rooms, *(name for name, _, _ in self.script.clients)]
        self.cluster.partition([name for name in names if name in side], [name for name in names if name not in side])

    def hold(self, one: str, other: str) -> None:
        self._held[one, other] = None
        self.cluster.hold(one, other)

    def release(self, one: str, other: str) -> bool:
        if (one, other) not in self._held:
            return False
        del self._held[one, other]
        self.cluster.release(one, other)
        return True

    def slow(self, one: str, other: str, latency: float, rate: float | None, loss: float) -> None:
        self._slowed[one, other] = None
        span = min(latency, LATENCY_MS[0]), latency
        self.cluster.slow(one, other, latency_ms=span, bytes_per_second=rate, loss=loss)

    def flaky(self, one: str, other: str, seconds: float) -> None:
        self.cluster.flaky(one, other, seconds=seconds)

    def stale(self, name: str, about: str) -> bool:
        """A room hears what another one announced at some time."""
        return self.cluster.repeat_sighting(name, about=about)

    def forge(self, name: str, about: str, at: str) -> None:
        self.cluster.forge_sighting(name, self.cluster.rooms[about].node_id, at=at)

    def crash(self, name: str, count: int = 0) -> None:
        """The power fails, after `count` events were given to the disk and before it has them."""
        if count:
            self.write(name, count)
            self.cluster.run(COMMIT_MS[0] / 2000)
        self.cluster.crash(name)

    def stop(self, name: str) -> None:
        if self._state(name) == "frozen":
            self.cluster.thaw(name)
        self.cluster.stop(name)

    def move(self, name: str, room: str) -> bool:
        """A client dials another room from now on."""
        is_another = self.cluster.clients[name].to != room
        if is_another:
            self.cluster.move(name, to=f"{room}:{CLIENTS_PORT}")
        return is_another

    def trip(self, name: str, commits: int) -> None:
        """The next commits of a room fail."""
        self.cluster.failing_commits(name, commits=commits)

    def free(self, name: str) -> None:
        self.cluster.disk_full(name, is_full=False)

    def lose(self, name: str) -> None:
        self.cluster.rooms[name].lose_log()

    def backup(self, name: str) -> None:
        self._backups[name] = self.cluster.snapshot(name)

    def restore(self, name: str, source: str) -> bool:
        """The backup of a room is put in the place of a disk, its own or another room's; a running room restarts."""
        if source not in self._backups:
            return False
        was_running = self._state(name) in RUNNING
        if was_running:
            self.cluster.crash(name)
        self.cluster.restore(name, self._backups[source])
        if was_running:
            self.cluster.restart(name)
        return True

    def resume(self, name: str) -> bool:
        """The machine of a room goes on from its backup, as if that had its memory too: it writes on in the same epoch."""
        backup = self._backups.get(name)
        if backup is None or not self.cluster.rooms[name].may_resume(backup):
            return False
        if self._state(name) in RUNNING:
            self.cluster.crash(name)
        self.cluster.resume(name, backup)
        return True

    def lossy(self, loss: float) -> None:
        """Discovery loses a share of its packets."""
        self._air["loss"] = loss
        self.cluster.bad_air(**self._air)

    def late(self, seconds: float) -> None:
        """Packets of discovery are up to so late."""
        self._air["late_seconds"] = seconds
        self.cluster.bad_air(**self._air)


class Verb(NamedTuple):
    """What a step does; `play` gets the player and the arguments of the step, and returns False if it made no sense."""

    subject: str
    """What this is done to."""
    words: str
    """For people: what was done."""
    play: Callable[..., object]
    states: tuple[str, ...] = ()
    """In which the place that the first argument names has to be; none: in any."""


def _of_cluster(verb: Callable[..., object]) -> Callable[..., object]:
    return lambda player, *arguments: verb(player.cluster, *arguments)


VERBS = {
    "write": Verb("written", "by rooms", Player.write, RUNNING),
    "say": Verb("written", "by clients", Player.write, RUNNING),
    "twin": Verb("written", "the same in two rooms", Player.twin),
    "status": Verb("written", "in the place of an older one", Player.status),
    "clean": Verb("written", "cleaned", Player.clean, RUNNING),
    "tell": Verb("written", "facts of the mesh", Player.tell, ("on",)),
    "wall": Verb("links", "walls built", Player.wall),
    "heal": Verb("links", "walls torn down", _of_cluster(Cluster.heal)),
    "cut": Verb("links", "one way cut", _of_cluster(Cluster.cut)),
    "hold": Verb("links", "one way held", Player.hold),
    "release": Verb("links", "one way let go", Player.release),
    "slow": Verb("links", "made slow", Player.slow),
    "flaky": Verb("links", "made flaky", Player.flaky),
    "reset": Verb("links", "connections reset", _of_cluster(Cluster.reset)),
    "lossy": Verb("discovery", "packets get lost, or not any more", Player.lossy),
    "late": Verb("discovery", "packets are late, or not any more", Player.late),
    "stale": Verb("discovery", "stale sightings", Player.stale, RUNNING),
    "forge": Verb("discovery", "forged sightings", Player.forge, RUNNING),
    "crash": Verb("machines", "power cuts", Player.crash, RUNNING),
    "stop": Verb("machines", "stopped", Player.stop, RUNNING),
    "restart": Verb("machines", "started again", _of_cluster(Cluster.restart), ("off",)),
    "freeze": Verb("machines", "frozen", _of_cluster(Cluster.freeze), ("on",)),
    "thaw": Verb("machines", "thawed", _of_cluster(Cluster.thaw), ("frozen",)),
    "skew": Verb("machines", "clock jumps", _of_cluster(Cluster.skew)),
    "drift": Verb("machines", "clock drifts", _of_cluster(Cluster.drift)),
    "move": Verb("machines", "clients moved to another room", Player.move, RUNNING),
    "trip": Verb("disks", "commits fail", Player.trip, RUNNING),
    "fill": Verb("disks", "full", _of_cluster(Cluster.disk_full)),
    "free": Verb("disks", "room again", Player.free),
    "backup": Verb("disks", "backups made", Player.backup),
    "restore": Verb("disks", "backups put back", Player.restore),
    "resume": Verb("disks", "backups put back, with the memory of the machine", Player.resume),
    "lose": Verb("disks", "logs lost", Player.lose, ("off",)),
    "wipe": Verb("disks", "homes lost, with their keys", _of_cluster(Cluster.wipe), ("off",)),
    "wait": Verb("", "", _of_cluster(Cluster.run)),
}
"""Every verb of a script, in the order of the table of storms; `wait` is not in the table."""


def _broken_links(trace: Sequence[str]) -> list[str]:
    """Notices of lost connections that were not followed at once by another connection to the same node."""
    lost: dict[tuple[str, str], tuple[float, str]] = {}
    broken = []
    for notice in trace:
        match = _LINK.match(notice)
        if match is None:
            continue
        seconds, link = float(match[1]), (match[2], match[4])
        if match[3]:
            lost[link] = (seconds, notice)
        elif link in lost:
            since, what = lost.pop(link)
            broken += [what] if seconds - since > AGAIN_SECONDS else []
    return [*broken, *[what for _, what in lost.values()]]
