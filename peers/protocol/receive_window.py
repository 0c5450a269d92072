"""ReceiveWindow: the messages of one link that are read and not committed yet; while there are too many, reading pauses."""

from __future__ import annotations

from peers.protocol.reading import Reading

MAX_TAKING = 256
"""Messages that may wait for their commit before reading pauses. JavaScript peers send one message for each new event."""
MAX_TAKING_BYTES = 32 * 1024 * 1024
"""The same limit in bytes of events; one message may exceed it."""


class ReceiveWindow:
    """Pauses and resumes the reading of a link. Messages are committed in the order in which they arrived."""

    __slots__ = ("_has_large", "_reading", "_sizes", "is_full")

    def __init__(self, reading: Reading) -> None:
        self._reading = reading
        self._sizes: list[int] = []
        self._has_large = False
        self.is_full = False
        """Whether reading is paused. After a large frame it is, until everything is committed."""

    @property
    def count(self) -> int:
        """Messages that wait for their commit."""
        return len(self._sizes)

    def begin(self, size: int, *, is_large: bool) -> None:
        """A message with `size` bytes of events has arrived; `is_large` if its frame was a large one."""
        self._sizes.append(size)
        self._has_large = self._has_large or is_large
        self._regulate()

    def end(self) -> None:
        """The oldest message is committed."""
        self._sizes.pop(0)
        self._regulate()

    def _regulate(self) -> None:
        self._has_large = self._has_large and bool(self._sizes)
        is_full = self._has_large or len(self._sizes) > MAX_TAKING or sum(self._sizes) > MAX_TAKING_BYTES
        if is_full != self.is_full:
            self.is_full = is_full
            if is_full:
                self._reading.pause("window")
            else:
                self._reading.resume("window")
