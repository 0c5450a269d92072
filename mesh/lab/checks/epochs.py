"""What must be true of the entries that one disk covers: places, heads, proofs, hollow entries and adoptions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping

from mesh.lab.checks.subject import RoomSubject
from mesh.lab.simulation.storage import LabStore
from peers.events.dot import Epoch
from peers.events.entry import Entry
from peers.events.epoch import END_BYTES, EpochEnd
from peers.events.run import VOUCHED

CHANGES_AT_ONCE = 1_000
MAX_ADOPTIONS = 3
"""Entries that vouch for one leaf, for each room and each cut: usually one, more if several rooms begin at once."""

Ends = Mapping[Epoch, EpochEnd]


def epoch_faults(room: RoomSubject, doubtful: Collection[bytes], rooms: int) -> list[str]:
    """What is wrong with the epochs on the disk of a room. `doubtful` are the keys that may have signed two histories.

    `rooms` is the number of rooms.
    """
    store, ends = room.store, room.store.ends()
    for looking in (
        _place_faults(store, ends),
        _proof_faults(store, ends, doubtful),
        _head_faults(store, ends),
        _piece_faults(store, ends, rooms),
    ):
        faults = [f"{room.name} {fault}" for fault in looking]
        if faults:  # what follows may not be readable
            return faults
    return []


def awaits_adoption(store: LabStore) -> bool:
    """Whether a store holds an event after the cut of a fork, or a limit, of which it knows no other dot yet."""
    beyond = store.beyond()

    def counts(epoch: Epoch, seq: int) -> bool:
        return epoch not in beyond or seq <= beyond[epoch]

    for epoch, last in beyond.items():
        for seq, standing in enumerate(store.entries(epoch), 1):
            item = standing.item
            if seq > last and isinstance(item, Entry) and item.dot is not None and not counts(*item.dot):
                return True
    return False


def _place_faults(store: LabStore, ends: Ends) -> Iterator[str]:
    places: dict[Epoch, int] = {}
    position = 0
    while changes := store.changes(position, CHANGES_AT_ONCE):
        for change in changes:
            epoch, seq = change.dot
            if change.position <= position:
                yield f"gives the position {change.position} after {position}"
                return
            position = change.position + change.length - 1
            before = places.get(epoch, 0)
            if change.is_fill and seq > before:
                yield f"has filled the entry {seq} of {epoch} before it came"
            elif not change.is_fill:
                if seq != before + 1:
                    yield f"took the entry {seq} of {epoch} after the entry {before}"
                places[epoch] = seq + change.length - 1
    for epoch, end in ends.items():
        if places.get(epoch, 0) != end.seq:
            yield f"covers {end.seq} entries of {epoch}, and {places.get(epoch, 0)} have a place"
    hollow = sum(1 for _ in store.hollow())
    if store.state.hollow != hollow:
        yield f"counts {store.state.hollow} hollow entries and has {hollow}"


def _head_faults(store: LabStore, ends: Ends) -> Iterator[str]:
    for epoch, end in ends.items():
        head = store.head(epoch, end.seq)
        if head is None or head[:END_BYTES] != end.head:
            yield f"covers {end.seq} entries of {epoch} under another head than it has"


def _proof_faults(store: LabStore, ends: Ends, doubtful: Collection[bytes]) -> Iterator[str]:
    for epoch, end in ends.items():
        proof = store.proof(epoch)
        # Of an epoch whose history the facts of the mesh name the proof is kept, and does not matter.
        if end.mark and (proof is None or proof.mark != end.mark):
            yield f"says another proof of the fork of {epoch} than it has"
        if proof is None:
            continue
        try:
            proof.check()
        except ValueError as error:
            yield f"has a proof of the fork of {epoch} that proves nothing: {error}"
        if proof.birth.key not in doubtful:
            yield f"accuses the owner of {epoch}, who did not sign two histories"


def _piece_faults(store: LabStore, ends: Ends, rooms: int) -> Iterator[str]:
    """All that is covered can be sent, to newcomers too; and nothing is adopted again and again."""
    count: Counter[bytes] = Counter()
    for epoch, end in ends.items():
        seq = 1
        while seq <= end.seq:
            piece = store.piece(epoch, seq)
            if piece is None:
                yield f"cannot send the entry {seq} of {epoch}"
                break
            if piece.last == end.seq and piece.head[:END_BYTES] != end.head:
                yield f"sends {end.seq} entries of {epoch} under another head than it covers"
            if any(piece.kinds):
                count.update(leaf for kind, leaf in zip(piece.kinds, piece.leaves, strict=True) if kind in VOUCHED)
            seq = piece.last + 1
    cut = sum(bool(end.mark) for end in ends.values()) + len(store.beyond().keys() - ends.keys())
    most = max(count.values(), default=0)
    if most > MAX_ADOPTIONS * rooms * (1 + cut):
        yield f"has {most} entries that vouch for one event"
