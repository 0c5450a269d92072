"""How to write a Network of your own over peers.transport.channel: MessagePack over TCP.

On the wire a frame is its length (4 bytes) and one MessagePack value; users see JSON text. The channel queues and pauses.
"""

import asyncio
from collections.abc import Callable
from functools import partial

import msgspec

from peers.transport.accepting.listening_socket import ListeningSocket
from peers.transport.address import Target, local_host, parse_address, show_address
from peers.transport.channel import WiredConnection
from peers.transport.network import WiredNetwork
from peers.transport.sockets import explain_os_error
from peers.transport.wire import FrameTaker, WireError

MAX_FRAME, CONNECT_SECONDS = 1024 * 1024, 3.0


class MessagePackWire(asyncio.StreamReaderProtocol):
    channel: FrameTaker | None = None
    is_lost = False
    proven_key = None

    def __init__(self, on_open: Callable[..., None] = lambda wire, transport: None) -> None:
        self._reader, self._on_open = asyncio.StreamReader(), on_open
        super().__init__(self._reader, self._begin)

    def _begin(self, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writer, self.drain, self.abort = writer, writer.drain, writer.transport.abort
        self.local_host = local_host(writer.get_extra_info("sockname"))
        self._on_open(self, writer.transport)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.channel is not None:
            self.channel.on_bytes()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self.is_lost = True
        if self.channel is not None:
            self.channel.on_lost()

    def eof_received(self) -> None:
        super().eof_received()  # and the socket is not kept half open

    async def recv_frame(self) -> bytes:
        try:
            size = int.from_bytes(await self._reader.readexactly(4), "big")
            if size > MAX_FRAME:
                raise ValueError(f"a frame of {size} bytes, and at most {MAX_FRAME} are taken")
            return msgspec.json.encode(msgspec.msgpack.decode(await self._reader.readexactly(size)))
        except (asyncio.IncompleteReadError, OSError) as error:
            raise WireError("closed by the other end") from error
        except (ValueError, TypeError, RecursionError) as error:
            raise WireError(f"it sent what cannot be taken: {error}", error) from error

    @property
    def is_clear(self) -> bool:
        return self._writer.transport.get_write_buffer_size() == 0

    def write_frames(self, frames: list[bytes]) -> None:
        self._writer.write(b"".join(len(frame).to_bytes(4, "big") + frame for frame in frames))

    def hold(self, is_held: bool) -> None: ...

    def end_large(self) -> None: ...

    async def close(self, code: int, reason: str) -> None:
        self._writer.write_eof()
        await self.wait_closed()

    async def wait_closed(self) -> None:
        await asyncio.gather(self._writer.wait_closed(), return_exceptions=True)


class MessagePackConnection(WiredConnection):
    def send(self, frame: bytes) -> None:
        packed = msgspec.msgpack.encode(msgspec.json.decode(frame))
        if len(packed) > MAX_FRAME:
            raise ValueError(f"a frame of {len(packed)} bytes, and at most {MAX_FRAME} are sent")
        super().send(packed)


class MessagePackNetwork(WiredNetwork):
    def dial(self, address: str, *, max_segment: int | None = None, node_id: str = "") -> WiredConnection:
        return MessagePackConnection(self, address, partial(self._open_wire, parse_address(address)))

    async def _open_wire(self, target: Target) -> MessagePackWire:
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                return (await self.loop.create_connection(MessagePackWire, target.host, target.port))[1]
        except OSError as error:
            raise WireError(explain_os_error(error)) from error

    async def serve(self, listening: ListeningSocket, on_connection: Callable[..., None]) -> asyncio.Server:
        def on_open(wire: MessagePackWire, transport: asyncio.Transport) -> None:
            listening.let_in(transport)
            address = show_address(transport.get_extra_info("peername"))
            self.accept(MessagePackConnection(self, address), wire, on_connection)

        return await self.loop.create_server(lambda: MessagePackWire(on_open), sock=listening, backlog=1)
