"""FaultVerbs: the verbs that break one way, one room's clock, disk or process, and mend them again."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from random import Random

from mesh.discovery.port import Sighting
from mesh.lab.cluster.arguments import (
    COUNT,
    GAIN,
    JUMP,
    RATE,
    SECONDS,
    SHARE,
    SPAN,
    check,
    name_of,
    names_of_two,
    nothing_held,
)
from mesh.lab.cluster.client import Client
from mesh.lab.cluster.room import PORT, Room
from mesh.lab.simulation.discovery import SimAir
from mesh.lab.simulation.network import SimNetwork
from mesh.lab.simulation.store_inspection import LabStore
from mesh.lab.simulation.virtual_loop import VirtualLoop
from mesh.lab.simulation.wire import LATENCY_MS

RESET_SECONDS = 20.0
"""On a flaky way connections break after about this long, on average."""

Place = Room | Client | str
"""Whoever stands at an end of a way: a room, a client, or the name of one."""
Snapshot = LabStore
"""A copy of a room's disk."""


class FaultVerbs:
    """What a Cluster can do to single ways and rooms. Rooms and clients are given themselves or by name."""

    seed: int
    loop: VirtualLoop
    _network: SimNetwork
    _air: SimAir

    def _find(self, room: Room | str) -> Room:
        raise NotImplementedError

    def _find_holder(self, place: Place) -> Room | Client:
        raise NotImplementedError

    def _expect(self, names: Iterable[str], verb: str) -> None:
        """Somebody of each name has to be there before the story ends."""
        raise NotImplementedError

    def _say(self, text: str, *, is_beat: bool = False) -> None:
        raise NotImplementedError

    # Ways

    def cut(self, one: Place, other: Place) -> None:
        """Nothing that `one` sends reaches `other`, until `heal`; the way back stays open."""
        source, target = self._way("cut", one, other)
        self._network.cut(source, target)
        self._say(f"cut {source} > {target}")

    def hold(self, one: Place, other: Place) -> None:
        """What `one` sends to `other` is late, until `release`."""
        source, target = self._way("hold", one, other)
        self._network.hold(source, target)
        self._say(f"hold {source} > {target}")

    def release(self, one: Place, other: Place) -> None:
        """Let go what a `hold` held. Raises ValueError if nothing was."""
        source, target = self._way("release", one, other)
        if not self._network.is_held(source, target):
            raise nothing_held(source, target)
        self._network.release(source, target)
        self._say(f"release {source} > {target}")

    def slow(
        self,
        one: Place,
        other: Place,
        *,
        latency_ms: tuple[float, float] = LATENCY_MS,
        bytes_per_second: float | None = None,
        loss: float = 0.0,
    ) -> None:
        """Make both ways between two rooms as bad as this; without options they are good again.

        Each frame takes as long as is drawn from `latency_ms`, from and to; `loss` is a share.
        """
        check("slow", "latency_ms", latency_ms, SPAN)
        check("slow", "bytes_per_second", bytes_per_second, RATE)
        check("slow", "loss", loss, SHARE)
        pair = self._way("slow", one, other)
        for source, target in (pair, pair[::-1]):
            self._network.slow(source, target, latency_ms=latency_ms, bytes_per_second=bytes_per_second, loss=loss)
        self._say(f"slow {pair[0]} - {pair[1]}")

    def reset(self, one: Place, other: Place) -> None:
        """Break the connections between two rooms; both ends learn of it at once."""
        names = names_of_two("reset", self._find_holder(one), self._find_holder(other))
        self._network.reset(*names)
        self._say(f"reset {names[0]} - {names[1]}")

    def flaky(self, one: Place, other: Place, *, seconds: float, loss: float = 0.1) -> None:
        """For a while lose a share of what two rooms send each other, and break their connections now and then."""
        check("flaky", "seconds", seconds, SECONDS)
        check("flaky", "loss", loss, SHARE)
        names = names_of_two("flaky", self._find_holder(one), self._find_holder(other))
        shown = " - ".join(names)
        random = Random(f"{self.seed} flaky {' '.join(names)} {self.loop.time()}")
        end = self.loop.time() + seconds
        before = {pair: self._network.quality(*pair) for pair in (names, names[::-1])}
        self._say(f"flaky {shown} for {seconds:g} s")
        self._say(f"slow {shown}")
        for (source, target), quality in before.items():
            self._network.set_quality(source, target, replace(quality, loss=loss))

        def break_it() -> None:
            if self.loop.time() >= end:
                for pair, quality in before.items():
                    self._network.set_quality(*pair, quality)
                self._say(f"slow {shown}")
                return
            self.reset(*names)
            wait()

        def wait() -> None:
            left = end - self.loop.time()
            self.loop.call_later(max(0.0, min(left, random.expovariate(1 / RESET_SECONDS))), break_it)

        wait()

    # Processes

    def freeze(self, room: Room | str) -> None:
        """Stop a process without a word, as a closed laptop does: it hears, does and says nothing until `thaw`."""
        found = self._find(room).when_awake()
        self._network.freeze(found.name)
        found.freeze()
        self._say(f"freeze {found.name}")

    def thaw(self, room: Room | str) -> None:
        """Let it go on; all its timers that were due meanwhile fire now."""
        found = self._find(room)
        if not found.is_frozen:
            raise ValueError(f"{found.name} is not frozen")
        found.thaw()
        self._network.thaw(found.name)
        self._say(f"thaw {found.name}")

    # Clocks

    def skew(self, room: Room | str, ms: int) -> None:
        """Let a room's wall clock jump, forward or back."""
        check("skew", "ms", ms, JUMP)
        self._find(room).clock.skew(ms)
        self._say(f"skew {name_of(room)} {ms} ms")

    def drift(self, room: Room | str, share: float) -> None:
        """Let a room's wall clock gain this share from now on: 0.001 is 3.6 s an hour; negative loses."""
        check("drift", "share", share, GAIN)
        self._find(room).clock.set_drift(share)
        self._say(f"drift {name_of(room)} {share}")

    # Disks

    def disk_full(self, room: Room | str, *, is_full: bool = True) -> None:
        """Let every commit that writes fail, or succeed again."""
        self._find(room).fill_disk(is_full)
        self._say(f"disk of {name_of(room)} is {'full' if is_full else 'not full'}")

    def failing_commits(self, room: Room | str, *, commits: int = 1) -> None:
        """Let the next commits of a room fail, as a disk does that is about to die; then all is well again."""
        check("failing_commits", "commits", commits, COUNT)
        found = self._find(room)
        if not found.is_running:
            raise ValueError(f"{found.name} does not run: start it first")
        found.fail_commits(commits)
        self._say(f"failing commits of {name_of(room)}: {commits}")

    def snapshot(self, room: Room | str) -> Snapshot:
        """A copy of what a room's disk holds: a backup."""
        found = self._find(room)
        self._say(f"snapshot {found.name}")
        return found.medium.copy(found.store)

    def restore(self, room: Room | str, snapshot: Snapshot) -> None:
        """Put a backup in the place of the disk of a room that does not run."""
        self._find(room).restore(snapshot)
        self._say(f"restore {name_of(room)}")

    # Discovery

    def bad_air(self, *, loss: float = 0.0, late_seconds: float = 0.0) -> None:
        """Let discovery lose a share of what is said, and bring the rest up to so late; without options it is good again."""
        check("bad_air", "loss", loss, SHARE)
        check("bad_air", "late_seconds", late_seconds, SECONDS)
        self._air.loss, self._air.late_seconds = loss, late_seconds
        self._say(f"bad air: {loss:g} lost, up to {late_seconds:g} s late")

    def repeat_sighting(self, room: Room | str, *, about: Room | str) -> bool:
        """Tell a room what another one announced at some time, true or not by now; whether there is such a thing."""
        told = self._find(room).name
        sighting = self._air.repeat(told, self._find(about).name)
        if sighting is not None:
            self._say(f"repeat a sighting of {sighting.node_id} for {told}")
        return sighting is not None

    def forge_sighting(self, room: Room | str, node_id: str, *, at: Room | str, instance: str = "forged") -> None:
        """Let a liar tell a room that a node is where it is not."""
        if not isinstance(node_id, str):
            raise ValueError(f"forge_sighting: {node_id!r} is not a node id, as `room.node_id` is one")
        told, place = self._find(room).name, self._find(at).name
        self._air.forge(told, Sighting(node_id, instance, (f"{place}:{PORT}",)))
        self._say(f"forge a sighting of {node_id} at {place} for {told}")

    def _way(self, verb: str, one: Place, other: Place) -> tuple[str, str]:
        """Names of two who may come later."""
        names = names_of_two(verb, one, other)
        self._expect(names, verb)
        return names
