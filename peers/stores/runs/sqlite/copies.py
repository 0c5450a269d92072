"""The rows of copies of events in a store of runs: how they are written, read, and become entries."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import msgspec

from peers.events.columns import EventColumns, EventTable, TextColumns
from peers.events.created import MAX_MS, Created
from peers.events.dot import Dot, Epoch
from peers.events.entry import WAITS, Entry
from peers.stores.runs.sqlite.layout import ASIDE, ASIDE_BURIED, BURIED, EXCHANGED, SHOWN, WAITING
from peers.stores.runs.sqlite.nodes import Nodes
from peers.stores.sqlite.many import FEW, RUN_ROWS, ConsecutiveRows, ManyRows
from peers.stores.store import Place

COPY_COLUMNS = "position, epoch, seq, ms, node, n, time, lag, body, extra, local, state"

TABLE_COLUMNS = "position, epoch, seq, ms, node, n, time, lag, body, extra"
"""All but what one log says of an event."""

DENSITY = 8
"""Where one row of so many is asked for, or more, all are looked at, which takes less time than to find each."""

Row = tuple[Any, ...]

_to_json = msgspec.json.Encoder().encode

# FAIL, since an append that fails is undone as a whole: so SQLite need not keep what each statement overwrites.
_SIZES = (500, 128, 32, 8, 1)
_EACH = ManyRows(f"INSERT OR FAIL INTO events ({COPY_COLUMNS})", 12, sizes=_SIZES)
_RUN = ConsecutiveRows(
    "INSERT OR FAIL INTO events (position, seq, epoch, lag, ms, node, n, time, body, extra)",
    counters=2,
    same=2,
    columns=6,
    sizes=_SIZES,
)
_PLAIN_RUN = ConsecutiveRows(
    "INSERT OR FAIL INTO events (position, seq, epoch, lag, node, ms, n, body)",
    counters=2,
    same=3,
    columns=3,
    sizes=_SIZES,
)
"""Of EventColumns: half of the values to hand over."""
_BETWEEN = f"SELECT {COPY_COLUMNS} FROM events WHERE position BETWEEN ? AND ? ORDER BY position"
_OF_EPOCH = f"SELECT {COPY_COLUMNS} FROM events WHERE position BETWEEN ? AND ? AND epoch = ? ORDER BY position"
_RUN_OF = f"""
    SELECT
        count(*), min(node), max(node),
        CAST(group_concat(ms) AS BLOB), CAST(group_concat(n) AS BLOB), CAST(group_concat(body, x'00') AS BLOB)
    FROM %s
    AND epoch = ? AND time IS NULL AND extra IS NULL AND local IS NULL AND state = {SHOWN}
"""
"""One row with all of a run, since sqlite3 takes long to hand over rows and their values. No JSON text has a zero byte."""
_RUN_BETWEEN = _RUN_OF % "events NOT INDEXED WHERE position BETWEEN ? AND ? AND seq = position + ?"
_RUN_AT = _RUN_OF % "json_each(?) CROSS JOIN events NOT INDEXED WHERE position = value AND seq = key + ?"
_AT = f"SELECT {COPY_COLUMNS} FROM events WHERE position IN (SELECT value FROM json_each(?)) ORDER BY position"
_PLAIN = "e.time IS NULL"
_OTHERS = f"e.time IS NOT NULL AND e.state < {ASIDE}"
"""What is in the one and in the other of the unique indexes."""
_WAITING = f"e.state >= {ASIDE} AND e.state = {WAITING}"
_E_COLUMNS = ", ".join("e." + name for name in COPY_COLUMNS.split(", "))
_OF_CREATED = f"SELECT {_E_COLUMNS} FROM events AS e WHERE e.ms = ? AND e.node = ? AND e.n = ?"
_ASIDE = f"{_OF_CREATED} AND e.state >= {ASIDE} ORDER BY e.position"
_OF_KEYS = f"SELECT {_E_COLUMNS} FROM keys AS k CROSS JOIN events AS e ON e.ms = k.ms AND e.node = k.node AND e.n = k.n"
_LOWEST = f"SELECT min(e.ms) FROM events AS e WHERE {_OTHERS}"
_HIGHEST = f"SELECT max(e.ms) FROM events AS e WHERE {_OTHERS}"
_NO_MS = (MAX_MS + 1, -1)
_KEYS = 256
"""Looked up in one statement, if they are not FEW; each has three values."""
Stamp = Callable[[Dot], tuple[str | None, str, bool]]
NO_DOT = (0, 0)
"""Number of the epoch and seq of a tombstone without an entry."""


class Copies:
    """The table `events`; the epoch with the number i + 1 is `epochs[i]`."""

    def __init__(
        self, execute: Callable[..., sqlite3.Cursor], nodes: Nodes, epochs: Sequence[Epoch], stamp: Stamp
    ) -> None:
        """`stamp` gives `Entry.origin` and `Entry.vouched` of a dot, and whether others of its epoch have another."""
        self._execute = execute
        self._nodes = nodes
        self._epochs = epochs
        self._stamp = stamp
        self._others: tuple[int, int] | None = None
        """The lowest and the highest ms in the index of the others, or beyond; None before it is looked for."""

    def forget(self) -> None:
        """The file is another one, or what was written last was taken back."""
        self._others = None

    # Writing

    def insert(self, connection: sqlite3.Connection, events: Sequence[Entry], number: Callable[[Epoch], int]) -> bool:
        """Add rows of copies that are shown, in the order of their positions; `number` gives that of an epoch.

        False, and nothing is written, if one has a row that no index would notice. Raises sqlite3.IntegrityError if one has
        another row.
        """
        if isinstance(events, EventColumns):
            if self._are_near(min(events.ms), max(events.ms)) and self._are_known(list(events.createds)):
                return False
            self._insert_columns(connection, events, number)
            return True
        createds = [event.created for event in events]
        stamps = [ms for ms, _, _ in createds]
        times = [event.time for event in events]
        if self._are_known(createds, times):
            return False
        if not _follow_each_other(events):
            values = [value for event in events for value in self._values(event, SHOWN, number)]
            _EACH.write(connection, values)
            return True
        first = events[0]
        assert first.dot is not None
        epoch, seq = first.dot
        counters, same = (first.position, seq), (number(epoch), first.position - first.added)
        nodes = {name: self._nodes.numbered(name) for name in sorted({name for _, name, _ in createds})}
        values = [None] * (6 * len(events))
        values[::6] = stamps
        values[1::6] = [nodes[name] for _, name, _ in createds]
        values[2::6] = [n for _, _, n in createds]
        if times != stamps:
            values[3::6] = [None if time == ms else time for time, ms in zip(times, stamps, strict=True)]
        values[4::6] = [bytearray(event.body) for event in events]
        values[5::6] = [event.extra or None for event in events]
        _RUN.write(connection, counters, same, values)
        return True

    def _insert_columns(
        self, connection: sqlite3.Connection, events: EventColumns, number: Callable[[Epoch], int]
    ) -> None:
        assert events.dot is not None
        epoch, seq = events.dot
        values: list[Any] = [None] * (3 * len(events.ms))
        values[::3] = events.ms
        values[1::3] = events.n
        # sqlite3 looks for an adapter of bytes, which takes longer than all else about a value; not of bytearray.
        values[2::3] = map(bytearray, events.bodies)
        same = number(epoch), events.position - events.added, self._nodes.numbered(events.node_id)
        _PLAIN_RUN.write(connection, (events.position, seq), same, values)

    def insert_one(
        self, connection: sqlite3.Connection, copy: Entry, number: Callable[[Epoch], int], *, is_exchanged: bool = False
    ) -> None:
        """Add the row of one copy, which may be a tombstone, or aside."""
        _EACH.write(connection, self._values(copy, state_of(copy, is_exchanged=is_exchanged), number))
        self.note_others([copy.created])

    def note_others(self, createds: Iterable[Created]) -> None:
        """These may be in the index of the others from now on."""
        lowest, highest = self._others or self._look_for_others()
        stamps = [ms for ms, _, _ in createds]
        self._others = min(lowest, *stamps), max(highest, *stamps)

    def _values(self, copy: Entry, state: int, number: Callable[[Epoch], int]) -> list[Any]:
        ms, name, n = copy.created
        epoch, seq = (number(copy.dot[0]), copy.dot[1]) if copy.dot is not None else NO_DOT
        is_plain = copy.time == ms and state in (SHOWN, EXCHANGED)
        return [
            copy.position,
            epoch,
            seq,
            ms,
            self._nodes.numbered(name),
            n,
            None if is_plain else copy.time,
            copy.position - copy.added if state < ASIDE else 0,
            bytearray(copy.tombstone or copy.body),
            copy.extra or None,
            copy.local or None,
            state,
        ]

    def _are_near(self, first: int, last: int) -> bool:
        """Whether one with an ms from `first` to `last` may be in the index of the others."""
        lowest, highest = self._others or self._look_for_others()
        return first <= highest and lowest <= last

    def _are_known(self, createds: Sequence[Created], times: Sequence[int] = ()) -> bool:
        """Whether one of these has a row, or another of these will have it, in that unique index where its own will not be.

        `times` are theirs; empty: they are their ms.
        """
        near = [created for created in createds if self._are_near(created[0], created[0])]
        if near and self._found(near, _OTHERS):
            return True
        odd = [created for created, time in zip(createds, times, strict=False) if created[0] != time]
        if not odd:
            return False
        self.note_others(odd)
        return len(set(createds)) < len(createds) or bool(self._found(odd, _PLAIN))

    def _look_for_others(self) -> tuple[int, int]:
        (lowest,), (highest,) = self._execute(_LOWEST).fetchone(), self._execute(_HIGHEST).fetchone()
        self._others = _NO_MS if lowest is None else (lowest, highest)
        return self._others

    # Reading

    def of_entries(self, epoch: int, positions: Sequence[int]) -> list[Row]:
        """The rows at the positions of entries of one epoch."""
        first, last, count = positions[0], positions[-1], len(positions)
        if last - first >= DENSITY * count or last - first == count - 1:
            return self.at(positions)
        wanted = set(positions)  # rows of fills of the same epoch may be in between
        rows = [row for row in self._execute(_OF_EPOCH, (first, last, epoch)).fetchall() if row[0] in wanted]
        if len(rows) < count:  # some may have got another dot
            rows += self.at(sorted(wanted.difference([row[0] for row in rows])))
            rows.sort(key=_position)
        return rows

    def between(self, first: int, last: int) -> list[Row]:
        """The rows at these positions and those between, in order."""
        return self._execute(_BETWEEN, (first, last)).fetchall()

    def run(self, epoch: int, seq: int, positions: Sequence[int]) -> EventColumns | None:
        """The events of the entries of an epoch from `seq` on, which are at these positions: only what others are sent.

        None if one is not shown with the dot of its entry, has a meta, a time of its own or another node; or by chance.
        """
        first, last, count = positions[0], positions[-1], len(positions)
        if last - first == count - 1:
            found = self._execute(_RUN_BETWEEN, (first, last, seq - first, epoch))
        else:
            found = self._execute(_RUN_AT, (_to_json(positions).decode(), seq, epoch))
        read, node, other_node, *texts = found.fetchone()
        if read != count or node != other_node:
            return None
        return TextColumns(self._nodes.name(node), texts, count)

    def at(self, positions: Sequence[int]) -> list[Row]:
        """The rows at these positions, in order."""
        if not positions:
            return []
        if positions[-1] - positions[0] == len(positions) - 1:
            return self.between(positions[0], positions[-1])
        return self._execute(_AT, (_to_json(positions).decode(),)).fetchall()

    def shown(self, created: Created) -> Entry | None:
        """The copy of an event that is shown, or the tombstone in its place."""
        ms, name, n = created
        node = self._nodes.number(name)
        if node is None:
            return None
        for condition in (_PLAIN, _OTHERS):
            row = self._execute(f"{_OF_CREATED} AND {condition}", (ms, node, n)).fetchone()
            if row is not None:
                return self.entry(row)
        return None

    def shown_among(self, createds: Sequence[Created]) -> list[Entry]:
        """Those of many."""
        return self.entries([*self._found(createds, _PLAIN), *self._found(createds, _OTHERS)])

    def aside(self, created: Created) -> list[Entry]:
        """The copies of an event that are not, in the order of their positions."""
        ms, name, n = created
        node = self._nodes.number(name)
        return [] if node is None else self.entries(self._execute(_ASIDE, (ms, node, n)).fetchall())

    def have_waiting(self, createds: Sequence[Created]) -> bool:
        """Whether a copy of one of these waits."""
        return bool(self._found(createds, _WAITING))

    def _found(self, createds: Sequence[Created], condition: str) -> list[Row]:
        """Few sizes of statements, so that each is prepared once."""
        keys = [(ms, node, n) for ms, name, n in createds if (node := self._nodes.number(name)) is not None]
        rows: list[Row] = []
        for start in range(0, len(keys), _KEYS):
            piece = keys[start : start + _KEYS]
            size = _KEYS if len(piece) > FEW else FEW
            marks = ", ".join(["(?, ?, ?)"] * size)
            values = [value for key in piece for value in key] + [None] * (3 * (size - len(piece)))
            statement = f"WITH keys (ms, node, n) AS (VALUES {marks}) {_OF_KEYS} AND {condition}"
            rows += self._execute(statement, values).fetchall()
        return rows

    def entry(self, row: Row) -> Entry:
        """The copy of one row."""
        return self.entries([row])[0]

    def table(self, rows: Sequence[Row], until: int) -> EventTable:
        """The same of rows of TABLE_COLUMNS in columns, of those with an `added` up to `until`."""
        rows = [row for row in rows if row[0] - row[7] <= until]
        names = {node: self._nodes.name(node) for node in {row[4] for row in rows}}
        marks = {
            epoch: self._stamp((self._epochs[epoch - 1], 0)) if epoch else (None, "", False)
            for epoch in {row[1] for row in rows}
        }
        stamps = (
            [self._stamp((self._epochs[row[1] - 1], row[2])) if marks[row[1]][2] else marks[row[1]] for row in rows]
            if len(marks) > 1 or any(is_mixed for _, _, is_mixed in marks.values())
            else [*marks.values()] * len(rows)
        )
        return EventTable(
            [row[3] if row[6] is None else row[6] for row in rows],
            [(row[3], names[row[4]], row[5]) for row in rows],
            [row[8] for row in rows],
            [row[9] or b"" for row in rows],
            [origin for origin, _, _ in stamps],
            [vouched for _, vouched, _ in stamps],
        )

    def place(self, row: Row) -> Place:
        """(time, created) of a row."""
        ms, node, n, time = row[3:7]
        return ms if time is None else time, (ms, self._nodes.name(node), n)

    def entries(self, rows: Iterable[Row]) -> list[Entry]:
        """The copies of rows, as `RunRows` gives them."""
        name_of, epochs = self._nodes.name, self._epochs
        entries: list[Entry] = []
        last_node, node_id = 0, ""
        last_epoch, origin, vouched, is_mixed = 0, None, "", True
        for position, epoch, seq, ms, node, n, time, lag, body, extra, local, state in rows:
            if node != last_node:
                last_node, node_id = node, name_of(node)
            created, dot = (ms, node_id, n), (epochs[epoch - 1], seq) if epoch else None
            if epoch != last_epoch or is_mixed:
                last_epoch = epoch
                origin, vouched, is_mixed = self._stamp(dot) if dot is not None else (None, "", True)
            if state <= EXCHANGED:
                shown_time = ms if time is None else time
                entries.append(
                    Entry(
                        created,
                        shown_time,
                        body,
                        extra or b"",
                        dot,
                        position - lag,
                        position,
                        local or b"",
                        b"",
                        origin,
                        vouched,
                    )
                )
            elif state in (ASIDE, WAITING):
                added = 0 if state == ASIDE else WAITS
                entries.append(
                    Entry(created, time, body, extra or b"", dot, added, position, b"", b"", origin, vouched)
                )
            else:
                added = 0 if state == ASIDE_BURIED else position - lag
                entries.append(Entry(created, time, b"", b"", dot, added, position, b"", body, origin, vouched))
        return entries


def _position(row: Row) -> int:
    return int(row[0])


def _follow_each_other(events: Sequence[Entry]) -> bool:
    """Whether these are a run of one epoch, in its positions, seqs and `added` too, and have nothing of their own here."""
    first, last, further = events[0], events[-1], len(events) - 1
    assert first.dot is not None
    assert last.dot is not None
    return (
        further >= RUN_ROWS - 1
        and last.position - first.position == further
        and last.added - first.added == further
        and last.dot == (first.dot[0], first.dot[1] + further)
        and not any(event.local for event in events)
    )


def state_of(copy: Entry, *, is_exchanged: bool = False) -> int:
    """The state of the row of a copy."""
    if copy.added == WAITS:
        return WAITING
    if copy.added:
        return (BURIED if copy.tombstone else SHOWN) + is_exchanged
    return ASIDE_BURIED if copy.tombstone else ASIDE


def no_stamp(_dot: Dot) -> tuple[str | None, str, bool]:
    """Of a file whose epochs are still being written."""
    return None, "", True
