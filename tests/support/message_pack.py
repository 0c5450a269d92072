"""The network of MessagePack connections: frames in binary over unix sockets and TCP, for programs that are no browsers."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

from peers.later import Later
from peers.transport.address import Target, local_host, parse_address, show_address
from peers.transport.channel import Channel, WiredConnection, WireError
from peers.transport.listening_socket import ListeningSocket, door_sockets, fit
from peers.transport.network import WiredNetwork
from peers.transport.port import Connection, Listening
from peers.transport.sockets import check_port, explain_os_error, hosts_of, place_to_dial
from tests.support.packed import to_json, to_message_pack

MAX_FRAME = 1024 * 1024
"""Bytes of one frame, without its length; a longer one closes the connection."""
MAX_ACCEPTED = 512
"""Open connections that one door keeps: so many, or for half of the files that this process may have open; the next one is
closed at once."""
READ_BYTES = 64 * 1024
"""Twice as many are read ahead of whoever takes the frames."""
HEAD_BYTES = 4
UNIX = "unix:"


class _Wire(asyncio.StreamReaderProtocol):
    """One socket. The goodbye is the end of the stream, so the other end is told no reason."""

    channel: Channel | None = None

    def __init__(self, loop: asyncio.AbstractEventLoop, on_open: Callable[[_Wire], None] | None = None) -> None:
        self._reader = asyncio.StreamReader(limit=READ_BYTES, loop=loop)
        super().__init__(self._reader, loop=loop)
        self._loop = loop
        self._on_open = on_open
        self._ended = asyncio.Event()
        self._is_refused = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        transport.set_write_buffer_limits(high=0)  # `drain` waits until the kernel has everything, and so does `close`
        self._writer = asyncio.StreamWriter(transport, self, self._reader, self._loop)
        if self._on_open is not None:
            self._on_open(self)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.channel is not None:
            self.channel.on_bytes()

    def eof_received(self) -> bool | None:
        self._end()
        return super().eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._end()

    def _end(self) -> None:
        if not self._ended.is_set():
            self._ended.set()
            if self.channel is not None:
                self.channel.on_lost()

    @property
    def is_lost(self) -> bool:
        return self._ended.is_set()

    @property
    def local_host(self) -> str:
        return local_host(self.transport.get_extra_info("sockname"))

    async def recv_frame(self) -> bytes:
        try:
            size = int.from_bytes(await self._reader.readexactly(HEAD_BYTES), "big")
            if size > MAX_FRAME:
                raise ValueError(f"it sent a frame of {size} bytes, and at most {MAX_FRAME} are taken")
            return to_json(await self._reader.readexactly(size))
        except asyncio.IncompleteReadError as end:
            raise WireError("lost in the middle of a frame" if end.partial else "closed by the other end") from None
        except ValueError as fault:
            self._is_refused = True
            raise WireError(f"it sent what cannot be taken: {fault}", fault) from None
        except OSError as error:
            raise WireError(f"lost: {explain_os_error(error)}") from error

    def write_frames(self, frames: list[bytes]) -> None:
        if not self.transport.is_closing():
            self.transport.write(b"".join(len(frame).to_bytes(HEAD_BYTES, "big") + frame for frame in frames))

    async def drain(self) -> None:
        await self._writer.drain()

    async def close(self, code: int, reason: str) -> None:
        if not self._is_refused and not self.transport.is_closing():
            self.transport.write_eof()
            await self._ended.wait()

    def end_large(self) -> None:
        """No frame of MAX_FRAME is large."""

    def abort(self) -> None:
        self.transport.abort()

    async def wait_closed(self) -> None:
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()


class MessagePackConnection(WiredConnection):
    """A `Connection` whose frames travel as MessagePack."""

    def send(self, frame: bytes) -> None:
        """As the port says. Raises ValueError for what is no JSON or longer than MAX_FRAME."""
        packed = to_message_pack(frame)
        if len(packed) > MAX_FRAME:
            raise ValueError(f"the frame has {len(packed)} bytes, and {self.address} takes at most {MAX_FRAME}")
        super().send(packed)


class MessagePackListening:
    """An open door; `close` closes it for newcomers only, and removes the file of a unix socket."""

    def __init__(self, servers: list[asyncio.Server], path: Path | None, loop: asyncio.AbstractEventLoop) -> None:
        sockets = [] if path is not None else [one for server in servers for one in server.sockets]
        self.port: int = sockets[0].getsockname()[1] if sockets else 0
        self.hosts = hosts_of(sockets, self.port)
        self._servers = servers
        self._path = path
        self._loop = loop
        self._is_closed = False

    def close(self) -> Later[None]:
        if not self._is_closed:
            self._is_closed = True
            for server in self._servers:
                server.close()
            if self._path is not None:
                self._path.unlink(missing_ok=True)
        return Later.done(None)

    async def wait_closed(self) -> None:
        for server in self._servers:
            await server.wait_closed()


class MessagePackNetwork(WiredNetwork):
    """A `Network` over `unix:/path` and `host:port`: each frame is a length, 4 bytes, big-endian, and a MessagePack message.

    Frames of the port are JSON text, so each is translated on the way. An event arrives as the JSON text of the same values,
    compact and with its escapes and numbers written in one way, not in the bytes it had: JavaScript peers do the same, so an
    event that is to have one digest everywhere is best written compactly from the start, as `Log.add` does.

    Nothing here is encrypted or proves who is there: the file of a unix socket is its owner's alone, TCP is for loopback.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, *, connect_seconds: float = 3.0) -> None:
        super().__init__(loop)
        self.connect_seconds = connect_seconds

    def dial(self, address: str, *, max_segment: int | None = None) -> MessagePackConnection:
        target = None if address.startswith(UNIX) else replace(parse_address(address), max_segment=max_segment)
        where = target or _path_in(address)
        return MessagePackConnection(self, address, partial(self._reach, where))

    def listen(self, host: str, port: int, on_connection: Callable[[Connection], None]) -> Later[Listening]:
        """As the port says. For a host `unix:/path` the port means nothing; an empty host is every address."""
        check_port(port)
        where = _path_in(host) if host.startswith(UNIX) else Target(host, port)
        later: Later[Listening] = Later()
        self.spawn(self._listen(later, where, on_connection))
        return later

    async def _reach(self, where: Path | Target) -> _Wire:
        try:
            async with asyncio.timeout(self.connect_seconds):
                if isinstance(where, Path):
                    return (await self.loop.create_unix_connection(lambda: _Wire(self.loop), str(where)))[1]
                place = await place_to_dial(self.loop, where)
                return (await self.loop.create_connection(lambda: _Wire(self.loop), **place))[1]
        except TimeoutError:
            raise WireError(f"timed out after {self.connect_seconds:g} s") from None
        except (OSError, UnicodeError) as error:
            raise WireError(explain_os_error(error) if isinstance(error, OSError) else str(error)) from error

    async def _listen(
        self, later: Later[Listening], where: Path | Target, on_connection: Callable[[Connection], None]
    ) -> None:
        accepted: dict[_Wire, None] = {}

        def on_open(door: ListeningSocket, wire: _Wire) -> None:
            door.let_in(wire.transport)
            if len(accepted) >= fit(MAX_ACCEPTED, 2) or self.is_closed:
                wire.abort()
                return
            accepted[wire] = None
            self.spawn(_forget_when_closed(wire, accepted))
            peer = wire.transport.get_extra_info("peername")
            address = show_address(peer) if isinstance(where, Target) else f"{UNIX}{where}"
            self.accept(MessagePackConnection(self, address), wire, on_connection)

        try:
            servers = [await self._serve(door, partial(on_open, door)) for door in await self._doors(where)]
        except (OSError, UnicodeError) as error:
            later.fail(error if isinstance(error, OSError) else OSError(f"{where} is not a host: {error}"))
            return
        listening = MessagePackListening(servers, where if isinstance(where, Path) else None, self.loop)
        self.doors.append(listening)
        later.set(listening)

    async def _serve(self, door: ListeningSocket, on_open: Callable[[_Wire], None]) -> asyncio.Server:
        return await self.loop.create_server(lambda: _Wire(self.loop, on_open), sock=door, backlog=1)

    async def _doors(self, where: Path | Target) -> list[ListeningSocket]:
        if isinstance(where, Path):
            return [ListeningSocket(_bound(where), self.loop, max_opening=MAX_ACCEPTED)]
        return await door_sockets(self.loop, where.host, where.port, max_opening=MAX_ACCEPTED)


async def _forget_when_closed(wire: _Wire, accepted: dict[_Wire, None]) -> None:
    await wire.wait_closed()
    del accepted[wire]


def _path_in(address: str) -> Path:
    path = address.removeprefix(UNIX)
    if not path.startswith("/") or "\0" in path:
        raise ValueError(f"{address!r} is not an address: write unix:/path, with the whole path")
    return Path(path)


def _bound(path: Path) -> socket.socket:
    """A socket with the name `path`, its owner's alone. Raises OSError if somebody listens there."""
    found = socket.socket(socket.AF_UNIX)
    found.setblocking(False)
    with found, contextlib.suppress(FileNotFoundError, ConnectionRefusedError):
        found.connect(str(path))
        raise OSError(errno.EADDRINUSE, f"somebody listens at {path}")
    if path.is_socket():
        path.unlink()  # left by one that was killed
    listening = socket.socket(socket.AF_UNIX)
    try:
        listening.bind(str(path))
        path.chmod(0o600)  # before `listen`, so nobody came in between
    except OSError:
        listening.close()
        raise
    return listening
