"""The example of a user's own Network: frames, limits and two roles that synchronise, with real sockets."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Callable, Iterator
from random import Random
from typing import Any

import pytest

from peers.clock import LoopClock
from peers.roles.run_peer import RunPeerSync
from peers.transport.accepting.listening_socket import ListeningSocket
from peers.transport.port import Connection
from peers.transport.reconnect import Reconnect
from tests.support.message_pack import MAX_FRAME, MessagePackNetwork
from tests.support.pair import PairLog, open_log
from tests.support.web_socket_room import Record, Room, as_coroutine, open_files


@pytest.fixture
def room() -> Iterator[Room]:
    room = Room(MessagePackNetwork)
    yield room
    room.leave()


def stranger(room: Room) -> socket.socket:
    """A plain TCP client of a MessagePack network."""
    return socket.create_connection(("127.0.0.1", room.listen().port))


def test_carries_frames_both_ways_in_order(room: Room) -> None:
    left, right = room.meet()
    right.connection.on("message", right.connection.send)
    frames = [b"[%d]" % number for number in range(1000)]

    for frame in frames:
        left.connection.send(frame)
    assert left.events == []  # never from inside send()
    room.until(lambda: len(left.frames) == 1000)

    assert left.frames == right.frames == frames
    assert right.connection.dialled is False and left.connection.dialled
    assert left.connection.local_host == right.connection.local_host == "127.0.0.1"


def test_each_frame_is_a_length_and_a_message(room: Room) -> None:
    with stranger(room) as end:
        end.sendall(b"\x00\x00\x00\x07\x92\xa4ping\x01")
        room.until(lambda: room.accepted and room.accepted[0].frames)
        room.accepted[0].connection.send(b' ["pong", 1] ')
        answer = room.run(room.loop.run_in_executor(None, end.recv, 100))

    assert room.accepted[0].frames == [b'["ping",1]']
    assert answer == b"\x00\x00\x00\x07\x92\xa4pong\x01"


def test_disconnecting_gives_each_end_one_event(room: Room) -> None:
    left, right = room.meet()

    left.connection.disconnect("good night")
    left.connection.disconnect("again")
    assert left.events == []
    room.until(lambda: left.reasons and right.reasons and not room.network.channels)

    assert left.events == [("disconnect", "good night")]
    assert right.events == [("disconnect", "closed by the other end")]


def test_all_frames_arrive_before_the_close_while_the_other_end_sends_too(room: Room) -> None:
    left, right = room.meet()

    for _ in range(50):
        left.connection.send(b'["%s"]' % (b"x" * 100_000))
        right.connection.send(b'["%s"]' % (b"y" * 100_000))
    left.connection.send(b'["bye"]')
    left.connection.disconnect("leaving")
    room.until(lambda: right.reasons and not room.network.channels)

    assert len(right.frames) == 51
    assert right.events[-2:] == [("message", b'["bye"]'), ("disconnect", "closed by the other end")]


def test_dials_again_on_the_same_object(room: Room) -> None:
    left, right = room.meet()
    undo = left.connection.on("disconnect", lambda _: left.connection.connect())

    right.connection.disconnect("restarting")
    room.until(lambda: len(room.accepted) == 2 and left.connection.connected)
    left.connection.send(b"[1]")
    room.until(lambda: room.accepted[1].frames)

    undo()
    assert left.events == [("disconnect", "closed by the other end"), ("connecting",), ("connect",)]


def test_an_end_that_stays_paused_still_learns_of_the_end(room: Room) -> None:
    left, right = room.meet()
    right.connection.pause()

    left.connection.send(b"[1]")
    left.connection.disconnect("bye")
    room.until(lambda: right.reasons)

    assert right.events == [("disconnect", "closed by the other end")]


def test_bytes_in_the_middle_of_a_frame_are_activity(room: Room) -> None:
    signs: list[str] = []
    with stranger(room) as end:
        room.until(lambda: room.accepted)
        room.accepted[0].connection.on("activity", lambda: signs.append("activity"))

        end.sendall(b"\x00\x00")
        room.until(lambda: signs)

    room.until(lambda: room.accepted[0].reasons)
    assert room.accepted[0].frames == []


@pytest.mark.parametrize("packed", [b"\xc1", b"\x92\x01", b"\xa1\xff", b"\xd4\x05a", b"\x91" * 100_000])
def test_a_broken_frame_ends_the_connection_with_an_error_sentence(room: Room, packed: bytes) -> None:
    with stranger(room) as end:
        end.sendall(b"".join(len(part).to_bytes(4, "big") + part for part in (b"\x01", packed, b"\x02")))
        room.until(lambda: room.accepted and room.accepted[0].reasons)

    right = room.accepted[0]
    assert [event[0] for event in right.events] == ["message", "error", "disconnect"]
    assert right.reasons == [f"it sent what cannot be taken: {right.all('error')[0]}"]


def test_a_frame_that_is_too_long_is_refused_before_it_is_read(room: Room) -> None:
    with stranger(room) as end:
        end.sendall((MAX_FRAME + 1).to_bytes(4, "big"))
        room.until(lambda: room.accepted and room.accepted[0].reasons)

    assert str(room.accepted[0].all("error")[0]) == "a frame of 1048577 bytes, and at most 1048576 are taken"


def test_a_frame_of_the_full_size_is_taken_and_a_longer_one_is_not_sent(room: Room) -> None:
    left, right = room.meet()
    full = b'"%s"' % (b"x" * (MAX_FRAME - 5))

    left.connection.send(full)
    with pytest.raises(ValueError, match="at most 1048576"):
        left.connection.send(b'"%s"' % (b"x" * (MAX_FRAME - 4)))
    with pytest.raises(ValueError, match="truncated"):
        left.connection.send(b"{")
    room.until(lambda: right.frames)

    assert right.frames == [full]


def test_an_address_where_nothing_listens_is_refused(room: Room) -> None:
    with pytest.raises(ValueError, match="is not an address"):
        room.network.dial("kitchen")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        end = room.dial(free.getsockname()[1])
        room.until(lambda: end.reasons)

    assert end.events == [("connecting",), ("disconnect", "refused")]


def test_a_closed_port_leaves_accepted_connections_open(room: Room) -> None:
    listening = room.listen()
    left = room.dial(listening.port)
    room.until(lambda: left.connection.connected and room.accepted)

    room.run(as_coroutine(listening.close()))
    left.connection.send(b"[1]")
    room.until(lambda: room.accepted[0].frames)

    assert left.connection.connected


class Unserved(MessagePackNetwork):
    """Another program began to listen there after this one had its socket."""

    async def serve(self, listening: ListeningSocket, on_connection: Callable[..., None]) -> asyncio.Server:
        await super().serve(listening, on_connection)
        raise OSError(errno.EADDRINUSE, "taken")


def test_a_socket_that_cannot_be_served_is_closed() -> None:
    room = Room(Unserved)
    room.run(asyncio.sleep(0))
    before = open_files()

    with pytest.raises(OSError, match="taken"):
        room.listen()

    assert open_files() == before
    room.leave()


def test_closing_the_network_ends_everything(room: Room) -> None:
    left, right = room.meet()

    room.run(as_coroutine(room.network.close()))

    assert left.reasons == right.reasons == ["this end is closing"]
    assert len(asyncio.all_tasks(room.loop)) == 0


def test_two_nodes_agree_over_it_and_agree_again_after_a_loss(room: Room) -> None:
    clock: Any = LoopClock(room.loop)
    attic, kitchen = open_log("attic", clock), open_log("kitchen", clock)
    roles: list[RunPeerSync] = []

    def start(name: str, log: PairLog, connection: Connection) -> None:
        roles.append(RunPeerSync(name, log, connection, clock=clock, random=Random(name)))

    accept = room.network.listen("127.0.0.1", 0, lambda connection: start("kitchen", kitchen, connection))
    dialled = room.network.dial(f"127.0.0.1:{room.run(as_coroutine(accept)).port}")
    reconnect = Reconnect(dialled, clock=clock, random=Random(1), min_delay=10)
    start("attic", attic, reconnect)
    attic.add({"type": "milk", "number": 2**63, "text": "ä\U0001f9c8"})
    kitchen.add({"type": "bread", "list": [1.5, None, {}]})

    reconnect.connect()
    room.until(lambda: len(attic.types) == len(kitchen.types) == 2)
    reconnect.disconnect("error")
    kitchen.add({"type": "salt"})
    room.until(lambda: len(attic.types) == 3)
    attic.add({"type": "live"})
    room.until(lambda: len(kitchen.types) == 4)

    assert [entry.body for entry in attic.entries] == [entry.body for entry in kitchen.entries]
    for role in reversed(roles):
        role.destroy()
    reconnect.destroy()


def test_a_listener_that_comes_late_gets_the_frames_that_waited(room: Room) -> None:
    handed: list[Any] = []
    port = room.run(as_coroutine(room.network.listen("127.0.0.1", 0, handed.append))).port
    left = room.dial(port)
    room.until(lambda: left.connection.connected and handed)

    left.connection.send(b"[1]")
    left.connection.disconnect("in a hurry")
    room.until(lambda: left.reasons)
    right = Record(handed[0])
    room.until(lambda: right.reasons)

    assert right.frames == [b"[1]"]
