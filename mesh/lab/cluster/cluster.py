"""Cluster: simulated nodes, and the verbs that start, stop, break and mend them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from random import Random
from typing import Any

from mesh.actors.runtime.inspection import abandon_actors
from mesh.gateway.endpoints import MakeGatewayRole
from mesh.lab.apps.room_node import MakeApp
from mesh.lab.checks.checker import Checker, Violation, convergence_faults, show_held
from mesh.lab.cluster.arguments import (
    COUNT,
    SECONDS,
    ClientProtocol,
    Named,
    check,
    check_address,
    check_awake,
    check_types,
    name_of,
    read_protocol,
)
from mesh.lab.cluster.client import Client
from mesh.lab.cluster.convergence import Convergence
from mesh.lab.cluster.narration import Narration, count_events
from mesh.lab.cluster.places import Places
from mesh.lab.cluster.room import Room
from mesh.lab.cluster.room_maker import RoomMaker
from mesh.lab.cluster.room_parts import PORT, Surroundings
from mesh.lab.cluster.simulated_fault_verbs import SimulatedFaultVerbs
from mesh.lab.cluster.topology import Links, read_links
from mesh.lab.recording.timeline import Happening, Timeline
from mesh.lab.recording.trace import Trace
from mesh.lab.simulation.discovery import SimAir
from mesh.lab.simulation.network import DialAttempt, SimNetwork
from mesh.lab.simulation.storage import StoreKind
from mesh.lab.simulation.virtual_loop import LabAlarm, VirtualLoop
from mesh.membership.actions import Notice

AGREE_SECONDS = 180.0
"""Virtual seconds within which all that can talk must agree: two requery intervals and a dial after the longest pause."""


class Cluster(SimulatedFaultVerbs):
    """Runs whole nodes in virtual time. Only network, discovery, disks and clocks are simulated.

    The same seed gives the same run, byte for byte. Use it as a context manager: at its end all rooms are stopped and the
    checker judges the run, see `end`. Besides the verbs of SimulatedFaultVerbs it has those below.

        with Cluster(seed=7) as cluster:
            kitchen, study = cluster.start("kitchen", "study")
            kitchen.log.add({"type": "milk"})
            cluster.settle("both have the milk")
            cluster.assert_converged(["milk"])
    """

    def __init__(
        self,
        seed: int = 0,
        *,
        on_line: Callable[[str], None] | None = None,
        on_trace: Callable[[str], None] | None = None,
        traces: bool = True,
        has_diary: bool = False,
        summary_seconds: float = 0.0,
    ) -> None:
        """`on_line` gets a line for each beat, `on_trace` each line of the trace; without `traces` the trace has no frames.
        With `has_diary` there are `happenings`, from which the run can be drawn. Nodes send summaries every `summary_seconds`.
        """
        self.seed = seed
        self.random = Random(f"{seed} story")
        """For the story: the same seed gives the same choices."""
        self.loop = VirtualLoop(seed)
        self._trace = Trace(on_trace)
        self.trace = self._trace.lines
        """Its first TRACE_LINES lines; see `kept_trace`."""
        places: Places[Room, Client] = Places()
        self.rooms, self.clients = places.rooms, places.clients
        self.checker = Checker(self.rooms)
        self._timeline = Timeline(self.checker, self.loop.time) if has_diary else None
        self._narration = Narration(seed, self.loop.time, self._trace, self._timeline, self.checker, on_line)
        self._failed_when: str | None = None
        on_packet = self._trace.write if traces else None
        self._network = SimNetwork(self.loop, Random(f"{seed} network"), on_trace=on_packet)
        self._convergence = Convergence(places, self._network)
        air = SimAir(self.loop, Random(f"{seed} air"), self._network)
        lab = Surroundings(seed, self.loop, self._network, air, summary_seconds)
        self._maker = RoomMaker(lab, places, self._on_notice)
        super().__init__(
            places,
            self._network,
            self.loop,
            air=air,
            maker=self._maker,
            convergence=self._convergence,
            timeline=self._timeline,
            say=self._narration.verb,
            random_for=lambda what: Random(f"{seed} {what} {self.loop.time()}"),
        )

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
        return self._trace.hash

    @property
    def kept_trace(self) -> tuple[str, ...]:
        """The lines of the trace; of a very long one the beginning and the end."""
        return self._trace.kept()

    @property
    def moment(self) -> str:
        """Seed, virtual time and last beat: those of the failure, once the run has failed."""
        return self._failed_when or self._narration.moment

    @property
    def verbs(self) -> Counter[str]:
        """How often each verb was called, by the first word of its line in the trace."""
        return self._narration.verbs

    @property
    def happenings(self) -> Sequence[Happening]:
        """What happened so far, in order; nothing without `has_diary`."""
        return self._timeline.happenings if self._timeline is not None else ()

    @property
    def seconds(self) -> float:
        """Virtual time since the beginning."""
        return self.loop.time()

    @property
    def dials(self) -> Sequence[DialAttempt]:
        """The attempts to open a connection, in order; the last KEPT_DIALS of them."""
        return self._network.dials

    @property
    def events_came(self) -> int:
        """Events that came to rooms from other rooms so far, also those that they had."""
        return sum(room.events_came for room in self.rooms.values())

    # Rooms and clients

    def start(
        self,
        *names: str,
        links: Links | None = None,
        store: StoreKind | None = None,
        mesh: str | None = None,
        app: MakeApp | None = None,
        serve: Mapping[int, MakeGatewayRole] | None = None,
        dial: Mapping[str, MakeGatewayRole] | None = None,
    ) -> tuple[Room, ...]:
        """Start new rooms, or stopped ones again, and return them in order. Virtual time passes until their nodes run.

        `links` are pairs of names that dial each other by address, or a shape that makes such pairs (`line`, `ring`, `star`,
        `full`, `two_lans`); None: all rooms find each other by discovery. `store` is the kind of disk of new rooms: "memory",
        the default, or "sqlite", files in a temporary folder. `mesh` names the mesh of new rooms, which the first one founds;
        None: that of the house; empty: they are open nodes, without certificates. `serve` has roles of your own by the port
        at which they listen, `dial` by the `room:port` that they dial.

        `app` is a function or coroutine function, as `lambda node: node.view(...)` too. It gets the node, an AppNode, at each
        start of these rooms, also after a crash, and returns its application, which is `room.app`. Tasks that it starts are
        cancelled when the room stops or crashes. An error in its code fails the run.

        Raises ValueError for a room that runs, a name that is taken or given twice, and wrong `links`, `store`, `mesh` or
        `serve`; Violation if a node or its application does not start within STEP_SECONDS of virtual time; what `app` raised.

            cluster.start("kitchen", "study", "attic", links=line, store="sqlite")
        """
        pairs = read_links(names, links)
        for port in serve or ():
            check("start", "a port of `serve`", port, COUNT)
            if port == PORT:
                raise ValueError(f"start: port {PORT} of each room is its node's own: serve a role at another one")
        self._places.expect([name for pair in pairs or () for name in pair], "start")
        rooms = [self._maker.room(name, pairs, store, mesh) for name in names]
        for room in rooms:
            room.serve, room.dial, room.make_app = serve or room.serve, dial or room.dial, app or room.make_app
            room.witness = self._timeline or self.checker
            if self._timeline is not None:
                self._timeline.on_room(room)
        self._wait_all([room.begin() for room in rooms], f"start {', '.join(names)}")
        return tuple(rooms)

    def client(self, name: str, *, to: str, protocol: ClientProtocol = None, **options: Any) -> Client:
        """Start a Logux client that dials `to`, a `room:port` for which `start` got a role in `serve=`. It redials by itself.

        `protocol` is (0, 1), 5 or 7; None finds out what the other end speaks. `options` are those of ClientSync. Raises
        ValueError for a name that is taken, a wrong address, and another protocol.

            cluster.start("kitchen", serve={5_000: clients_door})
            phone = cluster.client("phone", to="kitchen:5000", protocol=7)
        """
        if name in self._places.names:
            raise ValueError(f"there is a {name} already: choose another name")
        spoken = read_protocol(name, protocol)
        check_address(f"client {name}", to, self.rooms)
        place = self.seed, self.loop, self._network
        on_confirmed = self.checker.on_confirmed
        client = Client(name, *place, to=to, protocol=spoken, on_confirmed=on_confirmed, **options)
        self.clients[name] = client
        opened = client.begin()
        self._wait_all([opened], f"client {name} of {to}")
        if self._timeline is not None:
            self._timeline.on_client(client, opened.result())
        return client

    def move(self, client: Client | str, *, to: str) -> None:
        """Let a client dial another `room:port` from now on; it keeps its cursors. Raises ValueError if it is no client."""
        name = name_of(client)
        if name not in self.clients:
            raise ValueError(f"move: there is no client {name}; the clients are {', '.join(self.clients) or 'none'}")
        check_address(f"move {name}", to, self.rooms)
        self._narration.verb(f"move {name} to {to}")
        self.clients[name].move(to)

    def stop(self, *rooms: Room | str) -> None:
        """Stop nodes as their operator would: they say goodbye. Raises ValueError if one does not run or is frozen."""
        stopped = [self._places.room(room) for room in rooms]
        for room in stopped:
            check_awake(room)
        self._wait_all([room.end() for room in stopped], f"stop {', '.join(room.name for room in stopped)}")

    def crash(self, *places: Named) -> None:
        """Cut the power of nodes and clients: no goodbye, and what was not committed is lost. `restart` starts them again."""
        for place in map(self._places.holder, places):
            self._narration.verb(f"crash {place.name}")
            place.crash()

    def restart(self, *places: Named) -> None:
        """Start nodes and clients again on what their disks hold; those that run are crashed first.

        Virtual time passes until they run. Raises Violation if that takes more than STEP_SECONDS.
        """
        found = [self._places.holder(place) for place in places]
        for place in found:
            if place.is_running:
                self.crash(place)
        self._wait_all([place.begin() for place in found], f"restart {', '.join(place.name for place in found)}")

    # Time, and what must be true

    def run(self, seconds: float) -> None:
        """Let `seconds` of virtual time pass. Raises whatever the code under test raised in its event loop."""
        check("run", "seconds", seconds, SECONDS)
        self.loop.run_for(seconds)

    def settle(self, sentence: str, *, limit_seconds: float = AGREE_SECONDS) -> None:
        """Run until all that can talk have met and hold the same events, then print `sentence` as a beat of the story.

        Raises Violation if that takes more than `limit_seconds` of virtual time.
        """
        check("settle", "limit_seconds", limit_seconds, SECONDS)
        if not self.loop.run_until(self._convergence.is_reached, limit_seconds):
            why = "; ".join([*self._convergence.missing(), *self.what_each_saw()])
            self._judge([f"{sentence}: no agreement within {limit_seconds:.0f} s: {why}"])
        self._narration.beat(sentence, count_events(self._places.holders))

    def assert_converged(self, types: Sequence[str] | None = None) -> None:
        """Raise Violation unless all running members show the same events in the same order: those of `types`, if given.

        Raises ValueError if `types` is no list.
        """
        check_types(types)
        running = self._convergence.members
        self.checker.ledger.note_cleaned(self.rooms.values())
        self._judge(convergence_faults(running, self.checker.ledger.cleaned))
        if types is not None and any(room.types != list(types) for room in running):
            raise Violation(f"expected {list(types)}: {'; '.join(self.what_each_saw())}")
        if self._timeline is not None:
            self._timeline.note("converged", [room.name for room in running])

    def what_each_saw(self) -> list[str]:
        """A sentence for each room and client: the types of the events that it holds, in order."""
        return [f"{holder.name} saw {show_held(holder)}" for holder in self._places.holders]

    def end(self) -> None:
        """Let all agree, stop all rooms and let the checker judge the run. Leaving the context manager calls it.

        Raises Violation for a broken promise or a task that is left, and ValueError if a verb named a room that never came.
        """
        self._places.check_expected()
        rooms = tuple(self.rooms.values())
        self.loop.run_until(self._convergence.is_reached, AGREE_SECONDS)
        self._judge(self.checker.convergence_faults(self._convergence.groups()))
        talking = self._convergence.talking_clients()
        self._judge([fault for one, room in talking for fault in one.faults(room, rooms, self.checker.ledger)])
        if self._timeline is not None:
            alike: list[Room | Client] = [*self._convergence.running, *[client for client, _ in talking]]
            self._timeline.note("end", [holder.name for holder in alike])
        self.checker.look()
        self._end_clients()
        for room in rooms:
            if room.is_frozen:
                self.thaw(room)
        self.stop(*[room for room in rooms if room.is_running])
        self._judge(self.checker.end_faults())
        left = self.loop.finish()
        self.loop.close()
        self._maker.close()
        if left:
            raise Violation(f"tasks were left behind: {', '.join(left)}")

    def _abandon(self) -> None:
        """The run failed: free everything, and let no further error hide why it failed."""
        self._failed_when = self._narration.moment
        steps: list[Callable[[], object]] = [self._end_clients]
        for room in self.rooms.values():
            steps += [*([room.crash] if room.is_running else []), partial(abandon_actors, room.runtime)]
        steps += [self.loop.finish, self.loop.close]
        try:
            for step in steps if not self.loop.is_closed() else []:
                with suppress(Exception, LabAlarm):
                    step()
        finally:
            with suppress(Exception):
                self._maker.close()

    def _end_clients(self) -> None:
        for client in self.clients.values():
            client.end()

    def _judge(self, faults: list[str]) -> None:
        faults = [*self.checker.found(), *faults]
        if faults:
            raise Violation(f"{'; '.join(faults)} ({self._narration.moment})")

    def _on_notice(self, room: Room, notice: Notice) -> None:
        room.note(notice)
        self.checker.look_at_claims(room)
        self._narration.notice(room.name, f"{notice.kind}: {notice.sentence}")
