"""StoreTrouble: a disk that fails is reported once, and shown in `status` while it fails."""

from __future__ import annotations

from dataclasses import dataclass

from mesh.membership.status_rows import StoreErrorStatus
from peers.stores.store import DISK_FULL, StoreError

PROBE_MS = 5_000
"""While the disk fails it is tried this often."""
QUIET_MS = 60_000
"""The same error, or its end, is reported at most once in this time: a disk that is nearly full fails now and then."""


@dataclass(frozen=True, slots=True)
class StoreTrouble:
    """Why the store cannot write or read, and since when."""

    error: str
    since_ms: int
    """By the wall clock."""
    is_full: bool = False
    """Whether the disk is full. Then a small event may still fit, but that does not mean that the next one will."""

    def shown(self) -> StoreErrorStatus:
        """What `status` shows under `store_error`."""
        return {"error": self.error, "since_ms": self.since_ms}


class StoreHealth:
    """Decides what is reported. Its methods return a sentence for users, or None."""

    def __init__(self) -> None:
        self.trouble: StoreTrouble | None = None
        self._reported: dict[str, float] = {}
        """When each sentence was reported, in ms of the monotonic clock."""
        self._was_reported = False
        """Whether the present trouble was reported."""

    def on_error(self, failed: StoreError, now_ms: int, elapsed_ms: float) -> str | None:
        """The disk failed. `now_ms` is the time of the wall clock, `elapsed_ms` that of the monotonic one."""
        before, error, is_full = self.trouble, str(failed), failed.brief == DISK_FULL
        self.trouble = StoreTrouble(error, before.since_ms if before else now_ms, is_full)
        if before is not None and (before.error == error or (before.is_full and is_full)):
            return None
        if not self._is_news(error, elapsed_ms):
            return None
        self._was_reported = True
        return error

    def on_success(self) -> str | None:
        """A write succeeded: the trouble is over, if there was one."""
        if self.trouble is None:
            return None
        was_reported, self._was_reported, self.trouble = self._was_reported, False, None
        return "the disk works again" if was_reported else None

    def _is_news(self, sentence: str, elapsed_ms: float) -> bool:
        self._reported = {known: at for known, at in self._reported.items() if elapsed_ms - at < QUIET_MS}
        if sentence in self._reported:
            return False
        self._reported[sentence] = elapsed_ms
        return True
