"""The ledger: what a house acknowledged, on which disks it was, and what was lost with the last disk that held it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from itertools import pairwise

from mesh.lab.checks.subject import RoomSubject
from mesh.lab.simulation.storage import LabStore
from peers.events.created import Created

Copy = tuple[Created, bytes]
"""An event as it was written: two that differ under one `created` are two copies, and neither may vanish."""


@dataclass
class _Line:
    """What one node wrote on one disk; a disk that is lost or put back begins another line, since it forgets its clock."""

    node_id: str
    written: list[tuple[int, Created]] = field(default_factory=list)
    """Number of the call of `add`, and what it was given."""


class Ledger:
    """Holds a house to what it acknowledged.

    An acknowledged event has to be on some disk of the house for ever: shown, cleaned, or kept aside as the losing copy of a
    conflict. It may be lost only with the last disk that holds it: when a disk is wiped, or put back to a backup, and none of
    the others holds the event at that moment. A disk of a room that is off counts, since the room may return. A backup that
    is put in brings what it holds back to life, and the house answers for it again.

    A disk that is lost later is judged by what the others hold then: so an event that had been passed on has to outlive the
    disk of its writer, and one that was only on its way does not.
    """

    def __init__(self) -> None:
        self.acknowledged: dict[Copy, str] = {}
        """The room that acknowledged each."""
        self.lost: dict[Copy, str] = {}
        """The room whose disk was the last that held it."""
        self.cleaned: dict[Created, None] = {}
        """What was seen cleaned on some disk: it need not be shown by all."""
        self.disks_changed: dict[str, None] = {}
        """Rooms that got another disk."""
        self._lines: dict[str, _Line] = {}
        self._ended: list[_Line] = []

    def note(self, room: RoomSubject, number: int, created: Created, body: bytes, *, is_timed: bool) -> None:
        """A room acknowledged its `number`th event; `is_timed` if its own timer gave `created`."""
        copy = (created, sha256(body).digest())
        self.acknowledged[copy] = room.name
        self.lost.pop(copy, None)
        if is_timed:
            self._line(room).written.append((number, created))

    def change_disk(self, room: RoomSubject, before: LabStore, after: LabStore, others: Iterable[RoomSubject]) -> None:
        """A room has another disk from now on; `others` are the rooms beside it."""
        self.disks_changed[room.name] = None
        self._note_cleaned(before)
        remaining = _held([after, *[other.store for other in others]])
        gone = _held([before])
        for copy in self.acknowledged:
            if _is_held(copy, gone) and not _is_held(copy, remaining):
                self.lost.setdefault(copy, room.name)
        here = _held([after])
        for copy in [copy for copy in self.lost if _is_held(copy, here)]:
            del self.lost[copy]
        line = self._lines.pop(room.name, None)
        if line is not None:
            self._ended.append(line)

    def faults(self, rooms: Sequence[RoomSubject]) -> list[str]:
        """What was acknowledged and is on no disk, though one that held it lived on; and what a node wrote out of order."""
        held = _held([room.store for room in rooms])
        missing = [copy for copy in self.acknowledged if copy not in self.lost and not _is_held(copy, held)]
        faults = []
        if missing:
            created = missing[0][0]
            faults.append(
                f"{len(missing)} acknowledged events are on no disk, the first {created} "
                f"of {self.acknowledged[missing[0]]}"
            )
        for line in [*self._ended, *self._lines.values()]:
            faults += _order_faults(line)
        return faults

    def gone(self) -> set[Created]:
        """The events of which a copy was lost with its last disk, or cleaned on some disk."""
        return {created for created, _ in self.lost} | self.cleaned.keys()

    def note_cleaned(self, rooms: Iterable[RoomSubject]) -> None:
        """Remember which events are cleaned on these disks."""
        for room in rooms:
            self._note_cleaned(room.store)

    def _note_cleaned(self, store: LabStore) -> None:
        if store.state.events < store.state.last_added:  # else nothing can be
            cleaned = [copy.created for copy in store.copies() if not copy.digest and not copy.is_aside]
            self.cleaned.update(dict.fromkeys(cleaned))

    def _line(self, room: RoomSubject) -> _Line:
        line = self._lines.get(room.name)
        if line is None or line.node_id != room.node_id:
            line = self._lines[room.name] = _Line(room.node_id)
        return line


def _held(stores: Iterable[LabStore]) -> dict[Created, set[bytes]]:
    """Digests of the copies that are on these disks; of one that was cleaned, that of any copy will do: an empty one."""
    held: dict[Created, set[bytes]] = {}
    for store in stores:
        for copy in store.copies():
            held.setdefault(copy.created, set()).add(copy.digest)
    return held


def _is_held(copy: Copy, held: dict[Created, set[bytes]]) -> bool:
    created, digest = copy
    digests = held.get(created)
    return digests is not None and (digest in digests or b"" in digests)


def _order_faults(line: _Line) -> list[str]:
    """Whether the timer of a node gave larger ones only, in the order in which its events were written."""
    written = sorted(line.written)
    for (_, one), (number, other) in pairwise(written):
        if other <= one:
            return [f"{line.node_id} gave its event {number} {other} after {one}: they are out of order"]
    return []
