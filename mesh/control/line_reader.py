"""LineReader: cuts a stream of bytes into lines of bounded length."""

from __future__ import annotations


class LineReader:
    """Feed it what arrives; it gives back whole lines, and None for each one that was too long to be kept."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._rest = b""
        self._is_skipping = False

    def feed(self, received: bytes) -> list[bytes | None]:
        """The lines that end in `received`, without their ends."""
        *whole, self._rest = (self._rest + received).split(b"\n")
        lines: list[bytes | None] = [line if len(line) <= self._max_bytes else None for line in whole]
        if lines and self._is_skipping:
            lines[0] = None
            self._is_skipping = False
        if self._is_skipping or len(self._rest) > self._max_bytes:
            self._rest = b""
            self._is_skipping = True
        return lines

    def end(self) -> list[bytes | None]:
        """The last line, if the stream ended without an end of line."""
        if self._is_skipping:
            return [None]
        return [self._rest] if self._rest else []
