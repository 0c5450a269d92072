"""The stage: plays the steps of a script in a house, mends everything at the end, and listens for what should not be heard."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from mesh.lab.cluster import topology
from mesh.lab.cluster.client import Client
from mesh.lab.cluster.client_roles import clients_door
from mesh.lab.cluster.cluster import Cluster
from mesh.lab.cluster.room import Room
from mesh.lab.fuzz.script import Script
from mesh.lab.simulation.disk import COMMIT_MS
from mesh.lab.simulation.storage import LabStore
from mesh.lab.simulation.wire import LATENCY_MS

CLIENTS_PORT = 5_000
OVER = "the storm is over"
HARMLESS = frozenset({"write", "say", "twin", "status", "clean", "wait"})
"""Verbs that break nothing."""
AGAIN_SECONDS = 0.25
"""Of two crossing connections one may end before this end has heard that the other is open; a redial takes longer."""
SHOWN_FAILURE = 400
_FAILED = re.compile(r": (restarted|paused): (?!.*(?:disk is full|disk I/O error))(.*)")
_LINK = re.compile(r"^([\d.]+) (\S+): (dis)?connected: (?:lost the connection|connected) to ([^\s:]+)")


class Player:
    """Plays the steps of a script in a house. A step that makes no sense by now does nothing."""

    def __init__(self, house: Cluster, script: Script) -> None:
        self.house = house
        self.script = script
        self.counts: Counter[str] = Counter()
        self.backups: dict[str, LabStore] = {}
        self.written = 0
        self._holds: dict[tuple[str, str], None] = {}
        self._slowed: dict[tuple[str, str], None] = {}
        self._air = {"loss": 0.0, "late_seconds": 0.0}

    def play(self) -> None:
        shape = None if self.script.shape == "air" else getattr(topology, self.script.shape)
        clients = self.script.clients
        serve = {CLIENTS_PORT: clients_door} if clients else None
        self.house.start(*self.script.rooms, links=shape, store=self.script.store, serve=serve)
        for name, room, protocol in clients:
            self.house.client(name, to=f"{room}:{CLIENTS_PORT}", protocol=protocol)
        for each in self.script.steps:
            if VERBS[each.verb](self, *each.arguments) is not False:
                self.counts[each.verb] += 1
        self._mend()
        self.house.settle(OVER)
        self.house.assert_converged()
        self._judge_notices()

    def room(self, name: str) -> Room | None:
        return self.house.rooms.get(name)

    def running(self, name: str) -> Room | None:
        room = self.room(name)
        return room if room is not None and room.is_running else None

    def off(self, name: str) -> Room | None:
        room = self.room(name)
        return room if room is not None and not room.is_running else None

    def client(self, name: str, *, is_running: bool = True) -> Client | None:
        client = self.house.clients.get(name)
        return client if client is not None and client.is_running == is_running else None

    def _mend(self) -> None:
        house = self.house
        house.heal()
        house.bad_air()
        for pair in self._holds:
            house.release(*pair)
        for pair in self._slowed:
            house.slow(*pair)
        for room in house.rooms.values():
            if room.is_disk_full:
                house.disk_full(room, is_full=False)
            if room.is_frozen:
                house.thaw(room)
            room.fail_commits(0)
        house.run(0)
        places: list[Room | Client] = [*house.rooms.values(), *house.clients.values()]
        for place in places:
            if not place.is_running:
                house.restart(place)

    def _judge_notices(self) -> None:
        """No actor may fail, and while nothing is broken no link may."""
        failed = [match[0] for line in self.house.trace if (match := _FAILED.search(line))]
        assert not failed, f"an actor failed: {line_end(failed[0])}"
        if HARMLESS.issuperset(self.counts):
            broke = _broken_links(self.house.trace)
            assert not broke, f"a link broke by itself: {broke[0]}"

    # Verbs

    def write(self, name: str, count: int, size: int = 0) -> bool:
        room = self.running(name)
        for _ in range(count if room is not None else 0):
            assert room is not None
            self.written += 1
            event: dict[str, Any] = {"type": f"{name} {self.written}"}
            room.log.add({**event, "text": "x" * size} if size else event)
        return room is not None

    def say(self, name: str, count: int) -> bool:
        """A client writes."""
        client = self.client(name)
        for _ in range(count if client is not None else 0):
            assert client is not None
            self.written += 1
            client.log.add({"type": f"{name} {self.written}"})
        return client is not None

    def twin(self, one: str, other: str, differs: bool) -> bool:
        """A client's event comes to two rooms, because it resends; under another text if two clients share an id."""
        rooms = [room for room in (self.running(one), self.running(other)) if room is not None]
        self.written += 1
        for number, room in enumerate(rooms):
            event = {"type": f"twin {self.written}{' other' if differs and number else ''}"}
            room.log.add(
                event, {"created": (room.clock.now_ms() - 1_000, "ann", self.written), "time": 1_700_000_000_000}
            )
        return bool(rooms)

    def status(self, name: str) -> bool:
        """An event that supersedes the one before of its kind."""
        room = self.running(name)
        self.written += 1
        if room is not None:
            room.log.add({"type": f"status {self.written}"}, {"keep_last": f"status of {name}"})
        return room is not None

    def clean(self, name: str, share: float) -> bool:
        room = self.running(name)
        if room is None or room.kept is None:
            return False
        room.kept.remove_reason("log", max_added=int(room.store.state.last_added * share))
        return True

    def wait(self, seconds: float) -> None:
        self.house.run(seconds)

    def wall(self, *side: str) -> None:
        names = [*self.script.rooms, *[name for name, _, _ in self.script.clients]]
        self.house.partition([name for name in names if name in side], [name for name in names if name not in side])

    def heal(self) -> None:
        self.house.heal()

    def cut(self, one: str, other: str) -> None:
        self.house.cut(one, other)

    def hold(self, one: str, other: str) -> None:
        self._holds[one, other] = None
        self.house.hold(one, other)

    def release(self, one: str, other: str) -> bool:
        if (one, other) not in self._holds:
            return False
        del self._holds[one, other]
        self.house.release(one, other)
        return True

    def slow(self, one: str, other: str, latency: float, rate: float | None, loss: float) -> None:
        self._slowed[one, other] = None
        self.house.slow(one, other, latency_ms=(min(latency, LATENCY_MS[0]), latency), bytes_per_second=rate, loss=loss)

    def flaky(self, one: str, other: str, seconds: float) -> None:
        self.house.flaky(one, other, seconds=seconds)

    def reset(self, one: str, other: str) -> None:
        self.house.reset(one, other)

    def freeze(self, name: str) -> bool:
        room = self.running(name)
        if room is None or room.is_frozen:
            return False
        self.house.freeze(room)
        return True

    def thaw(self, name: str) -> bool:
        room = self.running(name)
        if room is None or not room.is_frozen:
            return False
        self.house.thaw(room)
        return True

    def skew(self, name: str, ms: int) -> None:
        self.house.skew(name, ms)

    def drift(self, name: str, share: float) -> None:
        self.house.drift(name, share)

    def fill(self, name: str) -> None:
        self.house.disk_full(name)

    def free(self, name: str) -> None:
        self.house.disk_full(name, is_full=False)

    def trip(self, name: str, commits: int) -> bool:
        """The next commits of a room fail."""
        room = self.running(name)
        if room is None:
            return False
        self.house.failing_commits(room, commits=commits)
        return True

    def move(self, name: str, room: str) -> bool:
        """A client dials another room from now on."""
        client = self.client(name)
        if client is None or self.room(room) is None or client.to == room:
            return False
        self.house.move(client, to=f"{room}:{CLIENTS_PORT}")
        return True

    def crash(self, name: str, count: int = 0) -> bool:
        """The power fails, after `count` events were given to the disk and before that has them."""
        if self.running(name) is None and self.client(name) is None:
            return False
        if count:
            self.write(name, count)
            self.house.run(COMMIT_MS[0] / 2000)
        self.house.crash(name)
        return True

    def stop(self, name: str) -> bool:
        room = self.running(name)
        if room is None:
            return False
        if room.is_frozen:
            self.house.thaw(room)
        self.house.stop(room)
        return True

    def restart(self, name: str) -> bool:
        if self.off(name) is None and self.client(name, is_running=False) is None:
            return False
        self.house.restart(name)
        return True

    def wipe(self, name: str) -> bool:
        room = self.off(name)
        if room is None:
            return False
        self.house.wipe(room)
        return True

    def lose(self, name: str) -> bool:
        room = self.off(name)
        if room is None:
            return False
        room.lose_log()
        return True

    def backup(self, name: str) -> None:
        self.backups[name] = self.house.snapshot(name)

    def restore(self, name: str, source: str) -> bool:
        room = self.room(name)
        if room is None or source not in self.backups:
            return False
        was_running = room.is_running
        if was_running:
            self.house.crash(room)
        self.house.restore(room, self.backups[source])
        if was_running:
            self.house.restart(room)
        return True

    def forge(self, name: str, about: str, at: str) -> bool:
        if self.running(name) is None or self.room(about) is None or self.room(at) is None:
            return False
        self.house.forge_sighting(name, self.house.rooms[about].node_id, at=at)
        return True

    def lossy(self, loss: float) -> None:
        """Of what discovery sends, this share is lost."""
        self._air["loss"] = loss
        self.house.bad_air(**self._air)

    def late(self, seconds: float) -> None:
        """What discovery sends is up to so late."""
        self._air["late_seconds"] = seconds
        self.house.bad_air(**self._air)

    def stale(self, name: str, about: str) -> bool:
        """A room hears what another one announced at some time."""
        if self.running(name) is None or self.room(about) is None:
            return False
        return self.house.repeat_sighting(name, about=about)


VERBS: dict[str, Callable[..., bool | None]] = {
    name: getattr(Player, name)
    for name in (
        "write", "say", "twin", "status", "clean", "wait", "wall", "heal", "cut", "hold", "release", "slow", "flaky", "reset",
        "freeze", "thaw", "skew", "drift", "fill", "free", "crash", "stop", "restart", "wipe", "lose", "backup", "restore",
        "forge", "lossy", "late", "stale", "trip", "move",
    )
}  # fmt: skip


def _broken_links(trace: Sequence[str]) -> list[str]:
    """Notices of lost connections that were not followed at once by another connection to the same node."""
    lost: dict[tuple[str, str], tuple[float, str]] = {}
    broken = []
    for line in trace:
        match = _LINK.match(line)
        if match is None:
            continue
        seconds, link = float(match[1]), (match[2], match[4])
        if match[3]:
            lost[link] = (seconds, line)
        elif link in lost:
            since, what = lost.pop(link)
            broken += [what] if seconds - since > AGAIN_SECONDS else []
    return [*broken, *[what for _, what in lost.values()]]


def line_end(text: str) -> str:
    """The beginning of a sentence that may be long."""
    return text.lstrip(": ")[:SHOWN_FAILURE]
