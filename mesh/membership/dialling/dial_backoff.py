"""Brief links: a node with which no link lasts is dialled ever more seldom, whatever discovery says of it."""

from __future__ import annotations

from hashlib import sha256

BRIEF_SECONDS = 5.0
"""A link that ends so soon after its greeting was of no use: its disk is full, perhaps, or ours."""
FORGIVEN = 2.0
"""Brief links that mean nothing: two nodes may have started at one time, or a cable was moved."""
MIN_REST_SECONDS = 1.0
MAX_REST_SECONDS = 30.0
DECAY_SECONDS = 300.0
"""After this long a brief link counts half."""


class DialBackoff:
    """Counts the brief links of one node with each other one."""

    def __init__(self, node_id: str) -> None:
        self._node_id = node_id
        self._counts: dict[str, tuple[float, float]] = {}
        """How many count, as of when."""
        self._rests: dict[str, float] = {}
        """Until when each is let be."""

    def note(self, other_id: str, lasted_seconds: float, now_seconds: float) -> float | None:
        """A link ended: for how long its other end is to be let be; None: that is not needed.

        The time doubles with the count; half of it depends on the two, so that many who wait for one do not come in step.
        """
        if lasted_seconds >= BRIEF_SECONDS:
            self.forget(other_id)
            return None
        before, at_seconds = self._counts.get(other_id, (0.0, now_seconds))
        count = before * 0.5 ** ((now_seconds - at_seconds) / DECAY_SECONDS) + 1
        self._counts[other_id] = count, now_seconds
        if count <= FORGIVEN:
            return None
        share = sha256(f"{self._node_id} {other_id} {count}".encode()).digest()[0] / 255
        rest: float = min(MAX_REST_SECONDS, MIN_REST_SECONDS * 2 ** (count - FORGIVEN)) * (0.5 + share / 2)
        self._rests[other_id] = now_seconds + rest
        return rest

    def is_resting(self, other_id: str, now_seconds: float) -> bool:
        """Whether it is to be let be now."""
        return now_seconds < self._rests.get(other_id, now_seconds)

    def forget(self, other_id: str) -> None:
        """It is another run, or gone, or somebody wants it tried at once."""
        self._counts.pop(other_id, None)
        self._rests.pop(other_id, None)
