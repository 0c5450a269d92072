"""A room's own clock on the virtual loop: it may start off, run fast or slow, and jump."""

from __future__ import annotations

from collections.abc import Callable

from mesh.lab.simulation.virtual_loop import VirtualLoop
from peers.clock import Undo

EPOCH_MS = 1_700_000_000_000
"""What a right wall clock shows when the virtual loop is made."""


class RoomClock:
    """Implements `peers.clock.Clock`: offset, drift and jumps move the wall clock only, as on a real machine."""

    def __init__(self, loop: VirtualLoop, *, offset_ms: int = 0, drift: float = 0.0) -> None:
        """`drift` is what the wall clock gains per unit of time: 0.0001 is 8.6 s a day; negative loses."""
        self._loop = loop
        self._base_wall_ms = EPOCH_MS + offset_ms + self.elapsed_ms()
        self._base_elapsed_ms = self.elapsed_ms()
        self._drift = drift
        self._is_stopped = False
        self._late: list[Callable[[], None]] | None = None
        """While the room is frozen: what was due."""

    def now_ms(self) -> int:
        return int(self._wall_ms())

    def elapsed_ms(self) -> float:
        return self._loop.time() * 1000

    def uptime_ms(self) -> float:
        return self.elapsed_ms()

    def call_later(self, delay_ms: float, reaction: Callable[[], None]) -> Undo:
        is_undone = False

        def react() -> None:
            if not is_undone:
                reaction()

        handle = self._loop.call_later(delay_ms / 1000, self._react, react)

        def undo() -> None:
            nonlocal is_undone
            is_undone = True  # it may be among those that a frozen room has still to do
            handle.cancel()

        return undo

    def skew(self, ms: int) -> None:
        """Let the wall clock jump by `ms`, forward or back."""
        self._base_wall_ms += ms

    def set_drift(self, drift: float) -> None:
        """Let the wall clock run at another pace from now on, without a jump."""
        self._base_wall_ms, self._base_elapsed_ms = self._wall_ms(), self.elapsed_ms()
        self._drift = drift

    def freeze(self) -> None:
        """Let no timer fire until `thaw`."""
        self._late = []

    def thaw(self) -> None:
        """Fire what was due meanwhile, in order."""
        late, self._late = self._late or [], None
        for reaction in late:
            self._react(reaction)

    def next_life(self) -> RoomClock:
        """A clock that goes on as this one would: what the machine shows is the same after its power was cut."""
        return RoomClock(self._loop, offset_ms=round(self._wall_ms() - EPOCH_MS - self.elapsed_ms()), drift=self._drift)

    def stop(self) -> None:
        """The room crashed: no timer that was set by this clock fires any more. A restarted room gets a new clock."""
        self._is_stopped = True

    def _wall_ms(self) -> float:
        return self._base_wall_ms + (self.elapsed_ms() - self._base_elapsed_ms) * (1 + self._drift)

    def _react(self, reaction: Callable[[], None]) -> None:
        if self._is_stopped:
            return
        if self._late is not None:
            self._late.append(reaction)
        else:
            reaction()
