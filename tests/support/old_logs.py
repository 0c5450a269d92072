"""Files of logs as earlier releases left them: layouts 1 and 2, row by row."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

from msgspec import structs

from peers.events.created import Created, created_key
from peers.events.dot import Dot
from peers.events.entry import Entry, encode_event
from peers.events.leaf import leaf_of
from peers.stores.sqlite.file import APPLICATION_ID

_TABLES = """
CREATE TABLE facts (key TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE epochs (
    id INTEGER PRIMARY KEY, epoch TEXT NOT NULL UNIQUE, highest INTEGER NOT NULL, is_cut INTEGER NOT NULL, ranges TEXT NOT NULL
);
CREATE TABLE changes (
    position INTEGER PRIMARY KEY, epoch INTEGER, seq INTEGER, added INTEGER, created BLOB NOT NULL, time INTEGER, body BLOB,
    extra BLOB{more}
);
CREATE UNIQUE INDEX changes_by_dot ON changes (epoch, seq);
CREATE UNIQUE INDEX changes_by_created ON changes (created) WHERE added IS NOT NULL;
CREATE INDEX changes_by_order ON changes (time, created) WHERE {shown} IS NOT NULL;
CREATE INDEX further_by_created ON changes (created) WHERE added IS NULL;
CREATE TABLE aside (
    number INTEGER PRIMARY KEY, created BLOB NOT NULL, time INTEGER NOT NULL, body BLOB NOT NULL, extra BLOB NOT NULL,
    epoch INTEGER NOT NULL, seq INTEGER NOT NULL{buried}
);
CREATE INDEX aside_by_created ON aside (created);
"""
_TABLES_OF_2 = """
CREATE TABLE labels (
    kind TEXT NOT NULL, name TEXT NOT NULL, position INTEGER NOT NULL, time INTEGER NOT NULL, created BLOB NOT NULL,
    PRIMARY KEY (kind, name, position)
) WITHOUT ROWID;
CREATE INDEX labels_by_order ON labels (kind, name, time, created);
CREATE TABLE last_kept (reason TEXT PRIMARY KEY, time INTEGER NOT NULL, created BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE cursors (
    number INTEGER PRIMARY KEY, other_node_id TEXT NOT NULL UNIQUE, synced INTEGER NOT NULL, other_synced INTEGER NOT NULL
);
"""


def old_event(ms: int, type_: str = "a", *, node: str = "kitchen", time: int = 0, extra: bytes = b"") -> Entry:
    """An event without a dot."""
    return Entry((ms, node, 0), time or ms, encode_event({"type": type_}), extra)


@dataclass
class OldRows:
    """What such a file has of one event."""

    event: Entry
    dots: list[tuple[Dot | None, int]]
    """Each with its position; of the event's own row first, where None says that it has lost it."""
    is_cleaned: bool = False


@dataclass
class OldLogFile:
    """Says what is in a file, then writes it."""

    layout: int = 2
    clock_ms: int = 0
    events: dict[Created, OldRows] = field(default_factory=dict)
    aside: list[tuple[Entry, Dot]] = field(default_factory=list)
    """Copies that lost, or tombstones, each with the dot that it claims."""
    last_kept: list[tuple[str, int, Created]] = field(default_factory=list)
    cursors: list[tuple[str, int, int]] = field(default_factory=list)
    last_added: int = 0
    last_position: int = 0

    def show(self, event: Entry, epoch: str, seq: int, *, local: bytes = b"") -> None:
        """An event came with this dot."""
        self.last_added += 1
        self.last_position += 1
        shown = structs.replace(event, added=self.last_added, local=local)
        self.events[event.created] = OldRows(shown, [((epoch, seq), self.last_position)])

    def show_all(self, events: Iterable[Entry], epoch: str, first: int = 1) -> None:
        for seq, event in enumerate(events, first):
            self.show(event, epoch, seq)

    def offer(self, event: Entry, epoch: str, seq: int) -> None:
        """An event that is known came with this dot too."""
        self.last_position += 1
        self.events[event.created].dots.append(((epoch, seq), self.last_position))

    def lose_dot(self, event: Entry) -> None:
        """Another one has the first dot now."""
        rows = self.events[event.created]
        rows.dots[0] = (None, rows.dots[0][1])

    def clean(self, event: Entry) -> None:
        self.events[event.created].is_cleaned = True

    def hide(self, event: Entry) -> None:
        """It lost its only dot: what is left is a copy aside."""
        rows = self.events.pop(event.created)
        dot = rows.dots[0][0]
        assert dot is not None
        self.aside.append((event, dot))

    @property
    def shown(self) -> list[Entry]:
        """Without dots, in the order of `added`."""
        return [rows.event for rows in self.events.values() if not rows.is_cleaned]

    @property
    def cleaned(self) -> list[Entry]:
        return [rows.event for rows in self.events.values() if rows.is_cleaned]

    @property
    def best(self) -> dict[Created, Entry]:
        """What a store of today shows of these copies: of those that differ, the smaller (time, leaf)."""
        copies: dict[Created, list[Entry]] = {event.created: [event] for event in self.shown}
        gone = {event.created for event in self.cleaned} | {copy.created for copy, _ in self.aside if copy.tombstone}
        for copy, _ in self.aside:
            if copy.created not in gone:
                copies.setdefault(copy.created, []).append(copy)
        return {created: min(same, key=_rank) for created, same in copies.items()}

    def write(self, path: Path) -> Path:
        is_2 = self.layout == 2
        more, buried = (", local BLOB, tombstone BLOB", ", tombstone BLOB") if is_2 else ("", "")
        tables = _TABLES.format(more=more, buried=buried, shown="body" if is_2 else "added")
        names: dict[str, int] = {}
        with closing(sqlite3.connect(path)) as connection:
            connection.executescript("PRAGMA journal_mode = WAL;" + tables + (_TABLES_OF_2 if is_2 else ""))
            for row in self._rows(names):
                connection.execute(f"INSERT INTO changes VALUES ({', '.join('?' * len(row))})", row)
            for number, (copy, (epoch, seq)) in enumerate(self.aside, 1):
                id_ = names.setdefault(epoch, len(names) + 1)
                values = [number, created_key(copy.created), copy.time, copy.body, copy.extra, id_, seq]
                values += [copy.tombstone or None] if is_2 else []
                connection.execute(f"INSERT INTO aside VALUES ({', '.join('?' * len(values))})", values)
            connection.executemany(
                "INSERT INTO epochs VALUES (?, ?, 0, 0, '[]')", [(id_, name) for name, id_ in names.items()]
            )
            if is_2:
                kept = [(reason, time, created_key(created)) for reason, time, created in self.last_kept]
                connection.executemany("INSERT INTO last_kept VALUES (?, ?, ?)", kept)
                numbered = [(number, *cursor) for number, cursor in enumerate(self.cursors, 1)]
                connection.executemany("INSERT INTO cursors VALUES (?, ?, ?, ?)", numbered)
            facts = {
                "last_added": self.last_added,
                "last_position": self.last_position,
                "events": len(self.shown),
                "clock_ms": self.clock_ms,
                "conflicts": len(self.aside),
            }
            connection.executemany("INSERT INTO facts VALUES (?, ?)", facts.items())
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version = {self.layout}")
            connection.commit()
        return path

    def _rows(self, names: dict[str, int]) -> list[tuple[object, ...]]:
        rows: list[tuple[object, ...]] = []
        for each in self.events.values():
            event, key = each.event, created_key(each.event.created)
            for number, (dot, position) in enumerate(each.dots):
                place = (names.setdefault(dot[0], len(names) + 1), dot[1]) if dot else (None, None)
                row: tuple[object, ...] = (position, *place, None, key, None, None, None)
                more: tuple[object, ...] = (None, b"" if each.is_cleaned else None)
                if not number and each.is_cleaned:
                    row = (position, *place, event.added, key, event.time, None, None)
                    more = (None, sha256(event.body).digest())
                elif not number:
                    row = (position, *place, event.added, key, event.time, event.body, event.extra)
                    more = (event.local or None, None)
                rows.append((*row, *more) if self.layout == 2 else row)
        return sorted(rows, key=str)


def _rank(copy: Entry) -> tuple[int, bytes]:
    return copy.time, leaf_of(copy.created, copy.time, copy.extra, copy.body)
