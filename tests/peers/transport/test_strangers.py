"""What an accepted connection may send before its end is known, and how long it may take."""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from typing import Any

import pytest

from peers.limits import Limits
from peers.protocol.ports import Welcoming
from peers.transport.http import HttpAnswer
from peers.transport.port import Listening
from tests.support.web_socket_room import Record, Room

UPGRADE = (
    b"GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
TEXT, CONT, PING = 1, 0, 9


class Street:
    """A room with one door for strangers, and what was hit there."""

    def __init__(self) -> None:
        self.room = Room()
        self.stack = ExitStack()
        self.hits: list[tuple[str, str]] = []

    def open(self, *, waits: bool = False, on_request: Any = None, **fields: Any) -> Listening:
        network = self.room.also(
            limits=Limits(**fields),
            note=lambda limit, who: self.hits.append((limit, who)),
            waits=waits,
            on_request=on_request,
        )
        return self.room.listen(network=network, is_welcome=False)

    def stranger(self, door: Listening, *, is_upgraded: bool = True) -> socket.socket:
        wire = self.stack.enter_context(socket.create_connection(("127.0.0.1", door.port)))
        wire.setblocking(False)
        if is_upgraded:
            wire.sendall(UPGRADE)
            self.room.until(lambda: received(wire))
        return wire

    def until_closed(self, wire: socket.socket) -> bytes:
        """What the node still sent, once it has closed."""
        parts: list[bytes] = []

        def is_closed() -> bool:
            try:
                parts.append(wire.recv(65_536))
            except BlockingIOError:
                return False
            except ConnectionError:
                parts.append(b"")
            return parts[-1] == b""

        self.room.until(is_closed)
        return b"".join(parts)


def received(wire: socket.socket) -> bytes:
    try:
        return wire.recv(65_536)
    except BlockingIOError:
        return b""


def frame(opcode: int, body: bytes, *, fin: bool = True) -> bytes:
    """A masked frame, with a mask of zeros."""
    head = bytes([opcode | (0x80 if fin else 0)])
    size = bytes([0x80 | len(body)]) if len(body) < 126 else b"\xfe" + struct.pack(">H", len(body))
    return head + size + bytes(4) + body


@pytest.fixture
def street() -> Iterator[Street]:
    street = Street()
    yield street
    street.stack.close()
    street.room.leave()


@pytest.mark.parametrize("how", ["silent", "half a request", "silent after the upgrade"])
def test_one_deadline_covers_all_until_the_greeting_and_slow_bytes_do_not_extend_it(street: Street, how: str) -> None:
    door = street.open(greeting_seconds=0.3)
    begun = time.monotonic()
    wire = street.stranger(door, is_upgraded=how == "silent after the upgrade")
    left = iter(UPGRADE[:-4] if how == "half a request" else b"")

    def drip() -> bool:
        for byte in left:
            try:
                wire.send(bytes([byte]))
            except ConnectionError:
                return True
            break
        return bool(street.hits)

    street.room.until(drip)

    street.until_closed(wire)
    assert time.monotonic() - begun > 0.25
    assert street.hits == [("greeting_seconds", "127.0.0.1")]


def test_the_other_end_learns_that_its_greeting_was_late(street: Street) -> None:
    left = street.room.dial(street.open().port)
    street.room.until(lambda: left.connection.connected and street.room.accepted)

    street.room.pass_time(Limits().greeting_seconds)

    street.room.until(lambda: left.reasons)
    assert left.reasons == ["no greeting in time"]


def test_a_page_that_is_not_read_does_not_extend_the_deadline(street: Street) -> None:
    door = street.open(greeting_seconds=0.3, on_request=lambda _: HttpAnswer(200, {}, bytes(50_000_000)))
    wire = street.stranger(door, is_upgraded=False)
    wire.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")

    street.room.until(lambda: street.hits)

    assert len(street.until_closed(wire)) < 50_000_000


def test_a_connection_that_is_welcome_has_no_deadline_and_the_full_size(street: Street) -> None:
    left = street.room.dial(street.open(stranger_frame_bytes=100, stranger_bytes=1_000).port)
    street.room.until(lambda: left.connection.connected and street.room.accepted)
    (right,) = street.room.accepted
    assert isinstance(right.connection, Welcoming)
    right.connection.welcome()

    for _ in range(30):
        left.connection.send(b"x" * 200)
    street.room.until(lambda: len(right.frames) == 30)
    street.room.pass_time(Limits().greeting_seconds)
    left.connection.send(b"still here")
    street.room.until(lambda: len(right.frames) == 31)

    assert left.connection.connected and street.hits == []


@pytest.mark.parametrize(
    ("frames", "limit"),
    [
        (frame(TEXT, b"x" * 101), "stranger_frame_bytes"),
        (frame(TEXT, b"x" * 60, fin=False) + frame(CONT, b"x" * 60), "stranger_frame_bytes"),
        (frame(TEXT, b"", fin=False) + frame(CONT, b"", fin=False) * 10_000, "stranger_bytes"),
        (frame(PING, b"") * 1_000, "stranger_bytes"),
        (frame(TEXT, b'["debug","error","x"]') * 1_000, "stranger_bytes"),
    ],
    ids=["a long frame", "a long message", "empty fragments", "pings", "messages"],
)
@pytest.mark.parametrize("waits", [False, True])
def test_a_stranger_that_sends_too_much_is_cut_off(street: Street, frames: bytes, limit: str, waits: bool) -> None:
    door = street.open(waits=waits, stranger_frame_bytes=100, stranger_bytes=10_000)
    wire = street.stranger(door)

    with suppress(BlockingIOError, ConnectionError):
        wire.sendall(frames)
    street.until_closed(wire)

    assert street.hits == [(limit, "127.0.0.1")]
    assert sum(len(record.frames) for record in street.room.accepted) < 50


def test_one_that_sends_on_after_the_end_of_its_connection_is_cut_off(street: Street) -> None:
    wire = street.stranger(street.open())
    street.room.until(lambda: street.room.accepted)
    (record,) = street.room.accepted
    assert isinstance(record.connection, Welcoming)
    record.connection.welcome()

    record.connection.disconnect("enough")

    def is_cut() -> bool:
        try:
            wire.sendall(frame(TEXT, b"[1]") * 200)
        except BlockingIOError:
            return False
        except ConnectionError:
            return True
        return False

    street.room.until(is_cut)


def test_a_request_with_endless_headers_is_cut_off(street: Street) -> None:
    door = street.open(stranger_bytes=10_000)
    wire = street.stranger(door, is_upgraded=False)

    wire.sendall(b"GET / HTTP/1.1\r\n" + b"X-Y: %s\r\n" % (b"z" * 1_000) * 20)
    street.until_closed(wire)

    assert street.hits == [("stranger_bytes", "127.0.0.1")]


def test_a_silent_connection_is_given_away_with_its_first_whole_message(street: Street) -> None:
    door = street.open(waits=True)
    wire = street.stranger(door)

    wire.sendall(frame(PING, b"") + frame(TEXT, b"[", fin=False) + frame(CONT, b"1", fin=False))
    street.room.until(lambda: received(wire))
    assert street.room.accepted == []
    wire.sendall(frame(CONT, b"]"))
    street.room.until(lambda: street.room.accepted and street.room.accepted[0].frames)

    assert street.room.accepted[0].frames == [b"[1]"]


def test_a_message_may_come_in_one_piece_with_the_upgrade(street: Street) -> None:
    wire = street.stranger(street.open(waits=True), is_upgraded=False)

    wire.sendall(UPGRADE + frame(TEXT, b"[1]") + frame(TEXT, b"[2]"))
    street.room.until(lambda: street.room.accepted and len(street.room.accepted[0].frames) == 2)

    assert street.room.accepted[0].frames == [b"[1]", b"[2]"]


def test_an_address_is_turned_away_unread_and_gets_in_when_its_rate_allows(street: Street) -> None:
    door = street.open(connects_of_address_per_second=4, connects_per_second=8)
    ends = [street.room.dial(door.port) for _ in range(6)]
    street.room.until(lambda: all(end.connection.connected or end.reasons for end in ends))
    late: list[Record] = []

    def is_let_in() -> bool:
        if not late or late[-1].reasons:
            late.append(street.room.dial(door.port))
        return late[-1].connection.connected

    assert sum(bool(end.reasons) for end in ends) == 2
    assert {reason for end in ends for reason in end.reasons} <= {"the other end is full", "reset"}
    street.room.until(is_let_in)
    assert set(street.hits) == {("connects_of_address_per_second", "127.0.0.1")}


def test_a_closed_network_does_not_wait_for_strangers(street: Street) -> None:
    network = street.room.also(limits=Limits(greeting_seconds=60))
    door = street.room.listen(network=network)
    wire = street.stranger(door, is_upgraded=False)
    street.room.until(lambda: len(list(network.descriptors())) == 2)

    async def close() -> None:
        await network.close()

    street.room.run(close())

    assert street.until_closed(wire) == b""
