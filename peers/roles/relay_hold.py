"""RelayHold: which changes have waited long enough to be passed on, by their positions and without a clock."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from peers.events.dot import Epoch

HELD_COMMITS = 256
"""Commits of which is known what the other end lacked; those after them count as one."""


class _Held(NamedTuple):
    before: int
    """The position of the last change before it."""
    lacked: Mapping[Epoch, int]
    """Of each epoch the last seq that the other end lacked."""
    is_patient: bool


class RelayHold:
    """Holds changes from other nodes back, in two groups: while one waits, the next gathers.

    What the other end has meanwhile is held no more. When `note` or `ripen` returns True, a wait begins: the caller calls
    `ripen` at its end.
    """

    __slots__ = ("_held", "_next", "_seen")

    def __init__(self, seen: int = 0) -> None:
        """Changes up to the position `seen` are not held back."""
        self._seen = seen
        self._next = seen
        """The last position of the group that waits."""
        self._held: list[_Held] = []  # a deque takes 0.7 KiB, even if it is empty

    @property
    def is_patient(self) -> bool:
        """Whether all that waits may wait long."""
        return all(held.is_patient for held in self._held)

    def note(self, last_position: int, lacked: Mapping[Epoch, int], *, is_patient: bool = False) -> bool:
        """The log has grown to `last_position`; of what came from other nodes the other end lacks `lacked`.

        True if a wait begins, also in place of a patient one.
        """
        begins = bool(lacked) and (not self._held or (self.is_patient and not is_patient))
        if lacked and len(self._held) < HELD_COMMITS:
            self._held.append(_Held(self._seen, lacked, is_patient))
        elif lacked:
            last = self._held[-1]
            self._held[-1] = _Held(last.before, {**last.lacked, **lacked}, last.is_patient and is_patient)
        if begins:
            self._next = last_position
        self._seen = last_position
        return begins

    def ripen(self) -> bool:
        """The wait is over. True if another begins, for changes from other nodes that came meanwhile."""
        while self._held and self._held[0].before < self._next:
            del self._held[0]
        self._next = self._seen
        return bool(self._held)

    def release(self) -> None:
        """Hold back nothing that was noted."""
        self._held.clear()

    def limit(self, last_position: int, has: Callable[[Epoch], int]) -> int:
        """The position up to which changes may be sent now: none that `note` has not heard of, since it may be one to hold.

        `has` says up to which seq the other end has an epoch.
        """
        while self._held and all(has(epoch) >= seq for epoch, seq in self._held[0].lacked.items()):
            del self._held[0]
        return min(last_position, self._held[0].before if self._held else self._seen)
