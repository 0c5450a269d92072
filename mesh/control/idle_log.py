"""IdleLog: reads the log of a home in which no node runs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from msgspec import Raw

from mesh.control.log_reading import LogReading, item_of
from mesh.control.mesh_texts import MeshTexts, read_texts
from mesh.control.messages import Read
from mesh.errors import MeshError
from mesh.settings.paths import LOG_FILE
from peers.events.created import Created
from peers.log.event_story import read_story
from peers.log.moments import read_walk
from peers.stores.runs.sqlite.reader import SqliteRunReader
from peers.stores.store import StoreError

EVENTS_AT_ONCE = 500
"""More than a node reads at once: nothing else waits for this process."""
NO_CLOCK_MS = 0
"""The time now, for `read_walk`; not used, since a Read has times and no ages."""


class IdleLog:
    """The reading methods of ControlClient, without a node. Use it in a `with`. It changes no file. Raises MeshError."""

    def __init__(self, home: Path, mesh_key: bytes = b"") -> None:
        """`mesh_key` is the public key of the mesh of the home, for `texts`."""
        self._reader = SqliteRunReader(home / LOG_FILE)
        if mesh_key:
            self._reader.enter_mesh(mesh_key)
        try:
            self._reader.open()
        except StoreError as error:
            raise MeshError(str(error)) from None

    @staticmethod
    def is_there(home: Path) -> bool:
        """Whether this home has a log."""
        return (home / LOG_FILE).is_file()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._reader.close()

    def status(self) -> dict[str, Any]:
        """The keys that `mesh log` uses; without a running node no other node is known."""
        return {"node_id": "", "peers": []}

    def texts(self) -> MeshTexts:
        """As in ControlClient."""
        return read_texts(self._reader)

    def story(self, which: Created | int) -> dict[str, Any] | None:
        """As in ControlClient."""
        try:
            story = read_story(self._reader, which)
        except StoreError as error:
            raise MeshError(str(error)) from None
        return None if story is None else {**story}

    def read(self, request: Read) -> Iterator[list[Raw]]:
        """Lists of the requested events, as in ControlClient.read; it does not follow the log."""
        reading = LogReading(request, at_once=EVENTS_AT_ONCE)
        try:
            while (walk := reading.next_page()) is not None:
                if entries := reading.take(self._reader.each(**read_walk(NO_CLOCK_MS, **walk))):
                    undone = self._reader.undone([entry.created for entry in entries])
                    yield [item_of(entry, is_undone=entry.created in undone) for entry in entries]
        except StoreError as error:
            raise MeshError(str(error)) from None
