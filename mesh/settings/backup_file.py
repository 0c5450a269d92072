"""The file of a backup: a log, what else belongs to a home, and a seal by which a damaged file is known.

Its parts, in order: the log as SQLite wrote it; BackupFacts as JSON; the length of that JSON (8 bytes, big-endian); the SHA-256
of all that (32 bytes); MAGIC. So the log is copied once, into its place, and no reader has to search for the end of a part.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from functools import partial
from hashlib import sha256
from pathlib import Path
from types import TracebackType
from typing import Annotated, BinaryIO, Self

import msgspec
from msgspec import Meta

from mesh.errors import MeshError

MAGIC = b"peermesh backup 1\n"
"""The end of each file. The number rises with each change of the parts or of BackupFacts."""
MAGIC_OF_ALL = b"peermesh backup "
"""How it begins in all releases."""
MAX_FACTS_BYTES = 64 * 1024 * 1024
"""Longer ones are damaged: the files in them are small, see mesh.settings.home_files.MAX_FILE_BYTES."""
COPY_BYTES = 1024 * 1024
"""Read at once."""

_TRAILER = struct.Struct(f">Q32s{len(MAGIC)}s")
_SEALED_TRAILER_BYTES = 8
_SQLITE = b"SQLite format 3\0"


class BackupFacts(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a backup says of itself."""

    node_id: str
    """Of the node whose home it is from."""
    name: str
    mesh: str
    made_ms: Annotated[int, Meta(ge=0)]
    """When it was made, in ms since 1970."""
    events: Annotated[int, Meta(ge=0)]
    """That the log shows."""
    files: dict[str, bytes]
    """Other files of the home, by their names."""


def seal(file: BinaryIO, facts: BackupFacts) -> None:
    """Append `facts` and the seal to a file that has the log. Raises OSError."""
    text = msgspec.json.encode(facts)
    length = len(text).to_bytes(_SEALED_TRAILER_BYTES, "big")
    log_bytes = file.seek(0, os.SEEK_END)
    file.seek(0)
    digest = sha256()
    for piece in _pieces(file, log_bytes):
        digest.update(piece)
    digest.update(text + length)
    file.write(text + length + digest.digest() + MAGIC)


class BackupFile:
    """A backup, read. Use it in a `with`. Raises MeshError, a sentence, unless the file is whole and of a known version."""

    facts: BackupFacts

    def __init__(self, path: Path) -> None:
        self._path = path
        self._log_bytes = 0
        try:
            self._file = path.open("rb")
        except OSError as error:
            raise MeshError(f"cannot read {path}: {error.strerror or error}") from None
        try:
            self.facts = self._verified()
        except BaseException as error:
            self._file.close()
            if isinstance(error, OSError):
                raise MeshError(f"cannot read {path}: {error.strerror or error}") from None
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._file.close()

    def extract_log(self, target: Path) -> None:
        """Write the log into a new file, which only this user may read; it is on disk when this returns. Raises OSError."""
        self._file.seek(0)
        with open(target, "xb", opener=partial(os.open, mode=0o600)) as file:
            for piece in _pieces(self._file, self._log_bytes):
                file.write(piece)
            file.flush()
            os.fsync(file.fileno())

    def _verified(self) -> BackupFacts:
        size = self._file.seek(0, os.SEEK_END)
        self._file.seek(max(0, size - _TRAILER.size))
        trailer = self._file.read()
        self._check_magic(trailer)
        length, seal_found, _ = _TRAILER.unpack(trailer)
        self._log_bytes = size - _TRAILER.size - length
        if length > MAX_FACTS_BYTES or self._log_bytes < 0:
            raise self._damaged("its last bytes are not what was written")
        self._file.seek(0)
        digest = sha256()
        for piece in _pieces(self._file, self._log_bytes):
            digest.update(piece)
        text = self._file.read(length)
        digest.update(text + trailer[:_SEALED_TRAILER_BYTES])
        if digest.digest() != seal_found:
            raise self._damaged("its content is not what was written")
        try:
            return msgspec.json.decode(text, type=BackupFacts)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise self._damaged(str(error)) from None

    def _check_magic(self, trailer: bytes) -> None:
        if len(trailer) == _TRAILER.size and trailer.endswith(MAGIC):
            return
        _, found, number = trailer.rpartition(MAGIC_OF_ALL)
        is_known = found + number.rstrip() == MAGIC.rstrip()  # it may have lost its line end
        if found and number.rstrip().isdigit() and not is_known:
            raise MeshError(f"{self._path} was written by a newer release of peermesh: restore it with that one")
        self._file.seek(0)
        if self._file.read(len(_SQLITE)) == _SQLITE:
            raise MeshError(
                f"{self._path} is no whole backup: it was cut short, or it is the log of a home, which is not enough "
                "to restore one; give a file that `mesh backup` has made"
            )
        raise MeshError(f"{self._path} is not a backup: give a file that `mesh backup` has made")

    def _damaged(self, why: str) -> MeshError:
        return MeshError(f"{self._path} is damaged ({why}), so nothing is restored: take another copy of it")


def _pieces(file: BinaryIO, size: int) -> Iterator[bytes]:
    """The next `size` bytes. Raises OSError if the file ends before."""
    while size:
        piece = file.read(min(COPY_BYTES, size))
        if not piece:
            raise OSError("it became shorter while it was read")
        size -= len(piece)
        yield piece
