"""ReceiveWindow: what was read from one link and is not committed yet, and whether more may be read."""

from __future__ import annotations

from collections import deque

from peers.transport.port import Connection

MAX_TAKING = 256
"""Messages that may wait for their commit; beyond it nothing is read. JavaScript peers send one for each new event."""
MAX_TAKING_BYTES = 32 * 1024 * 1024
"""The same in bytes of events, with one message beyond."""


class ReceiveWindow:
    """Pauses the connection while too much waits. Messages end in the order in which they began."""

    def __init__(self, connection: Connection, max_messages: int) -> None:
        self._connection = connection
        self._max_messages = max_messages
        self._sizes: deque[int] = deque()
        self._has_large = False
        self.is_full = False
        """Whether nothing is read now. After a large frame that is so until everything is committed."""

    @property
    def count(self) -> int:
        """Messages that wait."""
        return len(self._sizes)

    def begin(self, size: int, *, is_large: bool) -> None:
        """A message with so many bytes of events came, perhaps in a large frame."""
        self._sizes.append(size)
        self._has_large = self._has_large or is_large
        self._regulate()

    def end(self) -> None:
        """The oldest one is committed."""
        self._sizes.popleft()
        self._regulate()

    def _regulate(self) -> None:
        self._has_large = self._has_large and bool(self._sizes)
        is_full = self._has_large or len(self._sizes) > self._max_messages or sum(self._sizes) > MAX_TAKING_BYTES
        if is_full != self.is_full:
            self.is_full = is_full
            if is_full:
                self._connection.pause()
            else:
                self._connection.resume()
