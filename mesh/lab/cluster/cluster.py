"""Cluster: a house of rooms with a node in each, and the verbs that break and mend what is between them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from random import Random
from typing import Any

from mesh.actors.runtime.inspection import abandon_actors
from mesh.gateway.endpoints import MakeRole
from mesh.lab.checks.checker import (
    Checker,
    convergence_faults,
    duplicate_faults,
    durability_faults,
    leak_faults,
    show_held,
)
from mesh.lab.cluster.arguments import COUNT, SECONDS, check, name_of, names_in_groups, nobody
from mesh.lab.cluster.client import Client
from mesh.lab.cluster.client_verbs import ClientVerbs
from mesh.lab.cluster.convergence import Convergence
from mesh.lab.cluster.fault_verbs import FaultVerbs, Place
from mesh.lab.cluster.room import PORT, Room
from mesh.lab.cluster.topology import Links, read_links
from mesh.lab.recording.timeline import Happening, Timeline
from mesh.lab.recording.trace import Trace
from mesh.lab.simulation.discovery import SimAir
from mesh.lab.simulation.network import DialRecord, SimNetwork
from mesh.lab.simulation.storage import Media, StoreKind
from mesh.lab.simulation.virtual_loop import LabAlarm, VirtualLoop
from mesh.membership.actions import Notice
from peers.later import Later

SETTLE_SECONDS = 180.0
"""Virtual seconds within which all who can talk must agree: two requery intervals and a dial at the cap."""
STEP_SECONDS = 60.0
"""Virtual seconds that starting or stopping a room may take."""
SHOWN_ROOMS = 8
"""A beat counts the events of each room in a house of up to so many."""


class Violation(AssertionError):
    """The checker found a broken promise."""


class Cluster(FaultVerbs, ClientVerbs):
    """Runs whole nodes in virtual time: only network, discovery, disks and clocks are simulated.

    One seed gives one story, byte for byte. Verbs take rooms or their names. Use it as a context manager: leaving it stops
    all rooms and lets the checker judge.
    """

    def __init__(
        self,
        seed: int = 0,
        *,
        on_line: Callable[[str], None] | None = None,
        on_trace: Callable[[str], None] | None = None,
        traces: bool = True,
        has_diary: bool = False,
    ) -> None:
        """`on_line` gets each beat as it is told, `on_trace` each line of the trace; without `traces` it has no frames.

        With a diary there are `happenings`, from which the story can be drawn.
        """
        self.seed = seed
        self.loop = VirtualLoop(seed)
        self._record = Trace(on_trace)
        self._trace = self._record.write
        self.trace = self._record.lines
        """Its first TRACE_LINES, see `kept_trace`."""
        self.verbs: Counter[str] = Counter()
        """What was done how often, by the first word of its line in the trace."""
        self.rooms: dict[str, Room] = {}
        self.clients: dict[str, Client] = {}
        self.checker = Checker(self.rooms)
        self._diary = Timeline(self.checker, self.loop.time) if has_diary else None
        self._beat = ""
        self._failed_when: str | None = None
        self._on_line = on_line
        self._network = SimNetwork(self.loop, Random(f"{seed} network"), on_trace=self._trace if traces else None)
        self._air = SimAir(self.loop, Random(f"{seed} air"), self._network)
        self._accord = Convergence(self._network)
        self._expected: dict[str, str] = {}
        """Names of those who were spoken of before they came, and by which verb."""
        self._media = Media()

    def __enter__(self) -> Cluster:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: object) -> None:
        if kind is None:
            try:
                self.end()
            except BaseException:
                self._abandon()
                raise
        else:
            self._abandon()

    @property
    def trace_hash(self) -> str:
        """SHA-256 of the whole trace, in hex."""
        return self._record.hash

    @property
    def kept_trace(self) -> tuple[str, ...]:
        """The trace; of a very long one the beginning and the end."""
        return self._record.kept()

    @property
    def moment(self) -> str:
        """What identifies this moment of this run: seed, virtual time and beat; once it has failed, those of the failure."""
        return self._failed_when or self._moment()

    @property
    def happenings(self) -> Sequence[Happening]:
        """What its diary holds, in order; nothing if it has none."""
        return self._diary.happenings if self._diary is not None else ()

    @property
    def seconds(self) -> float:
        """Virtual time since the beginning."""
        return self.loop.time()

    @property
    def dials(self) -> Sequence[DialRecord]:
        """Every attempt to open a connection, in order; of a great many the last ones."""
        return self._network.dials

    def start(
        self,
        *names: str,
        links: Links | None = None,
        store: StoreKind | None = None,
        serve: Mapping[int, MakeRole] | None = None,
        dial: Mapping[str, MakeRole] | None = None,
    ) -> tuple[Room, ...]:
        """Start new rooms, or stopped ones again; returns them in order.

        `links` are pairs of names that dial each other by address, or a shape that makes them (`line`, `ring`, `star`,
        `full`, `two_lans`); None: everybody may find everybody. `store` is what the disks of new rooms are: in `memory`, as
        by default, or `sqlite`, real files in a temporary folder. `serve` and `dial` are roles of your own, by the port that
        they are served at and the `room:port` that they dial.
        """
        pairs = read_links(names, links)
        for port in serve or ():
            check("start", "a port of `serve`", port, COUNT)
            if port == PORT:
                raise ValueError(f"start: port {PORT} of each room is its node's own: serve a role at another one")
        self._expect([name for pair in pairs or () for name in pair], "start")
        rooms = [self._room(name, pairs, store) for name in names]
        for room in rooms:
            room.serve, room.dial = serve or room.serve, dial or room.dial
        self._wait_all([room.begin() for room in rooms], f"start {', '.join(names)}")
        return tuple(rooms)

    def stop(self, *rooms: Room | str) -> None:
        """Stop nodes as their operator would: they say goodbye."""
        stopped = [self._find(room).when_awake() for room in rooms]
        self._wait_all([room.end() for room in stopped], f"stop {', '.join(room.name for room in stopped)}")

    def crash(self, *places: Place) -> None:
        """Cut the power of nodes and clients."""
        for place in map(self._find_holder, places):
            self._say(f"crash {place.name}")
            place.crash()

    def restart(self, *places: Place) -> None:
        """Start nodes and clients again on what their disks hold; those that run are crashed first."""
        found = [self._find_holder(place) for place in places]
        for room in found:
            if room.is_running:
                self.crash(room)
        self._wait_all([room.begin() for room in found], f"restart {', '.join(room.name for room in found)}")

    def wipe(self, *rooms: Room | str) -> None:
        """Lose the whole home of nodes that do not run: they will return as new ones."""
        for room in map(self._find, rooms):
            if room.is_running:
                raise ValueError(f"{room.name} runs: stop or crash it before its disk is lost")
            self._say(f"wipe {room.name}")
            room.wipe()

    def partition(self, *groups: Sequence[Place]) -> None:
        """Build a wall between groups of rooms and clients, or names of those that come later; who is in none sees all."""
        names = names_in_groups(groups)
        self._expect([name for group in names for name in group], "partition")
        self._network.partition(names)
        self._say(f"partition {' | '.join(' '.join(group) for group in names)}")

    def heal(self) -> None:
        """Tear all walls down."""
        self._network.heal()
        self._say("heal")

    def run(self, seconds: float) -> None:
        """Let virtual time pass."""
        check("run", "seconds", seconds, SECONDS)
        self.loop.run_for(seconds)

    def settle(self, sentence: str, *, limit_seconds: float = SETTLE_SECONDS) -> None:
        """Run until all who can talk have met and hold the same, and tell the beat. Raises Violation after `limit_seconds`."""
        check("settle", "limit_seconds", limit_seconds, SECONDS)
        agreed = self.loop.run_until(self._is_settled, limit_seconds)
        if not agreed:
            why = "; ".join([*self._strangers(), self._what_each_saw()])
            self._judge([f"{sentence}: no agreement within {limit_seconds:.0f} s: {why}"])
        self._say(f"{sentence}  {self._counts()}", is_beat=True)

    def assert_converged(self, types: Sequence[str] | None = None) -> None:
        """All running rooms show the same events in the same order; `types`, if given, is that order. Raises Violation."""
        if types is not None and (isinstance(types, str) or not isinstance(types, Sequence)):
            raise ValueError(f"assert_converged takes a list of types, as in [{types!r}]")
        running = [room for room in self.rooms.values() if room.is_running]
        self.checker.ledger.note_cleaned(self.rooms.values())
        self._judge(convergence_faults(running, self.checker.ledger.cleaned))
        if types is not None and any(room.types != list(types) for room in running):
            raise Violation(f"expected {list(types)}: {self._what_each_saw()}")
        if self._diary is not None:
            self._diary.note("converged", [room.name for room in running])

    def status(self, room: Room | str) -> dict[str, Any]:
        """What `mesh status` would show in a room."""
        return self._find(room).status()

    def end(self) -> None:
        """Stop everything and let the checker judge. Raises Violation, and ValueError if somebody was named who never came."""
        for name, verb in self._expected.items():
            if name not in self._names():
                raise ValueError(f"{verb} was about {name}, who never came: {nobody(name, self._names())}")
        rooms = tuple(self.rooms.values())
        self.loop.run_until(self._is_settled, SETTLE_SECONDS)
        self._judge(self.checker.convergence_faults(self._groups([room for room in rooms if room.is_running])))
        self._judge(self._client_faults())
        if self._diary is not None:
            alike = [room for room in rooms if room.is_running], [client for client, _ in self._talking_clients()]
            self._diary.note("end", [holder.name for holders in alike for holder in holders])
        self.checker.look()
        self._hang_up()
        for room in rooms:
            if room.is_frozen:
                self.thaw(room)
        self.stop(*[room for room in rooms if room.is_running])
        faults = durability_faults(rooms) + duplicate_faults(rooms) + leak_faults(rooms)
        self._judge(self.checker.ledger_faults() + faults)
        left = self.loop.finish()
        self.loop.close()
        self._close_disks()
        if left:
            raise Violation(f"tasks were left behind: {', '.join(left)}")

    def _abandon(self) -> None:
        """The story failed: free everything without another word. What cannot be freed must not hide why it failed."""
        self._failed_when = self._moment()
        steps: list[Callable[[], object]] = [self._hang_up]
        for room in self.rooms.values():
            steps += [room.crash] if room.is_running else []
            steps.append(partial(abandon_actors, room.runtime))
        steps += [self.loop.finish, self.loop.close]
        try:
            for step in steps if not self.loop.is_closed() else []:
                with suppress(Exception, LabAlarm):
                    step()
        finally:
            with suppress(Exception):
                self._close_disks()

    def _close_disks(self) -> None:
        try:
            for room in self.rooms.values():
                room.close_disk()
        finally:
            self._media.close()

    def _judge(self, faults: list[str]) -> None:
        faults = [*self.checker.found(), *faults]
        if faults:
            raise Violation(f"{'; '.join(faults)} ({self._moment()})")

    def _moment(self) -> str:
        after = f"after the beat {self._beat!r}" if self._beat else "before the first beat"
        return f"seed {self.seed}, at {self.seconds:.3f} s, {after}"

    def _is_settled(self) -> bool:
        running = [room for room in self.rooms.values() if room.is_running]
        if any(room.waiting for room in running):
            return False
        if not self._accord.is_reached(running) or any(room.is_behind for room in running):
            return False
        return self._are_clients_settled()

    def _groups(self, running: list[Room]) -> list[list[Room]]:
        return self._accord.groups(running)

    def _strangers(self) -> list[str]:
        """A sentence for each who did not meet whom it should."""
        running = [room for room in self.rooms.values() if room.is_running]
        rooms = [f"{one} has not met {', '.join(map(str, others))}" for one, others in self._accord.unmet(running)]
        clients = [
            f"{client} is not synchronized with {room}"
            for client, room in self._talking_clients()
            if not client.is_quiet
        ]
        return rooms + clients

    def _expect(self, names: Iterable[str], verb: str) -> None:
        for name in names:
            self._expected.setdefault(name, verb)

    def _names(self) -> list[str]:
        return [*self.rooms, *self.clients]

    def _room(self, name: str, pairs: list[tuple[str, str]] | None, store: StoreKind | None) -> Room:
        room = self.rooms.get(name)
        links = None if pairs is None else tuple(b if a == name else a for a, b in pairs if name in (a, b))
        if name in self.clients:
            raise ValueError(f"there is a client {name} already: choose another name")
        if room is None:
            edges = self.loop, self._network, self._air
            medium = self._media.find(store or "memory")
            room = Room(name, self.seed, *edges, links=links, medium=medium, on_notice=self._on_notice)
            room.witness = self._diary or self.checker
            self.rooms[name] = room
            if self._diary is not None:
                self._diary.on_room(room)
        elif room.is_running:
            raise ValueError(f"{name} runs already")
        elif store is not None and self._media.find(store) is not room.medium:
            raise ValueError(f"{name} has a disk already, of another kind than {store}: choose another name")
        elif links is not None:
            room.links = links
            self._accord.forget()
        return room

    def _find(self, room: Room | str) -> Room:
        name = name_of(room)
        if name in self.clients:
            raise ValueError(f"{name} is a client, and this is for rooms: crash, restart and move take clients")
        if name not in self.rooms:
            raise nobody(name, self._names())
        return self.rooms[name]

    def _find_holder(self, place: Place) -> Room | Client:
        name = name_of(place)
        return self.clients[name] if name in self.clients else self._find(name)

    def _wait_all(self, laters: Sequence[Later[Any]], what: str) -> None:
        self._say(what)
        if not self.loop.run_until(lambda: all(later.is_done for later in laters), STEP_SECONDS):
            raise Violation(f"{what}: not done within {STEP_SECONDS:.0f} s")
        for later in laters:
            later.result()

    def _holders(self) -> list[Room | Client]:
        """Everybody who has a log."""
        return [*self.rooms.values(), *self.clients.values()]

    def _counts(self) -> str:
        """How many events everybody holds."""
        holders = self._holders()
        if len(holders) <= SHOWN_ROOMS:
            return "  ".join(f"{holder.name} {holder.store.state.events}" for holder in holders)
        least, most = (choose(holder.store.state.events for holder in holders) for choose in (min, max))
        return f"{len(holders)} hold {least} each" if least == most else f"{len(holders)} hold {least} to {most}"

    def what_each_saw(self) -> list[str]:
        """A sentence for every room and client: the types of what it holds, in order."""
        holders = self._holders()
        return [f"{holder.name} saw {show_held(holder)}" for holder in holders]

    def _what_each_saw(self) -> str:
        return "; ".join(self.what_each_saw())

    def _on_notice(self, room: Room, notice: Notice) -> None:
        room.note(notice)
        self.checker.look_at_claims(room)
        self._trace(f"{self.seconds:.6f} {room.name}: {notice.kind}: {notice.sentence}")

    def _say(self, text: str, *, is_beat: bool = False) -> None:
        self._trace(f"{self.seconds:.6f} * {text}")
        if not is_beat:
            self.verbs[text.partition(" ")[0]] += 1
        if is_beat and self._on_line is not None:
            self._on_line(f"{self.seconds:.3f}s  {text}")
        if is_beat:
            self._beat = text.partition("  ")[0]
        if self._diary is not None and is_beat:
            self._diary.note("beat", text=self._beat)
        elif self._diary is not None:
            self._diary.note_verb(text)
        self.checker.look()
