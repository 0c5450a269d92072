"""ListeningSocket: accepts no more connections than this process has files left for."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import resource
import socket
import sys
from contextlib import suppress
from typing import Any

from peers.transport.sockets import listen_everywhere

BACKLOG = 100
"""Connections that wait in the kernel to be accepted."""
OPENING_SHARE = 8
"""Unfinished handshakes take at most one eighth of the files that the process may open."""
RESERVE_SHARE = 4
MAX_RESERVE = 128
"""Files left to the log, the control socket, discovery and dialling: a quarter of all, but at most so many."""
WARNING_SECONDS = 60.0
"""Between two warnings of one socket, at least."""
_RAN_DRY = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}

log = logging.getLogger(__name__)


def max_files() -> int:
    """How many files this process may have open: the soft limit, which may change."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return sys.maxsize if soft == resource.RLIM_INFINITY else soft


def limited_by_files(wanted: int, share: int) -> int:
    """The smaller of `wanted` and one of `share` equal parts of the files that this process may open; at least 1."""
    return min(wanted, max(1, max_files() // share))


async def open_listening_sockets(
    loop: asyncio.AbstractEventLoop, host: str, port: int, *, max_opening: int
) -> list[ListeningSocket]:
    """One socket for each address of `host`, all with one port; an empty host is every address of this machine.

    Port 0 takes any free one. `max_opening`: see ListeningSocket. Raises OSError, and then no socket is left open.
    """
    if not host:
        return [ListeningSocket(listen_everywhere(port), loop, max_opening=max_opening)]
    sockets: list[ListeningSocket] = []
    try:
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        for family, address in dict.fromkeys((family, address) for family, _, _, _, address in found):
            where = (address[0], sockets[0].getsockname()[1], *address[2:]) if sockets else address  # one port for all
            try:
                sockets.append(
                    ListeningSocket(socket.create_server(where, family=family), loop, max_opening=max_opening)
                )
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


class ListeningSocket(socket.socket):
    """Give it to `create_server` as `sock`, with `backlog=1`: asyncio then accepts one connection in a turn of its loop.

    While files are short, or `max_opening` handshakes are unfinished, each new connection closes the one whose handshake
    has been unfinished for the longest time. So connections that send nothing do not keep out others. Call `let_in` when a
    handshake is finished.
    """

    def __init__(
        self, listening: socket.socket, loop: asyncio.AbstractEventLoop, *, max_opening: int, is_own: bool = False
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
        self._is_own = is_own
        self._opening: list[socket.socket] = []
        self._warned_at = -WARNING_SECONDS

    def listen(self, backlog: int = BACKLOG, /) -> None:
        """Listen with BACKLOG: the number that asyncio got limits only what it accepts in a turn."""
        super().listen(max(backlog, BACKLOG))

    def accept(self) -> tuple[socket.socket, Any]:
        """The next connection, as asyncio expects it. Raises BlockingIOError if there is none, or no file for it."""
        newcomer, address = self._take()
        files = max_files()
        left = files - newcomer.fileno()  # its number is the lowest that was free
        reserve = 1 if self._is_own else min(MAX_RESERVE, files // RESERVE_SHARE)
        is_short = left <= reserve
        self._opening = [one for one in self._opening if one.fileno() >= 0]
        if is_short:
            self._warn(f"it has opened {files - left} of the {files} files that it may open")
        is_crowded = len(self._opening) >= limited_by_files(self._max_opening, OPENING_SHARE)
        is_displaced = (is_short or is_crowded) and self._displace()
        # The displaced connection is closed a moment later: until then both have a file.
        if is_short and not (is_displaced and left > reserve // 2):
            newcomer.close()
            raise BlockingIOError(errno.EAGAIN, "there is no place for one more connection")
        self._opening.append(newcomer)
        return newcomer, address

    def let_in(self, transport: asyncio.BaseTransport) -> None:
        """The handshake of an accepted connection is finished: no other one closes it any more."""
        number = transport.get_extra_info("socket").fileno()
        self._opening = [one for one in self._opening if one.fileno() not in {number, -1}]

    def close(self) -> None:
        """Accept nothing more; accepted connections stay open."""
        super().close()
        self._close_spare()

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
        with suppress(OSError):  # it is lost already
            self._opening.pop(0).shutdown(socket.SHUT_RDWR)  # the loop closes it, and needs its number until then
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
