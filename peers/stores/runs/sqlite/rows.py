"""The rows of a store of runs in SQLite: copies of events and their entries."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from itertools import count
from pathlib import Path
from typing import Any

from msgspec import structs

from peers.events.columns import EventColumns, Items
from peers.events.created import NODE_MARK, Created, created_from_key, created_key
from peers.events.dot import Dot, Epoch
from peers.events.entry import Entry
from peers.events.reasons import Kept, Label
from peers.stores.event_rows import AlreadyKnown
from peers.stores.runs.epochs import leaf_at
from peers.stores.runs.rows import EntryState, Hollow, RunRows, Standing
from peers.stores.runs.sqlite.copies import COPY_COLUMNS, Copies
from peers.stores.runs.sqlite.key_rows import KEY_COLUMNS, insert_keys, key_row
from peers.stores.runs.sqlite.layout import (
    ASIDE,
    ASIDE_BURIED,
    BURIED,
    BURIED_EXCHANGED,
    EXCHANGED,
    LAYOUT_3,
    NODE_OF_LABEL,
    SHOWN,
    WAITING,
    kept_key,
    with_author,
)
from peers.stores.runs.sqlite.nodes import Nodes
from peers.stores.runs.sqlite.places import EntryPlaces
from peers.stores.runs.sqlite.undo_marks import UndoMarks
from peers.stores.sqlite.layout import LABELS, damaged
from peers.stores.sqlite.many import LOOKUP, RUN_ROWS, ManyRows
from peers.stores.sqlite.open_file import OpenFile
from peers.stores.store import KeyRow, Place
from peers.stores.taken import Change

_E_COLUMNS = ", ".join("e." + name for name in COPY_COLUMNS.split(", "))
_OF_LABEL = f"SELECT {_E_COLUMNS} FROM labels AS l CROSS JOIN events AS e ON e.position = l.position"
_LIVING = f"SELECT {COPY_COLUMNS} FROM events WHERE position > ? AND state < {BURIED} ORDER BY position LIMIT ?"
_LABELLED = f"{_OF_LABEL} WHERE l.kind = ? AND l.name = ? AND l.position > ? ORDER BY l.position LIMIT ?"
_WITH_OLDER_REASON = f"""
    {_OF_LABEL} WHERE l.kind = 'reason' AND l.name = ? AND (l.time, l.created) < (?, ?) ORDER BY l.time, l.created
"""
_OF_AUTHOR = f"""
    {_OF_LABEL.replace("AS l", "AS l INDEXED BY reasons_by_node")}
    WHERE l.kind = 'reason' AND l.name = ? AND {NODE_OF_LABEL} BETWEEN ? AND ? AND (l.time, l.created) < (?, ?)
"""
_BURIED_BETWEEN = f"""
    SELECT ms, node, n FROM events WHERE position > ? AND position <= ? AND state IN ({BURIED}, {BURIED_EXCHANGED})
"""
_UNLABEL = "DELETE FROM labels WHERE kind = ? AND name = ? AND position = ?"
_BURY = f"""
    UPDATE events SET time = ifnull(time, ms), body = ?, extra = NULL, local = NULL,
    state = CASE state WHEN {SHOWN} THEN {BURIED} WHEN {EXCHANGED} THEN {BURIED_EXCHANGED} ELSE {ASIDE_BURIED} END
    WHERE position = ?
"""
_PUT_ASIDE = f"""
    UPDATE events SET time = ifnull(time, ms), lag = 0, local = NULL,
    state = CASE WHEN state < {BURIED} THEN {ASIDE} ELSE {ASIDE_BURIED} END WHERE position = ?
"""
_SHOW = f"""
    UPDATE events SET time = nullif(time, ms), lag = position - ?, local = ?, state = {EXCHANGED} WHERE position = ?
"""
_DUE = f"""
    SELECT {COPY_COLUMNS} FROM events WHERE state = {WAITING} AND time <= ? ORDER BY time, position LIMIT ?
"""
_FURTHER = ManyRows("INSERT INTO further (position, copy)", 2)
_FURTHER_BETWEEN = "SELECT position, copy FROM further WHERE position BETWEEN ? AND ?"
_HOLLOW = ManyRows("INSERT INTO hollow (epoch, seq, position, leaf, is_refused)", 5)
_HOLLOW_IN = "SELECT seq, position, leaf, is_refused FROM hollow WHERE epoch = ? AND seq BETWEEN ? AND ? ORDER BY seq"
_NEXT_HOLLOW = "SELECT min(epoch) FROM hollow WHERE epoch > ?"
_ASIDE = f"""
    SELECT {COPY_COLUMNS} FROM events INDEXED BY aside_by_created WHERE state >= {ASIDE} AND state < {ASIDE_BURIED}
    ORDER BY position DESC LIMIT ?
"""


class SqliteRunRows(OpenFile, RunRows):
    """Copies in the table `events`; their entries in `spans` and `steps`, `further` and `hollow`; and labels."""

    def __init__(
        self, path: str | Path, *, synchronous: str, checkpoint_lock: AbstractContextManager[Any] | None
    ) -> None:
        super().__init__(path, LAYOUT_3, synchronous=synchronous, checkpoint_lock=checkpoint_lock)
        self._names: list[Epoch] = []
        """The epoch whose number is i + 1."""
        self._epoch_numbers: dict[Epoch, int] = {}
        self._nodes = Nodes(self._execute, self._path)
        self._places = EntryPlaces(self._execute, self._names, self._path)
        self._copies = Copies(self._execute, self._nodes, self._names, self._stamp_of)
        self._undo_marks: UndoMarks = UndoMarks(self._execute, self._opened)

    def _number(self, epoch: Epoch) -> int:
        """That of an epoch; a new one gets one, under which its row will be written."""
        number = self._epoch_numbers.get(epoch)
        if number is None:
            self._names.append(epoch)
            number = self._epoch_numbers[epoch] = len(self._names)
        return number

    def _number_of(self, epoch: Epoch) -> int:
        """That of an epoch, 0 if it has none."""
        return self._epoch_numbers.get(epoch, 0)

    # Copies

    def copies(self) -> Iterator[Entry]:
        for row in self._execute(f"SELECT {COPY_COLUMNS} FROM events ORDER BY position"):
            yield self._copies.entry(row)

    def aside(self, last: int | None = None) -> tuple[Entry, ...]:
        """As in the port."""
        with self._explained():
            rows = self._execute(_ASIDE, (-1 if last is None else last,)).fetchall()
            return tuple(self._copies.entries(rows[::-1]))

    def _shown(self, created: Created) -> Entry | None:
        return self._copies.shown(created)

    def _known_among(self, createds: Sequence[Created]) -> dict[Created, Entry]:
        return {copy.created: copy for copy in self._copies.shown_among(createds)}

    def _buried_between(self, after: int, until: int) -> list[Created]:
        rows = self._execute(_BURIED_BETWEEN, (after, until)).fetchall()
        return [(ms, self._nodes.name(node), n) for ms, node, n in rows]

    def _insert(self, events: Sequence[Entry]) -> None:
        try:
            if not self._copies.insert(self._opened(), events, self._number):
                raise AlreadyKnown
        except sqlite3.IntegrityError as error:
            raise AlreadyKnown from error
        if not isinstance(events, EventColumns) and (labelled := [each for each in events if each.extra or each.local]):
            self._label(labelled)

    def _insert_aside(self, copy: Entry) -> None:
        self._copies.insert_one(self._opened(), copy, self._number)

    def _exchange(self, shown: Entry, better: Entry) -> None:
        self._unlabel(shown)
        self._execute(_PUT_ASIDE, (shown.position,))
        self._copies.insert_one(self._opened(), better, self._number, is_exchanged=True)
        self._label([better])

    def _has_waiting(self, createds: Sequence[Created]) -> bool:
        return self._copies.have_waiting(createds)

    def _due(self, until_ms: int, limit: int) -> list[Entry]:
        return self._copies.entries(self._execute(_DUE, (until_ms, limit)).fetchall())

    def _move_copy(self, waiting: Entry, leaf: bytes, position: int) -> None:
        before = waiting.position
        self._execute("DELETE FROM events WHERE position = ?", (before,))
        self._execute("UPDATE further SET copy = ? WHERE copy = ?", (position, before))
        self._execute("UPDATE leaves SET copy = ? WHERE leaf = ? AND copy = ?", (position, leaf, before))
        self._insert_further([(before, position)])

    def _swap(self, shown: Entry, better: Entry) -> None:
        self._unlabel(shown)
        self._execute(_PUT_ASIDE, (shown.position,))
        self._execute(_SHOW, (better.added, better.local or None, better.position))
        self._copies.note_others([better.created])
        self._label([better])

    def _bury_copy(self, copy: Entry, leaf: bytes) -> None:
        if copy.added:
            self._unlabel(copy)
        self._execute(_BURY, (leaf, copy.position))
        self._copies.note_others([copy.created])

    def _set_dot(self, copy: Entry, dot: Dot) -> None:
        self._execute(
            "UPDATE events SET epoch = ?, seq = ? WHERE position = ?", (self._number(dot[0]), dot[1], copy.position)
        )

    def _set_local(self, event: Entry, local: bytes) -> None:
        self._unlabel(event)
        self._execute("UPDATE events SET local = ? WHERE position = ?", (local or None, event.position))
        self._label([structs.replace(event, local=local)])

    def _aside_of(self, created: Created) -> list[Entry]:
        return self._copies.aside(created)

    def _copy_at(self, position: int) -> Entry | None:
        rows = self._copies.at([position])
        return self._copies.entry(rows[0]) if rows else None

    def _dots_of(self, copy: Entry) -> list[Change]:
        rows = self._execute("SELECT position FROM further WHERE copy = ?", (copy.position,)).fetchall()
        last = self._numbers.last_position
        found: list[Change] = []
        own = [copy.position] if copy.dot is not None else []
        for position in sorted([*own, *[row[0] for row in rows]]):
            (change,) = self._places.changes(position - 1, 1, last)
            found.append(Change(position, change.dot, is_fill=change.is_fill))
        return found

    def _note(self, leaf: bytes, position: int) -> None:
        self._execute("INSERT OR IGNORE INTO leaves (leaf, copy) VALUES (?, ?)", (leaf, position))

    def _noted(self, leaves: Sequence[bytes]) -> dict[bytes, Entry]:
        found = dict(self._looked_up("SELECT leaf, copy FROM leaves WHERE leaf IN", leaves))
        copies = {copy.position: copy for copy in self._copies.entries(self._copies.at(sorted(set(found.values()))))}
        return {leaf: copies[position] for leaf, position in found.items()}

    def _looked_up(self, select: str, leaves: Sequence[bytes]) -> list[tuple[Any, ...]]:
        """The rows of `select` for these leaves."""
        rows: list[tuple[Any, ...]] = []
        for start in range(0, len(leaves), LOOKUP):
            piece = leaves[start : start + LOOKUP]
            size = LOOKUP if len(piece) > 1 else 1
            values = [*piece, *[None] * (size - len(piece))]
            rows += self._execute(f"{select} ({', '.join('?' * size)})", values).fetchall()
        return rows

    # Reasons and indexes

    def _living(self, after: int, limit: int) -> list[Entry]:
        return self._copies.entries(self._execute(_LIVING, (after, limit)).fetchall())

    def _labelled(self, label: Label, after: int, limit: int) -> list[Entry]:
        return self._copies.entries(self._execute(_LABELLED, (*label, after, limit)).fetchall())

    def _without_author(self) -> list[tuple[str, bytes]]:
        """What a release before has kept last, without saying whose: reason and created."""
        with self._explained():
            return self._execute("SELECT reason, created FROM last_kept WHERE instr(reason, char(10)) = 0").fetchall()

    def _give_authors(self) -> None:
        for reason, created in self._without_author():
            self._execute("UPDATE last_kept SET reason = ? WHERE reason = ?", (with_author(reason, created), reason))

    def _unrecorded(self) -> list[tuple[bytes, int]]:
        """The leaves and positions of copies aside that a release before has not put on record."""
        found: list[tuple[bytes, int]] = []
        if self._numbers.conflicts:
            with self._explained():
                rows = self._execute(_ASIDE, (-1,))
                while some := rows.fetchmany(LOOKUP):
                    places = {leaf_at(copy): copy.position for copy in self._copies.entries(some)}
                    known = self._looked_up("SELECT leaf, copy FROM leaves WHERE leaf IN", list(places))
                    found += places.items() - {(leaf, places[leaf]) for leaf, _ in known}
        return found

    def _with_older_reason(self, kept: Kept, place: Place) -> list[Entry]:
        author, reason = kept
        before = place[0], created_key(place[1])
        if not author:
            return self._copies.entries(self._execute(_WITH_OLDER_REASON, (reason, *before)).fetchall())
        name = author.encode()
        spans = [(name, name)] if NODE_MARK in author else [(name, name), (name + b":", name + b":\xff")]
        found = [self._execute(_OF_AUTHOR, (reason, *span, *before)).fetchall() for span in spans]
        return sorted(self._copies.entries([row for rows in found for row in rows]), key=_place)

    def _last_kept(self, kept: Kept) -> Place | None:
        row = self._execute("SELECT time, created FROM last_kept WHERE reason = ?", (kept_key(kept),)).fetchone()
        return (row[0], created_from_key(row[1])) if row else None

    def _set_last_kept(self, kept: Kept, place: Place) -> None:
        time, created = place
        self._execute("INSERT OR REPLACE INTO last_kept VALUES (?, ?, ?)", (kept_key(kept), time, created_key(created)))

    def _label(self, events: Sequence[Entry]) -> None:
        values: list[Any] = []
        for event in events:
            if labels := event.labels:
                place = event.position, event.time, created_key(event.created)
                values += [value for label in labels for value in (*label, *place)]
        LABELS.write(self._opened(), values)

    def _unlabel(self, event: Entry) -> None:
        for label in event.labels:
            self._execute(_UNLABEL, (*label, event.position))

    # Keys of adds

    def keyed(self, keys: Sequence[bytes]) -> dict[bytes, KeyRow]:
        """As in the port."""
        with self._explained():
            found = self._looked_up(f"SELECT {KEY_COLUMNS} FROM keys WHERE key IN", keys)
            rows = [key_row(row, self._nodes, self._name_of) for row in found]
        return {row.key: row for row in rows}

    def keep_keys(self, rows: Sequence[KeyRow]) -> None:
        """As in the port."""
        if rows:
            with self._piece():
                insert_keys(self._opened(), rows, self._nodes, self._number)

    # Entries

    def _insert_span(self, epoch: Epoch, seq: int, position: int, count: int) -> None:
        self._places.insert(self._number(epoch), seq, position, count)

    def _insert_fills(self, fills: Sequence[tuple[int, Dot]]) -> None:
        for position, (epoch, seq) in fills:
            self._places.insert_fill(position, self._number(epoch), seq)

    def _insert_further(self, pairs: Sequence[tuple[int, int]]) -> None:
        _FURTHER.write(self._opened(), [value for pair in pairs for value in pair])

    def _insert_hollow(self, rows: Sequence[Hollow]) -> None:
        values: list[Any] = []
        for (epoch, seq), position, leaf, is_refused in rows:
            values += (self._number(epoch), seq, position, leaf, is_refused)
        _HOLLOW.write(self._opened(), values)

    def _remove_hollow(self, rows: Sequence[Hollow]) -> None:
        for (epoch, seq), _, _, _ in rows:
            self._execute("DELETE FROM hollow WHERE epoch = ? AND seq = ?", (self._number(epoch), seq))

    def _read(self, epoch: Epoch, first: int, last: int) -> list[Standing]:
        number = self._number_of(epoch)
        positions = self._places.positions(number, first, last)
        copies = {copy.position: copy for copy in self._copies.entries(self._copies.of_entries(number, positions))}
        if len(copies) == len(positions) and not any(copy.tombstone for copy in copies.values()):
            return [Standing(position, "held", copy) for position, copy in copies.items()]
        further: dict[int, int] = {}
        if len(copies) < len(positions):
            further = dict(self._execute(_FURTHER_BETWEEN, (positions[0], positions[-1])).fetchall())
            elsewhere = sorted({further[position] for position in positions if position in further} - copies.keys())
            copies |= {copy.position: copy for copy in self._copies.entries(self._copies.at(elsewhere))}
        hollow = {row.position: row for row in self._hollow_in(epoch, first, last)}
        standings: list[Standing] = []
        for seq, position in zip(count(first), positions, strict=False):
            copy, row = copies.get(further.get(position, position)), hollow.get(position)
            if row is not None:
                standings.append(Standing(position, _state(is_refused=row.is_refused), row.leaf))
            elif copy is not None:
                state: EntryState = "cleaned" if copy.tombstone else "held"
                standings.append(Standing(position, state, copy.tombstone or copy))
            else:
                raise damaged(self._path, f"the entry {seq} of the epoch {epoch} is missing")
        return standings

    def _items(self, epoch: Epoch, first: int, last: int) -> Items:
        number = self._number_of(epoch)
        positions = self._places.positions(number, first, last)
        events = self._copies.run(number, first, positions) if len(positions) >= RUN_ROWS else None
        return events if events is not None else super()._items(epoch, first, last)

    def _spans(self, after: int, limit: int) -> list[Change]:
        return self._places.changes(after, limit, self._numbers.last_position)

    def _name_of(self, number: int) -> Epoch:
        if not 0 < number <= len(self._names):
            raise damaged(self._path, f"the epoch with the number {number} is missing")
        return self._names[number - 1]

    def _hollow_with(self, leaves: Sequence[bytes]) -> dict[bytes, list[Hollow]]:
        found: dict[bytes, list[Hollow]] = {}
        rows = self._looked_up("SELECT position, epoch, seq, leaf, is_refused FROM hollow WHERE leaf IN", leaves)
        for position, epoch, seq, leaf, is_refused in sorted(rows):
            row = Hollow((self._name_of(epoch), seq), position, leaf, bool(is_refused))
            found.setdefault(leaf, []).append(row)
        return found

    def _hollow_in(self, epoch: Epoch, first: int, last: int) -> list[Hollow]:
        rows = self._execute(_HOLLOW_IN, (self._number_of(epoch), first, last))
        return [Hollow((epoch, seq), position, leaf, bool(refused)) for seq, position, leaf, refused in rows.fetchall()]

    def _hollow_epochs(self) -> list[Epoch]:
        names: list[Epoch] = []
        number = 0
        while True:
            (number,) = self._execute(_NEXT_HOLLOW, (number,)).fetchone()
            if number is None:
                return sorted(names)
            names.append(self._name_of(number))


def _place(event: Entry) -> Place:
    return event.time, event.created


def _state(*, is_refused: bool) -> EntryState:
    return "refused" if is_refused else "hollow"
