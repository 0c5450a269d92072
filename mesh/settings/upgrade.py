"""The log of a home that an older release wrote: brought up to date, and the file of the old layout that is kept."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from secrets import token_bytes
from typing import NamedTuple

from mesh.errors import MeshError
from mesh.settings.home import Home
from mesh.settings.paths import LOG_FILE
from peers.events.epoch import NONCE_BYTES
from peers.stores.run_store import Pen
from peers.stores.runs.sqlite.upgrade import Upgraded, drop_old, is_old, old_file, upgrade_log
from peers.stores.store import StoreError


class OldFile(NamedTuple):
    """What an upgrade kept."""

    path: Path
    size: int
    """Bytes; 0 if there is none."""


def is_log_old(home: Path) -> bool:
    """Whether the log of a home has the layout of an older release."""
    return is_old(home / LOG_FILE)


def upgrade_home(home: Home) -> Upgraded | None:
    """Bring the log of an open home up to date; None if it is. It takes about 10 s for a million events.

    Raises MeshError, with a sentence; then the log is as it was.
    """
    pen = Pen(home.signer, partial(token_bytes, NONCE_BYTES), home.node_id)
    try:
        return upgrade_log(home.log_path, pen)
    except StoreError as error:
        raise MeshError(str(error)) from None


def kept_file(home: Path) -> OldFile:
    """The file of the old layout that the upgrade of a home kept."""
    path = old_file(home / LOG_FILE)
    try:
        return OldFile(path, path.stat().st_size)
    except OSError:
        return OldFile(path, 0)


def drop_kept(home: Path) -> OldFile:
    """Delete it, whether the node runs or not; what it was. Raises MeshError if the log of the home is not up to date."""
    kept = kept_file(home)
    try:
        drop_old(home / LOG_FILE)
    except StoreError as error:
        raise MeshError(str(error)) from None
    return kept
