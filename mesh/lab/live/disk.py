"""The log file of a real home: copied, put back, read without its node; and a disk that is filled."""

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
from peers.stores.runs.sqlite.store import SqliteRunStore

DISK_BYTES = 4 * 1024 * 1024
"""The size of a disk that a story fills: enough for a log, and for what the story writes."""
BALLAST_FILE = "ballast"
BALLAST_BYTES = 4 * 1024


def back_up(home: Path, folder: Path) -> None:
    """Copy the log of a home into a new folder. Its node may run, be frozen or have crashed."""
    folder.mkdir()
    source = f"{(home / LOG_FILE).as_uri()}?mode=ro"
    with closing(sqlite3.connect(source, uri=True)) as original, closing(sqlite3.connect(folder / LOG_FILE)) as copy:
        original.backup(copy)


def put_back(folder: Path, home: Path) -> None:
    """Put such a copy in the place of the log of a home. Its node must not run."""
    home.mkdir(mode=0o700, exist_ok=True)
    for file in home.glob(f"{LOG_FILE}*"):
        file.unlink()
    shutil.copy(folder / LOG_FILE, home)


def fill(home: Path) -> None:
    """Fill the disk of a home to the last byte. Raises ValueError if the home is not on a disk of its own."""
    if not home.is_mount():
        raise ValueError(f"{home} has no disk of its own: this would fill the disk of this machine")
    with (home / BALLAST_FILE).open("wb", buffering=0) as ballast:
        try:
            while True:
                ballast.write(bytes(BALLAST_BYTES))
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise


def free(home: Path) -> None:
    """Delete what `fill` wrote."""
    (home / BALLAST_FILE).unlink(missing_ok=True)


def read_log(home: Path) -> list[Entry]:
    """What the log of a home shows, by (time, created), read from a copy."""
    with tempfile.TemporaryDirectory(dir=home.parent) as folder:
        copied = Path(folder, "home")
        back_up(home, copied)
        store = SqliteRunStore(copied / LOG_FILE, synchronous="OFF")
        store.open()
        found = all_entries(store)
        store.close()
    return found
