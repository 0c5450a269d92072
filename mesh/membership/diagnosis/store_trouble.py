"""What is wrong with a node's disk: told once, shown while it lasts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from peers.stores.store import DISK_FULL, StoreError

PROBE_MS = 5_000
"""While something is wrong the disk is tried this often."""
QUIET_MS = 60_000
"""The same trouble, or its end, is told at most once in this time: a disk that is nearly full fails now and then."""


@dataclass(frozen=True, slots=True)
class StoreTrouble:
    """Why the store does not take or give what it should, and since when."""

    error: str
    since_ms: int
    """By the wall clock."""
    is_full: bool = False
    """Then a small event may still find its place, and says nothing of the next one."""

    def shown(self) -> dict[str, Any]:
        """What `status` shows under `store_error`."""
        return {"error": self.error, "since_ms": self.since_ms}


class StoreHealth:
    """Decides what is told. Its methods return a sentence for people, or None."""

    def __init__(self) -> None:
        self.trouble: StoreTrouble | None = None
        self._told: dict[str, float] = {}
        """When each sentence was told, by the monotonic clock."""
        self._was_told = False
        """Of the trouble that lasts."""

    def on_error(self, failed: StoreError, now_ms: int, elapsed_ms: float) -> str | None:
        """The disk failed."""
        before, error = self.trouble, str(failed)
        self.trouble = StoreTrouble(error, before.since_ms if before else now_ms, failed.brief == DISK_FULL)
        if (before is not None and before.error == error) or not self._is_news(error, elapsed_ms):
            return None
        self._was_told = True
        return error

    def on_success(self) -> str | None:
        """The disk took something."""
        if self.trouble is None:
            return None
        was_told, self._was_told, self.trouble = self._was_told, False, None
        return "the disk works again" if was_told else None

    def _is_news(self, sentence: str, elapsed_ms: float) -> bool:
        self._told = {told: at for told, at in self._told.items() if elapsed_ms - at < QUIET_MS}
        if sentence in self._told:
            return False
        self._told[sentence] = elapsed_ms
        return True
