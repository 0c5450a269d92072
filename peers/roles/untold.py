"""Untold: what was committed since the other end was last told of it."""

from __future__ import annotations

from peers.events.version_vector import Epoch, VersionVector

MAX_UNTOLD = 64
"""Commits that are remembered one by one until the other end is told; more are joined."""


class Untold:
    """Gathers the dots of commits."""

    def __init__(self) -> None:
        self._commits: list[VersionVector] = []
        self.is_urgent = False
        """Whether some of it is our own."""

    def __bool__(self) -> bool:
        return bool(self._commits)

    def note(self, fresh: VersionVector, own: Epoch) -> None:
        """A commit brought `fresh`; our own dots are of the epoch `own`."""
        self._commits.append(fresh)
        if len(self._commits) > MAX_UNTOLD:
            self._commits = [VersionVector.union(self._commits)]
        self.is_urgent = self.is_urgent or fresh.highest(own) > 0

    def take(self) -> VersionVector:
        """All of it; it counts as told from now on."""
        commits, self._commits, self.is_urgent = self._commits, [], False
        return VersionVector.union(commits)
