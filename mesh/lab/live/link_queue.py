"""The frames of one bad link in one direction: they come out late, in order, or never."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from random import Random

QUEUE_BYTES = 16 * 1024
"""Bytes that may wait for their turn at the given rate, like the buffer of a small router. Frames beyond it are lost."""
FLIGHT_FRAMES = 1_000
"""Frames that may be held or in flight. Frames beyond it are lost."""


@dataclass(frozen=True, slots=True)
class LinkQuality:
    """How good one direction of a link is."""

    latency_ms: tuple[float, float] = (0.0, 0.0)
    """Each frame takes a random time between these two, but no frame overtakes another."""
    bytes_per_second: float | None = None
    loss: float = 0.0
    """The share of frames that are lost for good."""
    is_held: bool = False
    """Whether frames wait until this is false again."""


class FrameQueue:
    """First in, first out. `now` is always a monotonic time in seconds."""

    def __init__(self, random: Random) -> None:
        self.quality = LinkQuality()
        self._random = random
        self._frames: deque[tuple[float, bytes]] = deque()
        """Each frame, and when it is due."""
        self._free_at = 0.0
        """When the last frame has left, at the given rate."""

    def change(self, quality: LinkQuality, now: float) -> None:
        """Have this quality from now on. What is in flight arrives at once if more than `is_held` changes."""
        before, self.quality = self.quality, quality
        if (before.latency_ms, before.bytes_per_second, before.loss) != (
            quality.latency_ms,
            quality.bytes_per_second,
            quality.loss,
        ):
            self._frames = deque((min(due, now), frame) for due, frame in self._frames)
            self._free_at = now

    def put(self, frame: bytes, size: int, now: float) -> bool:
        """Queue a frame of `size` bytes. False if it is lost."""
        quality = self.quality
        if len(self._frames) >= FLIGHT_FRAMES or self._random.random() < quality.loss:
            return False
        due = now
        if quality.bytes_per_second is not None:
            begins = max(now, self._free_at)
            if (begins - now) * quality.bytes_per_second + size > QUEUE_BYTES:
                return False
            due = self._free_at = begins + size / quality.bytes_per_second
        due += self._random.uniform(*quality.latency_ms) / 1000
        if self._frames:
            due = max(due, self._frames[-1][0])
        self._frames.append((due, frame))
        return True

    @property
    def next_due(self) -> float | None:
        """When the next frame arrives; None: none does."""
        return self._frames[0][0] if self._frames and not self.quality.is_held else None

    def take(self, now: float) -> list[bytes]:
        """The frames that have arrived by now, in order."""
        taken = []
        while (due := self.next_due) is not None and due <= now:
            taken.append(self._frames.popleft()[1])
        return taken
