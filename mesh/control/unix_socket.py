"""The unix socket in a home: how both ends open it, also where the path of the home is too long for a socket."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from mesh.errors import MeshError
from mesh.settings.paths import SOCKET_FILE

MAX_ADDRESS_BYTES = 103
"""Of the path of a unix socket: Linux takes 107, other systems 103."""
WAITING_COMMANDS = 64
"""Connections that wait to be accepted."""
_OPEN_FOLDERS = Path("/proc/self/fd")


def listen_in(home: Path) -> socket.socket:
    """A listening socket that only this user may use. Raises OSError or MeshError.

    The caller holds the lock of the home, so an existing socket file is one that a killed process left: it is replaced.
    """
    with suppress(FileNotFoundError):
        (home / SOCKET_FILE).unlink()
    listening = socket.socket(socket.AF_UNIX)
    try:
        with address_in(home) as address:
            before = os.umask(0o177)  # so that other users cannot connect even for a moment
            try:
                listening.bind(address)
            finally:
                os.umask(before)
        listening.listen(WAITING_COMMANDS)
    except BaseException:
        listening.close()
        raise
    return listening


def connect_in(home: Path) -> socket.socket:
    """A blocking connection to the node that runs in `home`. Raises OSError or MeshError."""
    connection = socket.socket(socket.AF_UNIX)
    try:
        with address_in(home) as address:
            connection.connect(address)
    except BaseException:
        connection.close()
        raise
    return connection


@contextmanager
def address_in(home: Path) -> Iterator[str]:
    """The path of the socket; where that is too long, a path through /proc by an open folder. Raises MeshError."""
    path = home / SOCKET_FILE
    if len(os.fsencode(path)) <= MAX_ADDRESS_BYTES:
        yield str(path)
        return
    if not _OPEN_FOLDERS.is_dir():
        raise MeshError(
            f"the path {path} is too long for a socket, which takes {MAX_ADDRESS_BYTES} bytes: choose a shorter --home"
        )
    folder = os.open(home, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield str(_OPEN_FOLDERS / str(folder) / SOCKET_FILE)
    finally:
        os.close(folder)
