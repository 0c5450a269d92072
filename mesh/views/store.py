"""ViewStore: the file of all views of a node: their states, the old values for rewinds, and how far each has come."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any, Protocol, TypeVar

import msgspec

from mesh.views.values import Compact, Text, compacted, jsons_of, weight
from peers.events.created import MAX_MS, Created
from peers.events.entry import Entry
from peers.later import Later
from peers.stores.sqlite.many import ManyRows
from peers.stores.store import DISK_FULL, Place, StoreError

T = TypeVar("T")

VIEWS_APPLICATION = 0x706D7677
"""`pmvw` in SQLite's header: a file of views."""
VIEWS_LAYOUT = 1
DROPPED_ROWS = 5_000
"""Of a state that is not needed any more, deleted in one transaction."""
VIEWS_WAL_BYTES = 16 * 1024 * 1024

Olds = dict[str, Compact]
"""The values of keys before they were changed."""

_SCHEMA = """
CREATE TABLE views (number INTEGER PRIMARY KEY, name TEXT NOT NULL, role TEXT NOT NULL, progress BLOB NOT NULL);
CREATE TABLE state (view INTEGER NOT NULL, key TEXT NOT NULL, value BLOB NOT NULL, PRIMARY KEY (view, key)) WITHOUT ROWID;
CREATE TABLE olds (view INTEGER NOT NULL, segment INTEGER NOT NULL, olds BLOB NOT NULL, PRIMARY KEY (view, segment));
CREATE TABLE cleaned (view INTEGER NOT NULL, position INTEGER NOT NULL, entry BLOB NOT NULL, PRIMARY KEY (view, position));
"""
_PUT = ManyRows("INSERT INTO state", 3, "ON CONFLICT (view, key) DO UPDATE SET value = excluded.value")
_FORGET = "DELETE FROM cleaned WHERE view = ? AND position = ?"
_to_bytes = msgspec.msgpack.Encoder().encode
_olds_of = msgspec.msgpack.Decoder(dict[str, bytes | None]).decode
_entry_of = msgspec.msgpack.Decoder(Entry).decode


class Segment(msgspec.Struct):
    """Folds that follow each other. Their old values give the state before the first of them."""

    number: int
    after: Place | None
    """The place of the last event that was folded before; None: there was none."""
    events: int = 0
    bytes: int = 0
    """Of its old values, or more."""


class ViewProgress(msgspec.Struct):
    """How far a state has come, kept with it."""

    version: int = 1
    types: list[str] | None = None
    place: Place | None = None
    """Of the last event that is folded, in log order."""
    added: int = 0
    """All events up to it are folded, but those of a walk that are after `place`."""
    mark: Created | None = None
    """Of the event with this `added`, by which another log is noticed."""
    is_walking: bool = False
    """Whether events up to `added` are still to be folded, in log order after `place`."""
    folded: int = 0
    due: int = 0
    """How many are to be folded by the end of a walk; less than `folded`: it is not known."""
    without: int = 0
    """Events that were cleaned before they could be folded, of any type."""
    keys: int = 0
    bytes: int = 0
    """Of keys and values."""
    digest: str = "0"
    """The sum of the weights of all keys, as a hexadecimal number."""
    copies: dict[str, str] = {}
    """Of events of which copies differ, by their `created`: the one that is shown."""
    changed: list[Created] = []
    """Events that were folded, and became undone, or are shown in another way."""
    segments: list[Segment] = []


@dataclass(slots=True)
class Flush:
    """What one transaction takes of one view."""

    view: int
    progress: ViewProgress
    news: Mapping[str, Compact]
    """The keys that changed, with their values now."""
    before: Mapping[str, Compact]
    """Their values in the file."""
    olds: Mapping[int, Olds] = field(default_factory=dict)
    """By the number of their segment; those of a segment that is here already are joined."""
    last_kept: int | None = None
    """Segments after it are dropped first."""
    merges: Sequence[tuple[int, int]] = ()
    """Segments that take in the one behind them, in this order, after all that."""
    first_kept: int = 0
    """Segments before it are dropped last."""
    cleaned: Sequence[Entry] = ()
    """Cleaned events to keep, which may be folded again."""
    forgotten: Sequence[int] = ()
    """Positions of cleaned events that are not needed any more."""
    is_complete: bool = False
    """From now on this state answers in place of the one before."""


class ViewDisk(Protocol):
    """Runs work on a ViewStore, one piece after the other, each in a transaction; as `peers.stores.disk.Disk`."""

    def run(self, work: Callable[[ViewStore], T]) -> Later[T]: ...

    def close(self) -> Later[None]: ...


class ViewStore:
    """Keeps everything in the file at `path`, readable for its user only; without one in memory, as long as the object lives.

    A crash of the process loses nothing; a power cut may lose the last seconds, which are then folded from the log again.
    Writes happen inside `transaction`, on one thread at a time; `read` and `page` may be called in any thread, and give what is
    committed. All methods raise StoreError, with a sentence.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.path = path
        self._connection: sqlite3.Connection | None = None
        self._reader: sqlite3.Connection | None = None
        self._reading = threading.Lock()
        self._kept: set[int] = set()
        """States that `clear_some` leaves, although they were dropped."""

    # The file

    def open(self) -> None:
        """Open the file, or make it. Harmless when it is open."""
        if self._connection is not None:
            return
        with self._explained():
            if self.path is None:
                self._connection = self._reader = self._prepared(self._connect(":memory:"))
                return
            with suppress(OSError):  # SQLite says why
                os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
            connection = self._connect(str(self.path))
            try:
                self._prepared(connection)
                self._reader = self._connect(str(self.path))
                self._reader.execute("PRAGMA query_only = 1")
                self._reader.execute("PRAGMA cache_size = -8192")
            except BaseException:
                connection.close()
                raise
            self._connection = connection

    def close(self) -> None:
        """Close the file. Harmless when it is closed."""
        if self.path is None:
            return
        with self._reading:
            connection, reader = self._connection, self._reader
            self._connection = self._reader = None
        with suppress(sqlite3.Error):
            if reader is not None:
                reader.close()
            if connection is not None:
                connection.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing."""
        connection = self._opened()
        with self._explained():
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield
                connection.execute("COMMIT")
            except BaseException:
                with suppress(sqlite3.Error):
                    connection.execute("ROLLBACK")
                raise

    def writes(self) -> int:
        """A number that changes with each write."""
        return self._opened().total_changes

    # What the disk's thread does

    def find(self, name: str) -> tuple[dict[str, tuple[int, ViewProgress]], int]:
        """The states of a view by their role, `current` and `building`, each with its number; and a number for a new one."""
        rows = self._execute("SELECT number, role, progress FROM views WHERE name = ? AND role != 'dropped'", (name,))
        with self._explained():
            found = {role: (number, msgspec.msgpack.decode(data, type=ViewProgress)) for number, role, data in rows}
            (last,) = self._execute("SELECT coalesce(max(number), 0) FROM views").fetchone()
            return found, last + 1

    def make(self, number: int, name: str, progress: ViewProgress) -> None:
        """Begin a state, which does not answer before it is complete; another one that was begun is dropped."""
        self._execute("UPDATE views SET role = 'dropped' WHERE name = ? AND role = 'building'", (name,))
        self._execute("INSERT INTO views VALUES (?, ?, 'building', ?)", (number, name, _to_bytes(progress)))

    def clear_some(self) -> bool:
        """Delete a part of what was dropped; whether there is more."""
        rows = self._execute("SELECT number FROM views WHERE role = 'dropped'").fetchall()
        row = next((row for row in rows if row[0] not in self._kept), None)
        if row is None:
            return False
        some = "DELETE FROM state WHERE view = ? AND key IN (SELECT key FROM state WHERE view = ? LIMIT ?)"
        if self._execute(some, (*row, *row, DROPPED_ROWS)).rowcount == 0:
            for table, column in ("olds", "view"), ("cleaned", "view"), ("views", "number"):
                self._execute(f"DELETE FROM {table} WHERE {column} = ?", row)
        return True

    @contextmanager
    def keeping(self, view: int | None) -> Iterator[None]:
        """Meanwhile a state is not cleared, also when another one has taken its place. None: there is none."""
        kept = set() if view is None else {view}
        self._kept |= kept
        try:
            yield
        finally:
            self._kept -= kept

    def flush(self, work: Flush) -> ViewProgress:
        """Write what has changed of a view; its progress, with the digest and the bytes."""
        view, progress = work.view, work.progress
        if work.last_kept is not None:
            self._execute("DELETE FROM olds WHERE view = ? AND segment > ?", (view, work.last_kept))
        groups = {number: [number] for number in work.olds}
        for number, behind in work.merges:
            groups.setdefault(number, [number]).extend(groups.pop(behind, [behind]))
        for number, members in groups.items():
            olds: Olds = {}
            for each in reversed(members):  # the first value is the one before all
                olds.update(work.olds.get(each, {}))
                olds.update(self._olds(view, each))
            self._execute("INSERT OR REPLACE INTO olds VALUES (?, ?, ?)", (view, number, _to_bytes(jsons_of(olds))))
        gone = [(view, behind) for _, behind in work.merges]
        connection = self._opened()
        connection.executemany("DELETE FROM olds WHERE view = ? AND segment = ?", gone)
        self._execute("DELETE FROM olds WHERE view = ? AND segment < ?", (view, work.first_kept))
        news, before = jsons_of(work.news), jsons_of(work.before)
        # sqlite3 looks for an adapter of bytes, which takes longer than all else about a value; not of bytearray.
        kept = [(view, key, bytearray(text)) for key, text in news.items() if text is not None]
        _PUT.write(connection, list(chain.from_iterable(kept)))
        without = [(view, key) for key, text in news.items() if text is None]
        connection.executemany("DELETE FROM state WHERE view = ? AND key = ?", without)
        connection.executemany(_FORGET, [(view, position) for position in work.forgotten])
        self._keep_cleaned(view, work.cleaned)
        size = progress.bytes + _size_of(news) - _size_of(before)
        progress = msgspec.structs.replace(progress, digest=changed_digest(progress.digest, before, news), bytes=size)
        self._execute("UPDATE views SET progress = ? WHERE number = ?", (_to_bytes(progress), view))
        if work.is_complete:
            of_name = "SELECT name FROM views WHERE number = ?"
            self._execute(f"UPDATE views SET role = 'dropped' WHERE role = 'current' AND name = ({of_name})", (view,))
            self._execute("UPDATE views SET role = 'current' WHERE number = ?", (view,))
        return progress

    def note(self, view: int, cleaned: Iterable[Entry], changed: list[Created]) -> None:
        """Keep, for a state that stays as it is, these cleaned events and the changed ones that are not applied to it yet."""
        (data,) = self._execute("SELECT progress FROM views WHERE number = ?", (view,)).fetchone()
        progress = msgspec.msgpack.decode(data, type=ViewProgress)
        progress.changed = changed
        self._execute("UPDATE views SET progress = ? WHERE number = ?", (_to_bytes(progress), view))
        self._keep_cleaned(view, cleaned)

    def olds_between(self, view: int, first: int, last: int | None) -> Olds:
        """The values that keys had before a segment, of all that it and those after it changed, up to `last`, or all."""
        select = "SELECT olds FROM olds WHERE view = ? AND segment BETWEEN ? AND ? ORDER BY segment DESC"
        rows = self._execute(select, (view, first, MAX_MS if last is None else last))
        found: Olds = {}
        for (data,) in rows:
            found.update({key: compacted(text) for key, text in _olds_of(data).items()})
        return found

    def cleaned(self, view: int) -> list[Entry]:
        """The cleaned events that are kept."""
        rows = self._execute("SELECT entry FROM cleaned WHERE view = ? ORDER BY position", (view,))
        return [_entry_of(data) for (data,) in rows]

    # What is read in any thread

    def read(self, view: int, key: str) -> Text:
        """The text of a key."""
        with self._read() as reader:
            row = reader.execute("SELECT value FROM state WHERE view = ? AND key = ?", (view, key)).fetchone()
            return None if row is None else row[0]

    def page(self, view: int, first: str, before: str | None, limit: int) -> list[tuple[str, bytes]]:
        """Up to `limit` keys from one on and before another, in their order, with their texts."""
        bound, values = ("", ()) if before is None else (" AND key < ?", (before,))
        statement = f"SELECT key, value FROM state WHERE view = ? AND key >= ?{bound} ORDER BY key LIMIT ?"
        with self._read() as reader:
            return reader.execute(statement, (view, first, *values, limit)).fetchall()

    # Parts

    @contextmanager
    def _read(self) -> Iterator[sqlite3.Connection]:
        with self._reading, self._explained():
            if self._reader is None:
                raise StoreError(f"{self._name} is closed: the node does not run")
            yield self._reader

    def _olds(self, view: int, segment: int) -> dict[str, Text]:
        row = self._execute("SELECT olds FROM olds WHERE view = ? AND segment = ?", (view, segment)).fetchone()
        return {} if row is None else _olds_of(row[0])

    def _keep_cleaned(self, view: int, entries: Iterable[Entry]) -> None:
        kept = [(view, entry.position, _to_bytes(entry)) for entry in entries]
        self._opened().executemany("INSERT OR REPLACE INTO cleaned VALUES (?, ?, ?)", kept)

    def _connect(self, path: str) -> sqlite3.Connection:
        return sqlite3.connect(path, isolation_level=None, check_same_thread=False)

    def _prepared(self, connection: sqlite3.Connection) -> sqlite3.Connection:
        (application,) = connection.execute("PRAGMA application_id").fetchone()
        (layout,) = connection.execute("PRAGMA user_version").fetchone()
        (tables,) = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
        if tables and application != VIEWS_APPLICATION:
            raise StoreError(f"{self._name} belongs to another program: move it away, then views are folded anew")
        if layout > VIEWS_LAYOUT:
            raise StoreError(
                f"{self._name} was written by a newer release (layout {layout}, this one knows {VIEWS_LAYOUT}): install that "
                "release again, or move the file away, then views are folded anew from the log"
            )
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute(f"PRAGMA journal_size_limit = {VIEWS_WAL_BYTES}")
        connection.execute("PRAGMA cache_size = -4096")
        if not tables:
            connection.execute("BEGIN IMMEDIATE")
            for statement in _SCHEMA.split(";"):
                connection.execute(statement)
            connection.execute(f"PRAGMA application_id = {VIEWS_APPLICATION}")
            connection.execute(f"PRAGMA user_version = {VIEWS_LAYOUT}")
            connection.execute("COMMIT")
        return connection

    @property
    def _name(self) -> str:
        return f"the file of views {self.path}" if self.path is not None else "the store of views"

    def _execute(self, statement: str, values: Iterable[Any] = ()) -> sqlite3.Cursor:
        return self._opened().execute(statement, tuple(values))

    def _opened(self) -> sqlite3.Connection:
        if self._connection is None:
            raise StoreError(f"{self._name} is closed: open it first")
        return self._connection

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            code = getattr(error, "sqlite_errorname", None) or ""
            if code.startswith("SQLITE_FULL"):
                raise StoreError(f"{self._name}: {error}; free space on the disk", DISK_FULL) from error
            if code.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")):
                fix = "it is damaged: move it away, then views are folded anew from what the log has"
                raise StoreError(f"{self._name}: {error}; {fix}") from error
            raise StoreError(f"{self._name}: {error}; check that the disk works and this user may write it") from error
        except (msgspec.DecodeError, msgspec.ValidationError) as error:
            raise StoreError(
                f"{self._name} is damaged ({error}): move it away, then views are folded anew from what the log has"
            ) from error


def changed_digest(digest: str, before: Mapping[str, Text], news: Mapping[str, Text]) -> str:
    """The digest of a state in which keys had the values `before` and have `news` now."""
    total = int(digest, 16)
    for key, text in news.items():
        total += weight(key, text) - weight(key, before[key])
    return f"{total % 2**256:x}"


def _size_of(values: Mapping[str, Text]) -> int:
    return sum([len(key) + len(text) for key, text in values.items() if text is not None])
