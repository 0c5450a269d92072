"""The ledger: the events that a cluster acknowledged, and those that were lost with the last disk that held them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from itertools import pairwise

from mesh.lab.checks.subject import RoomSubject
from mesh.lab.simulation.storage import LabStore
from peers.events.created import Created

Copy = tuple[Created, bytes]
"""`created` and SHA-256 of an event. Two events that differ under one `created` are two copies: neither may vanish."""


@dataclass
class _Line:
    """What one node wrote on one disk. Another disk begins another line, as the node's clock was lost."""

    node_id: str
    written: list[tuple[int, Created]] = field(default_factory=list)
    """The number of each call of `add`, and the `created` that it returned."""


class Ledger:
    """Checks that acknowledged events survive.

    An acknowledged event must be on some disk of the cluster for ever: shown, cleaned, or kept aside as the losing copy of a
    conflict. It may be lost only with the last disk that holds it: when that disk is wiped or restored to a backup. The disk
    of a room that is off counts, since the room may return. A restored backup brings the events in it back, and from then on
    they must survive again.

    What a disk held is compared with the other disks at the moment when it is lost. So an event that had reached another
    disk must survive, and one that was still on its way need not.
    """

    def __init__(self) -> None:
        self.acknowledged: dict[Copy, str] = {}
        """The room that acknowledged each copy."""
        self.lost: dict[Copy, str] = {}
        """The room whose disk was the last one that held the copy."""
        self.cleaned: dict[Created, None] = {}
        """Events that some disk has cleaned: not all rooms need to show them."""
        self.disks_changed: dict[str, None] = {}
        """The rooms that got another disk."""
        self._lines: dict[str, _Line] = {}
        self._ended: list[_Line] = []

    def note(self, room: RoomSubject, number: int, created: Created, body: bytes, *, is_timed: bool) -> None:
        """A room acknowledged an event of the `number`th call of `add`; `is_timed` if the node's own timer made `created`."""
        copy = (created, sha256(body).digest())
        self.acknowledged[copy] = room.name
        self.lost.pop(copy, None)
        if is_timed:
            self._line(room).written.append((number, created))

    def change_disk(self, room: RoomSubject, before: LabStore, after: LabStore, others: Iterable[RoomSubject]) -> None:
        """A room has another disk from now on; `others` are all other rooms."""
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
        """Note which events the disks of these rooms have cleaned."""
        for room in rooms:
            self._note_cleaned(room.store)

    def _note_cleaned(self, store: LabStore) -> None:
        if store.state.events < store.state.last_added:  # else nothing can be
            cleaned = [copy.created for copy in store.copies() if copy.tombstone and copy.added]
            self.cleaned.update(dict.fromkeys(cleaned))

    def _line(self, room: RoomSubject) -> _Line:
        line = self._lines.get(room.name)
        if line is None or line.node_id != room.node_id:
            line = self._lines[room.name] = _Line(room.node_id)
        return line


def _held(stores: Iterable[LabStore]) -> dict[Created, set[bytes]]:
    """The digests of the copies on these disks; an empty digest, of a cleaned event, stands for any copy."""
    held: dict[Created, set[bytes]] = {}
    for store in stores:
        for copy in store.copies():
            held.setdefault(copy.created, set()).add(b"" if copy.tombstone else copy.digest)
    return held


def _is_held(copy: Copy, held: dict[Created, set[bytes]]) -> bool:
    created, digest = copy
    digests = held.get(created)
    return digests is not None and (digest in digests or b"" in digests)


def _order_faults(line: _Line) -> list[str]:
    """A sentence if a node gave one of its events a smaller `created` than an earlier event."""
    written = sorted(line.written)
    for (_, one), (number, other) in pairwise(written):
        if other <= one:
            return [f"{line.node_id} gave its event {number} {other} after {one}: they are out of order"]
    return []
