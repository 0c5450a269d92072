"""The default home of a user, the names of those files in it that several parts share, and how full its disk is."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

from mesh.errors import MeshError

HOME_VARIABLE = "MESH_HOME"
LOCK_FILE = "lock"
SOCKET_FILE = "control.sock"
LOG_FILE = "log.sqlite"
VIEWS_FILE = "views.sqlite"
TOKENS_FILE = "tokens.json"
CERTIFICATES_FILE = "certificates.pem"
RECOVERY_FILE = "recovery-code.txt"


def default_home() -> Path:
    """The data directory of this user for peermesh. Raises MeshError for a user who has no home directory."""
    # Imported here: a command with --home does not need it.
    from platformdirs import user_data_path

    try:
        home = user_data_path("peermesh")
    except RuntimeError:
        home = Path()
    if not home.is_absolute():  # older releases give `~/...` as it is
        raise MeshError(
            f"user {os.getuid()} has no home directory (neither HOME nor an entry in passwd): "
            "give --home DIR, or set MESH_HOME"
        )
    return home


def command_for(home: Path) -> str:
    """How a command for this home begins, as a user would type it: `mesh`, or `mesh --home DIR`."""
    try:
        is_default = HOME_VARIABLE not in os.environ and home == default_home()
    except MeshError:
        is_default = False
    return "mesh" if is_default else f"mesh --home {shlex.quote(str(home))}"


def start_of(home: Path) -> str:
    """How the node of this home is started: the end of a sentence. An application keeps the options of its node itself."""
    return f"start it: `{command_for(home)} up`, or the program that runs this node"


def disk_share(path: Path) -> float:
    """How much of the disk with `path` is in use, from 0 to 1, as `df` counts; 0 where it cannot be read."""
    try:
        disk = os.statvfs(path)
    except OSError:
        return 0.0
    used = disk.f_blocks - disk.f_bfree
    return used / (used + disk.f_bavail) if used else 0.0


def log_bytes(home: Path) -> int:
    """The size of the log in a home, with its write-ahead log; 0 without one."""
    size = 0
    for name in (LOG_FILE, f"{LOG_FILE}-wal"):
        try:
            size += (home / name).stat().st_size
        except OSError:
            continue
    return size
