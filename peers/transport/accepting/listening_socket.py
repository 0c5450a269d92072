"""ListeningSocket: accepts no more connections than a door lets in, and than this process has files left for."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from peers.transport.accepting.door import Door, Visit
from peers.transport.accepting.files import limited_by_files, max_files
from peers.transport.address import address_key, local_host
from peers.transport.channel import CLOSE_SECONDS
from peers.transport.sockets import listen_everywhere

BACKLOG = 1_024
"""Connections that wait in the kernel to be accepted: so many that a crowd that is turned away does not keep out others."""
REFUSALS_IN_A_TURN = 16
"""Connections that are turned away, or given to `on_accepted`, before the rest of the loop gets its turn."""
OPENING_SHARE = 8
"""Strangers take at most one eighth of the files that the process may open."""
RESERVE_SHARE = 4
MAX_RESERVE = 128
"""Files left to the log, the control socket, discovery and dialling: a quarter of all, but at most so many."""
WARNING_SECONDS = 60.0
"""Between two warnings of one socket, at least."""
_RAN_DRY = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}

log = logging.getLogger(__name__)


async def open_listening_sockets(
    loop: asyncio.AbstractEventLoop, host: str, port: int, *, door: Door, refusal: bytes = b""
) -> list[ListeningSocket]:
    """One socket for each address of `host`, all with one port and one door; an empty host is every address of this machine.

    Port 0 takes any free one. `refusal`: see ListeningSocket. Raises OSError, and then no socket is left open.
    """
    options: dict[str, Any] = {"max_opening": lambda: door.limits.connections, "door": door, "refusal": refusal}
    if not host:
        return [ListeningSocket(listen_everywhere(port), loop, **options)]
    sockets: list[ListeningSocket] = []
    try:
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        for family, address in dict.fromkeys((family, address) for family, _, _, _, address in found):
            where = (address[0], sockets[0].getsockname()[1], *address[2:]) if sockets else address  # one port for all
            try:
                sockets.append(ListeningSocket(socket.create_server(where, family=family), loop, **options))
            except OSError as error:
                if error.errno != errno.EAFNOSUPPORT:
                    raise
        if not sockets:
            raise OSError(errno.EAFNOSUPPORT, os.strerror(errno.EAFNOSUPPORT))
    except BaseException:
        for one in sockets:
            one.close()
        raise
    return sockets


class AcceptedSocket(socket.socket):
    """A connection that was accepted; it leaves its door when it is closed."""

    __slots__ = ("left", "on_closed", "peer", "visit")

    def __init__(self, accepted: socket.socket, peer: Any, on_closed: Callable[[AcceptedSocket], None]) -> None:
        """`accepted` is replaced by this one; `peer` is the address from which it came, as sockets have it."""
        super().__init__(accepted.family, accepted.type, accepted.proto, fileno=accepted.detach())
        self.on_closed: Callable[[AcceptedSocket], None] | None = on_closed
        self.peer = peer
        self.visit: Visit | None = None
        self.left: int | None = None
        """Bytes that may still come into buffers, as those of TLS; None: any number."""

    def close(self) -> None:
        """As of every socket; a second call does nothing."""
        if self.on_closed is not None:
            self.on_closed(self)
            self.on_closed = None
        super().close()

    def recv_into(self, buffer: Any, nbytes: int = 0, flags: int = 0) -> int:
        """As of every socket. Raises ConnectionAbortedError after more bytes than are `left`, and notes `handshake_bytes`."""
        size = super().recv_into(buffer, nbytes, flags)
        if self.left is not None:
            self.left -= size
            if self.left < 0:
                if self.visit is not None:
                    self.visit.note("handshake_bytes")
                raise ConnectionAbortedError(errno.ECONNABORTED, "too many bytes before the end of a handshake")
        return size

    def cut(self) -> None:
        """End the connection: the loop closes it a moment later, and needs its number until then."""
        with suppress(OSError):  # it is lost already
            self.shutdown(socket.SHUT_RDWR)


class ListeningSocket(socket.socket):
    """Give it to `create_server` as `sock`, with `backlog=1`: asyncio then accepts one connection in a turn of its loop.

    While files are short, or `max_opening` connections are strangers, each new connection ends the one that has been a
    stranger for the longest time. So connections that send nothing do not keep out others. Call `let_in` for one that is
    known. What its door turns away costs no more than to accept and to close it: it gets `refusal`, which it may not read.
    """

    def __init__(
        self,
        listening: socket.socket,
        loop: asyncio.AbstractEventLoop,
        *,
        max_opening: Callable[[], int],
        door: Door | None = None,
        refusal: bytes = b"",
        is_own: bool = False,
    ) -> None:
        """`listening` is replaced by this one. With `is_own` only this user can connect, and may use the reserved files."""
        with listening:
            self._spare = _open_spare()
            # asyncio turns Nagle's algorithm off if the protocol is named; create_server does not name it.
            protocol = 0 if listening.family == socket.AF_UNIX else socket.IPPROTO_TCP
            super().__init__(listening.family, listening.type, protocol, fileno=listening.detach())
        self.setblocking(False)
        self._loop = loop
        self._max_opening = max_opening
        self._door = door
        self._refusal = refusal
        self._is_own = is_own
        self._opening: dict[AcceptedSocket, None] = {}
        """The strangers, in the order in which they came."""
        self._accepted: dict[int, AcceptedSocket] = {}
        """All that are open, by their numbers."""
        self._left: asyncio.Future[None] | None = None
        """Done when none is open: for `end_accepted`."""
        self.on_accepted: Callable[[AcceptedSocket], None] | None = None
        """Takes each connection, of which asyncio then does not hear; None: asyncio takes them."""
        self._warned_at = -WARNING_SECONDS

    def listen(self, backlog: int = BACKLOG, /) -> None:
        """Listen with BACKLOG: the number that asyncio got limits only what it accepts in a turn."""
        super().listen(max(backlog, BACKLOG))

    def accept(self) -> tuple[socket.socket, Any]:
        """The next connection, as asyncio expects it. Raises BlockingIOError if there is none, or no file for it."""
        for _ in range(REFUSALS_IN_A_TURN):
            newcomer, address = self._take()
            key = address_key(local_host(address)) if self._door is not None else ""
            if self._door is None or self._door.may_enter(key):
                accepted = self._admit(newcomer, address, key)
                if self.on_accepted is None:
                    return accepted, address
                self.on_accepted(accepted)
                continue
            with newcomer, suppress(OSError):
                if self._refusal:
                    newcomer.send(self._refusal)
        raise BlockingIOError(errno.EAGAIN, "others of this program have their turn")

    def _admit(self, newcomer: socket.socket, peer: Any, key: str) -> AcceptedSocket:
        files = max_files()
        left = files - newcomer.fileno()  # its number is the lowest that was free
        reserve = 1 if self._is_own else min(MAX_RESERVE, files // RESERVE_SHARE)
        is_short = left <= reserve
        if is_short:
            self._warn(f"it has opened {files - left} of the {files} files that it may open")
        is_crowded = len(self._opening) >= limited_by_files(self._max_opening(), OPENING_SHARE)
        is_displaced = (is_short or is_crowded) and self._displace()
        # The displaced connection is closed a moment later: until then both have a file.
        if is_short and not (is_displaced and left > reserve // 2):
            newcomer.close()
            raise BlockingIOError(errno.EAGAIN, "there is no place for one more connection")
        accepted = AcceptedSocket(newcomer, peer, self._on_closed)
        self._opening[accepted] = None
        self._accepted[accepted.fileno()] = accepted
        if self._door is not None:
            accepted.visit = self._door.enter(key, accepted.cut)
        return accepted

    def visit_of(self, transport: asyncio.BaseTransport) -> Visit | None:
        """The visit of an accepted connection at the door; None once it is closed."""
        accepted = self._accepted.get(transport.get_extra_info("socket").fileno())
        return accepted.visit if accepted is not None else None

    def let_in(self, transport: asyncio.BaseTransport) -> None:
        """The other end of an accepted connection is known: no other one ends it any more. Harmless when it is closed."""
        accepted = self._accepted.get(transport.get_extra_info("socket").fileno())
        if accepted is not None:
            self._opening.pop(accepted, None)
            if accepted.visit is not None:
                accepted.visit.welcome()

    def stop(self) -> None:
        """Accept nothing more. Call it a turn of the loop before the close of the server that accepts here.

        asyncio takes a connection over one turn after it was accepted, and loses it if its server is closed by then.
        """
        self._loop.remove_reader(self)

    async def end_accepted(self) -> None:
        """End what is left of the accepted connections, those too of which the server does not know yet; returns when all
        are closed, or CLOSE_SECONDS later: where reading is paused, asyncio does not notice the end. Call `stop` first.
        """
        if self._accepted:
            self._left = self._loop.create_future()
            for accepted in tuple(self._accepted.values()):
                accepted.cut()
            await asyncio.wait([self._left], timeout=CLOSE_SECONDS)

    def close(self) -> None:
        """Accept nothing more; accepted connections stay open."""
        super().close()
        self._close_spare()

    def _on_closed(self, accepted: AcceptedSocket) -> None:
        self._opening.pop(accepted, None)
        self._accepted.pop(accepted.fileno(), None)
        if not self._accepted and self._left is not None and not self._left.done():
            self._left.set_result(None)
        if accepted.visit is not None:
            accepted.visit.leave()

    def _take(self) -> tuple[socket.socket, Any]:
        try:
            return super().accept()
        except OSError as error:
            if error.errno not in _RAN_DRY:
                raise
            self._warn(error.strerror or str(error))
            self._displace()
        # The connection has to be taken: while it waits, the loop does not sleep.
        self._close_spare()
        try:
            super().accept()[0].close()
        finally:
            with suppress(OSError):
                self._spare = _open_spare()
        raise BlockingIOError(errno.EAGAIN, "there was no place for this connection")

    def _displace(self) -> bool:
        if not self._opening:
            return False
        oldest = next(iter(self._opening))
        del self._opening[oldest]
        if oldest.visit is not None:
            oldest.visit.expel()
        else:
            oldest.cut()
        return True

    def _warn(self, what: str) -> None:
        now = self._loop.time()
        if now - self._warned_at >= WARNING_SECONDS:
            self._warned_at = now
            log.warning(
                "this process turns connections away: %s; raise its limit of open files "
                "(`ulimit -n`, or LimitNOFILE= of its service), and look at who connects",
                what,
            )

    def _close_spare(self) -> None:
        spare, self._spare = self._spare, -1
        if spare >= 0:
            os.close(spare)


def _open_spare() -> int:
    """A file that can be closed, so that a connection can be accepted and turned away when no other file is left."""
    return os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
