"""A new mesh at home: whether a node founds one at its start, and where the recovery code goes."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

from mesh.errors import MeshError
from mesh.settings.home import Home
from mesh.settings.paths import CERTIFICATES_FILE, RECOVERY_FILE
from mesh.settings.upgrade import is_log_old
from mesh.trust.founding import found_mesh, log_of
from mesh.trust.recovery_code import mesh_signer

ShowCode = Callable[[str], None]
"""Gets the recovery code of a new mesh, which nobody else keeps. What it raises ends the founding."""


def found_new_mesh(home: Home, secret: bytes, now_ms: int, show: ShowCode | None) -> bytes:
    """Found a mesh, see `found_mesh`; `show` gets its recovery code. Returns the public key of the mesh.

    Without `show` the code is written to RECOVERY_FILE in the home, which only this user may read. Raises MeshError, with a
    sentence, also if that file has the code of another mesh; then nothing was founded.
    """
    if show is not None:
        return found_mesh(home, secret, now_ms, show)
    path = home.path / RECOVERY_FILE
    is_of_another = path.exists()
    try:
        return found_mesh(home, secret, now_ms, partial(_keep, path))
    except BaseException:
        if not is_of_another and path.exists() and not _is_founded(home, path.read_text()):
            path.unlink()
        raise


def found_at_start(home: Home, secret: bytes, now_ms: int, show: ShowCode | None) -> None:
    """The same for a fresh home without certificates. Raises MeshError, with a sentence, if its log is not empty."""
    has = _what_it_has(home)
    if has:
        raise MeshError(
            f"the home {home.path} has {has}, so it is in no mesh: `mesh join CODE` (with --with-log) "
            "takes it into that of another machine, `mesh found` makes one of its own; with --open=lan (in Python open='lan') "
            "its node runs without one, as in earlier releases, and whoever reaches it can read and write its log"
        )
    found_new_mesh(home, secret, now_ms, show)


def _what_it_has(home: Home) -> str:
    """What tells a home without certificates from a fresh one; empty for a fresh one."""
    without = f"but no {CERTIFICATES_FILE}"
    if not home.log_path.exists():
        return ""
    if is_log_old(home.path):
        return f"a log of an earlier release, {without}"
    with log_of(home, b"", "the node was not started") as store:
        if store.has_facts:  # as after a crash while it was founded, or in a backup that was restored without keys
            return f"a log of a mesh, {without} (put it back from a backup with keys, or call `mesh recover`)"
        return f"a log, {without}" if store.state.last_added or store.ends() else ""


def _is_founded(home: Home, code: str) -> bool:
    """Whether the log has the facts of the mesh with this code, which finishes the rest; also if that cannot be told."""
    try:
        with log_of(home, mesh_signer(code).public, "") as store:
            return bool(store.facts())
    except MeshError:
        return True


def _keep(path: Path, code: str) -> None:
    """Write the recovery code into a new file that only this user may read. Raises MeshError."""
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise MeshError(
            f"no mesh was founded: {path} has the recovery code of another one, or of one whose founding was interrupted: "
            "put it away first"
        ) from None
    with os.fdopen(handle, "w") as file:
        file.write(f"{code}\n")
        file.flush()
        os.fsync(file.fileno())
