"""A file that a command writes for its user: it has its name once it is whole and on disk."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from mesh.errors import MeshError

UNFINISHED = ".unfinished"
"""The end of the name of a file or folder that is being made."""


@contextmanager
def whole_file(
    home: Path, file: Path, *, is_forced: bool, otherwise: str, example: str
) -> Iterator[tuple[Path, BinaryIO]]:
    """An open file beside `file` and its path; at the end of the `with` it is put on disk and gets the name `file`.

    With `is_forced` it replaces a file that exists. Only this user may read it. After an exception it is gone, and what was
    at `file` is as it was. `example` is a name for such a file. Raises MeshError, which begins with `otherwise`, if `file`
    exists, is inside the home, or its disk is full or cannot be written.
    """
    _check_target(home, file, is_forced, otherwise, example)
    try:
        with _unfinished(file) as (path, written):
            yield path, written
            written.flush()
            os.fsync(written.fileno())
            _check_target(home, file, is_forced, otherwise, example)
            path.replace(file)
            sync_folder(file.parent)
    except OSError as error:
        where = str(error.filename or file).removesuffix(UNFINISHED)
        raise MeshError(f"{otherwise}: {where}: {error.strerror or error}; name another file") from None


def _check_target(home: Path, file: Path, is_forced: bool, otherwise: str, example: str) -> None:
    try:
        if file.resolve().is_relative_to(home.resolve()):
            raise MeshError(f"{file} is in the home itself, and would be lost with it: name a file elsewhere")
        if file.is_dir():
            raise MeshError(f"{file} is a folder: name a file in it, as in {file / example}")
        if file.exists() and not file.is_file():
            raise MeshError(f"{file} is no regular file: name another one")
        if not is_forced and os.path.lexists(file):
            raise MeshError(f"{file} exists already: name another file, or give --force to replace it")
    except OSError as error:
        raise MeshError(f"{otherwise}: {file}: {error.strerror or error}; name another file") from None


@contextmanager
def _unfinished(file: Path) -> Iterator[tuple[Path, BinaryIO]]:
    """An empty file beside `file`, which is gone at the end unless it was renamed. One that was left there is used again."""
    path = file.with_name(file.name + UNFINISHED)
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(handle, "r+b") as written:
        if not _is_ours(path, handle):
            raise MeshError(f"another command is writing {file}: wait for it, or name another file")
        try:
            with suppress(OSError):  # of one that was left there; a USB stick may have no such rights
                os.fchmod(handle, 0o600)
            written.truncate()
            yield path, written
        except BaseException:
            path.unlink(missing_ok=True)
            raise


def _is_ours(path: Path, handle: int) -> bool:
    """Lock an open file. False if another process has locked it, or has renamed it since it was opened."""
    with suppress(OSError):  # some network disks have no locks
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    try:
        return os.path.samestat(os.fstat(handle), path.stat())
    except FileNotFoundError:
        return False


def sync_folder(folder: Path) -> None:
    """Put the names in a folder on disk."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with suppress(OSError):  # some network disks cannot, and have no need to
            os.fsync(handle)
    finally:
        os.close(handle)
