"""Whether the files that a store has open are still the ones at its path."""

from __future__ import annotations

import os
from pathlib import Path

from peers.stores.store import StoreError

Identity = tuple[int, int]
"""Device and inode: no other file has them while this one is open."""


class FilePlace:
    """A file and its write-ahead log. What is committed after either was moved or deleted would be gone at the next start."""

    def __init__(self, path: Path) -> None:
        self._paths = (str(path), f"{path}-wal")
        self._held: tuple[Identity, Identity] | None = None

    def hold(self) -> None:
        """The store has opened both, which are at their paths now. Raises StoreError if one is not."""
        file, log = self._paths
        self._held = _identity(file), _identity(log)

    def check(self) -> int:
        """The bytes of the write-ahead log. Raises StoreError unless both are where they were when `hold` was called."""
        file, log = self._paths
        found, log_status = _identity(file), _status(log)
        if (found, _identity_of(log_status)) != self._held:
            raise _replaced(log if self._held and found == self._held[0] else file)
        return log_status.st_size

    def check_return(self) -> None:
        """The same before the file is opened again, when its write-ahead log may be gone; nothing if it never was open."""
        if self._held is not None and _identity(self._paths[0]) != self._held[0]:
            raise _replaced(self._paths[0])


def _identity(path: str) -> Identity:
    return _identity_of(_status(path))


def _identity_of(status: os.stat_result) -> Identity:
    return status.st_dev, status.st_ino


def _status(path: str) -> os.stat_result:
    try:
        return os.stat(path)  # noqa: PTH116 - for each commit: Path.stat takes twice as long
    except FileNotFoundError:
        raise StoreError(
            f"the log file {path} was moved or deleted while the node uses it, so nothing more is written: "
            "put that very file back, or start the node again",
            "its log file was moved or deleted",
        ) from None
    except OSError as error:
        raise StoreError(
            f"the log file {path} is out of reach ({error.strerror}), so nothing more is written: check the disk",
            "its log file is out of reach",
        ) from error


def _replaced(path: str) -> StoreError:
    return StoreError(
        f"another file stands at {path}, where the node's log was, so nothing more is written: "
        "put the node's own file back, or start the node again with that one",
        "its log file was replaced",
    )
