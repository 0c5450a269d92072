"""The control socket of a home: how both ends reach it, however long the home's path is."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from mesh.errors import MeshError
from mesh.settings.paths import SOCKET_FILE

MAX_ADDRESS_BYTES = 103
"""Of a unix socket's path: 107 on Linux, 103 on others."""
WAITING_COMMANDS = 64
_OPEN_FOLDERS = Path("/proc/self/fd")


def listen_in(home: Path) -> socket.socket:
    """A listening socket that only this user may use. To be called by whoever holds the home's lock. Raises OSError, MeshError.

    What a run that was killed left behind is replaced.
    """
    with suppress(FileNotFoundError):
        (home / SOCKET_FILE).unlink()
    listening = socket.socket(socket.AF_UNIX)
    try:
        with address_in(home) as address:
            before = os.umask(0o177)  # so that there is no moment in which others may connect
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
    """A blocking connection to the node that runs in `home`. Raises OSError, MeshError."""
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
    """The socket's path, by way of an open folder where it is too long for a socket."""
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
