"""Missing: the events that the other end had at its greeting and this node lacks. Until they arrive, this node is behind."""

from __future__ import annotations

from peers.events.version_vector import VersionVector

_EMPTY = VersionVector()


class Missing:
    """The dots of one greeting that are still to arrive, over its link or another one.

    Some never arrive, because the other end has cleaned them or this end refused them. So this also ends when the other end
    has sent everything that its log held at the greeting.
    """

    __slots__ = ("_dots", "_last_position")

    def __init__(self, held: VersionVector = _EMPTY, greeted: VersionVector = _EMPTY, last_position: int = 0) -> None:
        """`held` is this node's vector, `greeted` that of the greeting, `last_position` the last one of the other end's log."""
        gaps: dict[str, list[tuple[int, int]]] = {}
        for epoch, first, last in held.lacks(greeted):
            gaps.setdefault(epoch, []).append((first, last))
        self._dots = VersionVector(gaps)
        self._last_position = last_position

    def count(self, held: VersionVector) -> int:
        """How many events are still missing, at most, when this node has `held`."""
        if not self._dots:  # the usual case
            return 0
        if held.covers_all(self._dots):
            self._dots = _EMPTY
        return sum(last - first + 1 for _, first, last in held.lacks(self._dots))

    def is_past(self, position: int) -> bool:
        """Whether a walk up to `position` has passed everything that the other end held at its greeting."""
        return position >= self._last_position

    def end(self) -> None:
        """The other end has sent all that it held: what has not arrived never will."""
        self._dots = _EMPTY
