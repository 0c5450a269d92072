"""FrameMemory and FrameReading: how much of a socket is read, and a limit on the memory that large frames take."""

from __future__ import annotations

import asyncio
import ctypes
from collections.abc import Callable
from contextlib import suppress
from weakref import WeakKeyDictionary

from peers.transport.port import LARGE_FRAME
from peers.transport.tls.gate import read_at_most

LARGE_FRAME_BYTES = 128 * 1024 * 1024
"""The limit of a FrameMemory: bytes of frames above LARGE_FRAME, of all connections that share it."""
TRIM_SECONDS = 1.0
"""After a connection has ended, or a large frame was dealt with, freed memory is given back."""
ALIVE_SECONDS = 1.0
"""How often a connection that waits for memory counts as alive, although nothing of it is read."""

LEAST_READ_BYTES = 2 * 1024
MOST_READ_BYTES = 64 * 1024
"""Of one read. asyncio takes a buffer of 256 KiB for each, and four fifths of the time of a short one go into its memory."""
FEW_FRAMES = 32
MANY_FRAMES = 64
"""Of one read: what many small frames cost is known after it, and nothing else happens meanwhile."""


class FrameMemory:
    """The memory for large frames that connections share, in the order of their requests.

    `size` is in bytes. A frame that is larger than all of it is read while no other one is.
    """

    def __init__(self, size: int = LARGE_FRAME_BYTES) -> None:
        self._size = size
        self._held: dict[FrameReading, int] = {}
        self._waiting: dict[FrameReading, int] = {}

    @property
    def used(self) -> int:
        """Bytes that connections hold now."""
        return sum(self._held.values())

    @property
    def has_waiting(self) -> bool:
        """Whether a frame waits for memory."""
        return bool(self._waiting)

    def request(self, reading: FrameReading, size: int) -> bool:
        """Hold `size` bytes in all for `reading`. False: it has to wait, and its `on_memory` is called later."""
        if not self._waiting and self._fits(reading, size):
            self._held[reading] = size
            return True
        self._waiting[reading] = size
        return False

    def release(self, reading: FrameReading) -> None:
        """Give up what `reading` holds or waits for. Harmless if that is nothing."""
        self._waiting.pop(reading, None)
        self._held.pop(reading, 0)
        while self._waiting:
            first, size = next(iter(self._waiting.items()))
            if not self._fits(first, size):
                break
            del self._waiting[first]
            self._held[first] = size
            first.on_memory()

    def _fits(self, reading: FrameReading, size: int) -> bool:
        others = self.used - self._held.get(reading, 0)
        return not others or others + size <= self._size


class FrameReading:
    """Pauses the reading of one socket while its queue of frames is full, while a large frame waits for memory, or is held.

    Bytes are read in small parts at first, and while they are many small frames.
    """

    __slots__ = (
        "_alive_timer",
        "_is_held",
        "_is_queue_full",
        "_loop",
        "_memory",
        "_most",
        "_on_alive",
        "_size",
        "_transport",
    )

    def __init__(self, loop: asyncio.AbstractEventLoop, memory: FrameMemory, on_alive: Callable[[], None]) -> None:
        """`on_alive` is called every ALIVE_SECONDS while a frame waits."""
        self._loop = loop
        self._memory = memory
        self._on_alive = on_alive
        self._transport: asyncio.ReadTransport | None = None
        self._is_held = self._is_queue_full = False
        self._most = MOST_READ_BYTES
        self._alive_timer: asyncio.TimerHandle | None = None
        self._size = 0

    def begin(self, transport: asyncio.ReadTransport) -> None:
        """The socket is open."""
        self._transport = transport
        self._read_at_most(LEAST_READ_BYTES)

    def on_read(self, size: int, frames: int) -> None:
        """So many bytes were read, with so many frames."""
        if frames > MANY_FRAMES:
            self._read_at_most(LEAST_READ_BYTES)
        elif frames <= FEW_FRAMES and size >= self._most < MOST_READ_BYTES:  # more: TLS gives whole records
            self._read_at_most(2 * self._most)

    def _read_at_most(self, size: int) -> None:
        self._most = size
        if self._transport is None:
            return
        if hasattr(self._transport, "max_size"):  # asyncio's transports over plain TCP
            self._transport.max_size = size
        else:
            read_at_most(self._transport, size)

    def hold(self, is_held: bool) -> None:
        """Read nothing, or go on."""
        self._is_held = is_held
        self._regulate()

    def pause(self) -> None:
        """The queue of frames is full."""
        self._is_queue_full = True
        self._regulate()

    def resume(self) -> None:
        """The queue of frames has space again."""
        self._is_queue_full = False
        self._regulate()

    def on_announced(self, size: int) -> None:
        """A message of `size` bytes is about to be read, or has grown to that: request memory for it if it is large."""
        if size > max(LARGE_FRAME, self._size):
            self._size = size
            if not self._memory.request(self, size):
                self._wait()

    def on_memory(self) -> None:
        """It waits no longer: the memory has granted its request."""
        if self._alive_timer is not None:
            self._alive_timer.cancel()
            self._alive_timer = None
        self._regulate()

    def end_frame(self) -> None:
        """The message needs no memory any more."""
        if self._size:
            self._size = 0
            self._memory.release(self)
            return_memory_soon(self._loop)
            self.on_memory()

    def end(self) -> None:
        """The socket is lost."""
        self._transport = None
        self.end_frame()

    def _wait(self) -> None:
        self._alive_timer = self._loop.call_later(ALIVE_SECONDS, self._on_alive_timer)
        self._regulate()

    def _on_alive_timer(self) -> None:
        self._wait()
        self._on_alive()

    def _regulate(self) -> None:
        if self._transport is None:
            return
        if self._is_held or self._is_queue_full or self._alive_timer is not None:
            self._transport.pause_reading()
        else:
            self._transport.resume_reading()


def return_memory_soon(loop: asyncio.AbstractEventLoop) -> None:
    """Give memory that was freed, or is about to be, back to the system; the C library would keep it for later allocations.

    It happens TRIM_SECONDS later, once for all calls until then, in a thread: with a heap of 800 MB it takes some 60 ms.
    """
    if _trim is not None and loop not in _returning:
        _returning[loop] = loop.call_later(TRIM_SECONDS, _return_memory, loop, _trim)


def return_no_memory(loop: asyncio.AbstractEventLoop) -> None:
    """Do not do what `return_memory_soon` was to do: the loop may be about to end."""
    if loop in _returning:
        _returning.pop(loop).cancel()


def _return_memory(loop: asyncio.AbstractEventLoop, trim: Callable[[int], int]) -> None:
    del _returning[loop]
    with suppress(RuntimeError):  # the loop is ending
        loop.run_in_executor(None, trim, 0)


def _find_trim() -> Callable[[int], int] | None:
    try:
        return ctypes.CDLL(None).malloc_trim
    except (OSError, AttributeError, TypeError):
        return None  # another C library


_trim = _find_trim()
_returning: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.TimerHandle] = WeakKeyDictionary()
"""When it is about to happen on a loop."""
