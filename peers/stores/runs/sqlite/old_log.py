"""Reading a file of layout 1 or 2, in which events have dots of epochs without births and signatures."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from itertools import starmap
from pathlib import Path
from typing import Any, NamedTuple

from peers.events.created import Created, created_from_key, created_key
from peers.events.dot import MAX_SEQ
from peers.events.entry import Entry
from peers.stores.sqlite.counters import load_facts
from peers.stores.sqlite.layout import damaged

_PAGE_ROWS = 500
_SUCCESSOR = re.compile(r"(.+)\.([1-9][0-9]{0,8})\.[^.]+")
"""`ROOT.3.ANY`: an epoch of generation 3, which stands in for those of ROOT with a smaller generation."""

_EVENT = "added IS NOT NULL AND created = ?"
_DOUBTED = "created IN (SELECT created FROM aside) OR (epoch, seq) IN (SELECT epoch, seq FROM aside)"
_FIRST_LOST = "SELECT epoch, min(seq) FROM changes WHERE epoch IS NOT NULL AND ({}) GROUP BY epoch"
_DOTS = "SELECT epoch, seq, position FROM changes WHERE epoch IS NOT NULL ORDER BY epoch, seq"


class OldRow(NamedTuple):
    """A change: with `added` the row of an event, with its first dot; without it a further dot of one."""

    epoch: int | None
    """The number of its epoch; None if the event has lost this dot."""
    seq: int
    added: int | None
    key: bytes
    """`created_key` of the event."""
    time: int
    body: bytes | None
    """None of a further dot, and of a cleaned event."""
    extra: bytes | None
    local: bytes | None

    def entry(self) -> Entry:
        """The event as it is shown, without a dot."""
        created = created_from_key(self.key)
        return Entry(
            created, self.time, self.body or b"", self.extra or b"", None, self.added or 0, 0, self.local or b""
        )


class OldLog:
    """A connection to such a file. Raises sqlite3.Error, and StoreError for what no store wrote."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self._path = path
        self._connection = connection
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        self._is_first = version == 1
        more = "NULL" if self._is_first else "local"
        self._columns = f"epoch, seq, added, created, time, body, extra, {more}"
        self._buried = "NULL" if self._is_first else "tombstone"
        try:
            facts = load_facts(connection)
        except (TypeError, ValueError) as error:
            raise damaged(path, f"its numbers are unreadable ({error})") from error
        self.last_added = int(facts.get("last_added", 0))
        self.clock_ms = int(facts.get("clock_ms", 0))
        self.events = int(facts.get("events", 0))
        self.epochs: dict[int, str] = dict(connection.execute("SELECT id, epoch FROM epochs ORDER BY id").fetchall())
        self.prefixes: dict[int, int] = {}
        """Of each epoch, up to which seq there is a living event for each seq, and no doubt which one."""
        self.is_plain = True
        """Whether all changes are in these prefixes, in order, and all events that were ever shown are living."""
        self._read_prefixes()

    def _read_prefixes(self) -> None:
        read = self._connection.execute
        living, lost = read("SELECT count(body), count(*) - count(epoch) FROM changes").fetchone()
        (claims,) = read("SELECT count(*) FROM aside").fetchone()
        self.is_plain = living == self.last_added and not lost and not claims
        # From these seqs on, nothing counts.
        ends: dict[int, int] = dict(read(_FIRST_LOST.format(f"{self._buried} IS NOT NULL")).fetchall())
        if claims:
            for number, seq in read(_FIRST_LOST.format(_DOUBTED)):
                ends[number] = min(seq, ends.get(number, seq))
        ends.update(dict.fromkeys(self._renewed(), 0))
        of, prefix, end, last_position = 0, 0, 0, 0
        for number, seq, position in read(_DOTS):
            if number != of:
                of, prefix, last_position = number, 0, 0
                end = ends.get(number, MAX_SEQ)
            if seq == prefix + 1 and seq < end:
                prefix = self.prefixes[number] = seq
            else:
                self.is_plain = False
            self.is_plain &= position > last_position
            last_position = position
        unknown = self.prefixes.keys() - self.epochs.keys()
        if unknown:
            raise damaged(self._path, f"the epoch with the number {min(unknown)} is missing")

    def _renewed(self) -> Iterator[int]:
        """Epochs that others stand in for: two homes may have different events under one dot of theirs."""
        generations: dict[str, int] = {}
        for name in self.epochs.values():
            root, generation = _lineage(name)
            generations[root] = max(generation, generations.get(root, 0))
        for number, name in self.epochs.items():
            root, generation = _lineage(name)
            if generation < generations[root]:
                yield number

    # Changes

    def rows(self) -> Iterator[OldRow]:
        """All, in the order of their positions."""
        rows = self._connection.execute(f"SELECT {self._columns} FROM changes ORDER BY position")
        while page := rows.fetchmany(_PAGE_ROWS):
            yield from starmap(OldRow, page)

    def created_at(self, epoch: int, seq: int) -> Created:
        """That of the event with this dot, which is in a prefix."""
        (key,) = self._one("SELECT created FROM changes WHERE epoch = ? AND seq = ?", (epoch, seq))
        return created_from_key(key)

    def event(self, created: Created) -> Entry | None:
        """The event as it is shown, without a dot; None if it is not, or was cleaned."""
        select = f"SELECT {self._columns} FROM changes WHERE {_EVENT} AND body IS NOT NULL"
        row = self._connection.execute(select, (created_key(created),)).fetchone()
        return OldRow(*row).entry() if row else None

    def has_place(self, key: bytes) -> bool:
        """Whether an event has a dot in one of the prefixes."""
        # Two indexes: an event's own row is in the one, its further dots are in the other.
        for kind in ("IS NOT NULL", "IS NULL"):
            select = f"SELECT epoch, seq FROM changes WHERE created = ? AND added {kind} AND epoch IS NOT NULL"
            for epoch, seq in self._connection.execute(select, (key,)).fetchall():
                if seq <= self.prefixes.get(epoch, 0):
                    return True
        return False

    # Copies aside

    def doubted(self) -> list[bytes]:
        """The keys of all events of which copies are aside, in the order in which these came."""
        rows = self._connection.execute("SELECT created FROM aside GROUP BY created ORDER BY min(number)")
        return [key for (key,) in rows.fetchall()]

    def is_cleaned(self, key: bytes) -> bool:
        """Whether an event with copies aside was cleaned."""
        if self._is_first:
            return False
        (is_row,) = self._one(
            "SELECT count(*) FROM changes WHERE created = ? AND added IS NOT NULL AND body IS NULL", (key,)
        )
        (is_claim,) = self._one("SELECT count(*) FROM aside WHERE created = ? AND tombstone IS NOT NULL", (key,))
        return bool(is_row or is_claim)

    def aside(self, key: bytes) -> list[Entry]:
        """Its living copies aside, without dots."""
        select = f"SELECT time, body, extra FROM aside WHERE created = ? AND {self._buried} IS NULL ORDER BY number"
        created = created_from_key(key)
        return [Entry(created, *row) for row in self._connection.execute(select, (key,)).fetchall()]

    # Cleaned events

    def tombstones(self) -> Iterator[Entry]:
        """Cleaned events, without dots; also those that were not shown, with `added` 0."""
        if self._is_first:
            return
        rows = self._connection.execute(
            "SELECT created, time, tombstone, added FROM changes WHERE added IS NOT NULL AND body IS NULL"
            " UNION ALL SELECT created, min(time), tombstone, 0 FROM aside WHERE tombstone IS NOT NULL"
            " AND created NOT IN (SELECT created FROM changes WHERE added IS NOT NULL) GROUP BY created"
        )
        for key, time, tombstone, added in rows:
            yield Entry(created_from_key(key), time, b"", b"", None, added, 0, b"", tombstone)

    # What else is kept

    def last_kept(self) -> list[tuple[Any, ...]]:
        """The rows of that table, which is the same in all layouts since 2."""
        return [] if self._is_first else self._connection.execute("SELECT * FROM last_kept").fetchall()

    def cursors(self) -> list[tuple[Any, ...]]:
        """The same."""
        return [] if self._is_first else self._connection.execute("SELECT * FROM cursors").fetchall()

    def _one(self, select: str, values: tuple[Any, ...]) -> tuple[Any, ...]:
        row: tuple[Any, ...] = self._connection.execute(select, values).fetchone()
        return row


def _lineage(name: str) -> tuple[str, int]:
    match = _SUCCESSOR.fullmatch(name)
    return (match[1], int(match[2])) if match else (name, 0)
