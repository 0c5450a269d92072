"""A backup of a home, and a new home from a backup."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

from mesh.errors import MeshError
from mesh.settings.backup_file import BackupFacts, BackupFile, seal
from mesh.settings.home import FACTS_FILE, KEY_FILE, Home, read_identity
from mesh.settings.home_files import write_whole
from mesh.settings.home_lock import is_locked
from mesh.settings.kept_peers import PEERS_FILE, KeptPeers
from mesh.settings.paths import CERTIFICATES_FILE, LOG_FILE, TOKENS_FILE
from mesh.settings.whole_file import UNFINISHED, sync_folder, whole_file
from peers.stores.sqlite.file import wal_of
from peers.stores.sqlite.online_copy import copy_log, count_events
from peers.stores.store import StoreError

SHARED_FILES = (PEERS_FILE,)
"""The files of a home that are in each backup, besides the log."""
NODE_FILES = (FACTS_FILE, KEY_FILE, CERTIFICATES_FILE, TOKENS_FILE)
"""Those by which a home is that of the same node: in a backup only if they are asked for."""
_NOT_MADE = "no backup was made"


def make_backup(
    home: Path,
    file: Path,
    *,
    with_keys: bool,
    is_forced: bool,
    now_ms: int,
    on_step: Callable[[int, int], None],
) -> BackupFacts:
    """Write a backup of a home into a new file, whether the node of the home runs or not. A running one goes on writing.

    The log in the backup has the state of one commit, the last one at the beginning. The file has its name once it is
    complete, checked and on disk. Only this user may read it.

    - `with_keys`: put NODE_FILES in it too.
    - `is_forced`: replace a file that exists.
    - `now_ms`: the wall clock; the backup says it.
    - `on_step(done, total)`: pages of the log that are copied, after each some MB.

    Raises MeshError if there is no home, the file exists, it is inside the home, its disk is full or cannot be written, or the
    log is damaged. Then no file was made or replaced.
    """
    node_id, kept = read_identity(home)
    log = home / LOG_FILE
    try:
        with whole_file(home, file, is_forced=is_forced, otherwise=_NOT_MADE, example="mesh.backup") as (path, written):
            _check_room(file, log)
            copy_log(log, path, is_in_use=is_locked(home), on_step=on_step)
            names = (*SHARED_FILES, *NODE_FILES) if with_keys else SHARED_FILES
            facts = BackupFacts(
                node_id=node_id,
                name=kept.name,
                mesh=kept.mesh,
                made_ms=now_ms,
                events=_checked(path, log),
                files={name: (home / name).read_bytes() for name in names if (home / name).exists()},
            )
            seal(written, facts)
    except StoreError as error:
        raise MeshError(f"{_NOT_MADE}: {error}") from None
    return facts


def restore_home(file: Path, home: Path) -> tuple[BackupFacts, str]:
    """Make a new home from a backup; returns what the backup says of itself, and the id of the node that the home is for.

    With a key in the backup that is the node of the backup. Without, it is a new node of the same name, with a new key, which
    chooses a port at its first start. All of the log stays as it is, the cursors of Logux clients and servers too: they count
    the events of this log, of which both nodes have the same up to the backup. The node begins an epoch of its own when it
    is started, as at each start.

    Raises MeshError if the file is not a whole backup of a known version, there is something at `home` already, or the home
    cannot be made. Then there is no new home, nor a part of one under its name.
    """
    with BackupFile(file) as backup:
        _check_absent(home)
        unfinished = home.with_name(home.name + UNFINISHED)
        try:
            if not home.parent.is_dir():
                home.parent.mkdir(parents=True)
            unfinished.mkdir(mode=0o700)
        except OSError as error:
            if unfinished.is_dir():
                raise MeshError(
                    f"{unfinished} is in the way: another `mesh restore` is making it, or left it when it was killed; "
                    "delete it if none runs"
                ) from None
            raise _not_made(home, error) from None
        try:
            node_id = _fill(unfinished, backup, file)
            unfinished.replace(home)
            sync_folder(home.parent)
        except BaseException as error:
            shutil.rmtree(unfinished, ignore_errors=True)
            if isinstance(error, OSError):
                raise _not_made(home, error) from None
            raise
    return backup.facts, node_id


def _check_room(file: Path, log: Path) -> None:
    """Before a byte is written: a running node may need what is left of the same disk."""
    needed = sum(each.stat().st_size for each in (log, wal_of(log)) if each.exists())
    free = shutil.disk_usage(file.parent).free
    if free < needed:
        raise MeshError(
            f"{_NOT_MADE}: the disk of {file.parent} is too full: it has {free} bytes left, "
            f"and the log takes up to {needed}"
        )


def _checked(copy: Path, log: Path) -> int:
    try:
        return count_events(copy)
    except StoreError as error:
        found = str(error).replace(str(copy), str(log))
        raise MeshError(f"{_NOT_MADE}, as it would be of no use: {found}") from None


def _check_absent(home: Path) -> None:
    if (home / KEY_FILE).exists():
        raise MeshError(f"{home} is the home of a node already: choose a folder that does not exist, with --home")
    if os.path.lexists(home):
        raise MeshError(f"{home} exists already: choose a folder that does not exist, with --home")


def _fill(folder: Path, backup: BackupFile, file: Path) -> str:
    """Make a home in an empty folder. Returns the node id."""
    facts = backup.facts
    backup.extract_log(folder / LOG_FILE)
    for name in (*SHARED_FILES, *NODE_FILES):
        if name in facts.files:
            write_whole(folder / name, facts.files[name], mode=0o600)
    home = Home(folder, name=facts.name, mesh=facts.mesh)  # without NODE_FILES it makes new ones
    node_id = home.node_id
    home.close()
    KeptPeers(folder).list()  # raises for a file that no node could use
    try:
        events = count_events(folder / LOG_FILE)
    except StoreError as error:
        raise MeshError(f"{file} cannot be restored: {error}") from None
    if events != facts.events or (KEY_FILE in facts.files and node_id != facts.node_id):
        raise MeshError(
            f"{file} cannot be restored: it says {facts.events} events of {facts.node_id}, and has {events} of {node_id}"
        )
    sync_folder(folder)
    return node_id


def _not_made(home: Path, error: OSError) -> MeshError:
    where = f" ({error.filename})" if error.filename else ""
    return MeshError(f"the home {home} cannot be made: {error.strerror or error}{where}; choose another with --home")
