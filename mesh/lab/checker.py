"""The checker: judges a whole cluster after its story, unasked."""

from __future__ import annotations

from collections.abc import Sequence

from mesh.lab.room import Room
from peers.entry import Entry
from peers.version_vector import VersionVector

SHOWN_TYPES = 12


def durability_faults(rooms: Sequence[Room]) -> list[str]:
    """Acknowledged events that the disk of their room does not hold; and claims of a vector that no entry stands for."""
    faults = []
    for room in rooms:
        held = {entry.created for entry in room.entries}
        lost = [created for created in room.acknowledged if created not in held]
        if lost:
            faults.append(f"{room.name} acknowledged {len(lost)} events that it does not hold, the first {lost[0]}")
        claimed = len(room.store.state.vector)
        dots = _dots(room)
        if claimed > len(dots) or any(not room.store.state.vector.covers(dot) for dot in dots):
            faults.append(f"{room.name} claims {claimed} dots and holds {len(dots)}")
    return faults


def duplicate_faults(rooms: Sequence[Room]) -> list[str]:
    """Events that a room shows twice."""
    faults = []
    for room in rooms:
        seen = [entry.created for entry in room.entries]
        if len(seen) != len(set(seen)):
            faults.append(f"{room.name} shows {len(seen) - len(set(seen))} events twice")
        added = [entry.added for entry in room.store.each(order="added", limit=max(1, len(seen)))]
        if added != list(range(1, len(seen) + 1)):
            faults.append(f"{room.name} counts its {len(seen)} events as {added[:5]} ... {added[-5:]}")
    return faults


def convergence_faults(rooms: Sequence[Room]) -> list[str]:
    """Rooms that do not show the same events in the same order, and acknowledged events that one of them lacks."""
    if not rooms:
        return []
    faults = []
    first, *others = rooms
    shown = _shown(first.entries)
    for room in others:
        if _shown(room.entries) != shown:
            faults.append(f"{room.name} shows {show_types(room.types)}, {first.name} {show_types(first.types)}")
    everything = {created for room in rooms for created in room.acknowledged}
    for room in rooms:
        missing = everything - {entry.created for entry in room.entries}
        if missing:
            faults.append(f"{room.name} lacks {len(missing)} acknowledged events, the first {min(missing)}")
    return faults


def leak_faults(rooms: Sequence[Room]) -> list[str]:
    """Actors that live in rooms where no node runs."""
    return [f"{room.name} left actors behind: {room.actors}" for room in rooms if room.actors and not room.is_running]


def show_types(types: Sequence[str]) -> str:
    """A list for people: beyond SHOWN_TYPES only the last ones and how many."""
    if len(types) <= SHOWN_TYPES:
        return str(list(types))
    return f"{len(types)} events, the last {list(types[-SHOWN_TYPES:])}"


def _shown(entries: Sequence[Entry]) -> list[tuple[object, ...]]:
    return [(entry.created, entry.time, entry.body, entry.extra) for entry in entries]


def _dots(room: Room) -> list[tuple[str, int]]:
    dots: list[tuple[str, int]] = []
    after = 0
    while after < room.store.state.last_position:
        page = room.store.page(after, lacking=VersionVector())
        dots += [entry.dot for entry in page.entries if entry.dot is not None]
        after = page.until
    return dots
