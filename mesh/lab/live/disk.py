"""The log of a real home as a file: copied, put back, read without its node."""

from __future__ import annotations

import errno
import shutil
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path

from mesh.lab.simulation.storage import all_entries
from mesh.settings.paths import LOG_FILE
from peers.events.entry import Entry
from peers.stores.sqlite.store import SqliteStore

DISK_BYTES = 4 * 1024 * 1024
"""Of a disk that a story fills: a log, and room for what the story writes."""
BALLAST_FILE = "ballast"
BALLAST_BYTES = 4 * 1024


def back_up(home: Path, folder: Path) -> None:
    """Copy the log of a home into a new folder, whether its node runs, is frozen or has crashed."""
    folder.mkdir()
    source = f"{(home / LOG_FILE).as_uri()}?mode=ro"
    with closing(sqlite3.connect(source, uri=True)) as original, closing(sqlite3.connect(folder / LOG_FILE)) as copy:
        original.backup(copy)


def put_back(folder: Path, home: Path) -> None:
    """Put such a copy in the place of the log of a home whose node does not run."""
    home.mkdir(mode=0o700, exist_ok=True)
    for file in home.glob(f"{LOG_FILE}*"):
        file.unlink()
    shutil.copy(folder / LOG_FILE, home)


def fill(home: Path) -> None:
    """Fill the disk of a home. Raises ValueError if it is not a small one of its own."""
    if not home.is_mount():
        raise ValueError(f"{home} has no disk of its own: what would be filled is that of this machine")
    with (home / BALLAST_FILE).open("wb", buffering=0) as ballast:
        try:
            while True:
                ballast.write(bytes(BALLAST_BYTES))
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise


def free(home: Path) -> None:
    """Take away what `fill` wrote."""
    (home / BALLAST_FILE).unlink(missing_ok=True)


def read_log(home: Path) -> list[Entry]:
    """What the log of a home holds, by (time, created); it stays as it is."""
    with tempfile.TemporaryDirectory(dir=home.parent) as folder:
        copied = Path(folder, "home")
        back_up(home, copied)
        store = SqliteStore(copied / LOG_FILE, synchronous="OFF")
        store.open()
        found = all_entries(store)
        store.close()
    return found
