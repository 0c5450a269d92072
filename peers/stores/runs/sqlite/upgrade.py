"""Bringing a file of layout 1 or 2 up to date: a new file is built beside it, and takes its name when it is whole and on disk.

Whatever ends the process meanwhile, the old file is whole, under its name until the new one has that; after it as
`NAME.layout2`.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from filecmp import cmp
from pathlib import Path
from shutil import copyfile
from struct import error as struct_error
from typing import NamedTuple

import msgspec

from peers.stores.run_store import Pen
from peers.stores.runs.sqlite.layout import LAYOUT_3
from peers.stores.runs.sqlite.old_log import OldLog
from peers.stores.runs.sqlite.rebuild import Rebuild
from peers.stores.sqlite.file import BUSY_MS, check_header, create, explain, open_file
from peers.stores.sqlite.layout import damaged
from peers.stores.store import DISK_FULL, StoreError

SPARE_BYTES = 16 * 1024 * 1024
"""What has to be free on the disk beyond the bytes of the old file."""
_CACHE_KIB = 32 * 1024
_FAST = (
    f"busy_timeout = {BUSY_MS}",
    "journal_mode = OFF",
    "synchronous = OFF",
    "locking_mode = EXCLUSIVE",
    f"cache_size = -{_CACHE_KIB}",
)
"""Of the new file: what is not finished is thrown away."""


class Upgraded(NamedTuple):
    """What an upgrade did."""

    events: int
    """Those that are shown."""
    adopted: int
    """Entries that the node wrote in an epoch of its own, for events that have no place in an epoch any more."""


def is_old(path: Path) -> bool:
    """Whether the file there is a log of an older layout. What is no log at all is refused by the store that opens it."""
    try:
        return path.stat().st_size > 0 and check_header(path) < LAYOUT_3.version
    except (OSError, StoreError):
        return False


def old_file(path: Path) -> Path:
    """Where the old file of the log at `path` is after an upgrade."""
    return Path(f"{path}.layout2")


def upgrade_log(path: Path, pen: Pen) -> Upgraded | None:
    """Bring the log at `path` up to date, if it has an older layout; None if not. Nothing else may have it open.

    `pen` signs what has to be adopted. The old file is kept, see `old_file`: it is safe to delete once the new one has proven
    itself. Raises StoreError, with a sentence, if the disk is too small (before anything is written), if it fails, if another
    process uses the file, if it is damaged, or if another old file is kept already. Then the log is as it was.

    Source of the steps: what sqlite.org says of the durability of a rename ("Atomic Commit In SQLite").
    """
    if not is_old(path):
        return None
    new = Path(f"{path}.new")
    with _explained(path), closing(_open_old(path)) as connection:
        connection.execute("BEGIN IMMEDIATE")  # neither an older release nor another upgrade writes meanwhile
        _unlink(new)
        _check_kept(path)
        _check_room(path)
        try:
            upgraded = _build(path, connection, new, pen)
            _sync(new)
            _exchange(path, new)
        finally:
            _unlink(new)
    return upgraded


def drop_old(path: Path) -> None:
    """Delete the old file that an upgrade kept, if there is one.

    Raises StoreError if the log at `path` is missing, damaged or not up to date, or the old file cannot be deleted.
    """
    kept = old_file(path)
    with _explained(path):
        if kept.exists():
            check_header(path, LAYOUT_3)
            kept.unlink()


def _open_old(path: Path) -> sqlite3.Connection:
    """Open it alone, with what its write-ahead log has in it, and without one from now on."""
    connection = open_file(path, "rw")
    try:
        connection.execute(f"PRAGMA busy_timeout = {BUSY_MS}")
        (is_busy, *_) = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        (mode,) = connection.execute("PRAGMA journal_mode = DELETE").fetchone()
        if is_busy or mode != "delete":
            raise StoreError(
                f"the log file {path}: another process uses it; end that process, then try again",
                "another process uses its log file",
            )
    except BaseException:
        connection.close()
        raise
    return connection


def _check_kept(path: Path) -> None:
    """What is kept already may only be this very log: a kill came between the last two steps."""
    kept = old_file(path)
    if kept.exists() and not kept.samefile(path) and not cmp(path, kept, shallow=False):
        raise StoreError(
            f"the log file {path} has an older layout, and {kept} keeps another old log: move that one away, then try again"
        )


def _check_room(path: Path) -> None:
    disk = os.statvfs(path.parent)
    free, needed = disk.f_bavail * disk.f_frsize, path.stat().st_size + SPARE_BYTES
    if free < needed:
        raise StoreError(
            f"the log file {path}: to bring it up to date takes {_mb(needed)} on its disk, and {_mb(free)} are free; "
            "free space, then try again",
            DISK_FULL,
        )


def _build(path: Path, old: sqlite3.Connection, new: Path, pen: Pen) -> Upgraded:
    with closing(open_file(new, "rwc")) as connection:
        for pragma in _FAST:
            connection.execute(f"PRAGMA {pragma}").fetchall()
        create(connection, LAYOUT_3)
        connection.execute("BEGIN")
        upgraded = Upgraded(*Rebuild(path, connection, OldLog(path, old), pen).write())
        connection.execute("COMMIT")
    new.chmod(path.stat().st_mode & 0o777)
    return upgraded


def _exchange(path: Path, new: Path) -> None:
    """Keep the old file under its second name, then give the first one to the new file."""
    kept = old_file(path)
    if not kept.exists():
        try:
            kept.hardlink_to(path)
        except OSError:  # not every disk can
            copy = Path(f"{kept}.new")
            try:
                copyfile(path, copy)
                _sync(copy)
                copy.rename(kept)
            finally:
                _unlink(copy)
    _sync(path.parent)
    new.replace(path)
    _sync(path.parent)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _unlink(path: Path) -> None:
    with suppress(FileNotFoundError):
        path.unlink()


def _mb(size: int) -> str:
    return f"{size / 1_000_000:.0f} MB"


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise explain(path, error) from error
    except OSError as error:
        where = error.filename or path
        raise StoreError(
            f"the log file {path}: {where}: {error.strerror}; check the disk and the rights on it, then try again"
        ) from error
    except (TypeError, ValueError, msgspec.MsgspecError, struct_error) as error:
        raise damaged(path, f"what is in it is unreadable ({error})") from error
