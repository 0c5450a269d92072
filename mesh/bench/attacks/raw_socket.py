"""RawSocket: a TCP connection on which anything can be said, in frames of WebSocket or not."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from enum import IntEnum
from struct import Struct

from peers.transport.address import parse_address

MAX_HEAD_BYTES = 16 * 1024
"""Of an answer to an HTTP request."""
_KEY = "AAAAAAAAAAAAAAAAAAAAAA=="
_STATUS = re.compile(rb"HTTP/1\.1 ([0-9]{3}) ")
_NO_MASK = bytes(4)
"""A mask that changes nothing, which is allowed."""
_SHORT, _LONG = Struct(">H"), Struct(">Q")
_SHORT_MARK, _LONG_MARK = 126, 127
_FIN, _COMPRESSED, _MASKED = 0x80, 0x40, 0x80


class Opcode(IntEnum):
    """The kinds of frames in RFC 6455."""

    MORE = 0
    TEXT = 1
    BINARY = 2
    CLOSE = 8
    PING = 9


def frame(
    payload: bytes,
    opcode: Opcode = Opcode.TEXT,
    *,
    is_last: bool = True,
    is_compressed: bool = False,
    announced: int | None = None,
) -> bytes:
    """The bytes of one frame from the end that dialled. `announced`: the length that it claims to have, if that is a lie."""
    size = len(payload) if announced is None else announced
    if size < _SHORT_MARK:
        length = bytes([_MASKED | size])
    elif size <= 0xFFFF:
        length = bytes([_MASKED | _SHORT_MARK]) + _SHORT.pack(size)
    else:
        length = bytes([_MASKED | _LONG_MARK]) + _LONG.pack(size)
    first = opcode | (_FIN if is_last else 0) | (_COMPRESSED if is_compressed else 0)
    return b"".join((bytes([first]), length, _NO_MASK, payload))


def upgrade_request(address: str, headers: Mapping[str, str] | None = None) -> bytes:
    """An HTTP request for a WebSocket; `headers` replace the usual ones or come in addition."""
    all_headers = {
        "Host": address,
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Key": _KEY,
        "Sec-WebSocket-Version": "13",
        **(headers or {}),
    }
    lines = [f"{name}: {value}\r\n" for name, value in all_headers.items()]
    return f"GET / HTTP/1.1\r\n{''.join(lines)}\r\n".encode()


class RawSocket:
    """Open it with `RawSocket.open`. Everything raises OSError once the connection is lost."""

    def __init__(
        self,
        address: str,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        on_sent: Callable[[int], None],
    ) -> None:
        self.address = address
        self._reader, self._writer = reader, writer
        self._on_sent = on_sent
        self._reading: asyncio.Task[None] | None = None

    @classmethod
    async def open(cls, address: str, source: str, on_sent: Callable[[int], None]) -> RawSocket:
        """Connect to `host:port`, from the address `source` of this machine unless it is empty, and say nothing.

        `on_sent` is called with the size of all that was sent.
        """
        target = parse_address(address)
        own = (source, 0) if source else None
        return cls(address, *await asyncio.open_connection(target.host, target.port, local_addr=own), on_sent)

    async def send(self, data: bytes) -> None:
        """Send bytes, as soon as the other end reads."""
        if self._writer.is_closing():
            raise ConnectionResetError("lost")
        self._writer.write(data)
        await self._writer.drain()
        self._on_sent(len(data))

    def post(self, data: bytes) -> None:
        """Send a few bytes without waiting; nothing if the connection is lost."""
        if not self._writer.is_closing():
            self._writer.write(data)
            self._on_sent(len(data))

    async def request(self, headers: Mapping[str, str] | None = None) -> int:
        """Ask for a WebSocket. The status of the answer: 101 if it is one now."""
        await self.send(upgrade_request(self.address, headers))
        return await self.status()

    async def status(self) -> int:
        """Read the head of an HTTP answer. Its status."""
        try:
            head = await self._reader.readuntil(b"\r\n\r\n")
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError) as error:
            raise ConnectionResetError("closed during the handshake") from error
        found = _STATUS.match(head)
        if found is None or len(head) > MAX_HEAD_BYTES:
            raise ConnectionResetError("no answer of HTTP")
        return int(found[1])

    async def read_frame(self) -> tuple[int, bytes]:
        """The opcode and the payload of the next frame."""
        try:
            first, mark = await self._reader.readexactly(2)
            size = mark & ~_MASKED
            if size == _SHORT_MARK:
                (size,) = _SHORT.unpack(await self._reader.readexactly(_SHORT.size))
            elif size == _LONG_MARK:
                (size,) = _LONG.unpack(await self._reader.readexactly(_LONG.size))
            return first & 0x0F, await self._reader.readexactly(size)
        except asyncio.IncompleteReadError as error:
            raise ConnectionResetError("closed") from error

    async def is_let_in(self, on_text: Callable[[bytes], None], on_end: Callable[[], None] = lambda: None) -> bool:
        """Whether the other end greets too: then texts that come from now on go to `on_text`, until it closes."""
        while True:
            opcode, payload = await self.read_frame()
            if opcode == Opcode.CLOSE or payload.startswith(b'["error"'):
                return False
            if payload.startswith(b'["connected"'):
                self._reading = asyncio.create_task(self.read_all(on_text))
                self._reading.add_done_callback(lambda _: on_end())
                return True

    async def read_all(self, on_text: Callable[[bytes], None]) -> None:
        """Read until the other end closes, and close then."""
        with suppress(OSError):
            while True:
                opcode, payload = await self.read_frame()
                if opcode == Opcode.TEXT:
                    on_text(payload)
                elif opcode == Opcode.CLOSE:
                    break
        self.close()

    async def until_closed(self) -> None:
        """Read and drop whatever comes, until the other end has closed the connection."""
        with suppress(OSError):
            while await self._reader.read(0x10000):
                pass

    def close(self) -> None:
        """Close it at once, without the goodbye of WebSocket."""
        self._writer.transport.abort()
