"""The checker: watches a whole cluster while its story runs, and judges it at the end, unasked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mesh.lab.checks.ledger import Ledger
from mesh.lab.checks.limits import broken_limits
from mesh.lab.checks.subject import ClientSubject, LogHolder, RoomSubject
from mesh.lab.simulation.storage import LabStore
from peers.events.created import Created
from peers.events.entry import Entry, encode_event
from peers.events.version_vector import VersionVector
from peers.later import Later
from peers.stores.store import StoreError

if TYPE_CHECKING:
    from mesh.actors.log_proxy import LogProxy

LISTED_TYPES = 12
MAX_FAULTS = 20
"""Faults that are kept while a story runs: the first ones say most."""
RECHECK_SECONDS = 0.05
"""A room that commits is looked at no more often than this, in virtual time."""


class Violation(AssertionError):
    """The checker found a broken promise."""


class Checker:
    """What a cluster tells it of its rooms, and what it found broken on the way.

    While the story runs it looks at a room whenever that publishes a commit or has news, and at all rooms at each verb and
    beat: whether a vector claims what is not on the disk yet, whether a limit is broken. An event must be on the disk of its
    room at the moment in which it is acknowledged. `Ledger` says what may be lost.
    """

    def __init__(self, rooms: Mapping[str, RoomSubject]) -> None:
        self.ledger = Ledger()
        self._faults: dict[str, float] = {}
        """What was found while the story ran, and when."""
        self._rooms = rooms
        self._calls = 0
        self._epochs: dict[str, str] = {}
        """The node that wrote in each epoch."""
        self._looked: dict[str, float] = {}

    def on_life(self, room: RoomSubject, kept: LogProxy) -> None:
        """A room begins another life, with this log."""
        opened: list[str] = []

        def on_change() -> None:
            if room.kept is not kept or not room.is_running:
                return
            if not opened:
                opened.append(kept.published.epoch)
                self._check_epoch(room, kept.published.epoch)
            self._check_claims(room, kept)
            if room.seconds - self._looked.get(room.name, -RECHECK_SECONDS) >= RECHECK_SECONDS:
                self._looked[room.name] = room.seconds
                self._note(room, *broken_limits(room))

        kept.on("change", on_change)

    def on_add(self, room: RoomSubject, event: dict[str, Any], result: Later[Any], *, is_timed: bool) -> None:
        """Somebody writes in a room; `is_timed` if its own timer gives `created`."""
        self._calls += 1
        number = self._calls

        def added(done: Later[Any]) -> None:
            if done.exception is not None or done.result() is None:
                return
            created: Created = done.result()["created"]
            room.store.open()  # a node that stops closes it before its last results show
            if not room.store.holds(created):
                self._note(room, f"{room.name} acknowledged {created} before it was on its disk")
            self.ledger.note(room, number, created, encode_event(event), is_timed=is_timed)

        result.then(added)

    def on_confirmed(self, client: ClientSubject, entry: Entry) -> None:
        """The room that a client dials confirmed an event of its own: from now on the house answers for it.

        The word may come late, when the room has another disk already: then the event may be lost with the one before.
        """
        room = self._rooms[client.to]
        self.ledger.note(room, 0, entry.created, entry.body, is_timed=False)
        if not any(other.store.holds(entry.created) for other in self._rooms.values()):
            if room.name in self.ledger.disks_changed:
                self.ledger.lost[entry.created, entry.digest] = room.name
            else:
                self._note(room, f"{room.name} confirmed {entry.created} of {client} before it was on its disk")

    def on_disk(self, room: RoomSubject, before: LabStore) -> None:
        """A room has another disk now."""
        others = [other for other in self._rooms.values() if other is not room]
        self.ledger.change_disk(room, before, room.store, others)

    def look(self) -> None:
        """Look at all rooms, as at each verb and beat."""
        for room in self._rooms.values():
            if room.is_running:
                self.look_at_claims(room)
                self._note(room, *broken_limits(room))

    def look_at_claims(self, room: RoomSubject) -> None:
        """Something happened in a room, perhaps a greeting: does it say that it has what is not on its disk yet?"""
        if room.is_running and room.kept is not None and room.kept.is_open:
            self._check_claims(room, room.kept)

    def found(self) -> list[str]:
        """What was found while the story ran so far."""
        return [f"{fault} (at {seconds:.3f} s)" for fault, seconds in self._faults.items()]

    def end_faults(self) -> list[str]:
        """What is wrong once all rooms are off: events lost, shown twice or out of order, claims of none, actors left."""
        rooms = list(self._rooms.values())
        return [*self.ledger.faults(rooms), *durability_faults(rooms), *duplicate_faults(rooms), *leak_faults(rooms)]

    def convergence_faults(self, groups: Iterable[Sequence[RoomSubject]]) -> list[str]:
        """Differences within groups of rooms that can talk, directly or through others. One with a full disk is left out."""
        self.ledger.note_cleaned(self._rooms.values())
        faults = []
        for group in groups:
            able = [room for room in group if not room.is_disk_full]
            if len(able) == len(group):
                faults += convergence_faults(group, self.ledger.cleaned)
        return faults

    def _check_epoch(self, room: RoomSubject, epoch: str) -> None:
        if epoch in self._epochs:
            self._note(room, f"{room.name} goes on in the epoch {epoch}, in which {self._epochs[epoch]} wrote before")
        self._epochs[epoch] = room.name

    def _check_claims(self, room: RoomSubject, kept: LogProxy) -> None:
        claimed, numbers = kept.published.state.vector, room.store.numbers
        if claimed is numbers.vector:
            return  # nearly always, and in a large house worth it
        ahead = [lack for lack in numbers.vector.lacks(claimed) if not numbers.is_renewed(lack[0])]
        if ahead:
            epoch, first, last = ahead[0]
            self._note(room, f"{room.name} claims {first} to {last} of {epoch}, which are not on its disk")

    def _note(self, room: RoomSubject, *faults: str) -> None:
        for fault in faults:
            if len(self._faults) < MAX_FAULTS:
                self._faults.setdefault(fault, room.seconds)


def durability_faults(rooms: Sequence[RoomSubject]) -> list[str]:
    """Acknowledged events that the disk of their room does not hold; and claims of a vector that no entry stands for."""
    faults = []
    for room in rooms:
        lost = [created for created in room.acknowledged if not room.store.holds(created)]
        if lost:
            faults.append(f"{room.name} acknowledged {len(lost)} events that it does not hold, the first {lost[0]}")
        faults += _claim_faults(room) + _cursor_faults(room)
    return faults


def duplicate_faults(rooms: Sequence[RoomSubject]) -> list[str]:
    """Events that a room shows twice, and numbers that it gave twice; a cleaned event leaves a hole among them."""
    faults = []
    for room in rooms:
        seen = [entry.created for entry in room.entries]
        if len(seen) != len(set(seen)):
            faults.append(f"{room.name} shows {len(seen) - len(set(seen))} events twice")
        added = [entry.added for entry in room.store.each(order="added", limit=max(1, len(seen)))]
        state = room.store.state
        has_holes = state.events < state.last_added or state.conflicts > 0
        expected = sorted(set(added)) if has_holes else list(range(1, len(seen) + 1))
        if added != expected or len(added) != len(seen) or (added and added[-1] > state.last_added):
            faults.append(f"{room.name} counts its {len(seen)} events as {added[:5]} ... {added[-5:]}")
    return faults


def convergence_faults(rooms: Sequence[RoomSubject], cleaned: Mapping[Created, None] | None = None) -> list[str]:
    """Rooms that do not show the same events in the same order, and acknowledged events that one of them lacks.

    Cleaning is each log's own: what is `cleaned` on some disk may be shown elsewhere or not, and may not have got to those
    who hear of others through that room only.
    """
    if not rooms:
        return []
    gone = cleaned or {}
    faults = []
    first, *others = rooms
    shown = _shown(first.entries, gone)
    for room in others:
        if _shown(room.entries, gone) != shown:
            faults.append(f"{room.name} shows {show_types(room.types)}, {first.name} {show_types(first.types)}")
    everything = [created for room in rooms for created in room.acknowledged if created not in gone]
    for room in rooms:
        missing = [created for created in everything if not room.store.holds(created)]
        if missing:
            faults.append(f"{room.name} lacks {len(missing)} acknowledged events, the first {min(missing)}")
    return faults


def leak_faults(rooms: Sequence[RoomSubject]) -> list[str]:
    """Actors that live in rooms where no node runs."""
    return [f"{room.name} left actors behind: {room.actors}" for room in rooms if room.actors and not room.is_running]


def show_types(types: Sequence[str]) -> str:
    """A list for people: beyond LISTED_TYPES only the last ones and how many."""
    if len(types) <= LISTED_TYPES:
        return str(list(types))
    return f"{len(types)} events, the last {list(types[-LISTED_TYPES:])}"


def show_held(holder: LogHolder) -> str:
    """The types of what a room or client holds, for people."""
    try:
        return show_types(holder.types)
    except StoreError:  # something went wrong in it: that is what has to be told, and this must not hide it
        return "nothing: its store is closed"


def _claim_faults(room: RoomSubject) -> list[str]:
    numbers = room.store.numbers
    dots = {dot for dot in room.store.dots() if not numbers.is_renewed(dot[0])}
    claimed = len(numbers.vector)
    held = sum(numbers.vector.covers(dot) for dot in dots)
    is_cut = bool(numbers.cut)  # an epoch in more pieces than a vector keeps: it may claim less than there is
    if claimed > held or (held < len(dots) and not is_cut):
        return [f"{room.name} claims {claimed} dots and holds {len(dots)}"]
    return []


def _cursor_faults(room: RoomSubject) -> list[str]:
    last = room.store.state.last_added
    return [
        f"{room.name} keeps the cursor {synced} for {other}, and its log ends at {last}"
        for other, (synced, _) in room.store.all_cursors()
        if synced > last
    ]


def _shown(entries: Sequence[Entry], gone: Mapping[Created, None]) -> list[tuple[object, ...]]:
    return [(entry.created, entry.time, entry.body, entry.extra) for entry in entries if entry.created not in gone]


def lacks_something(one: RoomSubject, other: RoomSubject) -> bool:
    """Whether `one` shows anything that `other` does not have, by their vectors; what is cleaned does not count."""
    vector: VersionVector = other.store.state.vector
    return one.store.first_lacked(vector) <= one.store.state.last_position
