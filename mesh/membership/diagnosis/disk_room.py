"""DiskRoom: what may still be written, by the share of the disk that is in use."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from peers.limits import Limits
from peers.stores.store import DISK_FULL, StoreError

LOOK_MS = 5_000
"""The share is read this often."""


@dataclass(frozen=True, slots=True)
class DiskUse:
    """Reads the share of a disk in use, from 0 to 1; `place` is a path on it, for people."""

    place: str = ""
    read: Callable[[], float] = float


class DiskRoom:
    """Whether the disk of the home has room for events; it looks at each call of `look` only."""

    def __init__(self, limits: Limits, use: DiskUse) -> None:
        self.limit = ""
        """The field of Limits that is reached; empty while there is room."""
        self._limits = limits
        self._use = use

    def look(self) -> bool:
        """Read the share. Returns whether another limit is reached than before, or none any more."""
        before, share = self.limit, self._use.read()
        if share >= self._limits.disk_share_for_own:
            self.limit = "disk_share_for_own"
        else:
            self.limit = "disk_share_for_others" if share >= self._limits.disk_share_for_others else ""
        return self.limit != before

    @property
    def has_room_for_others(self) -> bool:
        """Whether events of other nodes are taken."""
        return not self.limit

    @property
    def refusal(self) -> StoreError | None:
        """Why own events are not taken."""
        return self.trouble if self.limit == "disk_share_for_own" else None

    @property
    def trouble(self) -> StoreError | None:
        """What is wrong, with what would fix it."""
        if not self.limit:
            return None
        is_full = self.limit == "disk_share_for_own"
        share = self._limits.disk_share_for_own if is_full else self._limits.disk_share_for_others
        what = "no events are taken" if is_full else "events of other nodes are not taken"
        return StoreError(
            f"the disk is {'full' if is_full else 'nearly full'}: {share:.0%} or more of that with {self._use.place} is in "
            f"use, and from there on {what}; free space on it, then it goes on by itself (limit {self.limit})",
            DISK_FULL if is_full else "",
        )
