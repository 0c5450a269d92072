"""The verbs for clocks, disks and discovery, which only a simulated cluster can break."""

from __future__ import annotations

from typing import Any

from mesh.discovery.port import Sighting
from mesh.lab.cluster.arguments import COUNT, GAIN, JUMP, SECONDS, SHARE, check, name_of
from mesh.lab.cluster.client import Client
from mesh.lab.cluster.fault_verbs import FaultVerbs
from mesh.lab.cluster.room import Room
from mesh.lab.cluster.room_parts import PORT
from mesh.lab.simulation.discovery import SimAir
from mesh.lab.simulation.storage import LabStore


class SimulatedFaultVerbs(FaultVerbs[Room, Client, LabStore]):
    """The verbs of FaultVerbs, and those below, in the same way."""

    def __init__(self, *args: Any, air: SimAir, **options: Any) -> None:
        """`air` carries the packets of discovery; the others are those of FaultVerbs."""
        super().__init__(*args, **options)
        self._air = air

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
