"""The trace of a run, line by line: its beginning and its end are kept, and its hash covers all lines."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from hashlib import sha256

TRACE_LINES = 200_000
"""Lines of the beginning that are kept."""
END_LINES = 1_000
"""Lines of the end that are kept."""


class Trace:
    """The lines of one run."""

    def __init__(self, on_line: Callable[[str], None] | None = None) -> None:
        """`on_line` gets every line as it is written."""
        self.lines: list[str] = []
        """The first TRACE_LINES lines."""
        self._last: deque[str] = deque(maxlen=END_LINES)
        self._later = 0
        self._digest = sha256()
        self._on_line = on_line

    @property
    def hash(self) -> str:
        """SHA-256 of all lines, in hex."""
        return self._digest.hexdigest()

    def write(self, line: str) -> None:
        """Add one line."""
        self._digest.update(line.encode() + b"\n")
        if len(self.lines) < TRACE_LINES:
            self.lines.append(line)
        else:
            self._later += 1
            self._last.append(line)
        if self._on_line is not None:
            self._on_line(line)

    def kept(self) -> tuple[str, ...]:
        """The beginning and the end; between them a line that says how many are missing."""
        missing = self._later - len(self._last)
        gap = [f"... {missing} lines left out ..."] if missing else []
        return (*self.lines, *gap, *self._last)
