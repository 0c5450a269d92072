"""The lock of a home: held by the process that runs its node; the file has the number of that process."""

from __future__ import annotations

import contextlib
import fcntl
import os
from pathlib import Path
from typing import IO

from mesh.errors import MeshError
from mesh.settings.paths import LOCK_FILE, command_for

_PID_BYTES = 32


def take(home: Path) -> IO[bytes]:
    """Lock the home for this process, until `release` of the result. Raises OSError, and MeshError if a node runs in it."""
    lock = (home / LOCK_FILE).open("ab", buffering=0)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        lock.close()
        if isinstance(error, BlockingIOError):
            raise _in_use(home) from None
        raise
    with contextlib.suppress(OSError):  # on a full disk the number is missing, but the node starts
        lock.truncate(0)
        lock.write(b"%d\n" % os.getpid())
    return lock


def release(lock: IO[bytes]) -> None:
    """Unlock the home. Does nothing if that was done before."""
    if not lock.closed:
        with contextlib.suppress(OSError):
            lock.truncate(0)
        lock.close()


def check_free(home: Path) -> None:
    """Raise MeshError if a node runs in this home, which need not exist."""
    if is_locked(home):
        raise _in_use(home)


def is_locked(home: Path) -> bool:
    """Whether a node has the home: it runs, starts, or has not stopped yet."""
    try:
        lock = (home / LOCK_FILE).open("rb")
    except OSError:
        return False
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def holder(home: Path) -> str:
    """` (process N)`, to append to a sentence about the running node; empty if the lock file has no number."""
    try:
        with (home / LOCK_FILE).open("rb") as lock:
            pid = int(lock.read(_PID_BYTES))
    except (OSError, ValueError):
        return ""
    return f" (process {pid})" if _is_alive(pid) else ""


def _in_use(home: Path) -> MeshError:
    return MeshError(
        f"a node runs in {home} already{holder(home)}: "
        f"stop it with `{command_for(home)} stop` or in its program, or choose another --home"
    )


def _is_alive(pid: int) -> bool:
    """Whether a process has this number. It may be left from a process that was killed."""
    try:
        if pid > 0:
            os.kill(pid, 0)
    except PermissionError:
        return True
    except (OSError, OverflowError):
        return False
    return pid > 0
