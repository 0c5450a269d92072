"""The clock of one room on the virtual loop: its wall clock may be wrong, run fast or slow, and jump."""

from __future__ import annotations

from collections.abc import Callable

from mesh.lab.simulation.virtual_loop import VirtualLoop
from peers.clock import Undo

EPOCH_MS = 1_700_000_000_000
"""What a correct wall clock shows when the virtual loop is made."""


class RoomClock:
    """Implements `peers.clock.Clock`. Offset, drift and jumps change the wall clock only, as on a real machine."""

    def __init__(self, loop: VirtualLoop, *, offset_ms: int = 0, drift: float = 0.0) -> None:
        """`drift` is the share that the wall clock gains: 0.0001 gains 8.6 s a day, a negative share loses."""
        self._loop = loop
        self._base_wall_ms = EPOCH_MS + offset_ms + self.elapsed_ms()
        self._base_elapsed_ms = self.elapsed_ms()
        self._drift = drift
        self._is_stopped = False
        self._late: list[Callable[[], None]] | None = None
        """While the room is frozen: the reactions that were due."""

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

        handle = self._loop.call_later(delay_ms / 1000, self._react, react, context=self._loop.context)

        def undo() -> None:
            nonlocal is_undone
            is_undone = True  # it may be among those that wait in a frozen room
            handle.cancel()

        return undo

    def skew(self, ms: int) -> None:
        """Let the wall clock jump by `ms` milliseconds, forward or back."""
        self._base_wall_ms += ms

    def set_drift(self, drift: float) -> None:
        """Let the wall clock gain `drift` from now on, without a jump."""
        self._base_wall_ms, self._base_elapsed_ms = self._wall_ms(), self.elapsed_ms()
        self._drift = drift

    def freeze(self) -> None:
        """Let no timer fire until `thaw`."""
        self._late = []

    def thaw(self) -> None:
        """Fire the timers that were due meanwhile, in order."""
        late, self._late = self._late or [], None
        for reaction in late:
            self._react(reaction)

    def next_life(self) -> RoomClock:
        """A new clock that shows the same and drifts the same: that of the machine after its power was cut."""
        return RoomClock(self._loop, offset_ms=round(self._wall_ms() - EPOCH_MS - self.elapsed_ms()), drift=self._drift)

    def stop(self) -> None:
        """The room crashed: no timer of this clock fires any more. A restarted room gets a new clock."""
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
