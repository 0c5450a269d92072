"""The diary of a cluster: what happened when, as values that a picture can be drawn from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from peers.created import Created
from peers.later import Later

if TYPE_CHECKING:
    from mesh.actors.log_keeper import KeptLog
    from mesh.lab.client import Client
    from mesh.lab.room import Room, Witness
    from peers.log import Meta
    from peers.stores.memory_store import MemoryStore

KEPT_HAPPENINGS = 200_000
"""What comes after so many is not written down."""


@dataclass(frozen=True, slots=True)
class Happening:
    """One thing that happened in a story."""

    seconds: float
    """When, in virtual time."""
    kind: str
    """`write`: an event is on its first disk; `arrival`: on another one, or on the first again after that was lost;
    `beat`; `converged`; otherwise the first word of what was done: `partition`, `heal`, `crash` and so on."""
    places: tuple[str, ...] = ()
    """Rooms and clients that it happened to."""
    text: str = ""
    """The type of an event, the sentence of a beat, what was done."""
    number: int = 0
    """Of an event: its writes and arrivals have the same, from 1 on."""


class Diary:
    """Writes down what happens in a cluster. It stands in front of the checker, which is told the same."""

    def __init__(self, checker: Witness, now: Callable[[], float]) -> None:
        """`now` is the virtual time in seconds."""
        self.happenings: list[Happening] = []
        self._checker = checker
        self._now = now
        self._numbers: dict[Created, int] = {}

    def note(self, kind: str, *places: str, text: str = "", number: int = 0) -> None:
        """Write one happening down, as of now."""
        if len(self.happenings) < KEPT_HAPPENINGS:
            self.happenings.append(Happening(self._now(), kind, places, text, number))

    def note_verb(self, text: str, names: list[str]) -> None:
        """Something was done, as the trace says it; `names` are those of all rooms and clients."""
        words = text.replace(",", " ").split()
        self.note(words[0], *[word for word in words[1:] if word in names], text=text)

    def on_life(self, room: Room, kept: KeptLog) -> None:
        self._checker.on_life(room, kept)
        kept.on("event", lambda event, meta: self._note_event(room.name, event, meta))

    def on_client(self, client: Client) -> None:
        """A client has opened its log."""
        if client._log is not None:
            client._log.on("event", lambda event, meta: self._note_event(client.name, event, meta))

    def on_add(self, room: Room, event: dict[str, Any], result: Later[Any], *, is_timed: bool) -> None:
        self._checker.on_add(room, event, result, is_timed=is_timed)

    def on_disk(self, room: Room, before: MemoryStore) -> None:
        self._checker.on_disk(room, before)

    def _note_event(self, place: str, event: dict[str, Any], meta: Meta) -> None:
        created: Created = meta["created"]
        kind = "arrival" if created in self._numbers else "write"
        number = self._numbers.setdefault(created, len(self._numbers) + 1)
        self.note(kind, place, text=str(event.get("type", "")), number=number)
