"""Wire: the port of an open socket that carries frames."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, Protocol


class WireError(Exception):
    """A wire cannot be opened, or has ended.

    `reason` says why in a few words. `fault` is what this end could not accept, if that was the reason; else None.
    """

    def __init__(self, reason: str, fault: Exception | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.fault = fault


class FrameTaker(Protocol):
    """What a wire tells about its frames; Channel is one."""

    def on_bytes(self, control_frames: int = 0, control_bytes: int = 0) -> None:
        """The wire has received bytes, and delivered what it could of them; so many frames of them were of its own.

        Such frames are signs of life, for example, which it answers itself.
        """

    def deliver(self, frame: bytes) -> bool:
        """Take a frame at once; False, and nothing happened, if it has to wait for those before it."""

    def read(self) -> None:
        """Frames wait in the wire, or its end: take them with `recv_frame`. Harmless while that is done."""

    def on_lost(self) -> None:
        """The socket is closed."""


class Wire(Protocol):
    """The port of an open socket that carries frames.

    When bytes come, it calls `channel.on_bytes()`, and `channel.on_lost()` when the socket is closed, by either end.
    """

    channel: FrameTaker | None
    """None at first; `Channel.start` sets it."""

    @property
    def is_lost(self) -> bool:
        """Whether the socket is closed."""

    @property
    def local_host(self) -> str:
        """As Connection says."""

    @property
    def proven_key(self) -> bytes | None:
        """As Connection says."""

    async def recv_frame(self) -> bytes | None:
        """Wait for the next frame. Raises WireError when there is no more; then it is not called again.

        It may return None instead of waiting: then it is called again when the wire calls `channel.read()`.
        """

    def write_frames(self, frames: list[bytes]) -> None:
        """Write frames at once, without waiting; they are dropped once the wire is closing."""

    @property
    def is_clear(self) -> bool:
        """Whether the socket has taken all that was written."""

    async def drain(self) -> None:
        """Wait until the socket has taken what was written. Raises OSError if it is lost."""

    async def close(self, code: int, reason: str) -> None:
        """Send the end of the stream, and wait for that of the other end; it is cancelled after CLOSE_SECONDS.

        `code` is a close code of RFC 6455, `reason` has at most REASON_BYTES bytes: for wires that can carry them.
        """

    def hold(self, is_held: bool) -> None:
        """Read nothing from the socket, or go on. Wires without frames of their own need not act."""

    def end_large(self) -> None:
        """The last frame was larger than LARGE_FRAME, and its memory is free again. Most wires need not act."""

    def abort(self) -> None:
        """Close the socket at once, and drop what is not written yet. Harmless when it is lost."""

    async def wait_closed(self) -> None:
        """Wait until its socket is closed, by either end. Raises nothing."""


OpenWire = Callable[[], Coroutine[Any, Any, Wire]]
"""Dials once. Raises WireError, and nothing else, when that fails."""
