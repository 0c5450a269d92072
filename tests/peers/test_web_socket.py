"""What a connection over WebSocket promises, with real sockets on the loopback interface."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import socket
import time
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest

from peers.connections import web_socket
from peers.connections.connection import Connection, Listening
from peers.connections.web_socket import WebSocketConnection, WebSocketNetwork, parse_address

SECONDS = 10.0
UPGRADE = (
    b"GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


class Record:
    """What one connection emitted, as a list of tuples."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.events: list[tuple[Any, ...]] = []
        for name in ("connecting", "connect", "message", "error", "disconnect"):
            connection.on(name, self._writer(name))

    def _writer(self, name: str) -> Callable[..., None]:
        return lambda *args: self.events.append((name, *args))

    def all(self, name: str) -> list[Any]:
        return [event[1] if len(event) > 1 else None for event in self.events if event[0] == name]

    @property
    def frames(self) -> list[bytes]:
        return self.all("message")

    @property
    def reasons(self) -> list[str]:
        return self.all("disconnect")


class Room:
    """A loop in debug mode with a network, its doors and records; leaving it proves that nothing is left over."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.loop.set_debug(True)
        self.loop.slow_callback_duration = SECONDS
        self.failures: list[dict[str, Any]] = []
        self.loop.set_exception_handler(lambda _, context: self.failures.append(context))
        self.network = WebSocketNetwork(self.loop, connect_seconds=2.0)
        self.accepted: list[Record] = []

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self.loop.run_until_complete(asyncio.wait_for(work, SECONDS))

    def until(self, condition: Callable[[], object]) -> None:
        async def poll() -> None:
            while not condition():
                await asyncio.sleep(0.001)

        self.run(poll())

    def listen(self, host: str = "127.0.0.1", port: int = 0, network: WebSocketNetwork | None = None) -> Listening:
        async def work() -> Listening:
            return await (network or self.network).listen(host, port, lambda c: self.accepted.append(Record(c)))

        listening: Listening = self.run(work())
        return listening

    def dial(self, port: int, network: WebSocketNetwork | None = None, host: str = "127.0.0.1") -> Record:
        record = Record((network or self.network).dial(f"{host}:{port}"))
        record.connection.connect()
        return record

    def meet(self, **networks: WebSocketNetwork) -> tuple[Record, Record]:
        """A dialled and an accepted connection, open, with cleared records."""
        left = self.dial(self.listen(network=networks.get("right")).port, networks.get("left"))
        self.until(lambda: left.connection.connected and self.accepted)
        left.events.clear()
        return left, self.accepted[-1]

    def answer(
        self, reaction: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Coroutine[Any, Any, None]]
    ) -> int:
        """The port of a plain TCP server that does something else than WebSocket."""
        self.plain = self.run(asyncio.start_server(reaction, "127.0.0.1", 0))
        port: int = self.plain.sockets[0].getsockname()[1]
        return port

    def talk(self, port: int, data: bytes) -> bytes:
        """What a plain TCP client gets back for `data`, up to the end."""

        async def work() -> bytes:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(data)
            answer = await reader.read()
            writer.close()
            await writer.wait_closed()
            return answer

        answer: bytes = self.run(work())
        return answer

    def leave(self) -> None:
        async def work() -> None:
            if hasattr(self, "plain"):
                self.plain.close()
            await self.network.close()

        self.run(work())
        assert [task for task in asyncio.all_tasks(self.loop) if not task.done()] == []
        self.run(self.loop.shutdown_default_executor())
        self.loop.close()
        gc.collect()
        assert self.failures == []


@pytest.fixture
def room() -> Iterator[Room]:
    room = Room()
    yield room
    room.leave()


def channel_of(connection: Connection) -> Any:
    assert isinstance(connection, WebSocketConnection) and connection._channel is not None
    return connection._channel


def raw_wire(connection: Connection) -> Any:
    """The library's connection below ours, to break it."""
    return channel_of(connection)._wire


def test_tells_when_it_begins_and_when_it_is_open(room: Room) -> None:
    door = room.listen()

    left = room.dial(door.port)
    assert left.events == []  # never from inside connect()
    room.until(lambda: left.connection.connected and room.accepted)

    assert left.events == [("connecting",), ("connect",)]
    right = room.accepted[0].connection
    assert left.connection.dialled and not right.dialled and right.connected
    assert left.connection.address == f"127.0.0.1:{door.port}"
    assert right.address == f"127.0.0.1:{raw_wire(left.connection).local_address[1]}"


def test_echoes_a_thousand_frames_in_order(room: Room) -> None:
    left, right = room.meet()
    right.connection.on("message", right.connection.send)
    frames = [b"[%d]" % number for number in range(1000)]

    for frame in frames:
        left.connection.send(frame)
    assert left.events == []  # never from inside send()
    room.until(lambda: len(left.frames) == 1000)

    assert left.frames == right.frames == frames


def test_carries_a_frame_of_the_full_size_and_bytes_that_are_no_utf8(room: Room) -> None:
    left, right = room.meet()
    full = b"x" * web_socket.MAX_FRAME

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


def test_says_that_a_port_is_refused(room: Room) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        left = room.dial(free.getsockname()[1])
        room.until(lambda: left.reasons)

    assert left.events == [("connecting",), ("disconnect", "refused")]
    assert not left.connection.connected


def test_says_that_a_name_with_several_addresses_is_refused(room: Room) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        left = room.dial(free.getsockname()[1], host="localhost")
        room.until(lambda: left.reasons)

    assert left.reasons == ["refused"]


def test_gives_up_on_a_door_that_never_answers(room: Room) -> None:
    hasty = WebSocketNetwork(room.loop, connect_seconds=0.1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        left = room.dial(silent.getsockname()[1], hasty)
        room.until(lambda: left.reasons)

    assert left.events == [("connecting",), ("disconnect", "timed out after 0.1 s")]
    room.run(as_coroutine(hasty.close()))


def test_disconnecting_during_an_attempt_ends_it_once(room: Room) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        left = room.dial(silent.getsockname()[1])
        room.until(lambda: left.events)
        left.connection.disconnect("changed my mind")
        left.connection.disconnect("twice")
        room.until(lambda: left.reasons and not room.network.channels)

    assert left.events == [("connecting",), ("disconnect", "changed my mind")]


def test_disconnecting_before_the_attempt_began_ends_it_once(room: Room) -> None:
    left = room.dial(1)

    left.connection.disconnect("never mind")
    room.until(lambda: left.reasons)

    assert left.events == [("disconnect", "never mind")]


@pytest.mark.parametrize("answer", [b"SSH-2.0-OpenSSH_9.2\r\n", b"\x00\xff\xfe" * 5000, b"x" * 100_000])
def test_says_that_the_other_end_speaks_something_else(room: Room, answer: bytes) -> None:
    async def react(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(answer)
        with contextlib.suppress(ConnectionError):
            await reader.read()  # it stays open until we leave
        writer.close()

    left = room.dial(room.answer(react))
    room.until(lambda: left.reasons)

    assert [event[0] for event in left.events] == ["connecting", "error", "disconnect"]
    assert left.reasons[0].startswith("not a WebSocket")


@pytest.mark.parametrize(
    ("head", "reason", "errors"),
    [
        (b"HTTP/1.1 404 Not Found", "not a WebSocket: it answered HTTP 404", 1),
        (b"HTTP/1.1 302 Found\r\nLocation: ws://127.0.0.1:1/", "not a WebSocket: it answered HTTP 302", 1),
        (b"HTTP/1.1 503 Service Unavailable", "the other end is full", 0),
        (b"", "closed during the handshake", 0),
    ],
)
def test_says_how_a_handshake_failed(room: Room, head: bytes, reason: str, errors: int) -> None:
    async def react(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        if head:
            writer.write(head + b"\r\nContent-Length: 0\r\n\r\n")
        writer.close()

    left = room.dial(room.answer(react))
    room.until(lambda: left.reasons)

    assert left.reasons == [reason]
    assert len(left.all("error")) == errors


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


def test_a_goodbye_sent_right_before_disconnecting_arrives(room: Room) -> None:
    left, right = room.meet()

    for number in range(200):
        left.connection.send(b"%d" % number * 1000)
    left.connection.send(b'["bye"]')
    left.connection.disconnect("leaving")
    room.until(lambda: right.reasons)

    assert len(right.frames) == 201
    assert right.events[-2:] == [("message", b'["bye"]'), ("disconnect", "leaving")]


def test_a_goodbye_arrives_while_the_other_end_sends_in_bulk(room: Room) -> None:
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
    waiting = settled(room, lambda: channel._queued_bytes)

    assert right.events == []
    assert waiting > 1_000_000  # of 15 MB; the rest is in the buffers of the two sockets
    right.connection.resume()
    room.until(lambda: len(right.frames) == 150)
    assert channel._queued_bytes == 0


def test_holds_frames_until_somebody_listens(room: Room) -> None:
    handed: list[Connection] = []
    door = room.run(as_coroutine(room.network.listen("127.0.0.1", 0, handed.append)))
    left = room.dial(door.port)
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


def test_closes_a_connection_that_is_too_slow(room: Room) -> None:
    left, right = room.meet()
    right.connection.pause()
    frame = b"x" * 1_000_000

    for _ in range(17):
        left.connection.send(frame)
    left.connection.send(b"dropped, without an error")
    assert left.events == []
    room.until(lambda: left.reasons and not room.network.channels)

    assert left.events == [("disconnect", "too slow")]


def test_disconnecting_from_an_end_that_does_not_read_takes_a_second(room: Room) -> None:
    left, right = room.meet()
    right.connection.pause()
    for _ in range(100):
        left.connection.send(b"x" * 100_000)
    channel, wire = channel_of(left.connection), raw_wire(left.connection)
    settled(room, lambda: channel._queued_bytes)

    begin = time.monotonic()
    left.connection.disconnect("enough")
    room.until(lambda: left.reasons)
    told = time.monotonic() - begin
    room.run(wire.wait_closed())

    assert told < 0.5
    assert time.monotonic() - begin < 2 * web_socket.CLOSE_SECONDS


def test_a_killed_peer_is_one_event_and_no_noise(
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
    assert [record.levelno for record in caplog.records if record.name == web_socket.__name__] == [logging.DEBUG] * 2
    assert {record.name for record in caplog.records} <= {web_socket.__name__, "asyncio"}
    assert capfd.readouterr().err == ""


def test_a_peer_that_begins_to_close_and_goes_no_further_is_cut(room: Room) -> None:
    door = room.listen()

    async def half_close() -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
        writer.write(UPGRADE)
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"\x88\x80\x00\x00\x00\x00")  # an empty close frame, and then no end of the stream
        return reader, writer

    _, writer = room.run(half_close())
    room.until(lambda: room.accepted and room.accepted[0].reasons)

    assert room.accepted[0].reasons == ["closed by the other end (code 1005)"]
    writer.close()


def test_a_peer_that_ends_its_stream_but_reads_nothing_is_cut(room: Room) -> None:
    door = room.listen()
    with socket.create_connection(("127.0.0.1", door.port)) as deaf:
        deaf.sendall(UPGRADE)
        room.until(lambda: room.accepted)
        for _ in range(150):
            room.accepted[0].connection.send(b"x" * 100_000)
        channel = channel_of(room.accepted[0].connection)
        settled(room, lambda: channel._queued_bytes)
        deaf.shutdown(socket.SHUT_WR)
        room.until(lambda: room.accepted[0].reasons and not room.network.channels)

    assert room.accepted[0].reasons == ["lost"]


def test_bytes_in_the_middle_of_a_frame_are_activity(room: Room) -> None:
    door = room.listen()
    signs: list[float] = []

    async def trickle() -> None:
        _, writer = await asyncio.open_connection("127.0.0.1", door.port)
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


@pytest.mark.parametrize("garbage", [b"\x16\x03\x01\x02\x00\x01", b"hello\r\n\r\n", b"\x00" * 20_000])
def test_a_door_shuts_out_garbage_and_stays_open_for_others(room: Room, garbage: bytes) -> None:
    door = room.listen()

    room.talk(door.port, garbage + b"\n")
    left = room.dial(door.port)
    room.until(lambda: left.connection.connected)

    assert len(room.accepted) == 1


@pytest.mark.parametrize("method", [b"GET", b"HEAD", b"POST"])
def test_a_door_tells_a_browser_what_it_is_for(room: Room, method: bytes) -> None:
    door = room.listen()

    answer = room.talk(door.port, method + b" / HTTP/1.1\r\nHost: x\r\n\r\n")

    assert answer.startswith(b"HTTP/1.1 426 ")
    assert (b"between the nodes of a mesh" in answer) == (method != b"HEAD")
    assert room.accepted == []


def test_a_full_door_says_so_and_keeps_those_it_has(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web_socket, "MAX_ACCEPTED", 1)
    first, _ = room.meet()

    second = room.dial(int(first.connection.address.split(":")[1]))
    room.until(lambda: second.reasons)

    assert second.reasons == ["the other end is full"]
    assert first.connection.connected


def test_a_door_keeps_a_bounded_number_of_unfinished_handshakes(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web_socket, "MAX_OPENING", 2)
    door = room.listen()
    silent = [socket.create_connection(("127.0.0.1", door.port)) for _ in range(2)]
    room.run(asyncio.sleep(0.05))

    third = room.dial(door.port)
    room.until(lambda: third.reasons)

    assert len(third.reasons) == 1 and room.accepted == []
    for one in silent:
        one.close()


def test_a_closed_door_leaves_accepted_connections_alone(room: Room) -> None:
    door = room.listen()
    left = room.dial(door.port)
    room.until(lambda: left.connection.connected and room.accepted)

    room.run(as_coroutine(door.close()))
    room.run(as_coroutine(door.close()))
    left.connection.send(b"[1]")
    late = room.dial(door.port)
    room.until(lambda: room.accepted[0].frames and late.reasons)

    assert late.reasons == ["refused"]
    assert left.connection.connected


def test_a_taken_port_and_a_foreign_host_are_os_errors(room: Room) -> None:
    door = room.listen()

    for host, port in (("127.0.0.1", door.port), ("203.0.113.7", 0), ("", door.port)):
        with pytest.raises(OSError):
            room.listen(host, port)


def test_an_empty_host_listens_on_ipv4_and_ipv6_with_one_port(room: Room) -> None:
    door = room.listen("")

    ends = [room.dial(door.port, host=host) for host in ("127.0.0.1", "[::1]", "localhost")]
    room.until(lambda: all(end.connection.connected for end in ends) and len(room.accepted) == 3)

    assert {end.connection.address.rpartition(":")[0] for end in room.accepted} <= {"127.0.0.1", "[::1]"}


def test_small_frames_are_not_held_back_by_the_kernel(room: Room) -> None:
    ends = room.meet()

    sockets = [raw_wire(end.connection).transport.get_extra_info("socket") for end in ends]

    assert all(one.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) for one in sockets)


def test_a_listener_that_fails_ends_its_connection_only(room: Room, caplog: pytest.LogCaptureFixture) -> None:
    left, right = room.meet()
    right.connection.on("message", lambda frame: 1 // 0)

    left.connection.send(b"[]")
    room.until(lambda: left.reasons and right.reasons)

    assert left.reasons == right.reasons == ["internal error: ZeroDivisionError"]
    assert "ZeroDivisionError" in caplog.text


def test_closing_the_network_ends_everything(room: Room) -> None:
    left, right = room.meet()

    room.run(as_coroutine(room.network.close()))

    assert left.reasons == right.reasons == ["this end is closing"]
    with pytest.raises(RuntimeError, match="network is closed"):
        left.connection.connect()
    assert len(asyncio.all_tasks(room.loop)) == 0


@pytest.mark.parametrize(
    ("address", "host", "uri"),
    [
        ("192.168.1.7:44321", "192.168.1.7", "ws://192.168.1.7:44321/"),
        ("kitchen.local:80", "kitchen.local", "ws://kitchen.local:80/"),
        ("[::1]:80", "::1", "ws://[::1]:80/"),
        ("[fe80::1%2]:80", "fe80::1%2", "ws://[fe80::1]:80/"),
        ("[fe80::1%eth0]:80", "fe80::1%eth0", "ws://[fe80::1]:80/"),
    ],
)
def test_reads_an_address(address: str, host: str, uri: str) -> None:
    target = parse_address(address)

    assert (target.host, target.uri) == (host, uri)


@pytest.mark.parametrize(
    ("address", "sentence"),
    [
        ("", "is not an address"),
        ("kitchen", "is not an address"),
        ("kitchen:", "is not an address"),
        ("ws://kitchen:80", "is not an address"),
        ("::1:80", "IPv6"),
        ("kitchen:0", "from 1 to 65535"),
        ("kitchen:65536", "from 1 to 65535"),
        ("kitchen:80\n", "is not an address"),
        ("192.168.1:80", "no IPv4 address"),
        ("a b:80", "no host name"),
        ("user@kitchen:80", "no host name"),
        ("a..b:80", "no host name"),
        ("a" * 64 + ":80", "no host name"),
        ("[kitchen]:80", "no IPv6 address"),
        ("[fe80::1]:80", "name the interface"),
    ],
)
def test_refuses_a_bad_address_with_a_sentence(room: Room, address: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        room.network.dial(address)


def settled(room: Room, measure: Callable[[], int]) -> int:
    """The measure once it has not moved for 0.2 s."""

    async def work() -> int:
        last, since = measure(), room.loop.time()
        while room.loop.time() - since < 0.2:
            await asyncio.sleep(0.01)
            if measure() != last:
                last, since = measure(), room.loop.time()
        return last

    value: int = room.run(work())
    return value


async def as_coroutine(later: Any) -> Any:
    return await later
