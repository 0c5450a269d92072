"""The timeline of a run: what happened when, as values that a picture can be drawn from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mesh.lab.checks.subject import ClientSubject, LogHolder, RoomSubject, Witness
from peers.events.created import Created
from peers.events.dot import Epoch
from peers.later import Later
from peers.log.run_log import RunLog
from peers.stores.store import StoreError

if TYPE_CHECKING:
    from mesh.actors.log_proxy import LogProxy
    from mesh.lab.simulation.storage import LabStore

KEPT_HAPPENINGS = 200_000
"""Happenings that are kept: the first ones."""


@dataclass(frozen=True, slots=True)
class Happening:
    """One thing that happened in a run."""

    seconds: float
    """In virtual time."""
    kind: str
    """`write`: an event is on its first disk; `arrival`: on another disk, or on the first one again after a loss;
    `beat`; `converged`: all running rooms show the same; `end`: the checker has found nothing; `now`: only time has passed;
    otherwise the name of a verb: `partition`, `heal` and so on."""
    places: tuple[str, ...] = ()
    """The rooms and clients that it concerns."""
    text: str = ""
    """The type of an event, the sentence of a beat, or the line of a verb."""
    number: int = 0
    """Of a write or arrival: the number of the event, from 1 on."""


class Timeline:
    """Implements `Witness`: keeps what happens in a cluster, and passes all on to the checker."""

    def __init__(self, checker: Witness, now: Callable[[], float]) -> None:
        """`now` is the virtual time in seconds."""
        self._happenings: list[Happening] = []
        self._checker = checker
        self._now = now
        self._holders: dict[str, LogHolder] = {}
        self._seen: dict[str, int] = {}
        """The highest `added` of each disk that was looked at."""
        self._numbers: dict[Created, int] = {}

    @property
    def happenings(self) -> list[Happening]:
        """What happened so far, in order; a last one, `now`, if time has passed since."""
        now = self._now()
        is_quiet = bool(self._happenings) and now > self._happenings[-1].seconds
        return [*self._happenings, *([Happening(now, "now")] if is_quiet else [])]

    def note(self, kind: str, places: Sequence[str] = (), text: str = "") -> None:
        """Add one happening, after those events that are on the disks by now."""
        for name in self._holders:
            self._look(name)
        self._write(Happening(self._now(), kind, tuple(places), text))

    def note_verb(self, text: str) -> None:
        """A verb was called; `text` is its line in the trace."""
        first, *others = [word.rstrip(":") for word in text.replace(",", " ").split()]
        places = others[:1] if first == "client" else [word for word in others if word in self._holders]
        self.note(first, places, text)

    def on_room(self, room: RoomSubject) -> None:
        """A room exists from now on."""
        self._holders[room.name] = room

    def on_client(self, client: ClientSubject, log: RunLog) -> None:
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

    def on_resumed(self, room: RoomSubject, epoch: Epoch | None) -> None:
        self._checker.on_resumed(room, epoch)

    def on_sent_again(self, room: RoomSubject, other_node_id: str, what: str) -> None:
        self._checker.on_sent_again(room, other_node_id, what)

    def _look(self, name: str) -> None:
        """Add what is new on a disk."""
        store = self._holders[name].store
        try:
            while page := store.each(order="added", since=self._seen.get(name, 0)):
                self._seen[name] = page[-1].added
                for entry in page:
                    kind = "arrival" if entry.created in self._numbers else "write"
                    number = self._numbers.setdefault(entry.created, len(self._numbers) + 1)
                    self._write(Happening(self._now(), kind, (name,), str(entry.event["type"]), number))
        except StoreError:
            pass  # the room is stopping: the next look finds its last commits

    def _write(self, happening: Happening) -> None:
        if len(self._happenings) < KEPT_HAPPENINGS:
            self._happenings.append(happening)
