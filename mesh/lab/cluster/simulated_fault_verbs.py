"""The verbs for clocks, disks, discovery and copies of machines, which only a simulated cluster has."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mesh.discovery.port import Sighting
from mesh.lab.checks.checker import Violation
from mesh.lab.cluster.arguments import COUNT, GAIN, JUMP, SECONDS, SHARE, check, name_of
from mesh.lab.cluster.client import Client
from mesh.lab.cluster.convergence import Convergence
from mesh.lab.cluster.fault_verbs import FaultVerbs, LinkControl
from mesh.lab.cluster.places import Places
from mesh.lab.cluster.room import Room
from mesh.lab.cluster.room_maker import RoomMaker
from mesh.lab.cluster.room_parts import PORT
from mesh.lab.recording.timeline import Timeline
from mesh.lab.roles.hostile import HostilePeerSync
from mesh.lab.roles.lying import LyingPeerSync
from mesh.lab.simulation.discovery import SimAir
from mesh.lab.simulation.storage import LabStore
from mesh.lab.simulation.virtual_loop import VirtualLoop
from peers.later import Later

STEP_SECONDS = 60.0
"""Virtual seconds that starting or stopping a room may take."""


class SimulatedFaultVerbs(FaultVerbs[Room, Client, LabStore]):
    """The verbs of FaultVerbs, and those below, in the same way."""

    def __init__(
        self,
        places: Places[Room, Client],
        links: LinkControl,
        loop: VirtualLoop,
        *,
        air: SimAir,
        maker: RoomMaker,
        convergence: Convergence,
        timeline: Timeline | None,
        **options: Any,
    ) -> None:
        """`air` carries the packets of discovery, `maker` makes rooms; the other `options` are those of FaultVerbs."""
        super().__init__(places, links, loop, **options)
        self.loop = loop
        self._air = air
        self._maker = maker
        self._convergence = convergence
        self._timeline = timeline

    def skew(self, room: Room | str, ms: int) -> None:
        """Let the wall clock of a room jump by `ms` milliseconds, forward or back."""
        check("skew", "ms", ms, JUMP)
        self._places.room(room).clock.skew(ms)
        self._on_verb(f"skew {name_of(room)} {ms} ms")

    def drift(self, room: Room | str, share: float) -> None:
        """Let the wall clock of a room gain this share from now on: 0.001 gains 3.6 s in an hour, a negative share loses."""
        check("drift", "share", share, GAIN)
        self._places.room(room).clock.set_drift(share)
        self._on_verb(f"drift {name_of(room)} {share}")

    def failing_commits(self, room: Room | str, *, commits: int = 1) -> None:
        """Let the next commits of a room that write something fail with an I/O error. Raises ValueError if it does not run."""
        check("failing_commits", "commits", commits, COUNT)
        found = self._places.room(room)
        if not found.is_running:
            raise ValueError(f"{found.name} does not run: start it first")
        found.fail_commits(commits)
        self._on_verb(f"failing commits of {name_of(room)}: {commits}")

    def bad_air(self, *, loss: float = 0.0, late_seconds: float = 0.0) -> None:
        """Let discovery lose the share `loss` of its packets (0 to 1) and delay the others by up to `late_seconds`.

        Without options discovery is good again.
        """
        check("bad_air", "loss", loss, SHARE)
        check("bad_air", "late_seconds", late_seconds, SECONDS)
        self._air.loss, self._air.late_seconds = loss, late_seconds
        self._on_verb(f"bad air: {loss:g} lost, up to {late_seconds:g} s late")

    def repeat_sighting(self, room: Room | str, *, about: Room | str) -> bool:
        """Repeat to a room one announcement that `about` has made, which may be out of date. False if there was none."""
        hearer = self._places.room(room).name
        sighting = self._air.repeat(hearer, self._places.room(about).name)
        if sighting is not None:
            self._on_verb(f"repeat a sighting of {sighting.node_id} for {hearer}")
        return sighting is not None

    def forge_sighting(self, room: Room | str, node_id: str, *, at: Room | str, instance: str = "forged") -> None:
        """Send a room a forged announcement: the node `node_id` is in the room `at`, as the run `instance`."""
        if not isinstance(node_id, str):
            raise ValueError(f"forge_sighting: {node_id!r} is not a node id, as `room.node_id` is one")
        hearer, place = self._places.room(room).name, self._places.room(at).name
        self._air.forge(hearer, Sighting(node_id, instance, (f"{place}:{PORT}",)))
        self._on_verb(f"forge a sighting of {node_id} at {place} for {hearer}")

    # Snapshots and copies of machines

    def resume(self, room: Room | str, snapshot: LabStore) -> None:
        """Let the machine of a room go on from a snapshot of its disk and memory: its node writes on in the same epoch.

        Virtual time passes until it runs. Raises ValueError if the room runs, or if the machine wrote with another key;
        Violation as `restart`.
        """
        found = self._places.room(room)
        if found.is_running:
            raise ValueError(f"{found.name} runs: crash it before it goes on from a snapshot")
        if not found.may_resume(snapshot):
            raise ValueError(f"this is a snapshot of a machine with another key than {found.name}: restore it instead")
        self._wait_all([found.resume(snapshot)], f"resume {found.name}")

    def copy_home(self, room: Room | str, name: str) -> Room:
        """Make a new room, which does not run, with a copy of the home of another one: log and key. Its links are the same.

        Nodes turn one of two machines with one key away. Raises ValueError for a name that is taken.
        """
        source = self._places.room(room)
        copy = self._maker.copy(source, name)
        copy.witness = source.witness
        if self._timeline is not None:
            self._timeline.on_room(copy)
        copy.restore(source.snapshot())
        self._on_verb(f"copy_home {source.name} {name}")
        return copy

    def make_hostile(self, room: Room | str, *, lies: bool = False) -> None:
        """Let the node of a room break the rules from its next start on, see HostilePeerSync, or with `lies` LyingPeerSync.

        Raises ValueError if the room runs.
        """
        found = self._places.room(room)
        if found.is_running:
            raise ValueError(f"{found.name} runs: stop it before it becomes hostile")
        found.become_hostile(LyingPeerSync if lies else HostilePeerSync)
        self._convergence.forget()
        self._on_verb(f"make_hostile {found.name}")

    def revoke(self, room: Room | str, *, by: Room | str) -> None:
        """Revoke the key of a room in the room `by`, the first of its mesh: its admin. What that holds of the key counts on."""
        self._maker.revoke(self._places.room(room), self._places.room(by))
        self._convergence.forget()
        self._on_verb(f"revoke {name_of(room)}")

    # Inside

    def _wait_all(self, laters: Sequence[Later[Any]], what: str) -> None:
        self._on_verb(what)
        self._convergence.forget()
        if not self.loop.run_until(lambda: all(later.is_done for later in laters), STEP_SECONDS):
            raise Violation(f"{what}: not done within {STEP_SECONDS:.0f} s")
        for later in laters:
            later.result()
