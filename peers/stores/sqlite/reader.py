"""A look at a store's file that nothing else has open."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from shutil import copyfile
from tempfile import TemporaryDirectory
from typing import Unpack

from peers.events.entry import Entry
from peers.stores.sqlite.file import connect_to_read, needs_copy, wal_of
from peers.stores.sqlite.open_file import OpenFile
from peers.stores.sqlite.store import SqliteStore
from peers.stores.store import StoreError, WalkOptions

_Mark = tuple[int, int, int] | None
"""mtime, size and inode of a file, None if there is none: another mark says that somebody has written."""


class FileReader(OpenFile):
    """Reads what a store left, and changes no file: neither the store's own nor one beside it, so the disk may be read-only.

    What a killed process left in the write-ahead log is read too. No lock is held that would keep a store from opening the
    file meanwhile: once that has written, `each` raises StoreError instead of giving what may be half old, half new. That
    store has to be in another process, because SQLite shares what it knows of a file within one.

    A base that comes before the store's class, whose `_open`, `close` and `transaction` it replaces.
    """

    _copy: TemporaryDirectory[str] | None = None
    _marks: tuple[_Mark, _Mark] = (None, None)

    def _open(self) -> None:
        if self._connection is None:
            self._marks = self._look_at_files()
            try:
                path, is_copy = (self._copied(), True) if needs_copy(self._path) else (self._path, False)
                connection = self._connection = connect_to_read(path, self._layout, is_copy=is_copy)
                with self._explained():
                    self._load(connection)
            except BaseException:
                self.close()
                raise

    def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()
        copy, self._copy = self._copy, None
        if copy is not None:
            copy.cleanup()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        raise StoreError(f"the log file {self._path} is open to be read only")
        yield

    @contextmanager
    def _unwritten(self) -> Iterator[None]:
        """Raise StoreError if somebody has written: a page that was read meanwhile may be damaged."""
        try:
            yield
        finally:
            if self._copy is None:
                self._check_marks()

    def _check_marks(self) -> None:
        if self._look_at_files() != self._marks:
            raise StoreError(f"the log file {self._path} was opened by a node meanwhile: ask that node") from None

    def _look_at_files(self) -> tuple[_Mark, _Mark]:
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


class SqliteReader(FileReader, SqliteStore):
    """A look at the file of a SqliteStore."""

    def each(self, **options: Unpack[WalkOptions]) -> tuple[Entry, ...]:
        with self._unwritten():
            return super().each(**options)


def _mark(path: Path) -> _Mark:
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino
