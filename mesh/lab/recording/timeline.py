"""The diary of a cluster: what happened when, as values that a picture can be drawn from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mesh.lab.checks.subject import ClientSubject, LogHolder, RoomSubject, Witness
from peers.events.created import Created
from peers.later import Later
from peers.log.log import Log
from peers.stores.store import StoreError

if TYPE_CHECKING:
    from mesh.actors.log_proxy import LogProxy
    from mesh.lab.simulation.storage import LabStore

KEPT_HAPPENINGS = 200_000
"""What comes after so many is not written down."""


@dataclass(frozen=True, slots=True)
class Happening:
    """One thing that happened in a story."""

    seconds: float
    """When, in virtual time."""
    kind: str
    """`write`: an event is on its first disk; `arrival`: on another one, or on the first again after that was lost;
    `beat`; `converged`: all that run were found to be alike; `end`: the checker has nothing to complain about;
    `now`: nothing, only time has passed; otherwise the first word of what was done: `partition`, `heal` and so on."""
    places: tuple[str, ...] = ()
    """Rooms and clients that it happened to."""
    text: str = ""
    """The type of an event, the sentence of a beat, what was done."""
    number: int = 0
    """Of an event: its write and its arrivals have the same, from 1 on."""


class Timeline:
    """Writes down what happens in a cluster. It stands in front of the checker, which is told the same."""

    def __init__(self, checker: Witness, now: Callable[[], float]) -> None:
        """`now` is the virtual time in seconds."""
        self._happenings: list[Happening] = []
        self._checker = checker
        self._now = now
        self._holders: dict[str, LogHolder] = {}
        self._seen: dict[str, int] = {}
        """Up to which `added` each disk was looked at."""
        self._numbers: dict[Created, int] = {}

    @property
    def happenings(self) -> list[Happening]:
        """What happened so far, in order. It goes on until now, however long ago the last thing happened."""
        now = self._now()
        is_quiet = bool(self._happenings) and now > self._happenings[-1].seconds
        return [*self._happenings, *([Happening(now, "now")] if is_quiet else [])]

    def note(self, kind: str, places: Sequence[str] = (), text: str = "") -> None:
        """Write one happening down, as of now, after what is on the disks by now."""
        for name in self._holders:
            self._look(name)
        self._write(Happening(self._now(), kind, tuple(places), text))

    def note_verb(self, text: str) -> None:
        """Something was done, as the trace says it."""
        first, *others = [word.rstrip(":") for word in text.replace(",", " ").split()]
        places = others[:1] if first == "client" else [word for word in others if word in self._holders]
        self.note(first, places, text)

    def on_room(self, room: RoomSubject) -> None:
        """A room exists from now on."""
        self._holders[room.name] = room

    def on_client(self, client: ClientSubject, log: Log) -> None:
        """A client has opened its log."""
        self._holders[client.name] = client
        log.on("change", lambda: self._look(client.name))

    def on_life(self, room: RoomSubject, kept: LogProxy) -> None:
        self._checker.on_life(room, kept)
        kept.on("change", lambda: self._look(room.name))

    def on_add(self, room: RoomSubject, event: dict[str, Any], result: Later[Any], *, is_timed: bool) -> None:
        self._checker.on_add(room, event, result, is_timed=is_timed)

    def on_disk(self, room: RoomSubject, before: LabStore) -> None:
        self._checker.on_disk(room, before)
        self._seen[room.name] = room.store.state.last_added

    def _look(self, name: str) -> None:
        """Write down what is new on a disk."""
        store = self._holders[name].store
        try:
            while page := store.each(order="added", since=self._seen.get(name, 0)):
                self._seen[name] = page[-1].added
                for entry in page:
                    kind = "arrival" if entry.created in self._numbers else "write"
                    number = self._numbers.setdefault(entry.created, len(self._numbers) + 1)
                    self._write(Happening(self._now(), kind, (name,), str(entry.event["type"]), number))
        except StoreError:
            pass  # its room is about to stop: what was committed last is found at the next look

    def _write(self, happening: Happening) -> None:
        if len(self._happenings) < KEPT_HAPPENINGS:
            self._happenings.append(happening)
