"""The verbs that break and mend links, processes and disks: the same for simulated clusters and for live ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from random import Random
from typing import Any, Generic, Protocol, TypeVar

from mesh.lab.cluster.arguments import (
    RATE,
    SECONDS,
    SHARE,
    SPAN,
    MayRun,
    Named,
    check,
    check_awake,
    names_in_groups,
    names_of_two,
)
from mesh.lab.cluster.places import Places
from mesh.lab.simulation.wire import LATENCY_MS, WireQuality

RESET_SECONDS = 20.0
"""On a flaky link connections break after about this long, on average."""


class LinkControl(Protocol):
    """What carries frames between rooms, as the verbs need it: SimNetwork, or LiveNetwork."""

    def partition(self, groups: Sequence[Sequence[str]]) -> None: ...
    def heal(self) -> None: ...
    def cut(self, source: str, target: str) -> None: ...
    def hold(self, source: str, target: str) -> None: ...
    def release(self, source: str, target: str) -> None: ...
    def is_held(self, source: str, target: str) -> bool: ...
    def quality(self, source: str, target: str) -> WireQuality: ...
    def set_quality(self, source: str, target: str, quality: WireQuality) -> None: ...
    def reset(self, one: str, other: str) -> None: ...


class Timers(Protocol):
    """The time of a cluster in seconds: virtual or real."""

    def time(self) -> float: ...
    def call_later(self, delay: float, callback: Callable[[], object]) -> object: ...


class FaultyRoom(MayRun, Protocol):
    """A room, as the verbs need it: Room, or LiveRoom."""

    def freeze(self) -> None: ...
    def thaw(self) -> None: ...
    def fill_disk(self, is_full: bool) -> None: ...
    def snapshot(self) -> Any: ...
    def restore(self, snapshot: Any) -> None: ...
    def wipe(self) -> None: ...
    def status(self) -> dict[str, Any]: ...


R = TypeVar("R", bound=FaultyRoom)
C = TypeVar("C")
S = TypeVar("S")


class FaultVerbs(Generic[R, C, S]):
    """The verbs that all clusters have.

    A room or client is given itself or by its name. A verb checks its arguments, does what it says and writes one line to the
    trace. All of them raise ValueError, with a sentence, for a name that no room or client has and for an amount out of range;
    then nothing has changed. `partition`, `cut`, `hold`, `release` and `slow` also take names of rooms that start later.
    """

    def __init__(
        self,
        places: Places[R, C],
        links: LinkControl,
        timers: Timers,
        *,
        say: Callable[[str], None],
        random_for: Callable[[str], Random],
    ) -> None:
        """`say` gets the line of each verb for the trace; `random_for` makes the random numbers of what its argument names."""
        self._places = places
        self._links = links
        self._timers = timers
        self._on_verb = say
        self._random_for = random_for

    # LinkControl

    def partition(self, *groups: Sequence[Named]) -> None:
        """Build a wall between groups of rooms and clients: nothing passes from one group to another until `heal`.

        It takes the place of an earlier partition. A room or client in no group reaches all others. Open connections are not
        closed: what they carry is late, if `heal` comes before they fail by their own timeouts. Those between nodes fail
        within 9 s of silence (PEER_PING_MS + PEER_TIMEOUT_MS).

            cluster.partition([kitchen], [study, attic])
        """
        names = names_in_groups(groups)
        self._places.expect([name for group in names for name in group], "partition")
        self._links.partition(names)
        self._on_verb(f"partition {' | '.join(' '.join(group) for group in names)}")

    def heal(self) -> None:
        """Remove the partition and all cuts. What is held or slow stays so."""
        self._links.heal()
        self._on_verb("heal")

    def cut(self, one: Named, other: Named) -> None:
        """Let nothing that `one` sends reach `other`, until `heal`. The opposite direction stays open."""
        source, target = self._pair("cut", one, other)
        self._links.cut(source, target)
        self._on_verb(f"cut {source} > {target}")

    def hold(self, one: Named, other: Named) -> None:
        """Delay all that `one` sends to `other`, until `release`."""
        source, target = self._pair("hold", one, other)
        self._links.hold(source, target)
        self._on_verb(f"hold {source} > {target}")

    def release(self, one: Named, other: Named) -> None:
        """Deliver what a `hold` in this direction has delayed. Raises ValueError if there was no such `hold`."""
        source, target = self._pair("release", one, other)
        if not self._links.is_held(source, target):
            raise ValueError(f"release: what {source} sends to {target} is not held: hold it first, the same way round")
        self._links.release(source, target)
        self._on_verb(f"release {source} > {target}")

    def slow(
        self,
        one: Named,
        other: Named,
        *,
        latency_ms: tuple[float, float] = LATENCY_MS,
        bytes_per_second: float | None = None,
        loss: float = 0.0,
    ) -> None:
        """Set the quality of the link between two rooms, in both directions. Without options the link is good again.

        Each frame takes a time that is drawn from `latency_ms`, the shortest and the longest. `bytes_per_second` limits the
        rate; None: no limit. `loss` is the share of frames that are lost, 0 to 1: TCP sends those again.
        """
        check("slow", "latency_ms", latency_ms, SPAN)
        check("slow", "bytes_per_second", bytes_per_second, RATE)
        check("slow", "loss", loss, SHARE)
        source, target = self._pair("slow", one, other)
        quality = WireQuality(latency_ms, bytes_per_second, loss)
        self._links.set_quality(source, target, quality)
        self._links.set_quality(target, source, quality)
        self._on_verb(f"slow {source} - {target}")

    def reset(self, one: Named, other: Named) -> None:
        """Break the open connections between two rooms. Both ends notice at once, and may dial again."""
        names = self._started_pair("reset", one, other)
        self._links.reset(*names)
        self._on_verb(f"reset {names[0]} - {names[1]}")

    def flaky(self, one: Named, other: Named, *, seconds: float, loss: float = 0.1) -> None:
        """For `seconds`, lose the share `loss` of the frames between two rooms and reset their connections now and then.

        A reset comes every RESET_SECONDS on average. At the end the link is as good as before. It returns at once: `run` or
        `settle` let the time pass.
        """
        check("flaky", "seconds", seconds, SECONDS)
        check("flaky", "loss", loss, SHARE)
        names = self._started_pair("flaky", one, other)
        shown = " - ".join(names)
        random = self._random_for(f"flaky {' '.join(names)}")
        before = {pair: self._links.quality(*pair) for pair in (names, names[::-1])}
        self._on_verb(f"flaky {shown} for {seconds:g} s")
        self._on_verb(f"slow {shown}")
        for pair, quality in before.items():
            self._links.set_quality(*pair, replace(quality, loss=loss))
        end = self._timers.time() + seconds

        def break_it() -> None:
            if self._timers.time() >= end:
                for pair, quality in before.items():
                    self._links.set_quality(*pair, quality)
                self._on_verb(f"slow {shown}")
                return
            self.reset(*names)
            wait()

        def wait() -> None:
            left = end - self._timers.time()
            self._timers.call_later(max(0.0, min(left, random.expovariate(1 / RESET_SECONDS))), break_it)

        wait()

    # Processes

    def freeze(self, room: R | str) -> None:
        """Stop the process of a node where it is, as a closed laptop does: it does nothing until `thaw`.

        What is sent to it waits. Raises ValueError if the room does not run or is frozen.
        """
        found = self._places.room(room)
        check_awake(found)
        found.freeze()
        self._on_verb(f"freeze {found.name}")

    def thaw(self, room: R | str) -> None:
        """Let a frozen node go on. Timers that were due meanwhile fire now. Raises ValueError if it is not frozen."""
        found = self._places.room(room)
        if not found.is_frozen:
            raise ValueError(f"{found.name} is not frozen")
        found.thaw()
        self._on_verb(f"thaw {found.name}")

    def status(self, room: R | str) -> dict[str, Any]:
        """What `mesh status` shows in a room. Raises ValueError if the room does not run or is frozen."""
        return self._places.room(room).status()

    # Disks

    def disk_full(self, room: R | str, *, is_full: bool = True) -> None:
        """Let every commit that writes in a room fail because its disk is full; `is_full=False` frees space again."""
        found = self._places.room(room)
        found.fill_disk(is_full)
        self._on_verb(f"disk of {found.name} is {'full' if is_full else 'not full'}")

    def snapshot(self, room: R | str) -> S:
        """A copy of what the disk of a room holds: a backup for `restore`."""
        found = self._places.room(room)
        self._on_verb(f"snapshot {found.name}")
        copy: S = found.snapshot()
        return copy

    def restore(self, room: R | str, snapshot: S) -> None:
        """Put a backup in the place of the disk of a room. Raises ValueError if the room runs.

        What the room acknowledged after the backup was made may be on other disks, or lost.
        """
        found = self._places.room(room)
        if found.is_running:
            raise ValueError(f"{found.name} runs: stop it before its disk is restored")
        found.restore(snapshot)
        self._on_verb(f"restore {found.name}")

    def wipe(self, *rooms: R | str) -> None:
        """Delete the whole home of rooms, key included: each returns as a new node. Raises ValueError if one of them runs."""
        for room in map(self._places.room, rooms):
            if room.is_running:
                raise ValueError(f"{room.name} runs: stop or crash it before its disk is lost")
            self._on_verb(f"wipe {room.name}")
            room.wipe()

    # Inside

    def _pair(self, verb: str, one: Named, other: Named) -> tuple[str, str]:
        """The names of two that may start later."""
        names = names_of_two(verb, one, other)
        self._places.expect(names, verb)
        return names

    def _started_pair(self, verb: str, one: Named, other: Named) -> tuple[str, str]:
        """The names of two that there are."""
        names = names_of_two(verb, one, other)
        for name in names:
            self._places.holder(name)
        return names
