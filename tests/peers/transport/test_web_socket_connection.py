"""Open connections over WebSocket, until their end, with real sockets on loopback."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Iterator

import pytest
from websockets.frames import Frame, Opcode

from peers.transport import channel as channel_module
from peers.transport.port import MAX_FRAME, Connection
from peers.transport.web_socket import WebSocketNetwork
from tests.support.web_socket_room import Record, Room, as_coroutine, channel_of, raw_wire, settled

UPGRADE = (
    b"GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


@pytest.fixture
def room() -> Iterator[Room]:
    room = Room()
    yield room
    room.leave()


def test_echoes_a_thousand_frames_in_order(room: Room) -> None:
    left, right = room.meet()
    right.connection.on("message", right.connection.send)
    frames = [b"[%d]" % number for number in range(1000)]

    for frame in frames:
        left.connection.send(frame)
    assert left.events == []  # never from inside send()
    room.until(lambda: len(left.frames) == 1000)

    assert left.frames == right.frames == frames


def test_both_ends_send_segments_of_the_size_that_the_dialler_asked_for(room: Room) -> None:
    port = room.listen().port
    left = Record(room.network.dial(f"127.0.0.1:{port}", max_segment=1200))
    left.connection.connect()
    room.until(lambda: left.connection.connected and room.accepted)
    ends = (left.connection, room.accepted[-1].connection)

    sockets = [raw_wire(end).transport.get_extra_info("socket") for end in ends]

    assert all(0 < sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG) <= 1200 for sock in sockets)


def test_a_dial_with_small_segments_fails_as_any_other(room: Room) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    record = Record(room.network.dial(f"127.0.0.1:{port}", max_segment=1200))

    record.connection.connect()
    room.until(lambda: record.reasons)

    assert record.reasons == ["refused"]


def test_carries_a_frame_of_the_full_size_and_bytes_that_are_no_utf8(room: Room) -> None:
    left, right = room.meet()
    full = b"x" * MAX_FRAME

    left.connection.send(full)
    left.connection.send(b"\xff\xfe")
    room.until(lambda: len(right.frames) == 2)

    assert right.frames == [full, b"\xff\xfe"]


def test_refuses_a_frame_over_the_limit_at_both_ends(room: Room) -> None:
    small = WebSocketNetwork(room.loop, max_frame=1000)
    left, right = room.meet(right=small)

    left.connection.send(b"x" * 1001)
    room.until(lambda: left.reasons and right.reasons)

    assert [type(error).__name__ for error in right.all("error")] == ["PayloadTooBig"]
    assert len(right.reasons) == len(left.reasons) == 1
    assert "1001" in right.reasons[0] and "1001" in left.reasons[0]
    assert left.all("error") == right.frames == []
    room.run(as_coroutine(small.close()))


def test_refuses_a_binary_frame_but_delivers_what_came_before(room: Room) -> None:
    left, right = room.meet()

    wire = raw_wire(left.connection)
    for opcode in ("send_text", "send_binary", "send_text"):
        getattr(wire.protocol, opcode)(b"{}")
    wire.send_data()
    room.until(lambda: left.reasons and right.reasons)

    assert right.frames == [b"{}"]
    assert len(right.all("error")) == 1
    assert right.reasons == ["it sent what cannot be taken: it sent a binary frame, and frames here are text"]
    assert left.reasons == ["frames here are text"]


@pytest.mark.parametrize("side", [0, 1])
def test_disconnecting_gives_each_end_one_event_with_the_reason(room: Room, side: int) -> None:
    ends = room.meet()

    ends[side].connection.disconnect("good night")
    assert ends[side].events == []
    ends[side].connection.disconnect("again")
    room.until(lambda: ends[0].reasons and ends[1].reasons and not room.network.channels)

    assert ends[0].events == ends[1].events == [("disconnect", "good night")]
    ends[side].connection.disconnect("later")
    assert not ends[0].connection.connected and not ends[1].connection.connected


def test_both_ends_disconnecting_at_once_get_their_own_reason(room: Room) -> None:
    left, right = room.meet()

    left.connection.disconnect("left")
    right.connection.disconnect("right")
    room.until(lambda: not room.network.channels)

    assert left.reasons == ["left"]
    assert right.reasons == ["right"]


def test_cuts_a_long_reason_between_characters(room: Room) -> None:
    left, right = room.meet()

    left.connection.disconnect("ä" * 100)
    room.until(lambda: left.reasons and right.reasons)

    assert left.reasons == ["ä" * 100]
    assert right.reasons == ["ä" * 61]


def test_a_frame_sent_right_before_disconnecting_arrives(room: Room) -> None:
    left, right = room.meet()

    for number in range(200):
        left.connection.send(b"%d" % number * 1000)
    left.connection.send(b'["bye"]')
    left.connection.disconnect("leaving")
    room.until(lambda: right.reasons)

    assert len(right.frames) == 201
    assert right.events[-2:] == [("message", b'["bye"]'), ("disconnect", "leaving")]


def test_the_last_frame_arrives_while_the_other_end_sends_in_bulk(room: Room) -> None:
    left, right = room.meet()

    for _ in range(60):
        right.connection.send(b"x" * 100_000)
    left.connection.send(b'["bye"]')
    left.connection.disconnect("leaving")
    room.until(lambda: right.reasons and not room.network.channels)

    assert right.events == [("message", b'["bye"]'), ("disconnect", "leaving")]


def test_dials_again_on_the_same_object(room: Room) -> None:
    left, right = room.meet()
    undo = left.connection.on("disconnect", lambda _: left.connection.connect())

    right.connection.disconnect("restarting")
    room.until(lambda: len(room.accepted) == 2 and left.connection.connected)
    left.connection.send(b"[1]")
    room.until(lambda: room.accepted[1].frames)

    undo()
    assert left.events == [("disconnect", "restarting"), ("connecting",), ("connect",)]
    assert room.accepted[1].frames == [b"[1]"]
    assert right.reasons == ["restarting"]


def test_refuses_to_open_what_is_open_or_was_accepted_and_to_send_on_what_is_closed(room: Room) -> None:
    left, right = room.meet()

    with pytest.raises(RuntimeError, match="is open"):
        left.connection.connect()
    with pytest.raises(RuntimeError, match="was accepted"):
        right.connection.connect()
    left.connection.disconnect()
    left.connection.send(b"dropped: the event is on its way")
    room.until(lambda: left.reasons)
    with pytest.raises(RuntimeError, match="not open"):
        left.connection.send(b"[]")


def test_pausing_makes_the_sender_wait(room: Room) -> None:
    left, right = room.meet()
    right.connection.pause()

    for _ in range(150):
        left.connection.send(b"x" * 100_000)
    channel = channel_of(left.connection)
    waiting = settled(room, lambda: channel.queued_bytes)

    assert right.events == []
    assert waiting > 1_000_000  # of 15 MB; the rest is in the buffers of the two sockets
    right.connection.resume()
    room.until(lambda: len(right.frames) == 150)
    assert channel.queued_bytes == 0


def test_holds_frames_until_there_is_a_listener(room: Room) -> None:
    handed: list[Connection] = []
    server = room.run(as_coroutine(room.network.listen("127.0.0.1", 0, handed.append)))
    left = room.dial(server.port)
    room.until(lambda: left.connection.connected and handed)

    for number in range(10):
        left.connection.send(b"%d" % number)
    left.connection.disconnect("in a hurry")
    room.until(lambda: left.reasons)
    right = Record(handed[0])
    room.until(lambda: right.reasons)

    assert right.frames == [b"%d" % number for number in range(10)]
    assert right.reasons == ["in a hurry"]


def test_a_paused_end_that_is_never_resumed_still_learns_of_the_end(room: Room) -> None:
    left, right = room.meet()
    right.connection.pause()

    left.connection.send(b"[1]")
    left.connection.disconnect("bye")
    room.until(lambda: right.reasons)

    assert right.events == [("disconnect", "bye")]


def test_pings_of_a_paused_connection_are_counted_and_read_no_further(room: Room) -> None:
    left, right = room.meet()
    counts: list[int] = []
    right.connection.on("control", lambda count, size: counts.append(count))
    right.connection.pause()
    wire = raw_wire(left.connection)
    ping = Frame(Opcode.PING, b"").serialize(mask=True)

    wire.transport.write(ping * 20_000)
    seen = settled(room, lambda: sum(counts))
    assert 0 < seen <= 1_000
    right.connection.resume()
    left.connection.send(b"[1]")
    room.until(lambda: right.frames)

    assert sum(counts) == 20_000


def test_an_idle_connection_has_one_task_at_the_accepted_end_and_none_at_the_other(room: Room) -> None:
    left, right = room.meet()
    left.connection.send(b"[1]")
    room.until(lambda: right.frames)

    room.until(lambda: len(asyncio.all_tasks(room.loop)) <= 1 + 2)  # that of the library, and two of this wait


def test_many_small_frames_arrive_in_order_also_around_a_pause_and_a_large_one(room: Room) -> None:
    left, right = room.meet()
    sent = [str(n).encode() for n in range(500)]
    sent[250] = b"y" * 200_000

    for frame in sent[:100]:
        left.connection.send(frame)
    room.until(lambda: right.frames)
    right.connection.pause()
    for frame in sent[100:400]:
        left.connection.send(frame)
    settled(room, lambda: len(right.frames))
    right.connection.resume()
    for frame in sent[400:]:
        left.connection.send(frame)
    room.until(lambda: len(right.frames) >= len(sent))

    assert right.frames == sent


def test_closes_a_connection_that_is_too_slow(room: Room) -> None:
    left, right = room.meet()
    right.connection.pause()
    frame = b"x" * 1_000_000

    for _ in range(40):
        left.connection.send(frame)
    left.connection.send(b"dropped, without an error")
    assert left.events == []
    room.until(lambda: left.reasons)
    right.connection.disconnect()  # it does not read, so it does not see the end
    room.until(lambda: not room.network.channels)

    assert left.events == [("disconnect", "too slow")]


def test_disconnecting_from_an_end_that_does_not_read_takes_a_second(room: Room) -> None:
    left, right = room.meet()
    right.connection.pause()
    for _ in range(100):
        left.connection.send(b"x" * 100_000)
    channel, wire = channel_of(left.connection), raw_wire(left.connection)
    settled(room, lambda: channel.queued_bytes)

    left.connection.disconnect("enough")
    room.until(lambda: left.reasons)
    closed = room.loop.create_task(wire.wait_closed())
    room.run(asyncio.sleep(0))
    assert not closed.done()

    room.pass_time(channel_module.CLOSE_SECONDS)
    room.until(closed.done)


def test_a_killed_peer_is_one_event_and_no_error_output(
    room: Room, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level("DEBUG")
    left, right = room.meet()

    for _ in range(50):
        left.connection.send(b"x" * 100_000)
    raw_wire(right.connection).transport.abort()
    room.until(lambda: left.reasons and right.reasons)

    assert left.events in ([("disconnect", "lost: reset")], [("disconnect", "lost")])
    assert right.reasons == ["lost"]
    assert [record.levelno for record in caplog.records if record.name == channel_module.__name__] == [
        logging.DEBUG
    ] * 2
    assert {record.name for record in caplog.records} <= {channel_module.__name__, "asyncio"}
    assert capfd.readouterr().err == ""


def test_a_peer_that_begins_to_close_and_goes_no_further_is_cut(room: Room) -> None:
    server = room.listen()

    async def half_close() -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(UPGRADE)
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"\x88\x80\x00\x00\x00\x00")  # an empty close frame, and then no end of the stream
        return reader, writer

    _, writer = room.run(half_close())
    room.until(lambda: room.accepted and room.accepted[0].reasons)

    assert room.accepted[0].reasons == ["closed by the other end (code 1005)"]
    writer.close()


def test_a_peer_that_ends_its_stream_but_reads_nothing_is_cut(room: Room) -> None:
    server = room.listen()
    with socket.create_connection(("127.0.0.1", server.port)) as deaf:
        deaf.sendall(UPGRADE)
        room.until(lambda: room.accepted)
        for _ in range(150):
            room.accepted[0].connection.send(b"x" * 100_000)
        channel = channel_of(room.accepted[0].connection)
        settled(room, lambda: channel.queued_bytes)
        deaf.shutdown(socket.SHUT_WR)
        room.until(lambda: room.accepted[0].reasons and not room.network.channels)

    assert room.accepted[0].reasons == ["lost"]


def test_a_peer_that_goes_on_sending_after_our_close_is_read_no_further_but_may_read_why(room: Room) -> None:
    server = room.listen()
    with socket.create_connection(("127.0.0.1", server.port)) as stubborn:
        stubborn.sendall(UPGRADE)
        room.until(lambda: room.accepted)
        wire = raw_wire(room.accepted[0].connection)
        room.accepted[0].connection.disconnect("enough")
        room.until(lambda: room.accepted[0].reasons)
        stubborn.sendall(Frame(Opcode.TEXT, b"").serialize(mask=True) * 900)
        is_read = settled(room, lambda: int(wire.transport.is_reading()))

        assert (is_read, wire.transport.is_closing()) == (0, False)
        assert b"enough" in stubborn.recv(10_000)
        room.until(lambda: not room.network.channels)


def test_bytes_in_the_middle_of_a_frame_are_activity(room: Room) -> None:
    server = room.listen()
    signs: list[float] = []

    async def trickle() -> None:
        _, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(UPGRADE)
        while not room.accepted:
            await asyncio.sleep(0.001)
        room.accepted[0].connection.on("activity", lambda: signs.append(room.loop.time()))
        writer.write(b"\x81\xfe\x01\x00\x00\x00\x00\x00")  # the head of a text frame of 256 bytes
        while len(signs) < 3:
            writer.write(b"x")
            await asyncio.sleep(0.01)
        writer.close()
        await writer.wait_closed()

    room.run(trickle())
    room.until(lambda: room.accepted[0].reasons and not room.network.channels)

    assert room.accepted[0].frames == []
    assert min(signs[1] - signs[0], signs[2] - signs[1]) > 0.09


def test_a_listener_that_fails_ends_its_connection_only(room: Room, caplog: pytest.LogCaptureFixture) -> None:
    left, right = room.meet()
    right.connection.on("message", lambda frame: 1 // 0)

    left.connection.send(b"[]")
    room.until(lambda: left.reasons and right.reasons)

    assert left.reasons == right.reasons == ["internal error: ZeroDivisionError"]
    assert "ZeroDivisionError" in caplog.text
