"""A copy of a store's file as of one commit, made while the store goes on writing; and the check of such a copy."""

from __future__ import annotations

import errno
import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from peers.stores.runs.sqlite.layout import BURIED, LAYOUT_3
from peers.stores.sqlite.file import check_header, explain, open_file
from peers.stores.sqlite.still_file import StillFile
from peers.stores.store import StoreError

COPY_PAGES = 1_000
"""SQLite's pages of one step, 4 MB: after each, `on_step` is called."""

_OF_TARGET = ("SQLITE_FULL", "SQLITE_IOERR_WRITE", "SQLITE_IOERR_TRUNCATE")
"""Beginnings of SQLite's names of errors that only the written file has."""
_OLD_EVENTS_SHOWN = "SELECT count(*) FROM changes WHERE body IS NOT NULL"
_EVENTS_SHOWN = f"SELECT count(*) FROM events WHERE state < {BURIED}"
_EVENTS_COUNTED = "SELECT value FROM facts WHERE key = 'events'"


def copy_log(source: Path, target: Path, *, is_in_use: bool, on_step: Callable[[int, int], None]) -> None:
    """Copy the log at `source` into the empty file `target`, by SQLite's online backup.

    The copy has the state of one commit, the last one at the beginning. It is not yet on disk: the caller calls fsync.

    - `is_in_use`: another process has a store open there. It goes on writing; until the copy is complete, its write-ahead log
      cannot begin anew and grows by what it writes. That store may also be closed meanwhile, and opened again. Without
      `is_in_use` no file beside the log is changed, so its disk may be read-only.
    - `on_step(done, total)`: how many pages are copied, after every COPY_PAGES; what it raises ends the copy.

    Raises OSError, with the name of `target`, if that cannot be written, and StoreError for the log: it is missing, damaged,
    of a newer layout, or, without `is_in_use`, a store has opened it meanwhile.
    """
    if is_in_use:
        check_header(source)
        with closing(open_file(source, "ro")) as connection:
            _copy(connection, source, target, on_step)
        return
    still = StillFile(source)
    try:
        with closing(still.open()) as connection:
            _copy(connection, source, target, on_step)
        still.check()
    finally:
        still.close()


def count_events(path: Path) -> int:
    """The events of a log that nothing else has open, after a check of the whole file. Changes nothing on the disk.

    Raises StoreError if the file is no log, damaged, of a newer layout, or holds another number of events than it says.
    """
    version = check_header(path)
    shown = _OLD_EVENTS_SHOWN if version < LAYOUT_3.version else _EVENTS_SHOWN
    try:
        with closing(open_file(path, "ro&immutable=1")) as connection:
            (found,) = connection.execute("PRAGMA quick_check(1)").fetchone()
            if found != "ok":
                raise StoreError(f"the log file {path}: it is damaged ({' '.join(found.split())})")
            (held,) = connection.execute(shown).fetchone()
            (counted,) = connection.execute(_EVENTS_COUNTED).fetchone() or (0,)
    except sqlite3.Error as error:
        raise StoreError(f"the log file {path}: it is damaged ({error})") from error
    if held != counted:
        raise StoreError(f"the log file {path}: it is damaged (it holds {held} events and counts {counted})")
    return int(held)


def _copy(connection: sqlite3.Connection, source: Path, target: Path, on_step: Callable[[int, int], None]) -> None:
    try:
        # One read transaction for all steps: else each commit of the other process would make the copy begin again.
        connection.execute("BEGIN")
        connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
        # No other process has the target open, and a network disk may have no locks. What is half written is thrown away.
        with closing(open_file(target, "rw&nolock=1")) as written:
            written.execute("PRAGMA journal_mode = OFF")
            written.execute("PRAGMA synchronous = OFF")
            connection.backup(
                written, pages=COPY_PAGES, progress=lambda _, remaining, total: on_step(total - remaining, total)
            )
    except sqlite3.Error as error:
        name = error.sqlite_errorname or ""
        if name.startswith(_OF_TARGET):
            number = errno.ENOSPC if name == "SQLITE_FULL" else errno.EIO
            raise OSError(number, os.strerror(number), str(target)) from error
        raise explain(source, error) from error
