"""The rows of a store in SQLite: one statement or two for each primitive."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Sequence, Set
from contextlib import AbstractContextManager
from hashlib import sha256
from pathlib import Path
from typing import Any

from msgspec import structs

from peers.events.created import Created, created_from_key, created_key, created_keys
from peers.events.entry import Entry
from peers.events.reasons import Label
from peers.events.version_vector import Dot, Epoch
from peers.stores.append import AppendRules
from peers.stores.event_rows import AlreadyKnown
from peers.stores.rows import Copy
from peers.stores.sqlite.layout import LABELS, LAYOUT_2
from peers.stores.sqlite.many import FEW, LOOKUP, RUN_ROWS, ConsecutiveRows, ManyRows
from peers.stores.sqlite.open_file import OpenFile
from peers.stores.sqlite.reading import COLUMNS, EVENT, ChangeReader, Row
from peers.stores.store import Place

MAX_CONFLICTING = 5_000
"""Events in conflict whose `created` is kept in memory; where there are more, each append looks for its own in the file."""

CLAIM = "created, time, body, extra, epoch, seq, tombstone"
OF_LABEL = f"SELECT {', '.join('c.' + name for name in COLUMNS.split(', '))} FROM labels AS l CROSS JOIN changes AS c"
"""Events by their labels; `position` says which belong together."""

# FAIL, since an append that fails is undone as a whole: so SQLite need not keep what each statement overwrites.
_CHANGES = ManyRows(
    "INSERT OR FAIL INTO changes (position, epoch, seq, added, created, time, body, extra, tombstone)",
    9,
)
_RUN = ConsecutiveRows(
    "INSERT OR FAIL INTO changes (position, seq, added, epoch, created, time, body, extra)",
    counters=3,
    same=1,
    columns=4,
)
_AT_ALL = f"SELECT {COLUMNS} FROM changes WHERE epoch = ? AND seq IN (SELECT value FROM json_each(?))"
_DOTS = "SELECT position, epoch, seq FROM changes WHERE created = ? AND epoch IS NOT NULL"
_OTHER = "SELECT 1 FROM changes AS other WHERE other.created = changes.created AND other.epoch <> changes.epoch"
_DOUBLED = f"""
    SELECT created FROM changes WHERE epoch = ?
    AND (EXISTS ({_OTHER} AND other.added IS NULL) OR EXISTS ({_OTHER} AND other.added IS NOT NULL)) ORDER BY position
"""
_LIVING = f"SELECT {COLUMNS} FROM changes WHERE position > ? AND body IS NOT NULL ORDER BY position LIMIT ?"
_LABELLED = f"""
    {OF_LABEL} ON c.position = l.position WHERE l.kind = ? AND l.name = ? AND l.position > ?
    ORDER BY l.position LIMIT ?
"""
_WITH_OLDER_REASON = f"""
    {OF_LABEL} ON c.position = l.position WHERE l.kind = 'reason' AND l.name = ? AND (l.time, l.created) < (?, ?)
    ORDER BY l.time, l.created
"""
_UNLABEL = "DELETE FROM labels WHERE kind = ? AND name = ? AND position = ?"


class SqliteRows(OpenFile, AppendRules):
    """Events and further dots in the table `changes`, claims in `aside`, what events are found by in `labels`.

    A row with `added` is an event's own: it has a body, or a tombstone. The others are further dots; in them, an empty
    tombstone says that the event is one.
    """

    def __init__(
        self, path: str | Path, *, synchronous: str, checkpoint_lock: AbstractContextManager[Any] | None
    ) -> None:
        super().__init__(path, LAYOUT_2, synchronous=synchronous, checkpoint_lock=checkpoint_lock)
        self._epochs: list[Epoch] = []
        """The epoch whose id is i + 1."""
        self._epoch_ids: dict[Epoch, int] = {}
        self._reader = ChangeReader(self._execute, self._epochs, self._path)
        self._conflicting: set[Created] | None = set()
        """At least those events of which there is a copy aside; None if they are too many."""

    def copies(self) -> Iterator[Copy]:
        for table, is_aside in (("changes WHERE added IS NOT NULL", False), ("aside", True)):
            for key, body, tombstone in self._execute(f"SELECT created, body, tombstone FROM {table}"):
                yield Copy(created_from_key(key), b"" if tombstone else sha256(body).digest(), is_aside)

    def dots(self) -> Iterator[Dot]:
        rows = self._execute("SELECT epoch, seq FROM changes WHERE epoch IS NOT NULL")
        return ((self._epochs[epoch - 1], seq) for epoch, seq in rows)

    def _known_among(self, entries: Sequence[Entry], *, is_second_try: bool) -> dict[Created, Entry | None]:
        known: dict[Created, Entry | None] = {}
        if not is_second_try and not self._numbers.conflicts:
            return known
        createds = [entry.created for entry in entries]
        if is_second_try:
            rows = self._look_up(f"SELECT {COLUMNS} FROM changes WHERE added IS NOT NULL AND created IN", createds)
            known = {event.created: event for event in map(self._reader.event, rows)}
        if self._conflicting is not None:
            return known | dict.fromkeys(self._conflicting.intersection(createds))
        claims = self._look_up("SELECT created FROM aside WHERE created IN", createds)
        return known | dict.fromkeys([created_from_key(key) for (key,) in claims])

    def _look_up(self, select: str, createds: Sequence[Created]) -> list[Row]:
        """The rows of `select` for these keys. Few sizes of statements, so that each is prepared once."""
        keys = created_keys(createds)
        rows: list[Row] = []
        for start in range(0, len(keys), LOOKUP):
            piece = keys[start : start + LOOKUP]
            size = LOOKUP if len(piece) > FEW else FEW
            marks = ", ".join("?" * size)
            rows += self._execute(f"{select} ({marks})", piece + piece[-1:] * (size - len(piece))).fetchall()
        return rows

    def _note_conflicting(self, created: Created) -> None:
        if self._conflicting is not None:
            self._conflicting.add(created)
            if len(self._conflicting) > MAX_CONFLICTING:
                self._conflicting = None

    def _insert(self, changes: list[Entry], further: Set[int]) -> None:
        try:
            if further or not self._insert_run(changes):
                self._insert_each(changes, further)
        except sqlite3.IntegrityError as error:
            raise AlreadyKnown from error
        if labelled := [change for change in changes if change.extra and change.position not in further]:
            self._label(labelled)

    def _insert_run(self, changes: list[Entry]) -> bool:
        """Insert new events, if their dots follow each other; False if they do not, or are few."""
        first = changes[0]
        assert first.dot is not None
        epoch, seq = first.dot
        count = len(changes)
        if count < RUN_ROWS or [change.dot for change in changes] != [(epoch, seq + n) for n in range(count)]:
            return False
        if any(change.tombstone for change in changes):
            return False
        keys = created_keys([change.created for change in changes])
        values: list[Any] = [None] * (4 * count)
        values[::4] = keys
        values[1::4] = [change.time for change in changes]
        values[2::4] = [change.body for change in changes]
        values[3::4] = [change.extra for change in changes]
        _RUN.write(self._opened(), (first.position, seq, first.added), (self._epoch_id(epoch),), values)
        return True

    def _insert_each(self, changes: list[Entry], further: Set[int]) -> None:
        values: list[Any] = []
        last_epoch, number = "", 0
        for change, key in zip(changes, created_keys([change.created for change in changes]), strict=True):
            assert change.dot is not None
            epoch, seq = change.dot
            if epoch != last_epoch:
                last_epoch, number = epoch, self._epoch_id(epoch)
            if change.position in further:
                tombstone = b"" if change.tombstone else None
                values += (change.position, number, seq, None, key, None, None, None, tombstone)
            elif change.tombstone:
                values += (change.position, number, seq, change.added, key, *_content(change))
            else:
                values += (
                    change.position,
                    number,
                    seq,
                    change.added,
                    key,
                    change.time,
                    change.body,
                    change.extra,
                    None,
                )
        _CHANGES.write(self._opened(), values)

    def _at(self, dot: Dot) -> Entry | None:
        row = self._execute(
            f"SELECT {COLUMNS} FROM changes WHERE epoch = ? AND seq = ?", (self._epoch_ids.get(dot[0]), dot[1])
        ).fetchone()
        return self._reader.entry(row) if row else None

    def _at_all(self, dots: Sequence[Dot]) -> dict[Dot, Entry]:
        seqs: dict[Epoch, list[int]] = {}
        for epoch, seq in dots:
            seqs.setdefault(epoch, []).append(seq)
        events: dict[Dot, Entry] = {}
        for epoch, some in seqs.items():
            for row in self._execute(_AT_ALL, (self._epoch_ids.get(epoch), json.dumps(some))).fetchall():
                events[epoch, row[2]] = self._reader.entry(row)
        return events

    def _shown(self, created: Created) -> Entry | None:
        row = self._execute(EVENT, (created_key(created),)).fetchone()
        return self._reader.event(row) if row else None

    def _replace(self, copy: Entry) -> None:
        event = self._shown(copy.created)
        assert event is not None
        self._unlabel(event)
        self._execute(
            "UPDATE changes SET time = ?, body = ?, extra = ?, tombstone = ? WHERE position = ?",
            (*_content(copy), event.position),
        )
        now = structs.replace(copy, position=event.position, local=event.local)
        self._label([now])

    def _drop_dot(self, dot: Dot) -> None:
        place = self._epoch_ids[dot[0]], dot[1]
        self._execute("DELETE FROM changes WHERE epoch = ? AND seq = ? AND added IS NULL", place)
        self._execute("UPDATE changes SET epoch = NULL, seq = NULL WHERE epoch = ? AND seq = ?", place)

    def _hide(self, created: Created) -> None:
        event = self._shown(created)
        assert event is not None
        self._unlabel(event)
        self._execute("DELETE FROM changes WHERE created = ?", (created_key(created),))

    def _changes(self, positions: Sequence[int]) -> list[Entry]:
        changes: list[Entry] = []
        self._reader.gather(self._reader.read(positions), changes)
        return changes

    def _events_in(self, epoch: Epoch) -> list[Entry]:
        rows = self._execute(
            f"SELECT {COLUMNS} FROM changes WHERE epoch = ? ORDER BY position", (self._epoch_ids.get(epoch),)
        )
        return [self._reader.entry(row) for row in rows]

    def _dots_of(self, created: Created) -> list[Dot]:
        return [(self._epochs[epoch - 1], seq) for _, epoch, seq in self._places(created)]

    def _places_of(self, created: Created) -> list[int]:
        return [position for position, _, _ in self._places(created)]

    def _places(self, created: Created) -> list[Row]:
        """(position, epoch's id, seq) of its dots, in order."""
        return self._execute(
            f"{_DOTS} AND added IS NOT NULL UNION ALL {_DOTS} AND added IS NULL ORDER BY position",
            [created_key(created)] * 2,
        ).fetchall()

    def _doubled(self, epoch: Epoch) -> list[Created]:
        rows = self._execute(_DOUBLED, (self._epoch_ids.get(epoch),))
        return list(dict.fromkeys([created_from_key(key) for (key,) in rows]))

    def _aside_of(self, created: Created) -> list[Entry]:
        rows = self._execute(f"SELECT {CLAIM} FROM aside WHERE created = ? ORDER BY number", (created_key(created),))
        return [self._claim_of(row) for row in rows]

    def _insert_aside(self, claim: Entry) -> None:
        assert claim.dot is not None
        epoch, seq = claim.dot
        self._note_conflicting(claim.created)
        self._execute(
            "INSERT INTO aside (created, time, body, extra, epoch, seq, tombstone) VALUES (?, ?, ?, ?, ?, ?, ?)",
            (
                created_key(claim.created),
                claim.time,
                claim.body,
                claim.extra,
                self._epoch_id(epoch),
                seq,
                claim.tombstone or None,
            ),
        )

    def _remove_aside(self, claim: Entry) -> None:
        assert claim.dot is not None
        epoch, seq = claim.dot
        self._execute(
            "DELETE FROM aside WHERE created = ? AND time = ? AND body = ? AND extra = ? AND epoch = ? AND seq = ?"
            " AND ifnull(tombstone, x'') = ?",
            (
                created_key(claim.created),
                claim.time,
                claim.body,
                claim.extra,
                self._epoch_ids[epoch],
                seq,
                claim.tombstone,
            ),
        )

    def _claim_of(self, row: Row) -> Entry:
        key, time, body, extra, epoch, seq, tombstone = row
        dot = (self._epochs[epoch - 1], seq)
        return Entry(created_from_key(key), time, body, extra, dot, 0, 0, b"", tombstone or b"")

    def _epoch_id(self, epoch: Epoch) -> int:
        """Its number; a new one gets one, and is saved when the transaction ends."""
        number = self._epoch_ids.get(epoch)
        if number is None:
            self._epochs.append(epoch)
            number = self._epoch_ids[epoch] = len(self._epochs)
        return number

    # Reasons, indexes and tombstones

    def _set_local(self, event: Entry, local: bytes) -> None:
        self._unlabel(event)
        self._execute("UPDATE changes SET local = ? WHERE position = ?", (local, event.position))
        self._label([structs.replace(event, local=local)])

    def _bury(self, event: Entry) -> None:
        self._unlabel(event)
        self._execute(
            "UPDATE changes SET body = NULL, extra = NULL, local = NULL, tombstone = ? WHERE position = ?",
            (event.digest, event.position),
        )
        self._execute(
            "UPDATE changes SET tombstone = x'' WHERE created = ? AND added IS NULL", (created_key(event.created),)
        )

    def _living(self, after: int, limit: int) -> list[Entry]:
        return [self._reader.event(row) for row in self._execute(_LIVING, (after, limit))]

    def _labelled(self, label: Label, after: int, limit: int) -> list[Entry]:
        return [self._reader.event(row) for row in self._execute(_LABELLED, (*label, after, limit))]

    def _with_older_reason(self, reason: str, place: Place) -> list[Entry]:
        rows = self._execute(_WITH_OLDER_REASON, (reason, place[0], created_key(place[1])))
        return [self._reader.event(row) for row in rows.fetchall()]

    def _last_kept(self, reason: str) -> Place | None:
        row = self._execute("SELECT time, created FROM last_kept WHERE reason = ?", (reason,)).fetchone()
        return (row[0], created_from_key(row[1])) if row else None

    def _set_last_kept(self, reason: str, place: Place) -> None:
        time, created = place
        self._execute("INSERT OR REPLACE INTO last_kept VALUES (?, ?, ?)", (reason, time, created_key(created)))

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


def _content(copy: Entry) -> Row:
    """Time, body, extra and tombstone, as an event's own row has them."""
    if copy.tombstone:
        return copy.time, None, None, copy.tombstone
    return copy.time, copy.body, copy.extra, None
