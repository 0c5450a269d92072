"""Where a home is by default, and which of its files the node and the commands share."""

from __future__ import annotations

from pathlib import Path

LOCK_FILE = "lock"
SOCKET_FILE = "control.sock"
LOG_FILE = "log.sqlite"


def default_home() -> Path:
    """The per-user data directory."""
    # Imported here: a command that is given --home does without it.
    from platformdirs import user_data_path

    return user_data_path("peermesh")
