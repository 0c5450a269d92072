"""The files of a home: those of JSON have a version and are read without trust; each is replaced as a whole."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Annotated, TypeVar

import msgspec

from mesh.errors import MeshError

T = TypeVar("T", bound=msgspec.Struct)

FILE_VERSION = 1
"""The version that this release writes into each of these files, and the highest that it reads."""
FileVersion = Annotated[int, msgspec.Meta(ge=1, le=FILE_VERSION)]
MAX_FILE_BYTES = 8 * 1024 * 1024
"""A larger file is damaged: 20 000 tokens, the most that a home keeps, take less."""


def decode_file(content: bytes, path: Path, kind: type[T], check: Callable[[T], object], remedy: str) -> T:
    """Decode `content`, up to MAX_FILE_BYTES + 1 bytes of the file at `path`.

    `check` raises MeshError for a value that is not allowed. Raises MeshError if a newer release wrote the file (its version is
    higher, or it has fields that `kind` lacks), and if it is damaged: then `remedy` says what the user can do.
    """
    if _is_newer(content, kind):
        raise MeshError(f"{path} was written by a newer release of peermesh: use that one, or choose another --home")
    try:
        if len(content) > MAX_FILE_BYTES:
            raise MeshError(f"it has more than {MAX_FILE_BYTES} bytes")
        found = msgspec.json.decode(content, type=kind)
        check(found)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, MeshError) as error:
        raise MeshError(f"{path} is damaged ({error}){remedy}") from None
    return found


def _is_newer(content: bytes, kind: type[msgspec.Struct]) -> bool:
    try:
        found = msgspec.json.decode(content, type=dict[str, msgspec.Raw])
        version = msgspec.json.decode(found["version"]) if "version" in found else FILE_VERSION
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return (isinstance(version, int) and version > FILE_VERSION) or not found.keys() <= set(kind.__struct_fields__)


def check_private(path: Path) -> None:
    """Raise MeshError if others than its user may read or write a file; OSError if there is none."""
    mode = path.stat().st_mode & 0o777
    if mode & 0o077:
        raise MeshError(f"others may read or write {path} (its mode is {mode:o}): run `chmod 600 {path}`")


def write_whole(path: Path, content: bytes, *, mode: int) -> None:
    """Replace a file, so that after a crash it is either the old or the new one. Raises OSError, which names it."""
    temporary = path.with_name(path.name + ".new")
    try:
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        with suppress(OSError):  # it may have a secret, and room is what a full disk lacks
            temporary.unlink()
        raise OSError(error.errno, error.strerror or str(error), str(temporary)) from None
