"""What the other end had when it greeted and this node lacks: until it came, this node is behind."""

from __future__ import annotations

from peers.events.version_vector import VersionVector

_EMPTY = VersionVector()


class Missing:
    """The dots of one greeting that are still to come over its link, or over another one.

    Some never come: the other end has cleaned them, or this end refused them. So it also ends when the other end has sent
    everything that its log held at the greeting.
    """

    def __init__(self, held: VersionVector = _EMPTY, greeted: VersionVector = _EMPTY, last_position: int = 0) -> None:
        """`held` is this node's vector, `greeted` that of the greeting, `last_position` the last one of the other end's log."""
        gaps: dict[str, list[tuple[int, int]]] = {}
        for epoch, first, last in held.lacks(greeted):
            gaps.setdefault(epoch, []).append((first, last))
        self._dots = VersionVector(gaps)
        self._last_position = last_position

    def count(self, held: VersionVector) -> int:
        """How many events are still missing, at most, now that this node has `held`."""
        if not self._dots:  # nearly always
            return 0
        if held.covers_all(self._dots):
            self._dots = _EMPTY
        return sum(last - first + 1 for _, first, last in held.lacks(self._dots))

    def is_past(self, position: int) -> bool:
        """Whether the other end, having walked its log up to `position`, has passed all that it held."""
        return position >= self._last_position

    def end(self) -> None:
        """The other end has sent all that it held: what did not come will not come."""
        self._dots = _EMPTY
