"""Dialling and listening of the network of WebSocket connections, with real sockets on loopback."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from peers.limits import Limits
from peers.transport.web_socket import WebSocketNetwork
from tests.support.web_socket_room import Room, as_coroutine, open_files, raw_wire


@pytest.fixture
def room() -> Iterator[Room]:
    room = Room()
    yield room
    room.leave()


def test_emits_when_an_attempt_begins_and_when_it_is_open(room: Room) -> None:
    server = room.listen()

    left = room.dial(server.port)
    assert left.events == []  # never from inside connect()
    room.until(lambda: left.connection.connected and room.accepted)

    assert left.events == [("connecting",), ("connect",)]
    right = room.accepted[0].connection
    assert left.connection.dialled and not right.dialled and right.connected
    assert left.connection.address == f"127.0.0.1:{server.port}"
    assert right.address == f"127.0.0.1:{raw_wire(left.connection).local_address[1]}"


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


def test_gives_up_on_a_server_that_never_answers(room: Room) -> None:
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
def test_says_that_the_other_end_speaks_another_protocol(room: Room, answer: bytes) -> None:
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


def test_small_frames_are_not_held_back_by_the_kernel(room: Room) -> None:
    ends = room.meet()

    sockets = [raw_wire(end.connection).transport.get_extra_info("socket") for end in ends]

    assert all(one.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) for one in sockets)


@pytest.mark.parametrize("garbage", [b"\x16\x03\x01\x02\x00\x01", b"hello\r\n\r\n", b"\x00" * 20_000])
def test_a_server_refuses_garbage_and_stays_open_for_others(room: Room, garbage: bytes) -> None:
    server = room.listen()

    room.talk(server.port, garbage + b"\n")
    left = room.dial(server.port)
    room.until(lambda: left.connection.connected)

    assert len(room.accepted) == 1


@pytest.mark.parametrize("method", [b"GET", b"HEAD", b"POST"])
def test_a_server_answers_a_browser_with_its_purpose(room: Room, method: bytes) -> None:
    server = room.listen()

    answer = room.talk(server.port, method + b" / HTTP/1.1\r\nHost: x\r\n\r\n")

    assert answer.startswith(b"HTTP/1.1 426 ")
    assert (b"between the nodes of a mesh" in answer) == (method != b"HEAD")
    assert room.accepted == []


def test_a_full_server_says_so_and_keeps_its_connections(room: Room) -> None:
    first, _ = room.meet(right=room.also(limits=Limits(connections=1)))

    second = room.dial(int(first.connection.address.split(":")[1]))
    room.until(lambda: second.reasons)

    assert second.reasons == ["the other end is full"]
    assert first.connection.connected


def test_a_client_that_sends_gets_in_while_silent_connections_hold_every_place(room: Room) -> None:
    server = room.listen(network=room.also(limits=Limits(connections=3, reserved_connections=1)))
    silent = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(2)]
    room.run(asyncio.sleep(0.05))

    third = room.dial(server.port)
    room.until(lambda: third.connection.connected and len(room.accepted) == 1)

    assert silent[0].recv(1) == b""  # the oldest has gone
    silent[1].setblocking(False)
    with pytest.raises(BlockingIOError):
        silent[1].recv(1)
    for one in silent:
        one.close()


def test_a_closed_port_leaves_accepted_connections_open(room: Room) -> None:
    server = room.listen()
    left = room.dial(server.port)
    room.until(lambda: left.connection.connected and room.accepted)

    room.run(as_coroutine(server.close()))
    room.run(as_coroutine(server.close()))
    left.connection.send(b"[1]")
    late = room.dial(server.port)
    room.until(lambda: room.accepted[0].frames and late.reasons)

    assert late.reasons == ["refused"]
    assert left.connection.connected


def test_a_taken_port_and_a_foreign_host_are_os_errors(room: Room) -> None:
    server = room.listen()

    for host, port in (("127.0.0.1", server.port), ("203.0.113.7", 0), ("", server.port)):
        with pytest.raises(OSError):
            room.listen(host, port)


def test_an_empty_host_listens_on_ipv4_and_ipv6_with_one_port(room: Room) -> None:
    server = room.listen("")

    assert server.hosts == ("0.0.0.0", "::")
    ends = [room.dial(server.port, host=host) for host in ("127.0.0.1", "[::1]", "localhost")]
    room.until(lambda: all(end.connection.connected for end in ends) and len(room.accepted) == 3)

    assert {end.connection.address.rpartition(":")[0] for end in room.accepted} <= {"127.0.0.1", "[::1]"}


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "0.0.0.0", "::"])
def test_listening_at_one_address_or_family_is_for_that_one_only(room: Room, host: str) -> None:
    server = room.listen(host)

    assert server.hosts == (host,)
    other = "[::1]" if host in {"127.0.0.1", "0.0.0.0"} else "127.0.0.1"
    end = room.dial(server.port, host=other)
    room.until(lambda: end.reasons == ["refused"])


def test_listening_at_a_name_uses_one_port_at_all_its_addresses(room: Room) -> None:
    server = room.listen("localhost")

    ends = [room.dial(server.port, host=f"[{host}]" if ":" in host else host) for host in server.hosts]

    assert set(server.hosts) <= {"127.0.0.1", "::1"}
    room.until(lambda: all(end.connection.connected for end in ends))


class NoIpv6(socket.socket):
    """A socket class of a system that forbids IPv6."""

    def __init__(self, family: int = socket.AF_INET, *args: Any, **options: Any) -> None:
        if family == socket.AF_INET6:
            raise OSError(errno.EAFNOSUPPORT, "no such family")
        super().__init__(family, *args, **options)


def test_without_ipv6_every_address_is_ipv4_and_listening_at_an_ipv6_one_is_an_os_error(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket, "socket", NoIpv6)

    assert room.listen("").hosts == ("0.0.0.0",)
    with pytest.raises(OSError, match="not supported"):
        room.listen("::1")


def test_says_which_interface_of_an_address_is_missing(room: Room) -> None:
    end = room.dial_to("[fe80::1%nowhere9]:80")

    room.until(lambda: end.reasons == ["this machine has no network interface nowhere9"])


def test_closing_the_network_ends_everything(room: Room) -> None:
    left, right = room.meet()

    room.run(as_coroutine(room.network.close()))

    assert left.reasons == right.reasons == ["this end is closing"]
    with pytest.raises(RuntimeError, match="network is closed"):
        left.connection.connect()
    assert len(asyncio.all_tasks(room.loop)) == 0


@pytest.mark.parametrize("turns", range(5))
@pytest.mark.parametrize("request_", [b"", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"])
def test_a_connection_that_comes_just_before_the_close_is_closed_with_the_network(
    room: Room, turns: int, request_: bytes
) -> None:
    network = room.also()
    server = room.listen(network=network)
    before = open_files()

    with socket.create_connection(("127.0.0.1", server.port)) as wire:
        wire.sendall(request_)

        async def close() -> int:
            for _ in range(turns):
                await asyncio.sleep(0)
            await network.close()
            return open_files()

        # One more, which is the client; less the socket that listened, and its spare file.
        assert room.loop.run_until_complete(close()) == before + 1 - 2


def test_refuses_to_dial_a_bad_address(room: Room) -> None:
    with pytest.raises(ValueError, match="name the interface"):
        room.network.dial("[fe80::1]:80")
