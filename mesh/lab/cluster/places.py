"""The rooms and clients of a cluster, found by their names."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Generic, TypeVar

from mesh.lab.cluster.arguments import Named, name_of, no_such_place

R = TypeVar("R")
C = TypeVar("C")


class Places(Generic[R, C]):
    """Rooms and clients by name, in the order in which they were added."""

    def __init__(self) -> None:
        self.rooms: dict[str, R] = {}
        self.clients: dict[str, C] = {}
        self._expected: dict[str, str] = {}
        """Names that a verb used, and which verb: it may use them before the room is started."""

    @property
    def names(self) -> list[str]:
        """The names of all rooms and clients."""
        return [*self.rooms, *self.clients]

    @property
    def holders(self) -> list[R | C]:
        """All rooms and clients."""
        return [*self.rooms.values(), *self.clients.values()]

    def room(self, room: Named) -> R:
        """The room, given itself or by name. Raises ValueError if there is none of that name."""
        name = name_of(room)
        if name in self.clients:
            raise ValueError(f"{name} is a client, and this is for rooms: crash, restart and move take clients")
        if name not in self.rooms:
            raise no_such_place(name, self.names)
        return self.rooms[name]

    def holder(self, place: Named) -> R | C:
        """The room or client, given itself or by name. Raises ValueError if there is none of that name."""
        name = name_of(place)
        return self.clients[name] if name in self.clients else self.room(name)

    def expect(self, names: Iterable[str], verb: str) -> None:
        """`verb` used these names: `check_expected` wants a room or client for each of them."""
        for name in names:
            self._expected.setdefault(name, verb)

    def check_expected(self) -> None:
        """Raise ValueError if a verb used a name that no room and no client has got."""
        for name, verb in self._expected.items():
            if name not in self.names:
                raise ValueError(f"{verb} was about {name}, which was never started: {no_such_place(name, self.names)}")
