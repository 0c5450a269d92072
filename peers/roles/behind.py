"""Behind: since when the other end of a link lacks something."""

from __future__ import annotations


class Behind:
    """Told of each change, by positions of our log; it keeps one of them, so while both grow it says a little too early."""

    def __init__(self) -> None:
        self._until = 0
        self._since_ms: float | None = None
        self._has_changed = False

    @property
    def since_ms(self) -> float | None:
        """The last time at which it was known to have all that we had, by the monotonic clock; None: it has all."""
        return self._since_ms

    @property
    def is_from_start(self) -> bool:
        """Whether it lacks what it lacked at its greeting: then it has been behind for longer."""
        return self._since_ms is not None and not self._has_changed

    def note(self, confirmed: int, last_position: int, now_ms: float) -> None:
        """It has confirmed our log, which ends at `last_position`, up to `confirmed`."""
        if self._since_ms is not None and confirmed < self._until:
            return
        self._has_changed = self._has_changed or self._since_ms is not None or confirmed >= last_position
        self._until, self._since_ms = last_position, now_ms if confirmed < last_position else None
