"""`client.log`: writes events as the library does, with results that a story can wait for in virtual time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mesh.lab.simulation.virtual_loop import VIRTUAL_ANSWER_SECONDS, VirtualLoop
from peers.events.created import Created
from peers.later import Later
from peers.log.draft import Meta

Write = Callable[[dict[str, Any], Meta | None], Later[Meta | None]]


class PendingWrite(Later[Meta | None]):
    """The result of `add`. `get` lets virtual time pass until the disk has the event; `run` and `settle` do so too."""

    def __init__(self, loop: VirtualLoop, name: str) -> None:
        """`name` is the room or client that writes."""
        super().__init__()
        self.loop = self._loop = loop
        self._name = name

    def result(self) -> Meta | None:
        if not self.is_done:
            raise RuntimeError(f"{self._name} has not written this yet: let time pass with get(), run() or settle()")
        return super().result()

    def _block(self, timeout: float | None) -> None:
        seconds = VIRTUAL_ANSWER_SECONDS if timeout is None else timeout
        if not self._loop.run_until(lambda: self.is_done, seconds):
            raise TimeoutError(f"{self._name} has not written this within {seconds:g} s")


class StoryLog:
    """Writes the events of one client, and remembers which were acknowledged."""

    def __init__(self, loop: VirtualLoop, name: str, write: Write) -> None:
        """`write` writes an event with its meta, and raises RuntimeError if the client does not run."""
        self.acknowledged: dict[Created, None] = {}
        """Events that are on the disk for sure, in order: the checker holds the cluster to them."""
        self._loop = loop
        self._name = name
        self._write = write

    def add(self, event: dict[str, Any], meta: Meta | None = None) -> Later[Meta | None]:
        """Write an event; the result is there once the disk has it, and its `get` waits for that.

        The result is the meta of the event; None if a filter or an earlier copy made it needless. Raises RuntimeError if the
        client does not run.
        """
        result = self._write(event, meta)
        result.then(self._on_written)
        pending = PendingWrite(self._loop, self._name)
        result.then(pending.follow)
        return pending

    def _on_written(self, done: Later[Meta | None]) -> None:
        if done.exception is None and (meta := done.result()) is not None:
            created: Created = meta["created"]
            self.acknowledged[created] = None
