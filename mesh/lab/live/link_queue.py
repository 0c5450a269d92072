"""One way from port to port that a link in user space carries: frames come out late, in order, or never."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from random import Random

QUEUE_BYTES = 16 * 1024
"""Of one way, what may wait for its turn at the given rate: like a small router's buffer. Frames beyond it are lost."""
FLIGHT_FRAMES = 1_000
"""Of one way, what may be held or under way at all. Frames beyond it are lost."""


@dataclass(frozen=True, slots=True)
class LinkQuality:
    """How good a way is."""

    latency_ms: tuple[float, float] = (0.0, 0.0)
    """Each frame takes as long as is drawn between these, but no frame overtakes another."""
    bytes_per_second: float | None = None
    loss: float = 0.0
    """The share of frames that are lost for good."""
    is_held: bool = False
    """Whether nothing comes out for now."""


class FrameQueue:
    """First in, first out. `now` is always a monotonic time in seconds."""

    def __init__(self, random: Random) -> None:
        self.quality = LinkQuality()
        self._random = random
        self._frames: deque[tuple[float, bytes]] = deque()
        """When each is due, and the frame."""
        self._free_at = 0.0
        """When the last frame that was taken has been sent at the given rate."""

    def change(self, quality: LinkQuality, now: float) -> None:
        """Be as good as this from now on. What is under way arrives at once if it differs in more than `is_held`."""
        before, self.quality = self.quality, quality
        if (before.latency_ms, before.bytes_per_second, before.loss) != (
            quality.latency_ms,
            quality.bytes_per_second,
            quality.loss,
        ):
            self._frames = deque((min(due, now), frame) for due, frame in self._frames)
            self._free_at = now

    def put(self, frame: bytes, size: int, now: float) -> bool:
        """A frame of `size` bytes sets out; whether it is not lost."""
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
        """When a frame will arrive; None: nothing does."""
        return self._frames[0][0] if self._frames and not self.quality.is_held else None

    def take(self, now: float) -> list[bytes]:
        """What has arrived by now, in order."""
        taken = []
        while (due := self.next_due) is not None and due <= now:
            taken.append(self._frames.popleft()[1])
        return taken
