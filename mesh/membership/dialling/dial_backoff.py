"""DialBackoff: a node whose links end soon after their greeting is dialled less and less often."""

from __future__ import annotations

from hashlib import sha256

BRIEF_SECONDS = 5.0
"""A link that lasts less than this after its greeting is brief: one of the two disks may be full, for example."""
FREE_BRIEF_LINKS = 2.0
"""So many brief links cause no pause: two nodes may have started at the same time, or a cable was moved."""
MIN_BACKOFF_SECONDS = 1.0
MAX_BACKOFF_SECONDS = 30.0
BRIEF_LINK_HALF_LIFE_SECONDS = 300.0
"""After this long a brief link counts half."""


class DialBackoff:
    """Counts the brief links of this node with each other node, and pauses the dials of those with too many."""

    def __init__(self, node_id: str) -> None:
        self._node_id = node_id
        self._counts: dict[str, tuple[float, float]] = {}
        """Number of brief links of each node, older ones counted less, and the time to which it applies."""
        self._ends: dict[str, float] = {}
        """When the pause of each node ends."""

    def on_link_end(self, other_id: str, lasted_seconds: float, now_seconds: float) -> float | None:
        """Count a link that ended. Returns the seconds for which its node is not dialled, None if it may be dialled now.

        The pause doubles with the count, up to MAX_BACKOFF_SECONDS. Half of it is jitter from the two node ids, so that many
        nodes that wait for one do not dial it at the same moment.
        """
        if lasted_seconds >= BRIEF_SECONDS:
            self.forget(other_id)
            return None
        before, at_seconds = self._counts.get(other_id, (0.0, now_seconds))
        count = before * 0.5 ** ((now_seconds - at_seconds) / BRIEF_LINK_HALF_LIFE_SECONDS) + 1
        self._counts[other_id] = count, now_seconds
        if count <= FREE_BRIEF_LINKS:
            return None
        share = sha256(f"{self._node_id} {other_id} {count}".encode()).digest()[0] / 255
        pause: float = min(MAX_BACKOFF_SECONDS, MIN_BACKOFF_SECONDS * 2 ** (count - FREE_BRIEF_LINKS)) * (
            0.5 + share / 2
        )
        self._ends[other_id] = now_seconds + pause
        return pause

    def is_paused(self, other_id: str, now_seconds: float) -> bool:
        """Whether the node must not be dialled now."""
        return now_seconds < self._ends.get(other_id, now_seconds)

    def forget(self, other_id: str) -> None:
        """Start anew with a node: it restarted, or it is no longer known."""
        self._counts.pop(other_id, None)
        self._ends.pop(other_id, None)

    def clear(self) -> None:
        """Start anew with all nodes: the operator wants them dialled now."""
        self._counts.clear()
        self._ends.clear()
