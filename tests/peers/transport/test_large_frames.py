"""Large frames take a limited amount of memory; what does not fit waits unread."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from peers.transport.large_frames import FrameMemory
from peers.transport.port import LARGE_FRAME
from peers.transport.web_socket import WebSocketNetwork
from tests.support.web_socket_room import Record, Room, raw_wire, settled

LARGE = b'"' + b"x" * (2 * LARGE_FRAME - 2) + b'"'
LIMIT = 4 * LARGE_FRAME
TOO_LONG = b'["debug","error","too long"]'


@pytest.fixture
def room() -> Iterator[Room]:
    room = Room()
    yield room
    room.leave()


def server_with(room: Room, memory: FrameMemory, **options: Any) -> WebSocketNetwork:
    return room.also(max_frame=LIMIT, frame_memory=memory, **options)


def visitors(room: Room, server: WebSocketNetwork, count: int) -> list[tuple[Record, Record]]:
    """So many connections, each with its two ends: the dialled one and the accepted one."""
    listening, dialling = room.listen(network=server), room.also(max_frame=LIMIT)
    pairs = []
    for _ in range(count):
        before = len(room.accepted)
        left = room.dial(listening.port, dialling)
        room.until(lambda left=left, before=before: left.connection.connected and len(room.accepted) > before)
        pairs.append((left, room.accepted[-1]))
    return pairs


def test_a_large_frame_pauses_its_connection_until_it_is_resumed(room: Room) -> None:
    memory = FrameMemory()
    ((left, right),) = visitors(room, server_with(room, memory), 1)

    left.connection.send(LARGE)
    left.connection.send(b'"next"')
    room.until(lambda: right.frames)

    assert settled(room, lambda: len(right.frames)) == 1
    assert memory.used == len(LARGE)
    right.connection.resume()
    room.until(lambda: right.frames[1:] == [b'"next"'])
    assert memory.used == 0


def test_a_frame_that_waits_for_memory_is_not_read_and_its_connection_counts_as_alive(room: Room) -> None:
    memory = FrameMemory(3 * LARGE_FRAME)
    (first, at_first), (second, at_second) = visitors(room, server_with(room, memory), 2)
    signs: list[float] = []
    first.connection.send(LARGE)
    room.until(lambda: at_first.frames)

    second.connection.send(LARGE)
    room.until(lambda: memory.has_waiting)
    at_second.connection.on("activity", lambda: signs.append(room.loop.time()))

    assert settled(room, lambda: len(raw_wire(at_second.connection).protocol.reader.buffer)) < LARGE_FRAME
    assert at_second.frames == []
    room.until(lambda: signs)
    at_first.connection.resume()
    room.until(lambda: at_second.frames == [LARGE])


def test_small_frames_of_others_are_read_while_a_large_one_takes_the_memory(room: Room) -> None:
    memory = FrameMemory(3 * LARGE_FRAME)
    (first, at_first), (second, at_second) = visitors(room, server_with(room, memory), 2)
    first.connection.send(LARGE)
    room.until(lambda: at_first.frames)

    second.connection.send(b'"small"')

    room.until(lambda: at_second.frames == [b'"small"'])


@pytest.mark.parametrize("who", ["the one that holds it", "the one that waits"])
def test_a_lost_connection_releases_its_memory(room: Room, who: str) -> None:
    memory = FrameMemory(3 * LARGE_FRAME)
    (first, at_first), (second, _), (third, at_third) = visitors(room, server_with(room, memory), 3)
    first.connection.send(LARGE)
    room.until(lambda: at_first.frames)
    second.connection.send(LARGE)
    room.until(lambda: memory.has_waiting)
    if who == "the one that waits":
        second.connection.disconnect()
        third.connection.send(LARGE)
        at_first.connection.resume()
        room.until(lambda: at_third.frames == [LARGE])
    else:
        first.connection.disconnect()
        room.until(lambda: not memory.has_waiting)


def test_the_parts_of_a_message_count_together(room: Room) -> None:
    memory = FrameMemory()
    ((left, right),) = visitors(room, server_with(room, memory), 1)
    part = "x" * (LARGE_FRAME - 10)

    async def parts() -> Any:
        for number in range(3):
            yield part
            if number == 1:
                room.loop.call_soon(left.events.append, ("used", memory.used))

    room.run(raw_wire(left.connection).send(parts()))
    room.until(lambda: right.frames)

    assert memory.used == LIMIT
    assert right.frames == [part.encode() * 3]


def test_the_sender_of_a_frame_over_the_limit_gets_the_reason_before_the_close(room: Room) -> None:
    ((left, right),) = visitors(room, server_with(room, FrameMemory(), too_long=TOO_LONG), 1)

    raw_wire(left.connection).transport.write(b"\x81\xff" + (LIMIT + 1).to_bytes(8, "big") + b"mask" + b"x" * 1_000)

    room.until(lambda: left.reasons)
    assert left.frames == [TOO_LONG]
    room.until(lambda: right.reasons)
    assert right.frames == []
