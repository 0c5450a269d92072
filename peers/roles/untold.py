"""Untold: the dots of commits that the other end was not told of yet."""

from __future__ import annotations

from peers.events.version_vector import Epoch, VersionVector

MAX_UNTOLD = 64
"""Commits that are kept separately until the other end is told; with more, they are joined to one."""


class Untold:
    """Gathers the dots of commits."""

    __slots__ = ("_commits", "is_urgent")

    def __init__(self) -> None:
        self._commits: list[VersionVector] = []
        self.is_urgent = False
        """Whether some of them are our own."""

    def __bool__(self) -> bool:
        return bool(self._commits)

    def note(self, fresh: VersionVector, own: Epoch) -> None:
        """A commit added the dots `fresh`; our own dots are those of the epoch `own`."""
        self._commits.append(fresh)
        if len(self._commits) > MAX_UNTOLD:
            self._commits = [VersionVector.union(self._commits)]
        self.is_urgent = self.is_urgent or fresh.highest(own) > 0

    def take(self) -> VersionVector:
        """All of them, which then count as told."""
        commits, self._commits, self.is_urgent = self._commits, [], False
        return VersionVector.union(commits)
