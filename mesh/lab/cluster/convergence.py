"""Convergence: whether all who can talk have met and hold the same, made to be looked at in every instant of a large house."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from mesh.lab.checks.checker import lacks_something
from mesh.lab.cluster.topology import groups_of, may_be_linked

if TYPE_CHECKING:
    from mesh.lab.cluster.room import Room
    from mesh.lab.simulation.network import SimNetwork


class Convergence:
    """Who can talk with whom, worked out anew when a way changed; and a look that begins where the last one failed."""

    def __init__(self, network: SimNetwork) -> None:
        self._network = network
        self._running: list[Room] = []
        self._groups: list[list[Room]] | None = None
        """None: to be worked out."""
        self._near: dict[Room, dict[Room, None]] = {}
        """With whom each can talk directly."""
        self._lonely: Room | None = None
        """One that had not met all at the last look."""
        self._unlike: tuple[Room, Room] | None = None
        """Two that did not hold the same at the last look."""
        network.on_route_change(self._forget)

    def groups(self, running: Sequence[Room]) -> list[list[Room]]:
        """The rooms that can talk, directly or through others, in groups."""
        if self._groups is None or self._running != running:
            self._forget()
            self._running = list(running)
            self._near = self._find_near()
            self._groups = groups_of(self._running, lambda one, other: other in self._near[one])
        return self._groups

    def forget(self) -> None:
        """Who is linked with whom has changed."""
        self._forget()

    def unmet(self, running: Sequence[Room]) -> Iterator[tuple[Room, list[Room]]]:
        """Whoever has not met all that it should have, and these."""
        self.groups(running)
        for one in running:
            missing = [other for other in self._near[one] if other.node_id not in one.peers]
            if missing:
                yield one, missing

    def is_reached(self, running: Sequence[Room]) -> bool:
        """Whether all of each group have met those they can talk with directly, and hold the same."""
        groups = self.groups(running)
        if self._lonely is not None and not self._has_met(self._lonely):
            return False
        return all(map(self._is_alike, groups)) and all(map(self._has_met, running))

    def _forget(self) -> None:
        self._groups = self._lonely = self._unlike = None

    def _find_near(self) -> dict[Room, dict[Room, None]]:
        running, is_open = self._running, self._network.is_open
        by_name = {room.name: room for room in running}
        are_all_linked = all(room.links is not None for room in running)
        dialled_by: dict[str, list[str]] = {}
        for one in running:
            for name in one.links or ():
                dialled_by.setdefault(name, []).append(one.name)
        near: dict[Room, dict[Room, None]] = {}
        for one in running:
            names = dict.fromkeys([*(one.links or ()), *dialled_by.get(one.name, ())])
            linked = [by_name[name] for name in names if name in by_name]
            others = linked if are_all_linked else [other for other in running if may_be_linked(one, other)]
            near[one] = {other: None for other in others if other is not one and is_open(one.name, other.name)}
        return near

    def _has_met(self, one: Room) -> bool:
        near, peers = self._near[one], one.peers
        if len(peers) >= len(near) and all(other.node_id in peers for other in near):
            return True
        self._lonely = one
        return False

    def _is_alike(self, group: Sequence[Room]) -> bool:
        return self._is_same(group) or self._is_same_but_for_cleaning(group)

    def _is_same(self, group: Sequence[Room]) -> bool:
        first = group[0]
        if self._unlike is not None and self._unlike[0] is first and not _hold_the_same(*self._unlike):
            return False
        for other in group[1:]:
            if not _hold_the_same(first, other):
                self._unlike = first, other
                return False
        return True

    def _is_same_but_for_cleaning(self, group: Sequence[Room]) -> bool:
        """Cleaning is each log's own: what one has cleaned does not get from it to others, or through it."""
        if not any(_has_cleaned(room) for room in group):
            return False
        return not any(lacks_something(room, other) for room in group for other in self._near[room])


def _hold_the_same(one: Room, other: Room) -> bool:
    ours, theirs = one.store._numbers, other.store._numbers
    return ours.events == theirs.events and ours.vector == theirs.vector


def _has_cleaned(room: Room) -> bool:
    numbers = room.store._numbers
    return numbers.events != numbers.last_added
