"""Faults: the verbs that break one way, one room's clock, disk or process, and mend them again."""

from __future__ import annotations

from random import Random

from mesh.discovery.discovery import Sighting
from mesh.lab.client import Client
from mesh.lab.discovery import SimAir
from mesh.lab.inspected import LabStore
from mesh.lab.network import SimNetwork
from mesh.lab.room import PORT, Room
from mesh.lab.virtual_loop import VirtualLoop
from mesh.lab.wire import LATENCY_MS

RESET_SECONDS = 20.0
"""On a flaky way connections break after about this long, on average."""

Place = Room | Client | str
"""Whoever stands at an end of a way: a room, a client, or the name of one."""
Snapshot = LabStore
"""A copy of a room's disk."""


class Faults:
    """What a Cluster can do to single ways and rooms. Rooms and clients are given themselves or by name."""

    seed: int
    loop: VirtualLoop
    _network: SimNetwork
    _air: SimAir

    def _find(self, room: Room | str) -> Room:
        raise NotImplementedError

    def _say(self, text: str, *, is_beat: bool = False) -> None:
        raise NotImplementedError

    # Ways

    def cut(self, one: Place, other: Place) -> None:
        """Nothing that `one` sends reaches `other`, until `heal`; the way back stays open."""
        self._network.cut(_name(one), _name(other))
        self._say(f"cut {_name(one)} > {_name(other)}")

    def hold(self, one: Place, other: Place) -> None:
        """What `one` sends to `other` is late, until `release`."""
        self._network.hold(_name(one), _name(other))
        self._say(f"hold {_name(one)} > {_name(other)}")

    def release(self, one: Place, other: Place) -> None:
        """Let go what a `hold` held."""
        self._network.release(_name(one), _name(other))
        self._say(f"release {_name(one)} > {_name(other)}")

    def slow(
        self,
        one: Place,
        other: Place,
        *,
        latency_ms: tuple[float, float] = LATENCY_MS,
        bytes_per_second: float | None = None,
        loss: float = 0.0,
    ) -> None:
        """Make both ways between two rooms as bad as this; without options they are good again."""
        for source, target in ((_name(one), _name(other)), (_name(other), _name(one))):
            self._network.slow(source, target, latency_ms=latency_ms, bytes_per_second=bytes_per_second, loss=loss)
        self._say(f"slow {_name(one)} - {_name(other)}")

    def reset(self, one: Place, other: Place) -> None:
        """Break the connections between two rooms; both ends learn of it at once."""
        self._network.reset(_name(one), _name(other))
        self._say(f"reset {_name(one)} - {_name(other)}")

    def flaky(self, one: Place, other: Place, *, seconds: float, loss: float = 0.1) -> None:
        """For a while lose a share of what two rooms send each other, and break their connections now and then."""
        random = Random(f"{self.seed} flaky {_name(one)} {_name(other)} {self.loop.time()}")
        end = self.loop.time() + seconds
        self._say(f"flaky {_name(one)} - {_name(other)} for {seconds:g} s")
        self.slow(one, other, loss=loss)

        def break_it() -> None:
            if self.loop.time() >= end:
                self.slow(one, other)
                return
            self.reset(one, other)
            wait()

        def wait() -> None:
            left = end - self.loop.time()
            self.loop.call_later(max(0.0, min(left, random.expovariate(1 / RESET_SECONDS))), break_it)

        wait()

    # Processes

    def freeze(self, room: Room | str) -> None:
        """Stop a process without a word, as a closed laptop does: it hears, does and says nothing until `thaw`."""
        self._network.freeze(_name(room))
        self._find(room).freeze()
        self._say(f"freeze {_name(room)}")

    def thaw(self, room: Room | str) -> None:
        """Let it go on; all its timers that were due meanwhile fire now."""
        self._find(room).thaw()
        self._network.thaw(_name(room))
        self._say(f"thaw {_name(room)}")

    # Clocks

    def skew(self, room: Room | str, ms: int) -> None:
        """Let a room's wall clock jump, forward or back."""
        self._find(room).clock.skew(ms)
        self._say(f"skew {_name(room)} {ms} ms")

    def drift(self, room: Room | str, share: float) -> None:
        """Let a room's wall clock gain this share from now on: 0.001 is 3.6 s an hour; negative loses."""
        self._find(room).clock.set_drift(share)
        self._say(f"drift {_name(room)} {share}")

    # Disks

    def disk_full(self, room: Room | str, *, is_full: bool = True) -> None:
        """Let every commit that writes fail, or succeed again."""
        self._find(room).fill_disk(is_full)
        self._say(f"disk of {_name(room)} is {'full' if is_full else 'not full'}")

    def failing_commits(self, room: Room | str, *, commits: int = 1) -> None:
        """Let the next commits of a room fail, as a disk does that is about to die; then all is well again."""
        self._find(room).fail_commits(commits)
        self._say(f"failing commits of {_name(room)}: {commits}")

    def snapshot(self, room: Room | str) -> Snapshot:
        """A copy of what a room's disk holds: a backup."""
        self._say(f"snapshot {_name(room)}")
        found = self._find(room)
        return found.medium.copy(found.store)

    def restore(self, room: Room | str, snapshot: Snapshot) -> None:
        """Put a backup in the place of the disk of a room that does not run."""
        self._find(room).restore(snapshot)
        self._say(f"restore {_name(room)}")

    # Discovery

    def bad_air(self, *, loss: float = 0.0, late_seconds: float = 0.0) -> None:
        """Let discovery lose a share of what is said, and bring the rest up to so late; without options it is good again."""
        self._air.loss, self._air.late_seconds = loss, late_seconds
        self._say(f"bad air: {loss:g} lost, up to {late_seconds:g} s late")

    def repeat_sighting(self, room: Room | str, *, about: Room | str) -> bool:
        """Tell a room what another one announced at some time, true or not by now; whether there is such a thing."""
        sighting = self._air.repeat(_name(room), _name(about))
        if sighting is not None:
            self._say(f"repeat a sighting of {sighting.node_id} for {_name(room)}")
        return sighting is not None

    def forge_sighting(self, room: Room | str, node_id: str, *, at: Room | str, instance: str = "forged") -> None:
        """Let a liar tell a room that a node is where it is not."""
        self._air.forge(_name(room), Sighting(node_id, instance, (f"{_name(at)}:{PORT}",)))
        self._say(f"forge a sighting of {node_id} at {_name(at)} for {_name(room)}")


def _name(place: Place) -> str:
    return place if isinstance(place, str) else place.name
