"""Reads what the checks of this machine need: rights, the key, the disk and the file of the log."""

from __future__ import annotations

import os
import pwd
import sqlite3
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from mesh.control.idle_log import IdleLog
from mesh.errors import MeshError
from mesh.membership.diagnosis.doctor.home import HomeFile, StoreFacts
from mesh.settings.home import KEY_FILE, read_identity, read_signer
from mesh.settings.paths import CERTIFICATES_FILE, LOG_FILE, RECOVERY_FILE, TOKENS_FILE
from mesh.trust.certificates import read_certificates
from mesh.trust.expulsion import why_out
from mesh.trust.invitations import INVITATIONS_FILE
from peers.facts.fact import decode_fact
from peers.facts.roster import Roster
from peers.stores.sqlite.file import check_header, connect_to_read, is_unmade, needs_copy
from peers.stores.sqlite.layout import NEWEST_LAYOUT
from peers.stores.store import StoreError

PRIVATE = {KEY_FILE, CERTIFICATES_FILE, TOKENS_FILE, RECOVERY_FILE, INVITATIONS_FILE}
LOOKED_AT = 256
"""Of a home, that are looked at."""
STORE_SECONDS = 3.0
"""For reading the log."""
_STEPS = 20_000
"""Of SQLite between two looks at the clock."""
_DAMAGES = 3
"""That are named."""


def home_files(home: Path) -> list[HomeFile]:
    """The folder and its files; nothing where there is no key. Raises OSError for a folder that cannot be read."""
    if not (home / KEY_FILE).exists():
        return []
    return [_look(home), *map(_look, sorted(home.iterdir())[:LOOKED_AT])]


def _look(path: Path) -> HomeFile:
    found = path.lstat()
    owner = "" if found.st_uid == os.geteuid() else _name(found.st_uid)
    return HomeFile(str(path), found.st_mode & 0o777, owner, os.access(path, os.W_OK), path.name in PRIVATE)


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def key_facts(home: Path, texts: Sequence[bytes] | None) -> tuple[str, list[str]]:
    """Who the node is, for people; and what is wrong with its key or its certificates, or why it is in its mesh no more.

    `texts` are the facts that its running node knows; None: none runs, and those of its log are read.
    """
    try:
        node_id, facts = read_identity(home)
        if not (home / CERTIFICATES_FILE).exists():
            return f"{node_id}, in no mesh yet", []
        own = read_signer(home).public
        mesh_key = read_certificates(home, own).mesh_key
    except MeshError as error:
        return "", [str(error)]
    known = _idle_texts(home, mesh_key) if texts is None else texts
    why = why_out(Roster(mesh_key, map(decode_fact, known)), own)
    return f"{node_id}, with certificates of the mesh {facts.mesh}", [why] if why else []


def _idle_texts(home: Path, mesh_key: bytes) -> Sequence[bytes]:
    """The facts in a log that no node uses; what is wrong with that log is said elsewhere."""
    try:
        with IdleLog(home, mesh_key) as log:
            return log.texts().facts
    except MeshError:
        return ()


def free_bytes(path: Path) -> int:
    """That this user may still write on the disk with `path`; 0 where it cannot be read."""
    try:
        disk = os.statvfs(path)
    except OSError:
        return 0
    return disk.f_bavail * disk.f_frsize


def store_facts(home: Path) -> StoreFacts:
    """Open the log for reading, and check it for STORE_SECONDS at most; nothing is changed."""
    path = home / LOG_FILE
    if not path.exists():
        return StoreFacts(is_there=False)
    size = path.stat().st_size
    try:
        if is_unmade(path):
            return StoreFacts(size=size, is_unclean=True)
        if check_header(path) < NEWEST_LAYOUT:
            return StoreFacts(is_old=True, size=size)
        if needs_copy(path):  # what a killed node left: the next start, or any reader, brings it in order
            return StoreFacts(size=size, is_unclean=True)
        with closing(connect_to_read(path)) as connection:
            return _check(connection, size)
    except StoreError as error:
        return StoreFacts(str(error), size=size)
    except sqlite3.Error as error:
        return StoreFacts(f"the log file {path}: {error}", size=size)


def _check(connection: sqlite3.Connection, size: int) -> StoreFacts:
    """By tables, so that something is known of a large log when the time is up."""
    ends = time.monotonic() + STORE_SECONDS
    connection.set_progress_handler(lambda: int(time.monotonic() > ends), _STEPS)
    names = [
        name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY rootpage")
    ]
    for done, name in enumerate(names):
        try:
            found = connection.execute(f"PRAGMA quick_check('{name}')").fetchmany(_DAMAGES)
        except sqlite3.OperationalError as error:
            if error.sqlite_errorname != "SQLITE_INTERRUPT":
                raise
            return StoreFacts(size=size, tables=(done, len(names)))
        if found != [("ok",)]:
            return StoreFacts("the log is damaged: " + "; ".join(str(text) for (text,) in found), size=size)
    return StoreFacts(size=size)
