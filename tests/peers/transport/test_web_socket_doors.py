"""What a door for clients adds to one between nodes: TLS, URLs, plain HTTP answers, compression, long frames."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import re
import socket
import ssl
from collections.abc import Iterator
from typing import Literal

import pytest
import trustme

from peers.transport import web_socket
from peers.transport.http import HttpAnswer, HttpRequest
from peers.transport.port import MAX_FRAME
from peers.transport.web_socket import MAX_CLIENT_FRAME, WebSocketNetwork
from tests.support.web_socket_room import Record, Room, raw_wire

UPGRADE = (
    b"Connection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n"
)


@pytest.fixture
def room() -> Iterator[Room]:
    room = Room()
    yield room
    room.leave()


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def door_tls(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost", "127.0.0.1").configure_cert(context)
    return context


@pytest.fixture(scope="module")
def dial_tls(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


def meet(room: Room, door: WebSocketNetwork, dialler: WebSocketNetwork, url: str) -> tuple[Record, Record]:
    """Both ends of a connection to `url`, in which `{}` is the port of the door."""
    left = room.dial_to(url.format(room.listen(network=door).port), dialler)
    room.until(lambda: left.reasons or (left.connection.connected and room.accepted))
    assert left.reasons == []
    return left, room.accepted[-1]


# TLS


def test_dials_a_door_over_tls_and_carries_frames_both_ways(
    room: Room, door_tls: ssl.SSLContext, dial_tls: ssl.SSLContext
) -> None:
    left, right = meet(room, room.also(tls=door_tls), room.also(dial_tls=dial_tls), "wss://localhost:{}/logux?a=1")

    left.connection.send(b"x" * MAX_FRAME)
    right.connection.send(b"[1]")
    room.until(lambda: left.frames and right.frames)
    left.connection.disconnect("good night")
    room.until(lambda: left.reasons and right.reasons)

    assert right.frames == [b"x" * MAX_FRAME] and left.frames == [b"[1]"]
    assert left.reasons == right.reasons == ["good night"]


def test_a_goodbye_over_tls_arrives_behind_what_was_sent_before(
    room: Room, door_tls: ssl.SSLContext, dial_tls: ssl.SSLContext
) -> None:
    left, right = meet(room, room.also(tls=door_tls), room.also(dial_tls=dial_tls), "wss://localhost:{}")

    for _ in range(60):
        left.connection.send(b"x" * 100_000)
    left.connection.disconnect("leaving")
    room.until(lambda: right.reasons)

    assert len(right.frames) == 60
    assert right.reasons == ["leaving"]


def test_pausing_makes_a_sender_over_tls_wait(room: Room, door_tls: ssl.SSLContext, dial_tls: ssl.SSLContext) -> None:
    left, right = meet(room, room.also(tls=door_tls), room.also(dial_tls=dial_tls), "wss://localhost:{}")
    right.connection.pause()

    for _ in range(17):
        left.connection.send(b"x" * 1_000_000)
    room.until(lambda: left.reasons)

    assert left.reasons == ["too slow"]
    assert right.frames == []


def test_a_killed_peer_over_tls_is_one_event(room: Room, door_tls: ssl.SSLContext, dial_tls: ssl.SSLContext) -> None:
    left, right = meet(room, room.also(tls=door_tls), room.also(dial_tls=dial_tls), "wss://localhost:{}")

    raw_wire(right.connection).transport.abort()
    room.until(lambda: left.reasons and right.reasons)

    assert left.reasons in (["lost"], ["lost: reset"])
    assert right.reasons == ["lost"]


def test_does_not_trust_a_certificate_that_this_machine_does_not_know(room: Room, door_tls: ssl.SSLContext) -> None:
    door = room.listen(network=room.also(tls=door_tls))

    left = room.dial_to(f"wss://localhost:{door.port}/")
    room.until(lambda: left.reasons)

    assert left.reasons[0].startswith("its certificate is not trusted: ")
    assert len(left.all("error")) == 1 and room.accepted == []


def test_does_not_trust_a_certificate_of_another_name(
    room: Room, authority: trustme.CA, dial_tls: ssl.SSLContext
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("elsewhere.example").configure_cert(context)
    door = room.listen(network=room.also(tls=context))

    left = room.dial_to(f"wss://localhost:{door.port}/", room.also(dial_tls=dial_tls))
    room.until(lambda: left.reasons)

    assert "localhost" in left.reasons[0]


def test_says_that_a_door_without_tls_speaks_none(room: Room, dial_tls: ssl.SSLContext) -> None:
    door = room.listen()

    left = room.dial_to(f"wss://localhost:{door.port}/", room.also(dial_tls=dial_tls))
    room.until(lambda: left.reasons)

    assert left.reasons in (["reset"], ["no TLS that both ends speak: WRONG_VERSION_NUMBER"])
    assert room.accepted == []


def test_a_door_with_tls_takes_nothing_in_the_clear_and_stays_open(
    room: Room, door_tls: ssl.SSLContext, dial_tls: ssl.SSLContext
) -> None:
    door = room.listen(network=room.also(tls=door_tls))

    clear = room.dial(door.port)
    room.until(lambda: clear.reasons)
    secure = room.dial_to(f"wss://localhost:{door.port}", room.also(dial_tls=dial_tls))
    room.until(lambda: secure.connection.connected and room.accepted)

    assert len(clear.reasons) == len(room.accepted) == 1


def test_a_door_with_tls_waits_only_so_long_for_a_handshake(
    room: Room, door_tls: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(web_socket, "ACCEPT_SECONDS", 0.1)
    door = room.listen(network=room.also(tls=door_tls))

    assert room.talk(door.port, b"") == b""


def test_who_speaks_tls_gets_in_where_silent_connections_hold_every_place(
    room: Room, door_tls: ssl.SSLContext, dial_tls: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("peers.transport.network.MAX_OPENING", 1)
    door = room.listen(network=room.also(tls=door_tls))

    with socket.create_connection(("127.0.0.1", door.port)) as silent:
        room.run(asyncio.sleep(0.05))
        secure = room.dial_to(f"wss://localhost:{door.port}", room.also(dial_tls=dial_tls))
        room.until(lambda: secure.connection.connected and room.accepted)

        assert silent.recv(1) == b""


# URLs


def test_a_url_carries_its_path_and_query_to_the_door(room: Room) -> None:
    seen: list[HttpRequest] = []
    door = room.also(on_request=seen.append)

    left, _right = meet(room, door, room.network, "ws://localhost:{}/logux/sub?token=a%20b")

    assert [request.path for request in seen] == ["/logux/sub?token=a%20b"]
    assert left.connection.address.endswith("/logux/sub?token=a%20b")


def test_refuses_to_dial_a_bad_url(room: Room) -> None:
    with pytest.raises(ValueError, match="not a URL that can be dialled"):
        room.network.dial("http://localhost:80/")


# Binary frames


def test_a_network_that_ignores_binary_frames_takes_the_text_between_them(room: Room) -> None:
    left, right = meet(room, room.network, room.also(binary="ignore"), "ws://127.0.0.1:{}")

    wire = raw_wire(right.connection)
    wire.protocol.send_binary(bytes.fromhex("6815 7b7d"))  # the headers of a Logux 7 server that has heard no text yet
    wire.protocol.send_text(b"[1]")
    wire.protocol.send_binary(b"a", fin=False)
    wire.protocol.send_ping(b"")
    wire.protocol.send_continuation(b"b", fin=False)
    wire.protocol.send_continuation(b"c", fin=True)
    wire.protocol.send_text(b"[", fin=False)
    wire.protocol.send_continuation(b"2]", fin=True)
    wire.send_data()
    room.until(lambda: len(left.frames) == 2)

    assert left.frames == [b"[1]", b"[2]"]
    assert left.connection.connected


@pytest.mark.parametrize(("binary", "frames"), [("ignore", [b"[1]"]), ("refuse", [])])
def test_a_binary_frame_may_come_in_one_piece_with_the_handshake(
    room: Room, binary: Literal["ignore", "refuse"], frames: list[bytes]
) -> None:
    async def react(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        key = re.search(rb"Sec-WebSocket-Key: (\S+)", head)
        assert key is not None
        accept = base64.b64encode(hashlib.sha1(key[1] + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
        upgrade = b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: " + accept
        writer.write(b"HTTP/1.1 101 OK\r\n" + upgrade + b"\r\n\r\n" + b"\x82\x02h\x15" + b"\x81\x03[1]")
        await reader.read()
        writer.close()

    left = room.dial(room.answer(react), room.also(binary=binary))
    room.until(lambda: left.frames or left.reasons)

    assert left.frames == frames


def test_ignored_binary_frames_have_the_same_limit(room: Room) -> None:
    left, right = meet(room, room.network, room.also(binary="ignore", max_frame=1000), "ws://127.0.0.1:{}")

    wire = raw_wire(right.connection)
    wire.protocol.send_binary(b"x" * 600, fin=False)
    wire.protocol.send_continuation(b"x" * 600, fin=True)
    wire.send_data()
    room.until(lambda: left.reasons)

    assert [type(error).__name__ for error in left.all("error")] == ["PayloadTooBig"]


# Long frames and compression


@pytest.mark.parametrize("compress", [False, True])
def test_a_door_for_clients_takes_a_backlog_in_one_frame(room: Room, compress: bool) -> None:
    door = room.also(max_frame=MAX_CLIENT_FRAME, compress=compress)
    left, right = meet(room, door, room.also(compress=compress), "ws://127.0.0.1:{}")
    backlog = b'{"type":"a"},[1,"user:1",0],' * 150_000

    left.connection.send(backlog)
    room.until(lambda: right.frames or right.reasons)

    assert len(backlog) > 4 * MAX_FRAME
    assert right.frames == [backlog]


@pytest.mark.parametrize(("at_door", "at_dialler"), [(True, True), (True, False), (False, True), (False, False)])
def test_frames_are_compressed_if_both_ends_want_it(room: Room, at_door: bool, at_dialler: bool) -> None:
    left, right = meet(room, room.also(compress=at_door), room.also(compress=at_dialler), "ws://127.0.0.1:{}")

    right.connection.send(b"[1]")
    room.until(lambda: left.frames)

    assert bool(raw_wire(left.connection).protocol.extensions) == (at_door and at_dialler)


def test_a_compressed_frame_may_not_grow_over_the_limit(room: Room) -> None:
    left, right = meet(room, room.also(compress=True, max_frame=1000), room.also(compress=True), "ws://127.0.0.1:{}")

    left.connection.send(b"x" * 100_000)
    room.until(lambda: right.reasons)

    assert [type(error).__name__ for error in right.all("error")] == ["PayloadTooBig"]


# HTTP


def test_a_door_answers_http_as_it_is_told(room: Room) -> None:
    page = b"<p>" + b"x" * 2_000_000
    door = room.listen(network=room.also(on_request=lambda _: HttpAnswer(200, {"content-type": "text/html"}, page)))

    answer = room.talk(door.port, b"GET /page HTTP/1.1\r\nHost: x\r\n\r\n")

    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"content-type: text/html" in head and b"text/plain" not in head
    assert b"Content-Length: 2000003" in head
    assert body == page


def test_an_answer_may_have_neither_headers_nor_body(room: Room) -> None:
    door = room.listen(network=room.also(on_request=lambda _: HttpAnswer(404)))

    assert room.talk(door.port, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").endswith(b"\r\n\r\n")


def test_the_answer_to_head_has_no_body(room: Room) -> None:
    door = room.listen(network=room.also(on_request=lambda _: HttpAnswer(200, {}, b"hello")))

    answer = room.talk(door.port, b"HEAD / HTTP/1.1\r\nHost: x\r\n\r\n")

    assert answer.endswith(b"\r\n\r\n") and b"Content-Length: 5\r\n" in answer


def test_a_request_is_told_with_lower_case_headers_and_where_it_came_from(room: Room) -> None:
    seen: list[HttpRequest] = []
    door = room.listen(network=room.also(on_request=seen.append))

    room.talk(door.port, b"GET /?a HTTP/1.1\r\nHost: x\r\nX-One: 1\r\nx-one: 2\r\n\r\n")

    request = seen[0]
    assert (request.method, request.path, request.is_upgrade) == ("GET", "/?a", False)
    assert request.headers == {"host": "x", "x-one": "1, 2"}
    assert request.address.startswith("127.0.0.1:")


def test_a_page_of_another_origin_is_turned_away_before_the_upgrade(room: Room) -> None:
    def judge(request: HttpRequest) -> HttpAnswer | None:
        is_foreign = request.is_upgrade and request.headers.get("origin") != "http://home"
        return HttpAnswer(403, {}, b"not from there\n") if is_foreign else None

    door = room.listen(network=room.also(on_request=judge))
    head = b"GET / HTTP/1.1\r\nHost: x\r\n" + UPGRADE

    foreign = room.talk(door.port, head + b"Origin: http://elsewhere\r\n\r\n")
    with socket.create_connection(("127.0.0.1", door.port)) as own:
        own.sendall(head + b"Origin: http://home\r\n\r\n")
        room.until(lambda: room.accepted)

    assert foreign.startswith(b"HTTP/1.1 403 ") and foreign.endswith(b"not from there\n")
    room.until(lambda: room.accepted[0].reasons)


def test_a_door_goes_on_as_before_when_nothing_is_answered(room: Room) -> None:
    door = room.listen(network=room.also(on_request=lambda _: None))

    assert room.talk(door.port, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").startswith(b"HTTP/1.1 426 ")


def test_a_request_that_cannot_be_answered_is_logged_and_the_door_lives_on(
    room: Room, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(request: HttpRequest) -> None:
        if not request.is_upgrade:
            raise KeyError("mine")

    network = room.also(on_request=fail)
    door = room.listen(network=network)

    answer = room.talk(door.port, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    left = room.dial(door.port)
    room.until(lambda: left.connection.connected)

    assert answer.startswith(b"HTTP/1.1 500 ") and b"mine" not in answer
    assert "KeyError: 'mine'" in caplog.text


@pytest.mark.parametrize(
    ("status", "headers", "sentence"),
    [
        (101, {}, "not a status that ends a request"),
        (299, {}, "not a status that ends a request"),
        (200, {"X": "a\r\nY: b"}, "no line of HTTP"),
        (200, {"X Y": "a"}, "no line of HTTP"),
        (200, {"X": "ä"}, "no line of HTTP"),
    ],
)
def test_refuses_an_answer_that_is_no_http(status: int, headers: dict[str, str], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        HttpAnswer(status, headers)
