"""Large frames: how many bytes of them are in memory at once, and who waits until there is room."""

from __future__ import annotations

import asyncio
import ctypes
from collections.abc import Callable, Generator
from typing import Any, Protocol

from peers.transport.port import LARGE_FRAME

LARGE_FRAME_BYTES = 128 * 1024 * 1024
"""Of frames above LARGE_FRAME, in all connections that share one FrameRoom; what is more waits unread."""
ALIVE_SECONDS = 1.0
"""How often an end that has to wait for room counts as alive, though nothing of it is read."""


class FrameRoom:
    """What all connections of a node have together for large frames. First come, first served."""

    def __init__(self, size: int = LARGE_FRAME_BYTES) -> None:
        self._size = size
        self._held: dict[FrameReading, int] = {}
        self._waiting: dict[FrameReading, int] = {}

    @property
    def used(self) -> int:
        """Bytes that are given away."""
        return sum(self._held.values())

    @property
    def is_awaited(self) -> bool:
        """Whether a frame waits for room."""
        return bool(self._waiting)

    def ask(self, reading: FrameReading, size: int) -> bool:
        """Whether there is room now for `size` bytes in all. Otherwise `on_room` of `reading` is called later."""
        if not self._waiting and self._fits(reading, size):
            self._held[reading] = size
            return True
        self._waiting[reading] = size
        return False

    def give_back(self, reading: FrameReading) -> None:
        """Its frame is dealt with, or its connection is lost. Harmless if it has no room and wants none."""
        self._waiting.pop(reading, None)
        if self._held.pop(reading, 0):
            give_memory_back()
        while self._waiting:
            first, size = next(iter(self._waiting.items()))
            if not self._fits(first, size):
                break
            del self._waiting[first]
            self._held[first] = size
            first.on_room()

    def _fits(self, reading: FrameReading, size: int) -> bool:
        others = self.used - self._held.get(reading, 0)
        return not others or others + size <= self._size


class Transport(Protocol):
    """The part of asyncio's ReadTransport that is used here."""

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...


class FrameReading:
    """Decides whether one socket is read: not while its queue of frames is full, nor while a large frame waits for room."""

    def __init__(self, loop: asyncio.AbstractEventLoop, room: FrameRoom, on_alive: Callable[[], None]) -> None:
        """`on_alive` is called now and then while the other end has to wait."""
        self._loop = loop
        self._room = room
        self._on_alive = on_alive
        self._transport: Transport | None = None
        self._is_queue_full = False
        self._tick: asyncio.TimerHandle | None = None
        self._size = 0

    def begin(self, transport: Transport) -> None:
        """The socket is open."""
        self._transport = transport

    def watch(self, protocol: Any) -> None:
        """Learn of each frame that the protocol of the WebSocket library is about to read."""
        read_exact = protocol.reader.read_exact

        def read(size: int) -> Generator[None, None, bytearray]:
            before = protocol.current_size  # of the frames that this message has had so far
            if before is None:
                self.on_announced(size)
            elif before + size > LARGE_FRAME:  # nobody knows how many follow
                self.on_announced(protocol.max_message_size or before + size)
            found: Generator[None, None, bytearray] = read_exact(size)
            return found

        protocol.reader.read_exact = read

    def pause(self) -> None:
        """The queue of frames is full."""
        self._is_queue_full = True
        self._regulate()

    def resume(self) -> None:
        """It is not any more."""
        self._is_queue_full = False
        self._regulate()

    def on_announced(self, size: int) -> None:
        """So many bytes of one message are read by now or come next; it is read on when there is room."""
        if size > max(LARGE_FRAME, self._size):
            self._size = size
            if not self._room.ask(self, size):
                self._wait()

    def on_room(self) -> None:
        """Called by the room."""
        if self._tick is not None:
            self._tick.cancel()
            self._tick = None
        self._regulate()

    def end_frame(self) -> None:
        """The message is dealt with, or the socket is lost."""
        if self._size:
            self._size = 0
            self._room.give_back(self)
            self.on_room()

    def end(self) -> None:
        """The socket is lost."""
        self._transport = None
        self.end_frame()

    def _wait(self) -> None:
        self._tick = self._loop.call_later(ALIVE_SECONDS, self._on_tick)
        self._regulate()

    def _on_tick(self) -> None:
        self._wait()
        self._on_alive()

    def _regulate(self) -> None:
        if self._transport is None:
            return
        if self._is_queue_full or self._tick is not None:
            self._transport.pause_reading()
        else:
            self._transport.resume_reading()


def give_memory_back() -> None:
    """Return what was freed to the system: the C library keeps it otherwise, for the next frame that may never come."""
    if _trim is not None:
        _trim(0)


def _find_trim() -> Callable[[int], int] | None:
    try:
        return ctypes.CDLL(None).malloc_trim
    except (OSError, AttributeError, TypeError):
        return None  # another C library


_trim = _find_trim()
