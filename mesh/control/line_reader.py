"""LineReader: splits a stream of bytes into lines of limited length."""

from __future__ import annotations


class LineReader:
    """`feed` it the received bytes. A line that is longer than `max_bytes` is dropped and comes as None."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._rest = b""
        self._is_skipping = False

    def feed(self, received: bytes) -> list[bytes | None]:
        """The lines that `received` completes, without their line ends."""
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
        """The last line, if the stream does not end with a line end."""
        if self._is_skipping:
            return [None]
        return [self._rest] if self._rest else []
