"""The ports of the transport: Connection, Listening and Network."""

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
    """A connection to one other end, which may be opened, lost and opened again.

    A frame is the JSON text of one message, as UTF-8 bytes. The events that `on` takes, in the order in which they may come:

    - `connecting`: an attempt to open it has begun
    - `connect`: it is open
    - `activity`: bytes have come, perhaps less than a frame: the other end is alive
    - `control` (count, size in bytes): the connection took, and perhaps answered, frames of its own, such as pings
    - `message` (frame: bytes). After a frame of more than LARGE_FRAME bytes the connection may pause itself: call `resume`
      when the frame, and what was made of it, need no memory any more
    - `error` (exception): the connection itself could not take what came; `disconnect` may follow
    - `disconnect` (reason: str): it is closed, or the attempt to open it failed; the reason is a few words

    All events come on one thread, that of the loop. No listener is called inside `connect` or `send`.

        connection = network.dial("192.168.1.7:44321")
        connection.on("connect", lambda: connection.send(b'["ping",0]'))
        connection.on("message", print)
        connection.connect()
    """

    @property
    def connected(self) -> bool:
        """Whether it is open."""

    @property
    def dialled(self) -> bool:
        """True if this end opens it, False if it was accepted."""

    @property
    def address(self) -> str:
        """Where the other end is, for people: `192.168.1.7:44321`."""

    @property
    def local_host(self) -> str:
        """The address of this machine that it uses, without port and scope; empty while it is closed, or if it has none."""

    @property
    def proven_key(self) -> bytes | None:
        """The public key that the other end proved; None while it is closed, and of connections that prove none."""

    def connect(self) -> None:
        """Begin to open it; `connect` or `disconnect` follows. Raises RuntimeError if it is open or was accepted."""

    def disconnect(self, reason: str = "") -> None:
        """Close it, without waiting; `disconnect` is emitted once, with `reason`. Harmless when it is closed."""

    def send(self, frame: bytes) -> None:
        """Send one frame, after those before. Raises RuntimeError when it is not open.

        A frame that cannot leave at once is queued; a connection whose queue grows too long closes itself.
        """

    def pause(self) -> None:
        """Emit no `message` and stop reading, so that the other end has to wait."""

    def resume(self) -> None:
        """Read on after `pause`."""

    def on(self, event: str, listener: Callable[..., Any]) -> Undo:
        """Call `listener` at each `event` of those above, until the returned undo is called."""


class Listening(Protocol):
    """A port on which connections are accepted. See Network.listen."""

    @property
    def port(self) -> int:
        """The number of the port, also if 0 was asked for."""

    @property
    def hosts(self) -> tuple[str, ...]:
        """The addresses of this machine; `0.0.0.0` is every IPv4 address, `::` every IPv6 one."""

    def close(self) -> Later[None]:
        """Accept nothing more; accepted connections stay open. Harmless when it is closed."""


class Network(Protocol):
    """Makes connections of one kind, by dialling and by accepting.

    To write one for another kind of socket, subclass peers.transport.network.WiredNetwork.
    """

    def dial(self, address: str, *, max_segment: int | None = None, node_id: str = "") -> Connection:
        """A connection to `host:port` that is not open yet: call its `connect`. Raises ValueError for a bad address.

        `max_segment` limits the TCP segments of both ends, in bytes: for routes on which large packets are lost. `node_id` is
        the node that is expected there, if one is: where keys are proven, nothing is sent to one with another key.
        """

    def listen(self, host: str, port: int, on_connection: Callable[[Connection], None]) -> Later[Listening]:
        """Accept connections at `host` and `port`; `on_connection` is called with each, which is open then.

        An empty host is every address of this machine, IPv4 and IPv6 on one port. Port 0 takes any free one. The result
        fails with OSError if the port is taken or the host is no address of this machine. A connection whose `welcome` is not
        called in time is closed, see Limits: the role on it calls that when it knows the other end.
        """

    def close(self) -> Later[None]:
        """Close every listening port and every connection; resolved when all of them are closed."""
