"""Writing the log of an old file into a new one, in which what can be is in legacy epochs, and the rest is adopted.

A *legacy epoch* has the old one's entries as far as it is known which they are: no hole, nothing cleaned, no copies that
differ. Its name and its heads follow from these alone, so two homes make the same of the same events. What has no place in
one becomes an entry of a new own epoch. Each event keeps its `added`. Those that were cleaned keep a tombstone without an
entry: their leaves are lost.
"""

from __future__ import annotations

import sqlite3
from hashlib import sha256
from pathlib import Path
from typing import Any

from msgspec import structs

from peers.events.created import Created, created_from_key, created_key
from peers.events.dot import Epoch
from peers.events.entry import Entry
from peers.events.epoch import NO_KEY, NONCE_BYTES, Birth
from peers.events.leaf import leaf_of
from peers.events.run import ADOPTED_LEGACY, OWN, RUN_BYTES, RUN_ENTRIES, RunHash
from peers.stores.run_store import Pen
from peers.stores.runs.rows import EpochRow, RunNumbers, RunRow
from peers.stores.runs.sqlite.copies import Copies, no_stamp
from peers.stores.runs.sqlite.epoch_rows import EpochTables
from peers.stores.runs.sqlite.layout import with_author
from peers.stores.runs.sqlite.nodes import Nodes
from peers.stores.runs.sqlite.old_log import OldLog, OldRow
from peers.stores.runs.sqlite.places import EntryPlaces
from peers.stores.sqlite.counters import save_facts
from peers.stores.sqlite.layout import LABELS, damaged
from peers.stores.sqlite.many import ManyRows

_BATCH = 500
"""Rows written together."""
_NONCE_LABEL = b"peermesh legacy epoch\0"
_FACTS = ("last_added", "last_position", "events", "clock_ms", "conflicts")
_FURTHER = ManyRows("INSERT INTO further (position, copy)", 2)
_LEAVES = ManyRows("INSERT OR IGNORE INTO leaves (leaf, copy)", 2)
_CURSORS = ManyRows("INSERT INTO cursors", 4)
_LAST_KEPT = ManyRows("INSERT INTO last_kept", 3)


def legacy_birth(name: str) -> Birth:
    """The birth of the epoch that had this name before epochs were signed, the same in all homes."""
    return Birth(NO_KEY, sha256(_NONCE_LABEL + name.encode()).digest()[:NONCE_BYTES])


class GrowingEpoch:
    """An epoch that is written: its runs, and where its entries are."""

    def __init__(self, birth: Birth, number: int, pen: Pen | None) -> None:
        """`pen` signs it; None: it is legacy."""
        self.name: Epoch = birth.epoch
        self.number = number
        self._birth = birth
        self._pen = pen
        self.seq = 0
        self._grown = 0
        self._run = RunHash(self.name, 1)
        self._kinds = bytearray()
        self._leaves: list[bytes] = []
        """Those of the last entries, which are not in the run's hash yet."""
        self._count = self._size = 0
        """Of the run: its entries, and their bytes."""

    def add(self, kind: int, leaf: bytes, size: int, position: int) -> RunRow | None:
        """Add an entry. Returns the run that it does not belong to any more."""
        closed: RunRow | None = None
        if self._count and not self._has_room(size):
            closed = self.row_of_run()
            self._run = RunHash(self.name, self.seq + 1, closed.head)
            self._kinds = bytearray()
            self._count = self._size = 0
        self.seq += 1
        self._grown = position
        self._count += 1
        self._size += size
        self._leaves.append(leaf)
        self._kinds.append(kind)
        return closed

    def _has_room(self, size: int) -> bool:
        return self._count < RUN_ENTRIES and self._size + size <= RUN_BYTES

    def settle(self) -> None:
        """Put the last leaves into the run's hash."""
        if self._leaves:
            self._run.add(self._kinds[-len(self._leaves) :], self._leaves)
            self._leaves = []

    def row_of_run(self) -> RunRow:
        """The last run, as far as it goes."""
        self.settle()
        run = self._run
        head = run.head
        signature = self._pen.signer.sign(self.name, run.last, head) if self._pen is not None else b""
        return RunRow(self.name, run.first, run.last, run.before, head, bytes(self._kinds), signature)

    def row(self) -> EpochRow:
        """The epoch itself."""
        self.settle()
        return EpochRow(self.name, self._birth.encode(), self.seq, self._run.head, self._run.first, self._grown)


class Rebuild:
    """Writes the rows of a new file; nothing is there yet but its tables. Raises sqlite3.Error, and StoreError for damage."""

    def __init__(self, path: Path, connection: sqlite3.Connection, old: OldLog, pen: Pen) -> None:
        self._path = path
        self._connection = connection
        self._old = old
        self._pen = pen
        self._names: list[Epoch] = []
        """The epoch whose number in the new file is i + 1."""
        self._new_numbers: dict[Epoch, int] = {}
        self._numbers = RunNumbers(last_added=old.last_added, clock_ms=old.clock_ms)
        self._nodes = Nodes(connection.execute, path)
        self._places = EntryPlaces(connection.execute, self._names, path)
        self._copies = Copies(connection.execute, self._nodes, self._names, no_stamp)
        self._tables = EpochTables(connection.execute, path)
        self._epochs: dict[int, GrowingEpoch] = {}
        """By their numbers in the old file; that of the own one is 0."""
        self._early: dict[int, set[int]] = {}
        """Seqs of legacy epochs that came before others with smaller ones."""
        self._doubted = dict.fromkeys(old.doubted())
        self._shown: list[Entry] = []
        """Events that are not written yet, whose entries are the last ones."""
        self._further: list[int] = []
        self._leaves: list[Any] = []
        self._labels: list[Any] = []
        self._span: tuple[GrowingEpoch, int, int] | None = None
        """(epoch, seq, position) of the first of the last entries that follow each other."""
        self._runs: list[tuple[int, RunRow]] = []

    def write(self) -> tuple[int, int]:
        """Write everything. Returns how many events are shown, and how many entries the own epoch has."""
        self._bury()
        for row in self._old.rows():
            self._take(row)
        for key in tuple(self._doubted):
            self._take_doubted(created_from_key(key), key)
        self._finish()
        own = self._epochs.get(0)
        return self._numbers.events, own.seq if own is not None else 0

    # Changes

    def _bury(self) -> None:
        """Tombstones have the positions before all entries. No event's position is before its `added`."""
        position = self._old.last_added
        for tombstone in self._old.tombstones():
            if not tombstone.added:
                position += 1
            at = tombstone.added or position
            copy = structs.replace(tombstone, position=at, added=at)
            self._copies.insert_one(self._connection, copy, self._number)
        self._numbers.last_position = 0 if self._old.is_plain else position

    def _take(self, row: OldRow) -> None:
        number, seq = row.epoch, row.seq
        if number is not None and seq <= self._old.prefixes.get(number, 0):
            epoch = self._epochs.get(number) or self._begin(number)
            if seq != epoch.seq + 1:
                self._early.setdefault(number, set()).add(seq)
            elif row.added is not None:
                self._show_row(epoch, row)
            else:
                self._stand_in(epoch, created_from_key(row.key))
            if number in self._early:
                self._catch_up(number, epoch)
        elif row.body is not None:
            if row.key in self._doubted:
                self._take_doubted(created_from_key(row.key), row.key)
            elif not self._old.has_place(row.key):
                self._adopt(row.entry())

    def _catch_up(self, number: int, epoch: GrowingEpoch) -> None:
        """Place the entries that were early, and are next now."""
        early = self._early[number]
        while epoch.seq + 1 in early:
            early.remove(epoch.seq + 1)
            self._stand_in(epoch, self._old.created_at(number, epoch.seq + 1))

    def _stand_in(self, epoch: GrowingEpoch, created: Created) -> None:
        """Add an entry of an event that may be here, under another dot."""
        self._flush()
        copy = self._copies.shown(created)
        if copy is None:
            event = self._old.event(created)
            if event is None:
                raise damaged(self._path, f"an entry belongs to the event {list(created)}, which is missing")
            self._write_copy(epoch, OWN, event, is_exchanged=True)
            return
        leaf = _leaf(copy)
        position = self._enter(epoch, OWN, leaf, len(copy.body) + len(copy.extra))
        self._further += (position, copy.position)
        self._leaves += (leaf, copy.position)

    def _show_row(self, epoch: GrowingEpoch, row: OldRow) -> None:
        """As `_show`, of the very most."""
        created, body, extra = created_from_key(row.key), row.body or b"", row.extra or b""
        position = self._enter(epoch, OWN, leaf_of(created, row.time, extra, body), len(body) + len(extra))
        dot = (epoch.name, epoch.seq)
        self._put(Entry(created, row.time, body, extra, dot, row.added or 0, position, row.local or b""))

    def _show(self, epoch: GrowingEpoch, kind: int, event: Entry) -> None:
        """Add an entry with its event, whose `added` is larger than all before."""
        leaf = _leaf(event)
        position = self._enter(epoch, kind, leaf, len(event.body) + len(event.extra))
        dot = (epoch.name, epoch.seq)
        copy = Entry(event.created, event.time, event.body, event.extra, dot, event.added, position, event.local)
        if kind:
            self._leaves += (leaf, position)
        self._put(copy)

    def _put(self, copy: Entry) -> None:
        self._numbers.events += 1
        self._shown.append(copy)
        if len(self._shown) == _BATCH:
            self._flush()

    def _adopt(self, event: Entry) -> None:
        self._show(self._own(), self._kind(event), event)

    def _kind(self, event: Entry) -> int:
        return OWN if event.created[1] == self._pen.node_id else ADOPTED_LEGACY

    def _take_doubted(self, created: Created, key: bytes) -> None:
        """Adopt all copies of an event: the one with the smaller (time, leaf) is shown, as in every store."""
        del self._doubted[key]
        if self._old.is_cleaned(key):
            return
        shown = self._old.event(created)
        copies = {_leaf(copy): copy for copy in self._old.aside(key)}
        if shown is not None:
            copies[_leaf(shown)] = shown
        best, *others = sorted(copies.values(), key=_rank)
        if shown is None:
            self._numbers.last_added += 1
        added, local = (shown.added, shown.local) if shown is not None else (self._numbers.last_added, b"")
        self._adopt(structs.replace(best, added=added, local=local))
        self._flush()
        for copy in others:
            self._write_copy(self._own(), self._kind(copy), structs.replace(copy, added=0, local=b""))
            self._numbers.conflicts += 1

    def _write_copy(self, epoch: GrowingEpoch, kind: int, copy: Entry, *, is_exchanged: bool = False) -> None:
        """Add an entry with its copy, which is aside, or has an `added` that is not in the order of positions."""
        leaf = _leaf(copy)
        position = self._enter(epoch, kind, leaf, len(copy.body) + len(copy.extra))
        placed = structs.replace(copy, dot=(epoch.name, epoch.seq), position=position)
        self._copies.insert_one(self._connection, placed, self._number, is_exchanged=is_exchanged)
        self._leaves += (leaf, position)
        if is_exchanged:
            self._numbers.events += 1
            self._label([placed])

    # Entries

    def _begin(self, number: int) -> GrowingEpoch:
        pen = self._pen
        birth = (
            legacy_birth(self._old.epochs[number])
            if number
            else Birth(pen.signer.public, pen.nonce(), node_id=pen.node_id)
        )
        epoch = GrowingEpoch(birth, self._number(birth.epoch), None if number else pen)
        self._epochs[number] = epoch
        return epoch

    def _own(self) -> GrowingEpoch:
        return self._epochs.get(0) or self._begin(0)

    def _number(self, epoch: Epoch) -> int:
        """That of an epoch in the new file; a new one gets one."""
        number = self._new_numbers.setdefault(epoch, len(self._names) + 1)
        if number > len(self._names):
            self._names.append(epoch)
        return number

    def _enter(self, epoch: GrowingEpoch, kind: int, leaf: bytes, size: int) -> int:
        """Add an entry at the next position, which is returned."""
        self._numbers.last_position += 1
        position = self._numbers.last_position
        if self._span is None or self._span[0] is not epoch:
            self._end_span()
            self._span = epoch, epoch.seq + 1, position
        closed = epoch.add(kind, leaf, size, position)
        if closed is not None:
            self._runs.append((epoch.number, closed))
        return position

    def _end_span(self) -> None:
        if self._span is not None:
            epoch, seq, position = self._span
            epoch.settle()
            self._places.insert(epoch.number, seq, position, epoch.seq - seq + 1)
            self._span = None

    # Rows

    def _flush(self) -> None:
        """Write what waits."""
        shown, self._shown = self._shown, []
        if shown:
            if not self._copies.insert(self._connection, shown, self._number):
                raise damaged(self._path, f"an event from {list(shown[0].created)} on is there twice")
            self._label([event for event in shown if event.extra or event.local])
        _FURTHER.write(self._connection, self._further)
        _LEAVES.write(self._connection, self._leaves)
        LABELS.write(self._connection, self._labels)
        self._tables.put_runs(self._connection, self._runs)
        self._further, self._leaves, self._labels, self._runs = [], [], [], []

    def _label(self, events: list[Entry]) -> None:
        for event in events:
            if labels := event.labels:
                place = event.position, event.time, created_key(event.created)
                self._labels += [value for label in labels for value in (*label, *place)]

    def _finish(self) -> None:
        self._end_span()
        self._runs += [(epoch.number, epoch.row_of_run()) for epoch in self._epochs.values()]
        self._flush()
        self._tables.put(self._connection, [(epoch.number, epoch.row()) for epoch in self._epochs.values()])
        for reason, *place in self._old.last_kept():
            _LAST_KEPT.write(self._connection, [with_author(reason, place[1]), *place])
        _CURSORS.write(self._connection, [value for row in self._old.cursors() for value in row])
        save_facts(self._connection, _FACTS, RunNumbers(), self._numbers)


def _leaf(event: Entry) -> bytes:
    return leaf_of(event.created, event.time, event.extra, event.body)


def _rank(copy: Entry) -> tuple[int, bytes]:
    return copy.time, _leaf(copy)
