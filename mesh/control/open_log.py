"""How a command comes to the log of a home: through the node that runs there, or from the disk."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from mesh.control.client import ControlClient
from mesh.errors import MeshError, NoNodeError
from mesh.settings.home_lock import is_locked

if TYPE_CHECKING:
    from mesh.control.idle_log import IdleLog
    from mesh.control.stopped_log import StoppedLog


def log_to_read(home: Path, *, follows: bool = False) -> ControlClient | IdleLog:
    """The log of a home, to be used in a `with`. Raises MeshError; NoNodeError if only a running node can do it."""
    try:
        return ControlClient(home)
    except NoNodeError:
        from mesh.control.idle_log import IdleLog  # imported here: it loads the store, which takes a while

        if follows or is_locked(home) or not IdleLog.is_there(home):
            raise
    return IdleLog(home)


@contextmanager
def log_to_write(home: Path) -> Iterator[ControlClient | StoppedLog]:
    """The same to write in it. A node that starts meanwhile finds the home in use."""
    try:
        client = ControlClient(home)
    except NoNodeError as error:
        from mesh.control.stopped_log import stopped_log
        from mesh.settings.home import KEY_FILE

        if is_locked(home):
            raise
        if not (home / KEY_FILE).exists():
            raise MeshError(f"{error}; nothing was imported") from None
        with stopped_log(home) as log:
            yield log
        return
    with client:
        yield client
