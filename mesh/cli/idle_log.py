"""IdleLog: the log of a home in which no node runs, for the commands that only read."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from msgspec import Raw

from mesh.control.log_reading import LogReading, item_of
from mesh.control.messages import Read
from mesh.errors import MeshError
from mesh.settings.paths import LOG_FILE
from peers.log.moments import read_walk
from peers.stores.sqlite.reader import SqliteReader
from peers.stores.store import StoreError

NO_CLOCK_MS = 0
"""A Read has moments and no ages, so no clock is asked."""


class IdleLog:
    """Reads as ControlClient does, and changes nothing in the home. Use it in a `with`; everything raises MeshError."""

    def __init__(self, home: Path) -> None:
        self._reader = SqliteReader(home / LOG_FILE)
        try:
            self._reader.open()
        except StoreError as error:
            raise MeshError(str(error)) from None

    @staticmethod
    def is_there(home: Path) -> bool:
        """Whether a node has left a log in this home."""
        return (home / LOG_FILE).is_file()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._reader.close()

    def status(self) -> dict[str, Any]:
        """What is known of nodes without one that runs: nothing."""
        return {"node_id": "", "peers": []}

    def read(self, request: Read) -> Iterator[list[Raw]]:
        """The events asked for, some at a time; what is added later is not followed."""
        reading = LogReading(request)
        try:
            while (walk := reading.next_page()) is not None:
                if items := [
                    item_of(entry) for entry in reading.take(self._reader.each(**read_walk(NO_CLOCK_MS, **walk)))
                ]:
                    yield items
        except StoreError as error:
            raise MeshError(str(error)) from None
