"""HostileHost: what all attacks use, and the bounds that every attack keeps."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from ipaddress import ip_address
from itertools import count, repeat
from typing import Protocol, TypeVar

from mesh.bench.attacks.member import HostileIdentity, HostileMember
from mesh.bench.attacks.raw_socket import RawSocket
from peers.transport.address import parse_address

MAX_CONNECTIONS = 20_000
"""That one attack opens in all."""
MAX_SENT_BYTES = 2 * 1024 * 1024 * 1024
"""That one attack sends."""
FLOOD_BYTES = 64 * 1024
"""Of one write of a flood."""
AT_ONCE = 32
"""Connections that are being opened."""
REFUSED_PAUSE_SECONDS = 0.002
"""After a connection that was refused or lost."""


class Open(Protocol):
    """What a HostileHost has opened."""

    def close(self) -> None:
        """Close it at once."""


T = TypeVar("T", bound=Open)


@dataclass(frozen=True)
class HostileTarget:
    """The doors under attack."""

    nodes: tuple[str, ...]
    """Addresses of nodes; the first one is attacked, the others are needed where their ids matter."""
    node_ids: tuple[str, ...]
    """Of these nodes, in their order."""
    clients: str
    """The door for clients of the first node; empty for attacks that do not come to it."""
    token: str = ""
    """Of a client at that door, for attacks of one that is let in."""
    source: str = "127.0.0.2" if sys.platform == "linux" else ""
    """The address of this machine that the hostile host has; only Linux has more than one of loopback."""

    @property
    def door(self) -> str:
        """The door for nodes of the first one."""
        return self.nodes[0]

    @property
    def doors(self) -> tuple[str, str]:
        """Both doors of the first one."""
        return self.door, self.clients


@dataclass
class Deeds:
    """What a hostile host did."""

    began: float = 0.0
    """By the monotonic clock, which all processes of a machine share: when it opened its first connection."""
    ended: float = 0.0
    """When it closed the last one."""
    opened: int = 0
    refused: int = 0
    """Connections that could not be opened or greeted, or ended from the other side."""
    sent_bytes: int = 0
    """That the other ends read, but for what is in the buffers of its connections."""
    statuses: dict[int, int] = field(default_factory=dict)
    """How often an HTTP request was answered with which status."""


class HostileHost:
    """Runs one attack from its first connection on for so many seconds, and then closes all that it opened."""

    def __init__(self, target: HostileTarget, seconds: float, *, on_begin: Callable[[], None] = lambda: None) -> None:
        """`on_begin` is called before the first connection. Raises ValueError for a target that is not on loopback."""
        for address in filter(None, (*target.nodes, target.clients)):
            if not ip_address(parse_address(address).host).is_loopback:
                raise ValueError(f"{address} is not attacked: only loopback addresses of this machine are")
        self.target = target
        self.deeds = Deeds()
        self._seconds = seconds
        self._on_begin = on_begin
        self._deadline: asyncio.Timeout | None = None
        self._open: set[Open] = set()
        self._identities = count(1)

    async def run(self, attack: Callable[[HostileHost], Awaitable[None]]) -> Deeds:
        """What it did. An attack that ends early is over early."""
        with suppress(TimeoutError):
            async with asyncio.timeout(None) as self._deadline:
                await attack(self)
        for each in self._open:
            each.close()
        self._open.clear()
        self.deeds.ended = time.monotonic()
        return self.deeds

    async def socket(self, address: str) -> RawSocket:
        """A new connection. Raises OSError."""
        self._begin()
        if self.deeds.opened >= MAX_CONNECTIONS:
            await self.hold()
        self.deeds.opened += 1
        socket = await RawSocket.open(address, self.target.source, self._on_sent)
        self._open.add(socket)
        return socket

    async def web_socket(self, address: str) -> RawSocket:
        """A new WebSocket. Raises OSError."""
        socket = await self.socket(address)
        if await socket.request() != 101:
            self.drop(socket)
            raise ConnectionRefusedError("it is no WebSocket")
        return socket

    async def member(
        self,
        address: str = "",
        *,
        node_id: str = "",
        boot: str = "b1",
        identity: HostileIdentity | None = None,
    ) -> HostileMember:
        """A connection that greeted, as a new node or as `identity`, and was greeted. Raises OSError."""
        identity = identity or HostileIdentity(next(self._identities))
        socket = await self.socket(address or self.target.door)
        member = HostileMember(socket)
        self._open.add(member)
        if not await member.greet(node_id or identity.node_id, key=identity.signer.public, boot=boot):
            self.drop(member)
            raise ConnectionRefusedError("not greeted")
        return member

    def drop(self, connection: Open) -> None:
        """Close it."""
        self._open.discard(connection)
        connection.close()

    async def hold(self) -> None:
        """Do nothing more until the time is over."""
        await asyncio.sleep(self._seconds)

    async def each(self, times: int, work: Callable[[int], Awaitable[None]], *, at_once: int = AT_ONCE) -> None:
        """Do `work` for 0, 1, 2 ..., some at once; a connection that fails counts as refused."""
        numbers = iter(range(times))

        async def lane() -> None:
            for number in numbers:
                try:
                    await work(number)
                except OSError:
                    self.deeds.refused += 1
                    await asyncio.sleep(REFUSED_PAUSE_SECONDS)

        await asyncio.gather(*(lane() for _ in range(at_once)))

    async def flood(self, frame: bytes | Iterator[bytes]) -> None:
        """Send one frame or several as a member, as fast as the other end reads; a link that is lost is opened again."""
        frames = repeat(frame * max(1, FLOOD_BYTES // len(frame))) if isinstance(frame, bytes) else frame

        async def send(member: HostileMember) -> None:
            await member.socket.send(next(frames))

        await self.repeat(send, partial(self.member, identity=HostileIdentity(0)))

    async def repeat(self, send: Callable[[T], Awaitable[None]], greet: Callable[[], Awaitable[T]]) -> None:
        """Call `send` again and again with a connection that `greet` has opened, and opens again when it is lost."""
        greeted: T | None = None
        while self.deeds.sent_bytes < MAX_SENT_BYTES:
            try:
                greeted = greeted or await greet()
                await send(greeted)
                await asyncio.sleep(0)
            except OSError:
                self.deeds.refused += 1
                if greeted is not None:
                    self.drop(greeted)
                    greeted = None
                await asyncio.sleep(REFUSED_PAUSE_SECONDS)
        await self.hold()

    def _on_sent(self, size: int) -> None:
        self.deeds.sent_bytes += size

    def _begin(self) -> None:
        if not self.deeds.began:
            assert self._deadline is not None
            self._on_begin()
            self._deadline.reschedule(asyncio.get_running_loop().time() + self._seconds)
            self.deeds.began = time.monotonic()
