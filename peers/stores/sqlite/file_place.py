"""Whether the files that a store has open are still the ones at its path."""

from __future__ import annotations

import os
from os.path import samestat
from pathlib import Path

from peers.stores.store import StoreError


class FilePlace:
    """A file and its write-ahead log. What is committed after either was moved or deleted would be gone at the next start."""

    def __init__(self, path: Path) -> None:
        self._paths = (str(path), f"{path}-wal")
        self._held: tuple[os.stat_result, os.stat_result] | None = None
        """While the store has both open, no other file has the same device and inode."""

    def hold(self) -> None:
        """The store has opened both, which are at their paths now. Raises StoreError if one is not."""
        file, log = self._paths
        self._held = _status(file), _status(log)

    def check(self) -> int:
        """The bytes of the write-ahead log. Raises StoreError unless both are where they were when `hold` was called."""
        file, log = self._paths
        found, found_log = _status(file), _status(log)
        if self._held is None or not samestat(found, self._held[0]):
            raise _replaced(file)
        if not samestat(found_log, self._held[1]):
            raise _replaced(log)
        return found_log.st_size

    def check_return(self) -> None:
        """The same before the file is opened again, when its write-ahead log may be gone; nothing if it never was open."""
        if self._held is not None and not samestat(_status(self._paths[0]), self._held[0]):
            raise _replaced(self._paths[0])


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
