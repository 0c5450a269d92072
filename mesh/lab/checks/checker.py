"""The checker: watches all rooms of a cluster while a scenario runs, and judges them at its end."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mesh.lab.checks.epochs import epoch_faults
from mesh.lab.checks.ledger import Ledger
from mesh.lab.checks.limits import broken_limits
from mesh.lab.checks.subject import ClientSubject, LogHolder, RoomSubject
from mesh.lab.simulation.storage import LabStore, held_on, holds, knows_the_same, lacks
from peers.events.created import Created
from peers.events.dot import Epoch
from peers.events.entry import Entry, encode_event
from peers.events.epoch import EpochEnd
from peers.later import Later
from peers.stores.store import StoreError

if TYPE_CHECKING:
    from mesh.actors.log_proxy import LogProxy

LISTED_TYPES = 12
MAX_FAULTS = 20
"""Faults that are kept while a scenario runs: the first ones."""
RECHECK_SECONDS = 0.05
"""Shortest virtual time between two looks at the limits of a room that commits."""


class Violation(AssertionError):
    """The checker found a broken promise."""


class Checker:
    """Implements `Witness`: collects the broken promises of a run.

    It looks at a room after each commit and notice, and at all rooms at each verb and beat: no vector may claim what is not on
    the disk yet, and no limit may be passed. An event must be on the disk of its room when it is acknowledged. `Ledger` decides
    which events may be lost. No node may get again what it had when it greeted the other one. Nothing is checked of rooms that
    are hostile.
    """

    def __init__(self, rooms: Mapping[str, RoomSubject]) -> None:
        self.ledger = Ledger()
        self._faults: dict[str, float] = {}
        """What was found during the run, and at which virtual time."""
        self._rooms = rooms
        self._calls = 0
        self._epochs: dict[Epoch, str] = {}
        """The room that wrote in each epoch."""
        self._doubtful: dict[bytes, None] = {}
        """The keys that may have signed two histories of one epoch."""
        self._looked: dict[str, float] = {}

    def on_life(self, room: RoomSubject, kept: LogProxy) -> None:
        """The node of a room starts, with this log."""
        begun: dict[Epoch, None] = {}
        checked: dict[Epoch, EpochEnd] = {}

        def on_change() -> None:
            if room.kept is not kept or not room.is_running:
                return
            epoch = kept.state.epoch
            if epoch is not None and epoch not in begun:
                begun[epoch] = None
                self._check_epoch(room, epoch)
            self._check_claims(room, kept, checked)
            if room.seconds - self._looked.get(room.name, -RECHECK_SECONDS) >= RECHECK_SECONDS:
                self._looked[room.name] = room.seconds
                self._note(room, *broken_limits(room))

        kept.on("change", on_change)

    def on_add(self, room: RoomSubject, event: dict[str, Any], result: Later[Any], *, is_timed: bool) -> None:
        """An event is added in a room; `is_timed` if the node's own timer makes `created`."""
        self._calls += 1
        number = self._calls

        def added(done: Later[Any]) -> None:
            if done.exception is not None or done.result() is None:
                return
            created: Created = done.result()["created"]
            room.store.open()  # a node that stops closes it before its last results are out
            if not holds(room.store, created):
                self._note(room, f"{room.name} acknowledged {created} before it was on its disk")
            self.ledger.note(room, number, created, encode_event(event), is_timed=is_timed)

        result.then(added)

    def on_confirmed(self, client: ClientSubject, entry: Entry) -> None:
        """The room that a client dials has confirmed an event of the client: from now on it must survive.

        The confirmation may arrive when the room has another disk already: then the event may be lost with the old one.
        """
        room = self._rooms[client.to]
        self.ledger.note(room, 0, entry.created, entry.body, is_timed=False)
        if not any(holds(other.store, entry.created) for other in self._rooms.values()):
            if room.name in self.ledger.disks_changed:
                self.ledger.lost[entry.created, entry.digest] = room.name
            else:
                self._note(room, f"{room.name} confirmed {entry.created} of {client} before it was on its disk")

    def on_disk(self, room: RoomSubject, before: LabStore) -> None:
        """A room has another disk than `before`."""
        others = [other for other in self._rooms.values() if other is not room]
        self.ledger.change_disk(room, before, room.store, others)

    def on_resumed(self, room: RoomSubject, epoch: Epoch | None) -> None:
        """A machine goes on from an old snapshot in this epoch, in which the room may have written more since."""
        self.doubt(room)
        self._epochs.pop(epoch or "", None)

    def doubt(self, room: RoomSubject) -> None:
        """A room may sign two histories of one epoch from now on."""
        self._doubtful[room.key] = None

    def on_sent_again(self, room: RoomSubject, other_node_id: str, what: str) -> None:
        """The node of a room got what it had when it greeted the other one."""
        hostile = [other.node_id for other in self._rooms.values() if other.is_hostile]
        if not room.is_hostile and other_node_id not in hostile:
            self._note(room, f"{room.name} got {what} from {other_node_id}, which it had at its greeting")

    def look(self) -> None:
        """Look at all rooms that run."""
        for room in self._rooms.values():
            if room.is_running:
                self.look_at_claims(room)
                self._note(room, *broken_limits(room))

    def look_at_claims(self, room: RoomSubject) -> None:
        """Check that a room claims nothing that is not on its disk yet."""
        if room.is_running and room.kept is not None and room.kept.is_open:
            self._check_claims(room, room.kept, {})

    def found(self) -> list[str]:
        """What was found during the run so far."""
        return [f"{fault} (at {seconds:.3f} s)" for fault, seconds in self._faults.items()]

    def end_faults(self) -> list[str]:
        """What is wrong once all rooms are off: events lost, shown twice or out of order, claims of none, actors left."""
        rooms, honest = list(self._rooms.values()), self._honest()
        of_epochs = [fault for room in honest for fault in epoch_faults(room, self._doubtful, len(rooms))]
        return [
            *self.ledger.faults(rooms),
            *stranger_faults(honest),
            *durability_faults(honest),
            *duplicate_faults(honest),
            *of_epochs,
            *leak_faults(rooms),
        ]

    def convergence_faults(self, groups: Iterable[Sequence[RoomSubject]]) -> list[str]:
        """Differences within groups of rooms that can talk. A group with a full disk is left out."""
        self.ledger.note_cleaned(self._rooms.values())
        faults = []
        for group in groups:
            if not any(room.is_disk_full for room in group):
                faults += convergence_faults(group, self.ledger.cleaned)
        return faults

    def _honest(self) -> list[RoomSubject]:
        return [room for room in self._rooms.values() if not room.is_hostile]

    def _check_epoch(self, room: RoomSubject, epoch: Epoch) -> None:
        if epoch in self._epochs:
            self._note(room, f"{room.name} goes on in the epoch {epoch}, in which {self._epochs[epoch]} wrote before")
        self._epochs[epoch] = room.name

    def _check_claims(self, room: RoomSubject, kept: LogProxy, checked: dict[Epoch, EpochEnd]) -> None:
        """All but what is `checked`; it has all afterwards."""
        claims = [epoch for epoch in kept.ends if checked.get(epoch) is not kept.ends.get(epoch)]
        held = room.store.ends() if claims else {}
        for epoch in claims:
            claimed, ours = kept.ends.get(epoch), held.get(epoch)
            assert claimed is not None  # it is one of them
            if lacks(ours, claimed):
                seq = ours.seq if ours is not None else 0
                self._note(room, f"{room.name} claims {seq + 1} to {claimed.seq} of {epoch}, which are not on its disk")
            checked[epoch] = claimed

    def _note(self, room: RoomSubject, *faults: str) -> None:
        for fault in faults:
            if len(self._faults) < MAX_FAULTS:
                self._faults.setdefault(fault, room.seconds)


def durability_faults(rooms: Sequence[RoomSubject]) -> list[str]:
    """Acknowledged events that the disk of their room does not hold, and wrong cursors."""
    faults = []
    for room in rooms:
        held = held_on(room.store)
        lost = [created for created in room.acknowledged if created not in held]
        if lost:
            faults.append(f"{room.name} acknowledged {len(lost)} events that it does not hold, the first {lost[0]}")
        faults += _cursor_faults(room)
    return faults


def stranger_faults(rooms: Sequence[RoomSubject]) -> list[str]:
    """Rooms that hold events of a room of another mesh."""
    faults = []
    if len({room.mesh for room in rooms}) > 1:
        for room in rooms:
            held = held_on(room.store)
            strangers = [other for other in rooms if other.mesh is not room.mesh]
            faults += [
                f"{room.name} has events of {other.name}, which is in another mesh"
                for other in strangers
                if any(created in held for created in other.acknowledged)
            ]
    return faults


def duplicate_faults(rooms: Sequence[RoomSubject]) -> list[str]:
    """Events that a room shows twice, and `added` numbers that it gave twice. A cleaned event leaves a gap."""
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

    Each log is cleaned by itself. So what is `cleaned` on some disk may be shown by other rooms or not, and may be missing in
    rooms that get the events of others through that room only.
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
        if not knows_the_same(room.store, first.store):
            faults.append(f"{room.name} and {first.name} have different facts of the mesh")
    everything = [created for room in rooms for created in room.acknowledged if created not in gone]
    for room in rooms:
        held = held_on(room.store)
        missing = [created for created in everything if created not in held]
        if missing:
            faults.append(f"{room.name} lacks {len(missing)} acknowledged events, the first {min(missing)}")
    return faults


def leak_faults(rooms: Sequence[RoomSubject]) -> list[str]:
    """Actors that run in rooms whose node has stopped."""
    return [f"{room.name} left actors behind: {room.actors}" for room in rooms if room.actors and not room.is_running]


def show_types(types: Sequence[str]) -> str:
    """A list of types; of more than LISTED_TYPES how many there are, and the last ones."""
    if len(types) <= LISTED_TYPES:
        return str(list(types))
    return f"{len(types)} events, the last {list(types[-LISTED_TYPES:])}"


def show_held(holder: LogHolder) -> str:
    """The types of the events that a room or client shows, as a sentence."""
    try:
        return show_types(holder.types)
    except StoreError:  # an error has closed it, and this one must not hide that
        return "nothing: its store is closed"


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
    """Whether `other` wants an event that `one` holds and has to send."""
    return other.store.state.hollow > 0 and any(map(one.store.is_held, other.store.hollow()))
