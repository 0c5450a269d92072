"""Behind: since when the other end of a link lacks events."""

from __future__ import annotations


class Behind:
    """Call `note` at each change. Only one position is remembered, so while both logs grow the time is a little too early."""

    __slots__ = ("_has_changed", "_since_ms", "_until")

    def __init__(self) -> None:
        self._until = 0
        self._since_ms: float | None = None
        self._has_changed = False

    @property
    def since_ms(self) -> float | None:
        """The last time at which it had all our events, in ms of the monotonic clock; None: it has them now."""
        return self._since_ms

    @property
    def is_from_start(self) -> bool:
        """Whether it still lacks what it lacked at its greeting: then it has been behind for longer than `since_ms` says."""
        return self._since_ms is not None and not self._has_changed

    def note(self, confirmed: int, last_position: int, now_ms: float) -> None:
        """It has confirmed our log up to the position `confirmed`; our log ends at `last_position`."""
        if self._since_ms is not None and confirmed < self._until:
            return
        self._has_changed = self._has_changed or self._since_ms is not None or confirmed >= last_position
        self._until, self._since_ms = last_position, now_ms if confirmed < last_position else None
