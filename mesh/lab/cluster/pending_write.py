"""PendingWrite: what a write in a house comes to, for a story that wants to know it."""

from __future__ import annotations

from mesh.lab.simulation.virtual_loop import VirtualLoop
from peers.later import Later
from peers.log.log import Meta

ANSWER_SECONDS = 60.0
"""Virtual time within which a node must answer what it is asked."""


class PendingWrite(Later[Meta | None]):
    """A Later whose `get` lets virtual time pass until the disk has the event; `run` and `settle` do so, too."""

    def __init__(self, loop: VirtualLoop, who: str) -> None:
        super().__init__()
        self._loop = loop
        self._who = who

    def result(self) -> Meta | None:
        if not self.is_done:
            raise RuntimeError(
                f"{self._who} has not written this yet: let time pass with get(), house.run() or house.settle()"
            )
        return super().result()

    def _block(self, timeout: float | None) -> None:
        seconds = ANSWER_SECONDS if timeout is None else timeout
        if not self._loop.run_until(lambda: self.is_done, seconds):
            raise TimeoutError(f"{self._who} has not written this within {seconds:g} s")
