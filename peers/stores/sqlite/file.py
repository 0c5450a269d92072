"""A store's file: made, recognised, or refused with a sentence and left as it was."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from peers.stores.sqlite.layout import NEWEST_LAYOUT, PUT_BACK, Layout, damaged, run_all
from peers.stores.store import DISK_FULL, StoreError

APPLICATION_ID = 0x706D6C67
"""`pmlg` in SQLite's header: a file of ours."""
BUSY_MS = 5_000
WAL_LIMIT_BYTES = 32 * 1024 * 1024
"""What the write-ahead log is cut down to when it begins anew."""
PAGE_CACHE_KIB = 2 * 1024
SYNCHRONOUS = ("OFF", "NORMAL", "FULL", "EXTRA")

_MAGIC = b"SQLite format 3\0"
_HEADER_BYTES = 100
_WAL_HEADER_BYTES = 32

_MAKE_WRITABLE = "make the file and its directory writable for this user", "its log file cannot be written"
_END_OTHER = "end the other process that uses it", "another process uses its log file"
_FIXES = {
    "SQLITE_FULL": ("free space on the disk, then try again", DISK_FULL),
    "SQLITE_READONLY": _MAKE_WRITABLE,
    "SQLITE_PERM": _MAKE_WRITABLE,
    "SQLITE_AUTH": _MAKE_WRITABLE,
    "SQLITE_CANTOPEN": (
        "check that its directory exists and is writable for this user",
        "its log file cannot be opened",
    ),
    "SQLITE_BUSY": _END_OTHER,
    "SQLITE_LOCKED": _END_OTHER,
    "SQLITE_CORRUPT": PUT_BACK,
    "SQLITE_NOTADB": PUT_BACK,
    "SQLITE_IOERR": ("check the disk and the space on it, then start again", "its disk fails"),
}
"""By the beginning of SQLite's name: what would fix it, and what other nodes are told."""


def connect(path: Path, layout: Layout, *, synchronous: str) -> sqlite3.Connection:
    """Open the file, or make it if there is none or an empty one. Raises StoreError; then the file is as it was."""
    if _is_there(path):
        check_header(path, layout)
        _check_contents(path, layout)
    elif _is_there(wal_of(path)):  # SQLite would take it for rubbish of the new file, and delete it
        raise _lost(path)
    with suppress(OSError):  # SQLite says why; it would let other users read a file that it makes, and those beside it
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    connection = open_file(path, "rwc")
    with _closed_on_error(path, connection):
        for pragma in (f"busy_timeout = {BUSY_MS}", f"synchronous = {synchronous}", f"cache_size = -{PAGE_CACHE_KIB}"):
            connection.execute(f"PRAGMA {pragma}")
        (tables,) = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
        if not tables:
            create(connection, layout)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute(f"PRAGMA journal_size_limit = {WAL_LIMIT_BYTES}")
        # A file that cannot be written is opened without a word, and BEGIN alone only reads it: this would have to write.
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("DELETE FROM facts WHERE FALSE")
        run_all(connection, layout.later)
        connection.execute("COMMIT")
    return connection


def connect_to_read(path: Path, *, is_copy: bool = False) -> sqlite3.Connection:
    """Open the file so that nothing on the disk changes; the caller has to notice when another process writes it meanwhile.

    Beside a copy the index of its write-ahead log may be made. Raises StoreError.
    """
    check_header(path)
    if is_unmade(path):
        raise _unmade(path)
    # Without `readonly_shm` SQLite makes that index anew in its file, although the connection is for reading.
    mode = ("ro" if is_copy else "ro&readonly_shm=1") if _has_log(path) else "ro&immutable=1"
    return open_file(path, mode)


def check_layout(path: Path, connection: sqlite3.Connection, layout: Layout) -> None:
    """Raise StoreError for a file of an older layout, which only a store that writes brings up to date; or sqlite3.Error."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version < layout.version:
        raise StoreError(
            f"the log file {path}: it was written by an older release; start its node once, or run `mesh upgrade`, "
            "which brings it up to date"
        )


def connect_beside(path: Path, *, synchronous: str) -> sqlite3.Connection:
    """Open a file that a store of this process has open, for its checkpoints. Raises StoreError."""
    connection = open_file(path, "rw")
    with _closed_on_error(path, connection):
        connection.execute(f"PRAGMA synchronous = {synchronous}")
        connection.execute("PRAGMA user_version").fetchone()  # finds the write-ahead log: a checkpoint alone would not
    return connection


def is_unmade(path: Path) -> bool:
    """Whether a file that is there has nothing in it, as if its making was cut short; a store that opens it makes it."""
    return Path(f"{path}-journal").exists() or not (_is_there(path) or _is_there(wal_of(path)))


def needs_copy(path: Path) -> bool:
    """Whether its write-ahead log cannot be read without making a file beside it, the index."""
    return _has_log(path) and not _is_there(Path(f"{path}-shm"))


def explain(path: Path, error: sqlite3.Error) -> StoreError:
    """What SQLite said, as a sentence that names the file and what would fix it."""
    name = getattr(error, "sqlite_errorname", None) or ""
    for code, (fix, brief) in _FIXES.items():
        if name.startswith(code):
            return StoreError(f"the log file {path}: {error}; {fix}", brief)
    return StoreError(f"the log file {path}: {error}")


def wal_of(path: Path) -> Path:
    """The write-ahead log of the file at `path`."""
    return Path(f"{path}-wal")


def _has_log(path: Path) -> bool:
    """Whether there is more than the header of a write-ahead log: with that alone SQLite says `locking protocol`."""
    return _is_there(wal_of(path), _WAL_HEADER_BYTES)


def _is_there(path: Path, beyond_bytes: int = 0) -> bool:
    try:
        return path.stat().st_size > beyond_bytes
    except FileNotFoundError:
        return False
    except OSError as error:
        raise StoreError(f"the log file {path}: {error.strerror}; check the path and the rights on it") from error


def check_header(path: Path, layout: Layout | None = None) -> int:
    """The number of its layout. Raises StoreError unless it is a log of this layout, or of any known one.

    SQLite would repair, and so change, others.
    """
    try:
        with path.open("rb") as file:
            header = file.read(_HEADER_BYTES)
    except OSError as error:
        raise StoreError(f"the log file {path}: {error.strerror}; check the path and the rights on it") from error
    if not header:
        raise _unmade(path) if is_unmade(path) else _lost(path)
    if len(header) < _HEADER_BYTES or not header.startswith(_MAGIC):
        raise StoreError(f"the log file {path}: it is not a log, or is damaged; move it away, or name another file")
    version = int.from_bytes(header[60:64], "big")
    _check_version(path, layout, int.from_bytes(header[68:72], "big"), version)
    return version


def _unmade(path: Path) -> StoreError:
    return StoreError(
        f"the log file {path} has nothing in it: if its making was cut short, the next start of its node, or `mesh join`, "
        "makes it; if it had events, put it back from a backup"
    )


def _lost(path: Path) -> StoreError:
    return StoreError(
        f"the log file {path} is missing or empty, and its write-ahead log {wal_of(path)} is there: put the file back, "
        "or move its write-ahead log away too"
    )


def _check_version(path: Path, layout: Layout | None, application_id: int, version: int) -> None:
    if application_id != APPLICATION_ID:
        raise StoreError(f"the log file {path}: it belongs to another program; move it away, or name another file")
    newest = NEWEST_LAYOUT if layout is None else layout.version
    if version > newest:
        raise StoreError(
            f"the log file {path}: it was written by a newer release (layout {version}, this one knows {newest}); "
            "install that release again, or name another file"
        )
    if version < 1:
        raise damaged(path, "its layout has no number")
    if layout is not None and version < layout.version:
        raise StoreError(
            f"the log file {path}: it was written by an older release (layout {version}, this one knows {layout.version}); "
            "start its node, or run `mesh upgrade` on its home; without a home, call `upgrade_log` of "
            "peers.stores.runs.sqlite.upgrade"
        )


def _check_contents(path: Path, layout: Layout) -> None:
    """Read it through a connection that cannot write: closing any other one may write back what a crash left."""
    if is_unmade(path):
        return  # only a connection that may write can take that back
    mode = "ro" if wal_of(path).exists() else "ro&immutable=1"
    try:
        with closing(open_file(path, mode)) as connection:
            (application_id,) = connection.execute("PRAGMA application_id").fetchone()
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            _check_version(path, layout, application_id, version)
            for table in layout.tables:
                connection.execute(f"SELECT 1 FROM {table} LIMIT 1").fetchone()
    except UnicodeDecodeError as error:  # SQLite quotes the schema in what it says
        raise damaged(path, "its schema is unreadable") from error
    except sqlite3.OperationalError as error:
        if error.sqlite_errorname == "SQLITE_ERROR":
            raise damaged(path, str(error)) from error
        raise explain(path, error) from error
    except sqlite3.Error as error:
        raise explain(path, error) from error


def open_file(path: Path, mode: str) -> sqlite3.Connection:
    """A connection to the file; `mode` is that of SQLite's URIs, with more parameters after a `&`. Raises StoreError."""
    try:
        connection = sqlite3.connect(
            f"{path.absolute().as_uri()}?mode={mode}", uri=True, isolation_level=None, check_same_thread=False
        )
    except sqlite3.Error as error:
        raise explain(path, error) from error
    # Else what a savepoint needs to be taken back goes into a file, beyond 64 KiB, and there may be no folder for it.
    connection.execute("PRAGMA temp_store = MEMORY")
    return connection


@contextmanager
def _closed_on_error(path: Path, connection: sqlite3.Connection) -> Iterator[None]:
    """Close the connection if a statement or a check fails. Raises StoreError."""
    try:
        yield
    except sqlite3.Error as error:
        connection.close()
        raise explain(path, error) from error
    except StoreError:
        connection.close()
        raise


def create(connection: sqlite3.Connection, layout: Layout) -> None:
    """Make the tables, in one transaction, before the change to WAL: so the file's own first page says whose it is."""
    connection.execute("BEGIN EXCLUSIVE")
    run_all(
        connection,
        f"{layout.schema}{layout.later};PRAGMA user_version = {layout.version};PRAGMA application_id = {APPLICATION_ID}",
    )
    connection.execute("COMMIT")
