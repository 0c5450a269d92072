"""Attacks of a host that does not greet, or greets wrongly, at both doors of a node."""

from __future__ import annotations

import asyncio
import json
from itertools import cycle

from mesh.bench import MIB
from mesh.bench.attacks.host import HostileHost
from mesh.bench.attacks.member import HostileIdentity, HostileMember
from mesh.bench.attacks.raw_socket import Opcode, RawSocket, frame, upgrade_request

GREETED = 512
MEMORY_CONNECTIONS = 40
SLOW_CONNECTIONS = 200
SILENT = 2_000
REQUESTS = 5_000
BYTE_SECONDS = 0.1
"""Between two single bytes."""
EVIL = "https://evil.example"
ESCAPES = "\x1b[2J\x1b[31mroot\nall is lost\x07\u202egnp"
"""Clears a terminal, colours it, begins a line, rings, and turns the direction of writing."""
DEEP = b'["headers",{"a":' + b"[" * 7_000


def nested(size: int) -> bytes:
    """`headers` with so many bytes on the wire, and some 20 times as many as objects."""
    return b'["headers",{"a":[%b[]]}]' % (b"[]," * (size // 3 - 9))


async def greeted(host: HostileHost) -> None:
    """512 connections that greet, each as another node, and stay."""

    async def one(_number: int) -> None:
        await host.member()

    await host.each(GREETED, one)
    await host.hold()


async def headers(host: HostileHost) -> None:
    """Nested `headers` before any greeting: of 1 MiB on 40 connections, and of 15 and 60 KiB on 200 each, which stay."""
    large, *small = (frame(nested(size)) for size in (MIB, 15 * 1024, 60 * 1024))

    async def one(number: int) -> None:
        socket = await host.web_socket(host.target.doors[number % 2])
        await socket.send(large if number < MEMORY_CONNECTIONS else small[number % 2])

    await host.each(MEMORY_CONNECTIONS + 2 * SLOW_CONNECTIONS, one)
    await host.hold()


async def fragments(host: HostileHost) -> None:
    """40 connections that begin a message of 1 MiB in fragments, and do not end it."""

    async def one(number: int) -> None:
        socket = await host.web_socket(host.target.doors[number % 2])
        for part in range(MIB // 1024 - 1):
            await socket.send(frame(b"x" * 1024, Opcode.TEXT if part == 0 else Opcode.MORE, is_last=False))

    await host.each(MEMORY_CONNECTIONS, one)
    await host.hold()


async def silent(host: HostileHost) -> None:
    """2 000 connections that say nothing."""

    async def one(number: int) -> None:
        await host.socket(host.target.doors[number % 2])

    await host.each(SILENT, one)
    await host.hold()


async def slow_http(host: HostileHost) -> None:
    """200 connections at a time whose HTTP request comes byte by byte."""
    text = upgrade_request(host.target.door, {"Cookie": "a" * 4096})

    async def one(number: int) -> None:
        await _drip(host, await host.socket(host.target.doors[number % 2]), text)

    await host.each(REQUESTS, one, at_once=SLOW_CONNECTIONS)


async def slow_frames(host: HostileHost) -> None:
    """200 connections at a time whose first frame comes byte by byte."""
    text = frame(b"[" * 0xFFFF)

    async def one(number: int) -> None:
        await _drip(host, await host.web_socket(host.target.doors[number % 2]), text)

    await host.each(REQUESTS, one, at_once=SLOW_CONNECTIONS)


async def _drip(host: HostileHost, socket: RawSocket, text: bytes) -> None:
    for byte in text:
        await socket.send(bytes([byte]))
        await asyncio.sleep(BYTE_SECONDS)
    host.drop(socket)


async def odd_frames(host: HostileHost) -> None:
    """Frames that are too long, too deep, compressed, binary, of no known kind, or not text, at both doors, and of a member."""
    texts = (
        frame(b"", announced=2**40),
        frame(b"x" * (3 * MIB)),
        frame(DEEP),
        frame(nested(MIB), is_compressed=True),
        frame(nested(MIB), Opcode.BINARY),
        frame(b"\xff\xfe" * 100),
    )
    of_members = (frame(b"x" * (600 * 1024)), frame(b"[" * (500 * 1024)), *texts)

    async def one(number: int) -> None:
        if number % 3 == 2:
            member = await host.member()
            await member.socket.send(of_members[number % len(of_members)])
            host.drop(member)
        else:
            socket = await host.web_socket(host.target.doors[number % 3])
            await socket.send(texts[number % len(texts)])
            await socket.until_closed()
            host.drop(socket)

    await host.each(REQUESTS, one)


async def pages(host: HostileHost) -> None:
    """Pages of another site that open WebSockets in a browser, and pages whose name was made to lead here (DNS rebinding)."""
    ways = (
        {"Origin": EVIL},
        {"Origin": EVIL, "Host": "evil.example"},
        {"Origin": "null"},
        {"Origin": "http://evil.example:80", "Host": "evil.example:80", "Upgrade": "no"},
    )

    async def one(number: int) -> None:
        socket = await host.socket(host.target.doors[number % 2])
        status = await socket.request(ways[number // 2 % len(ways)])
        host.deeds.statuses[status] = host.deeds.statuses.get(status, 0) + 1
        host.drop(socket)

    await host.each(REQUESTS, one)


async def wrong_mesh(host: HostileHost) -> None:
    """Greetings of another mesh, each as another node, in a loop."""

    async def one(number: int) -> None:
        member = HostileMember(await host.socket(host.target.door))
        await member.greet(HostileIdentity(number).node_id, mesh="elsewhere")
        host.drop(member.socket)

    await host.each(REQUESTS, one)


async def bad_frames(host: HostileHost) -> None:
    """First messages that are no greeting, in a loop."""
    texts = cycle((b"{}", b'["connect"]', b'["connect",2]', b"[" * 100, b'["sync",1,{"type":"a"},{"id":1}]', b"\x00"))

    async def one(number: int) -> None:
        socket = await host.web_socket(host.target.doors[number % 2])
        await socket.send(frame(next(texts)))
        await socket.until_closed()
        host.drop(socket)

    await host.each(REQUESTS, one)


async def escapes(host: HostileHost) -> None:
    """Ids, errors and reasons with escapes of terminals in them, in a loop."""
    shown = json.dumps(ESCAPES).encode()
    texts = (
        frame(b'["error",%b,%b]' % (shown, shown)),
        frame(b'["error","wrong-protocol",{"supported":9,"used":2,"why":%b}]' % shown),
        frame(b'["connect",4,%b,0,{"token":%b}]' % (shown, shown)),
        frame(b"\x0f\xa0" + ESCAPES.encode(), Opcode.CLOSE),
    )

    async def one(number: int) -> None:
        if number % 3 == 0:
            await host.member(node_id=f"{ESCAPES}{number}")
        elif number % 3 == 1:
            member = await host.member()
            await member.socket.send(texts[number // 3 % len(texts)])
        else:
            socket = await host.web_socket(host.target.doors[number % 2])
            await socket.send(texts[number // 3 % len(texts)])
            await socket.until_closed()
            host.drop(socket)

    await host.each(REQUESTS, one)
