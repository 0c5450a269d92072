"""The options of a WebSocketNetwork: TLS, URLs, HTTP answers, compression, binary frames and limits."""

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

from peers.limits import Limits
from peers.transport.http import HttpAnswer, HttpRequest
from peers.transport.port import MAX_FRAME
from peers.transport.tls.gate import OTHER_IS_CLOSED
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
def server_tls(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost", "127.0.0.1").configure_cert(context)
    return context


@pytest.fixture(scope="module")
def dial_tls(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


def meet(room: Room, server: WebSocketNetwork, dialler: WebSocketNetwork, url: str) -> tuple[Record, Record]:
    """Both ends of a connection to `url`, in which `{}` is the port of the server."""
    left = room.dial_to(url.format(room.listen(network=server).port), dialler)
    room.until(lambda: left.reasons or (left.connection.connected and room.accepted))
    assert left.reasons == []
    return left, room.accepted[-1]


# TLS


def test_carries_frames_both_ways_over_tls(room: Room, server_tls: ssl.SSLContext, dial_tls: ssl.SSLContext) -> None:
    left, right = meet(room, room.also(tls=server_tls), room.also(dial_tls=dial_tls), "wss://localhost:{}/logux?a=1")

    left.connection.send(b"x" * MAX_FRAME)
    right.connection.send(b"[1]")
    room.until(lambda: left.frames and right.frames)
    left.connection.disconnect("good night")
    room.until(lambda: left.reasons and right.reasons)

    assert right.frames == [b"x" * MAX_FRAME] and left.frames == [b"[1]"]
    assert left.reasons == right.reasons == ["good night"]


def test_all_frames_over_tls_arrive_before_the_close(
    room: Room, server_tls: ssl.SSLContext, dial_tls: ssl.SSLContext
) -> None:
    left, right = meet(room, room.also(tls=server_tls), room.also(dial_tls=dial_tls), "wss://localhost:{}")

    for _ in range(60):
        left.connection.send(b"x" * 100_000)
    left.connection.disconnect("leaving")
    room.until(lambda: right.reasons)

    assert len(right.frames) == 60
    assert right.reasons == ["leaving"]


def test_pausing_makes_a_sender_over_tls_wait(room: Room, server_tls: ssl.SSLContext, dial_tls: ssl.SSLContext) -> None:
    left, right = meet(room, room.also(tls=server_tls), room.also(dial_tls=dial_tls), "wss://localhost:{}")
    right.connection.pause()

    for _ in range(40):
        left.connection.send(b"x" * 1_000_000)
    room.until(lambda: left.reasons)

    assert left.reasons == ["too slow"]
    assert right.frames == []


def test_a_killed_peer_over_tls_is_one_event(room: Room, server_tls: ssl.SSLContext, dial_tls: ssl.SSLContext) -> None:
    left, right = meet(room, room.also(tls=server_tls), room.also(dial_tls=dial_tls), "wss://localhost:{}")

    raw_wire(right.connection).transport.abort()
    room.until(lambda: left.reasons and right.reasons)

    assert left.reasons in (["lost"], ["lost: reset"])
    assert right.reasons == ["lost"]


def test_does_not_trust_a_certificate_that_this_machine_does_not_know(room: Room, server_tls: ssl.SSLContext) -> None:
    server = room.listen(network=room.also(tls=server_tls))

    left = room.dial_to(f"wss://localhost:{server.port}/")
    room.until(lambda: left.reasons)

    assert left.reasons[0].startswith("its certificate is not trusted: ")
    assert len(left.all("error")) == 1 and room.accepted == []


def test_does_not_trust_a_certificate_of_another_name(
    room: Room, authority: trustme.CA, dial_tls: ssl.SSLContext
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("elsewhere.example").configure_cert(context)
    server = room.listen(network=room.also(tls=context))

    left = room.dial_to(f"wss://localhost:{server.port}/", room.also(dial_tls=dial_tls))
    room.until(lambda: left.reasons)

    assert "localhost" in left.reasons[0]


def test_says_that_a_server_has_no_tls(room: Room, dial_tls: ssl.SSLContext) -> None:
    server = room.listen()

    left = room.dial_to(f"wss://localhost:{server.port}/", room.also(dial_tls=dial_tls))
    room.until(lambda: left.reasons)

    assert left.reasons == ["no TLS that both ends speak: TLSV1_ALERT_PROTOCOL_VERSION"]
    assert room.accepted == []


def test_a_server_with_tls_refuses_plain_connections_and_stays_open(
    room: Room, server_tls: ssl.SSLContext, dial_tls: ssl.SSLContext
) -> None:
    server = room.listen(network=room.also(tls=server_tls))

    clear = room.dial(server.port)
    room.until(lambda: clear.reasons)
    secure = room.dial_to(f"wss://localhost:{server.port}", room.also(dial_tls=dial_tls))
    room.until(lambda: secure.connection.connected and room.accepted)

    assert clear.reasons == [OTHER_IS_CLOSED]
    assert len(room.accepted) == 1


def test_a_server_with_tls_limits_the_time_of_a_handshake(room: Room, server_tls: ssl.SSLContext) -> None:
    server = room.listen(network=room.also(tls=server_tls, limits=Limits(greeting_seconds=0.1)))

    assert room.talk(server.port, b"") == b""


def test_a_tls_client_gets_in_while_silent_connections_hold_every_place(
    room: Room, server_tls: ssl.SSLContext, dial_tls: ssl.SSLContext
) -> None:
    server = room.listen(network=room.also(tls=server_tls, limits=Limits(connections=1)))

    with socket.create_connection(("127.0.0.1", server.port)) as silent:
        room.run(asyncio.sleep(0.05))
        secure = room.dial_to(f"wss://localhost:{server.port}", room.also(dial_tls=dial_tls))
        room.until(lambda: secure.connection.connected and room.accepted)

        assert silent.recv(1) == b""


# URLs


def test_a_url_carries_its_path_and_query_to_the_server(room: Room) -> None:
    seen: list[HttpRequest] = []
    server = room.also(on_request=seen.append)

    left, _right = meet(room, server, room.network, "ws://localhost:{}/logux/sub?token=a%20b")

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


# Long frames, and no compression


def test_a_server_for_clients_accepts_a_backlog_in_one_frame(room: Room) -> None:
    left, right = meet(room, room.also(max_frame=MAX_CLIENT_FRAME), room.network, "ws://127.0.0.1:{}")
    backlog = b'{"type":"a"},[1,"user:1",0],' * 150_000

    left.connection.send(backlog)
    room.until(lambda: right.frames or right.reasons)

    assert len(backlog) > 4 * MAX_FRAME
    assert right.frames == [backlog]


def test_no_end_offers_compression_or_accepts_it(room: Room) -> None:
    seen: list[HttpRequest] = []
    server = room.listen(network=room.also(on_request=seen.append))
    left = room.dial(server.port)
    room.until(lambda: left.connection.connected)

    offer = b"Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n"
    with socket.create_connection(("127.0.0.1", server.port)) as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n" + UPGRADE + offer)
        room.until(lambda: len(room.accepted) == 2)
        answer = client.recv(1_000)
        client.sendall(b"\xc1\x81mask?")  # as if it had been accepted
        room.until(lambda: room.accepted[1].reasons)

    assert b" 101 " in answer and b"Extensions" not in answer
    assert "sec-websocket-extensions" not in seen[0].headers
    assert [type(error).__name__ for error in room.accepted[1].all("error")] == ["ProtocolError"]


# HTTP


def test_a_server_sends_the_http_answer_that_it_was_given(room: Room) -> None:
    page = b"<p>" + b"x" * 2_000_000
    server = room.listen(network=room.also(on_request=lambda _: HttpAnswer(200, {"content-type": "text/html"}, page)))

    answer = room.talk(server.port, b"GET /page HTTP/1.1\r\nHost: x\r\n\r\n")

    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"content-type: text/html" in head and b"text/plain" not in head
    assert b"Content-Length: 2000003" in head
    assert body == page


def test_an_answer_may_have_neither_headers_nor_body(room: Room) -> None:
    server = room.listen(network=room.also(on_request=lambda _: HttpAnswer(404)))

    assert room.talk(server.port, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").endswith(b"\r\n\r\n")


def test_the_answer_to_head_has_no_body(room: Room) -> None:
    server = room.listen(network=room.also(on_request=lambda _: HttpAnswer(200, {}, b"hello")))

    answer = room.talk(server.port, b"HEAD / HTTP/1.1\r\nHost: x\r\n\r\n")

    assert answer.endswith(b"\r\n\r\n") and b"Content-Length: 5\r\n" in answer


def test_a_request_has_lower_case_headers_and_the_address_of_its_sender(room: Room) -> None:
    seen: list[HttpRequest] = []
    server = room.listen(network=room.also(on_request=seen.append))

    room.talk(server.port, b"GET /?a HTTP/1.1\r\nHost: x\r\nX-One: 1\r\nx-one: 2\r\n\r\n")

    request = seen[0]
    assert (request.method, request.path, request.is_upgrade) == ("GET", "/?a", False)
    assert request.headers == {"host": "x", "x-one": "1, 2"}
    assert request.address.startswith("127.0.0.1:")


def test_a_page_of_another_origin_is_turned_away_before_the_upgrade(room: Room) -> None:
    def judge(request: HttpRequest) -> HttpAnswer | None:
        is_foreign = request.is_upgrade and request.headers.get("origin") != "http://home"
        return HttpAnswer(403, {}, b"not from there\n") if is_foreign else None

    server = room.listen(network=room.also(on_request=judge))
    head = b"GET / HTTP/1.1\r\nHost: x\r\n" + UPGRADE

    foreign = room.talk(server.port, head + b"Origin: http://elsewhere\r\n\r\n")
    with socket.create_connection(("127.0.0.1", server.port)) as own:
        own.sendall(head + b"Origin: http://home\r\n\r\n")
        room.until(lambda: room.accepted)

    assert foreign.startswith(b"HTTP/1.1 403 ") and foreign.endswith(b"not from there\n")
    room.until(lambda: room.accepted[0].reasons)


def test_a_request_without_an_answer_is_handled_as_usual(room: Room) -> None:
    server = room.listen(network=room.also(on_request=lambda _: None))

    assert room.talk(server.port, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").startswith(b"HTTP/1.1 426 ")


def test_a_request_that_cannot_be_answered_is_logged_and_the_server_goes_on(
    room: Room, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(request: HttpRequest) -> None:
        if not request.is_upgrade:
            raise KeyError("mine")

    network = room.also(on_request=fail)
    server = room.listen(network=network)

    answer = room.talk(server.port, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    left = room.dial(server.port)
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
def test_refuses_an_answer_that_is_not_valid_http(status: int, headers: dict[str, str], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        HttpAnswer(status, headers)
