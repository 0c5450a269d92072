"""RelayHold: which changes have waited long enough to be passed on, by their positions and without a clock."""

from __future__ import annotations


class RelayHold:
    """Holds changes from other nodes back, in two groups: while one waits, the next gathers.

    When `note` or `ripen` returns True, a wait begins: the caller calls `ripen` at its end.
    """

    __slots__ = ("_is_gathering", "_next", "_ripe", "_seen", "is_waiting")

    def __init__(self, seen: int = 0) -> None:
        """Changes up to the position `seen` are not held back."""
        self._seen = seen
        self._ripe = seen
        self._next = seen
        self._is_gathering = False
        """Whether changes from other nodes came since the wait began."""
        self.is_waiting = False

    def note(self, last_position: int, *, is_relay: bool) -> bool:
        """The log has grown to `last_position`, with changes from other nodes if `is_relay`. True if a wait begins."""
        begins = is_relay and not self.is_waiting
        if begins:
            self.is_waiting = True
            self._ripe = self._seen
            self._next = last_position
        elif is_relay:
            self._is_gathering = True
        self._seen = last_position
        return begins

    def ripen(self) -> bool:
        """The wait is over. True if another begins, for changes from other nodes that came meanwhile."""
        self._ripe, self._next = self._next, self._seen
        self.is_waiting, self._is_gathering = self._is_gathering, False
        return self.is_waiting

    def limit(self, last_position: int) -> int:
        """The position up to which changes may be sent now: none that `note` has not heard of, since it may be one to hold."""
        return min(last_position, self._ripe if self.is_waiting else self._seen)
