"""LiveFaultVerbs: the verbs that break real ways, processes and disks, and mend them again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from heapq import heappop, heappush
from pathlib import Path
from random import Random
from typing import NamedTuple

from mesh.lab.cluster.arguments import (
    RATE,
    SECONDS,
    SHARE,
    SPAN,
    check,
    name_of,
    names_in_groups,
    names_of_two,
    nothing_held,
)
from mesh.lab.cluster.fault_verbs import RESET_SECONDS
from mesh.lab.cluster.topology import may_be_linked
from mesh.lab.live.disk import back_up, fill, free, put_back, read_log
from mesh.lab.live.link import LiveLink
from mesh.lab.live.link_queue import LinkQuality
from mesh.lab.live.namespaces import Host
from mesh.lab.live.room import LiveRoom, NotLive
from mesh.lab.simulation.wire import LATENCY_MS

Named = LiveRoom | str


class Backup(NamedTuple):
    """A copy of a room's log."""

    folder: Path


class LiveFaultVerbs:
    """What a LiveCluster can do to single ways and rooms, as Faults in the lab. Rooms are given themselves or by name."""

    rooms: dict[str, LiveRoom]
    _folder: Path

    def __init__(self, link: LiveLink, *, seed: int) -> None:
        self._link = link
        self._seed = seed
        self._walls: list[list[str]] = []
        self._cuts: dict[tuple[str, str], None] = {}
        self._holds: dict[tuple[str, str], None] = {}
        self._qualities: dict[tuple[str, str], LinkQuality] = {}
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        """What has to be done at which second."""
        self._counted = 0
        """Things due, and backups, so far."""

    @property
    def seconds(self) -> float:
        raise NotImplementedError

    def _room(self, name: str) -> LiveRoom:
        raise NotImplementedError

    def _find(self, room: Named) -> LiveRoom:
        raise NotImplementedError

    def _say(self, text: str, *, is_beat: bool = False) -> None:
        raise NotImplementedError

    # Ways

    def partition(self, *groups: Sequence[Named]) -> None:
        """No frame passes between groups of rooms, or names of those that come later; who is in none sees all."""
        self._walls = names_in_groups(groups)
        self._set_ways()
        self._say(f"partition {' | '.join(' '.join(group) for group in self._walls)}")

    def cut(self, one: Named, other: Named) -> None:
        """No frame that `one` sends reaches `other`, until `heal`; the way back stays open."""
        source, target = names_of_two("cut", one, other)
        self._cuts[source, target] = None
        self._set_ways()
        self._say(f"cut {source} > {target}")

    def heal(self) -> None:
        """Tear down all walls and cuts."""
        self._walls = []
        self._cuts.clear()
        self._set_ways()
        self._say("heal")

    def hold(self, one: Named, other: Named) -> None:
        """What `one` sends to `other` is late, until `release`."""
        source, target = names_of_two("hold", one, other)
        self._holds[source, target] = None
        self._set_ways()
        self._say(f"hold {source} > {target}")

    def release(self, one: Named, other: Named) -> None:
        """Let go what a `hold` held. Raises ValueError if nothing was."""
        source, target = names_of_two("release", one, other)
        if (source, target) not in self._holds:
            raise nothing_held(source, target)
        del self._holds[source, target]
        self._set_ways()
        self._say(f"release {source} > {target}")

    def slow(
        self,
        one: Named,
        other: Named,
        *,
        latency_ms: tuple[float, float] = LATENCY_MS,
        bytes_per_second: float | None = None,
        loss: float = 0.0,
    ) -> None:
        """Make both ways between two rooms as bad as this, `loss` of frames; without options they are good again."""
        check("slow", "latency_ms", latency_ms, SPAN)
        check("slow", "bytes_per_second", bytes_per_second, RATE)
        check("slow", "loss", loss, SHARE)
        is_bad = latency_ms != LATENCY_MS or bytes_per_second is not None or loss > 0
        names = names_of_two("slow", one, other)
        quality = LinkQuality(latency_ms, bytes_per_second, loss) if is_bad else LinkQuality()
        for pair in (names, names[::-1]):
            self._set_quality(pair, quality)
        self._set_ways()
        self._say(f"slow {names[0]} - {names[1]}")

    def reset(self, one: Named, other: Named) -> None:
        """Break the connections between two rooms; both ends learn of it at once."""
        names = names_of_two("reset", self._find(one), self._find(other))
        for source, target in (names, names[::-1]):
            _break_connections(self.rooms[source].host, self.rooms[target].host)
        self._say(f"reset {names[0]} - {names[1]}")

    def flaky(self, one: Named, other: Named, *, seconds: float, loss: float = 0.1) -> None:
        """For a while lose a share of what two rooms send each other, and break their connections now and then."""
        check("flaky", "seconds", seconds, SECONDS)
        check("flaky", "loss", loss, SHARE)
        names = names_of_two("flaky", self._find(one), self._find(other))
        shown = " - ".join(names)
        random = Random(f"{self._seed} flaky {' '.join(names)}")
        end = self.seconds + seconds
        before = {pair: self._qualities.get(pair, LinkQuality()) for pair in (names, names[::-1])}

        def set_ways(loss: float | None) -> None:
            for pair, quality in before.items():
                self._set_quality(pair, quality if loss is None else replace(quality, loss=loss))
            self._set_ways()
            self._say(f"slow {shown}")

        self._say(f"flaky {shown} for {seconds:g} s")
        set_ways(loss)
        at = self.seconds + random.expovariate(1 / RESET_SECONDS)
        while at < end:
            self._do_at(at, lambda: self.reset(*names))
            at += random.expovariate(1 / RESET_SECONDS)
        self._do_at(end, lambda: set_ways(None))

    # Processes

    def freeze(self, room: Named) -> None:
        """Stop a process without a word, as a closed laptop does: it hears, does and says nothing until `thaw`."""
        found = self._find(room)
        found.freeze()
        self._say(f"freeze {found.name}")

    def thaw(self, room: Named) -> None:
        """Let it go on; all its timers that were due meanwhile fire now."""
        found = self._find(room)
        found.thaw()
        self._say(f"thaw {found.name}")

    # Disks

    def wipe(self, *rooms: Named) -> None:
        """Lose the whole home of nodes that do not run: they will return as new ones."""
        for room in map(self._find, rooms):
            if room.is_running:
                raise ValueError(f"{room.name} runs: stop or crash it before its disk is lost")
            room.wipe()
            self._say(f"wipe {room.name}")

    def disk_full(self, room: Named, *, is_full: bool = True) -> None:
        """Fill a room's disk to the last byte, or free it again."""
        found = self._find(room)
        if is_full:
            fill(found.home)
        else:
            free(found.home)
        found.is_disk_full = is_full
        self._say(f"disk of {found.name} is {'full' if is_full else 'not full'}")

    def snapshot(self, room: Named) -> Backup:
        """A copy of what a room's log holds: a backup."""
        found = self._find(room)
        self._counted += 1
        backup = Backup(self._folder / f"{found.name}.backup.{self._counted}")
        back_up(found.home, backup.folder)
        self._say(f"snapshot {found.name}")
        return backup

    def restore(self, room: Named, snapshot: Backup) -> None:
        """Put a backup in the place of the log of a room that does not run. What it lacks may be on other disks, or nowhere."""
        found = self._find(room)
        if found.is_running:
            raise ValueError(f"{found.name} runs: stop it before its disk is restored")
        put_back(snapshot.folder, found.home)
        found.keep_acknowledged({entry.created for entry in read_log(found.home)})
        self._say(f"restore {found.name}")

    # Inside

    def _can_talk(self, one: LiveRoom, other: LiveRoom) -> bool:
        if not may_be_linked(one, other):
            return False
        if one.is_frozen or other.is_frozen:
            return False
        return set(_both_ways(one, other)).isdisjoint([*self._closed_ways(), *self._holds])

    def _set_quality(self, pair: tuple[str, str], quality: LinkQuality) -> None:
        self._qualities.pop(pair, None)
        if quality != LinkQuality():  # only what is bad is carried in user space
            self._qualities[pair] = quality

    def _closed_ways(self) -> list[tuple[str, str]]:
        """Who cannot send to whom."""
        walled = [
            (a, b) for one in self._walls for other in self._walls if one is not other for a in one for b in other
        ]
        return [*walled, *self._cuts]

    def _set_ways(self) -> None:
        bad = {**dict.fromkeys(self._holds, LinkQuality()), **self._qualities}
        held = {
            pair: LinkQuality(quality.latency_ms, quality.bytes_per_second, quality.loss, is_held=pair in self._holds)
            for pair, quality in bad.items()
        }
        self._link.set(
            closed=map(self._way, self._closed_ways()), bad={self._way(pair): quality for pair, quality in held.items()}
        )

    def _way(self, pair: tuple[str, str]) -> tuple[int, int]:
        source, target = pair
        return self._room(source).host.number, self._room(target).host.number

    def _do_at(self, seconds: float, action: Callable[[], None]) -> None:
        self._counted += 1
        heappush(self._due, (seconds, self._counted, action))

    def _do_due(self) -> None:
        """Do what is due by now."""
        while self._due and self._due[0][0] <= self.seconds:
            _, _, action = heappop(self._due)
            action()


def _both_ways(one: Named, other: Named) -> list[tuple[str, str]]:
    return [(name_of(one), name_of(other)), (name_of(other), name_of(one))]


def _break_connections(host: Host, other: Host) -> None:
    """End what a host has open to another: its own end and, by a reset, theirs. Raises NotLive if the kernel cannot."""
    before = _connections(host, other)
    host.run(["ss", "-HKtn", "dst", other.ip], check=True)
    if before & _connections(host, other):
        raise NotLive("resets connections, which this kernel cannot do (it needs CONFIG_INET_DIAG_DESTROY)")


def _connections(host: Host, other: Host) -> set[tuple[str, ...]]:
    """Both addresses of each open connection."""
    lines = host.run(["ss", "-Htn", "state", "established", "dst", other.ip], check=True).stdout.splitlines()
    return {tuple(line.split()[2:4]) for line in lines}
