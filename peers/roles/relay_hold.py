"""Which changes have waited long enough to be passed on: a rule about positions, without a clock."""

from __future__ import annotations


class RelayHold:
    """Holds back what came from others, in two groups: one waits for its time, the next gathers meanwhile.

    Whoever uses it calls `ripen` one waiting time after `note` or `ripen` said that a wait begins.
    """

    def __init__(self, seen: int = 0) -> None:
        """All changes up to position `seen` may go at once."""
        self._seen = seen
        self._ripe = seen
        self._next = seen
        self._is_gathering = False
        """Whether something of others came since the wait began."""
        self.is_waiting = False

    def note(self, last_position: int, *, is_relay: bool) -> bool:
        """Changes up to `last_position` came; some are from others if `is_relay`. True if a wait begins."""
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
        """The waiting time is over. True if another begins, for what came of others meanwhile."""
        self._ripe, self._next = self._next, self._seen
        self.is_waiting, self._is_gathering = self._is_gathering, False
        return self.is_waiting

    def limit(self, last_position: int) -> int:
        """The position up to which changes may go."""
        return min(last_position, self._ripe) if self.is_waiting else last_position
