"""What one `add` costs in Python: calls of our functions, files that they are in, and futures that are made.

`python -m mesh.bench.add_path` prints it. The counts do not depend on the speed of a machine.
"""

from __future__ import annotations

import sys
import tempfile
import threading
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from mesh.node import Node
from peers.later import Later

COUNTED_FOLDERS = tuple(str(Path(__file__).parents[2] / package) for package in ("mesh", "peers"))
ADDS = 100
"""One after the other; the cheapest counts, since timers of the node run between others."""


@dataclass(frozen=True)
class AddPath:
    """Counts of one `add`, from the call until its result is there, in all threads."""

    calls: int
    files: int
    futures: int


class _Counting:
    """A profile function for all threads that start after it was set."""

    def __init__(self) -> None:
        self.is_on = False
        self.calls: Counter[str] = Counter()
        self.futures = 0

    def __call__(self, frame: FrameType, event: str, _argument: Any) -> None:
        if not self.is_on or event != "call" or not frame.f_code.co_filename.startswith(COUNTED_FOLDERS):
            return
        self.calls[frame.f_code.co_filename] += 1
        self.futures += frame.f_code is Later.__init__.__code__

    def start(self) -> None:
        self.calls.clear()
        self.futures = 0
        self.is_on = True

    def stop(self) -> AddPath:
        self.is_on = False
        return AddPath(self.calls.total(), len(self.calls), self.futures)


def measure() -> AddPath:
    """Add events to a node alone, as a plain thread does, and count the cheapest add."""
    counting = _Counting()
    threading.setprofile(counting)
    sys.setprofile(counting)
    try:
        with (
            tempfile.TemporaryDirectory() as home,
            Node("counted", home=home, listen="127.0.0.1:0", open=True, mdns=False) as node,
        ):
            found = []
            for n in range(ADDS):
                counting.start()
                node.log.add({"type": "reading", "n": n}).get()
                found.append(counting.stop())
    finally:
        sys.setprofile(None)
        threading.setprofile(None)
    return min(found, key=lambda path: path.calls)


if __name__ == "__main__":
    print(measure())
