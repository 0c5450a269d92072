"""The port that every connection offers: frames out, frames and changes in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from peers.clock import Undo
from peers.later import Later

MAX_FRAME = 1024 * 1024
"""Bytes of one frame between nodes; a longer one ends the connection."""
LARGE_FRAME = MAX_FRAME
"""Bytes of a frame after which a connection may pause itself until the frame is dealt with."""


class Connection(Protocol):
    """One channel to one other end, which may be opened, lost and opened again.

    A frame is the JSON text of one message, as UTF-8 bytes. Events, in the order in which they may come:

    - `connecting`: an attempt to open it has begun
    - `connect`: it is open
    - `activity`: some bytes came, perhaps less than a frame: a sign of life
    - `message` (frame: bytes); after one of more than LARGE_FRAME bytes it may be paused: `resume` says that the frame,
      and what was made of it, need no memory any more
    - `error` (exception): what the channel itself could not take; `disconnect` may follow
    - `disconnect` (reason: str): it is closed, or the attempt to open it failed; says why in a few words

    All events come on one thread (that of the loop). A connection never calls back from inside `connect` or `send`.
    """

    @property
    def connected(self) -> bool:
        """Whether it is open."""

    @property
    def dialled(self) -> bool:
        """True if this end opened it (or will), False if it was accepted."""

    @property
    def address(self) -> str:
        """Where the other end is, for people: `192.168.1.7:44321`."""

    @property
    def local_host(self) -> str:
        """The address of this machine that it uses, without port and scope; empty while it is not open, or has none."""

    def connect(self) -> None:
        """Begin to open it. Raises RuntimeError if it is open or was accepted."""

    def disconnect(self, reason: str = "") -> None:
        """Close it, without waiting; `disconnect` is emitted once. Harmless when it is closed already."""

    def send(self, frame: bytes) -> None:
        """Send one frame, in order. Raises RuntimeError when it is not open."""

    def pause(self) -> None:
        """Stop reading, so that the other end has to wait."""

    def resume(self) -> None:
        """Read on after `pause`."""

    def on(self, event: str, listener: Callable[..., Any]) -> Undo:
        """Listen to one of the events above; returns the undo."""


class Listening(Protocol):
    """An open door."""

    @property
    def port(self) -> int:
        """The port it got."""

    @property
    def hosts(self) -> tuple[str, ...]:
        """The addresses at which it is open; `0.0.0.0` is every IPv4 address of this machine, `::` every IPv6 one."""

    def close(self) -> Later[None]:
        """Accept nothing more; connections that were accepted live on. Harmless when it is closed."""


class Network(Protocol):
    """Makes connections of one kind."""

    def dial(self, address: str, *, max_segment: int | None = None) -> Connection:
        """A connection to `host:port` that is not open yet: `connect()` opens it. Raises ValueError for a bad address.

        `max_segment` bounds the TCP segments of both ends, in bytes, on a way on which large packets get lost.
        """

    def listen(self, host: str, port: int, on_connection: Callable[[Connection], None]) -> Later[Listening]:
        """Open a door; each accepted connection, already open, is handed to `on_connection`. Port 0 takes any free one.

        An empty host is every address of this machine, IPv4 and IPv6 on one port.

        Fails with OSError if the port is taken or the host is not ours.
        """

    def close(self) -> Later[None]:
        """Shut all doors and wait until every connection is closed; those that are still open are closed too."""
