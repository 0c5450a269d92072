"""A new mesh at home: whether a node founds one at its start, and where the recovery code goes."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from mesh.errors import MeshError
from mesh.settings.home import Home
from mesh.settings.home_files import write_whole
from mesh.settings.paths import CERTIFICATES_FILE, RECOVERY_FILE
from mesh.settings.upgrade import is_log_old
from mesh.trust.founding import found_mesh, log_of
from mesh.trust.recovery_code import mesh_signer, read_recovery_code

ShowCode = Callable[[str], None]
"""Gets the recovery code of a new mesh, which is kept nowhere else. What it raises ends the founding."""


def found_new_mesh(home: Home, secret: bytes, now_ms: int, show: ShowCode | None) -> bytes:
    """Found a mesh, see `found_mesh`; `show` gets its recovery code. Returns the public key of the mesh.

    Without `show` the code is written to RECOVERY_FILE in the home, which only this user may read. A code that is there already
    is the one of the new mesh: it was written when the home was to found one, and the machine stopped before the log had it.
    Raises MeshError, with a sentence, also if that file has something else; then nothing was founded.
    """
    path = home.path / RECOVERY_FILE
    is_there = path.exists()
    if is_there:
        secret = _kept_secret(path)
    try:
        return found_mesh(home, secret, now_ms, show or partial(_keep, path))
    except BaseException:
        if not is_there and path.exists() and not _is_founded(home, path.read_text()):
            path.unlink()
        raise


def found_at_start(home: Home, secret: bytes, now_ms: int, show: ShowCode | None) -> None:
    """The same for a fresh home without certificates. Raises MeshError, with a sentence, if its log is not empty."""
    has = _what_it_has(home)
    if has:
        raise MeshError(
            f"the home {home.path} has {has}, so it is in no mesh: `mesh join CODE` (with --with-log, "
            "for events of a time without a mesh) takes it into that of another machine, `mesh found` makes one of its own; "
            "with --open=lan its node runs without one, as in earlier releases, and anyone who reaches it can read and write "
            "its log"
        )
    found_new_mesh(home, secret, now_ms, show)


def has_recovery_code(home: Path, mesh_key: bytes) -> bool:
    """Whether a home has a file that may be the recovery code of the mesh with this key; not that of one that has given way."""
    try:
        return mesh_signer((home / RECOVERY_FILE).read_text(errors="replace")).public == mesh_key
    except FileNotFoundError:
        return False
    except (MeshError, OSError):  # as with a note beside the code
        return True


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
    """Whether the log has the facts of the mesh with this code, which finishes the rest; also if that cannot be found out."""
    try:
        with log_of(home, mesh_signer(code).public, "") as store:
            return bool(store.facts())
    except MeshError:
        return True


def _kept_secret(path: Path) -> bytes:
    """From which the code in a file was made. Raises MeshError."""
    try:
        return read_recovery_code(path.read_text(errors="replace"))
    except (MeshError, OSError):
        raise MeshError(
            f"no mesh was founded: {path} is in the way, which is not the recovery code of a founding that was interrupted: "
            "put it away first"
        ) from None


def _keep(path: Path, code: str) -> None:
    """Write the recovery code into a file that only this user may read. Raises MeshError."""
    try:
        write_whole(path, f"{code}\n".encode(), mode=0o600)
    except OSError as error:
        raise MeshError(
            f"no mesh was founded: {path} cannot be written ({error.strerror}): mend that, then try again"
        ) from None
