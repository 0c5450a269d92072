"""The verbs for clocks, disks, discovery and the mesh, which only a simulated cluster has."""

from __future__ import annotations

from functools import partial
from typing import Any

from mesh.discovery.port import Sighting
from mesh.lab.cluster.arguments import COUNT, GAIN, JUMP, SECONDS, SHARE, check, name_of
from mesh.lab.cluster.client import Client
from mesh.lab.cluster.fault_verbs import FaultVerbs
from mesh.lab.cluster.room import PORT, Room
from mesh.lab.cluster.room_parts import make_mesh_signer
from mesh.lab.simulation.discovery import SimAir
from mesh.lab.simulation.storage import LabStore
from mesh.lab.simulation.virtual_loop import VirtualLoop
from peers.events.signature import KeySigner
from peers.facts.fact import Certificate, Fact, Found, Revocation
from peers.stores.run_store import RunStore, Taken

LEARN_SECONDS = 60.0
"""Virtual seconds that the log of a room may take for facts."""


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


class TrustVerbs(SimulatedFaultVerbs):
    """The verbs of SimulatedFaultVerbs, and those below, in the same way.

    Until `found` nothing is known of a mesh, and everybody's entries count. From then on a room that starts for the first
    time, or anew, needs `certify`.
    """

    def __init__(self, *args: Any, seed: int, virtual_loop: VirtualLoop, **options: Any) -> None:
        """The mesh has a key by `seed`; the others are those of SimulatedFaultVerbs."""
        super().__init__(*args, **options)
        self._mesh = make_mesh_signer(seed)
        self._virtual_loop = virtual_loop

    def found(self, admin: Room | str) -> None:
        """Let a room that runs be the admin of the mesh, and all rooms that there are its members."""
        by = self._places.room(admin)
        mesh = self._mesh.public
        facts: list[Fact] = [
            Found(mesh, mesh, by.clock.now_ms(), b"", "home").signed(self._mesh),
            self._certificate(by, by, self._mesh),
        ]
        facts += [self._certificate(room, by, by.signer) for room in self._places.rooms.values() if room is not by]
        self._learn(by, facts, "found")
        self._on_verb(f"found {name_of(admin)}")

    def certify(self, room: Room | str, *, by: Room | str) -> None:
        """Let an admin that runs say that a room is in the mesh."""
        found, admin = self._places.room(room), self._places.room(by)
        self._learn(admin, [self._certificate(found, admin, admin.signer)], "certify")
        self._on_verb(f"certify {name_of(room)} by {name_of(by)}")

    def revoke(self, room: Room | str, *, by: Room | str) -> None:
        """Let an admin that runs revoke a room: what that wrote counts as far as the admin has it."""
        found, admin = self._places.room(room), self._places.room(by)
        fact = Revocation(
            self._mesh.public,
            admin.signer.public,
            admin.clock.now_ms(),
            b"",
            found.key,
            admin.store.tips(found.key),
            (),
        )
        self._learn(admin, [fact.signed(admin.signer)], "revoke")
        self._on_verb(f"revoke {name_of(room)} by {name_of(by)}")

    def _certificate(self, room: Room, admin: Room, signer: KeySigner) -> Certificate:
        is_admin = signer is self._mesh
        time_ms = admin.clock.now_ms()
        fact = Certificate(self._mesh.public, signer.public, time_ms, b"", room.key, room.node_id, is_admin, "")
        return fact.signed(signer)

    def _learn(self, room: Room, facts: list[Fact], verb: str) -> None:
        if room.kept is None or not room.is_running:
            raise ValueError(f"{verb}: {room.name} does not run: start it first")
        learned = room.kept.write(partial(_learned, facts))
        if not self._virtual_loop.run_until(lambda: learned.is_done, LEARN_SECONDS):
            raise AssertionError(f"{room.name} has not written the facts of {verb} after {LEARN_SECONDS:.0f} s")
        learned.result()


def _learned(facts: list[Fact], store: RunStore) -> list[Taken]:
    return [store.learn(facts)]
