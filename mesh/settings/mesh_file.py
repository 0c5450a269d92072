"""MeshFile: `mesh.toml`, the options of `mesh up` that a home keeps."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mesh.errors import MeshError

MESH_FILE = "mesh.toml"
MAX_MESH_FILE_BYTES = 256 * 1024
"""A larger one is refused."""
LIMITS_TABLE = "limits"
"""The one table that the file may have: fields of Limits."""


@dataclass(frozen=True, slots=True)
class MeshFile:
    """What a `mesh.toml` says, before anybody judges it."""

    path: Path
    values: dict[str, Any]
    """By key, as TOML has them; those of the table `limits` by `limits.NAME`."""
    lines: dict[str, int]
    """Where each key begins, from 1."""

    def place(self, key: str) -> str:
        """`PATH:LINE`, for sentences."""
        return f"{self.path}:{self.lines[key]}"


def read_mesh_file(home: Path) -> MeshFile:
    """The `mesh.toml` of a home; one without values where there is none.

    Raises MeshError, with the line, for what is no TOML, for a table that no option has, and for a file that cannot be read.
    """
    path = home / MESH_FILE
    try:
        with path.open("rb") as file:
            content = file.read(MAX_MESH_FILE_BYTES + 1)
    except (FileNotFoundError, NotADirectoryError):
        return MeshFile(path, {}, {})
    except OSError as error:
        raise MeshError(f"{path} cannot be read: {error.strerror or error}") from None
    if len(content) > MAX_MESH_FILE_BYTES:
        raise MeshError(f"{path} has more than {MAX_MESH_FILE_BYTES} bytes: it should have a few lines of options")
    try:
        text = content.decode()
        values = _flat(tomllib.loads(text))
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise MeshError(f"{path}:{line}: this is not UTF-8 text") from None
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise MeshError(f"{path}: this is no TOML: {error}") from None
    return MeshFile(path, values, _lines(text))


def _flat(tables: dict[str, Any]) -> dict[str, Any]:
    limits = tables.get(LIMITS_TABLE)
    if not isinstance(limits, dict):
        return tables
    others = {key: value for key, value in tables.items() if key != LIMITS_TABLE}
    return others | {f"{LIMITS_TABLE}.{name}": value for name, value in limits.items()}


def _lines(text: str) -> dict[str, int]:
    """Where each key of a valid file begins: it is read again statement by statement."""
    found: dict[str, int] = {}
    table, first, statement = "", 1, ""
    for number, line in enumerate(text.split("\n"), 1):
        statement += line + "\n"
        try:
            values = tomllib.loads(statement)
        except tomllib.TOMLDecodeError:
            continue  # in the middle of a value of several lines
        if statement.lstrip().startswith("["):
            table = f"{next(iter(values))}."
            found.setdefault(table[:-1], first)
        else:
            for key in _flat(values):
                found.setdefault(table + key, first)
        first, statement = number + 1, ""
    return found
