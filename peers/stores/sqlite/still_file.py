"""StillFile: the file of a store that nothing else has open, opened so that nothing on the disk changes."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from shutil import copyfile
from tempfile import TemporaryDirectory

from peers.stores.sqlite.file import connect_to_read, needs_copy, wal_of
from peers.stores.store import StoreError

_Mark = tuple[int, int, int] | None
"""mtime, size and inode of a file, None if there is none: another mark says that the file was written."""


class StillFile:
    """`open` it, `check` what was read, and `close` it in any case.

    What a killed process left in the write-ahead log is read too. No lock is held that would keep a store from opening the
    file meanwhile: once that has written, `check` raises StoreError, since what was read may be half old, half new. That
    store has to be in another process, because SQLite shares what it knows of a file within one.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._copy: TemporaryDirectory[str] | None = None
        self._marks: tuple[_Mark, _Mark] = (None, None)

    def open(self) -> sqlite3.Connection:
        """A connection for reading; the caller closes it before `close`. Raises StoreError."""
        self._marks = self._look()
        if needs_copy(self._path):
            return connect_to_read(self._copied(), is_copy=True)
        return connect_to_read(self._path)

    def check(self) -> None:
        """Raise StoreError if what was read since `open` may be damaged, because a store has written meanwhile."""
        if self._copy is None:
            self._check_marks()

    def close(self) -> None:
        """Remove what `open` made outside of the store's folder. Harmless when it is closed."""
        copy, self._copy = self._copy, None
        if copy is not None:
            copy.cleanup()

    def _check_marks(self) -> None:
        if self._look() != self._marks:
            raise StoreError(f"the log file {self._path} was opened by a node meanwhile: try again") from None

    def _look(self) -> tuple[_Mark, _Mark]:
        return _mark(self._path), _mark(wal_of(self._path))

    def _copied(self) -> Path:
        """Without its index a write-ahead log can be read only where one may be made."""
        try:
            self._copy = TemporaryDirectory(prefix="peermesh-")
            path = Path(self._copy.name) / self._path.name
            copyfile(self._path, path)
            copyfile(wal_of(self._path), wal_of(path))
            self._check_marks()
        except OSError as error:
            raise StoreError(
                f"the log file {self._path} cannot be copied to a temporary folder ({error.strerror}): start its node, "
                "or set TMPDIR to a folder with enough room"
            ) from error
        return path


def _mark(path: Path) -> _Mark:
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino
