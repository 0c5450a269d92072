"""MessagePack over unix sockets and TCP: frames, limits and two roles that synchronise, with real sockets."""

from __future__ import annotations

import asyncio
import socket
import stat
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest

from peers.clock import LoopClock
from peers.roles.peer import PeerSync
from peers.transport.channel import SEND_BYTES
from peers.transport.port import Connection
from peers.transport.reconnect import Reconnect
from tests.support import message_pack
from tests.support.message_pack import MAX_FRAME, READ_BYTES, MessagePackNetwork
from tests.support.pair import PairLog, open_log
from tests.support.web_socket_room import Record, Room, as_coroutine, channel_of, settled


@pytest.fixture
def room() -> Iterator[Room]:
    room = Room(MessagePackNetwork)
    yield room
    room.leave()


@pytest.fixture(params=["unix", "tcp"])
def door(request: pytest.FixtureRequest, room: Room, tmp_path: Path) -> str:
    """The address of an open door."""
    if request.param == "unix":
        room.listen(f"unix:{tmp_path}/door")
        return f"unix:{tmp_path}/door"
    return f"127.0.0.1:{room.listen().port}"


def meet(room: Room, address: str) -> tuple[Record, Record]:
    """A dialled and an accepted connection, open, with cleared records."""
    left = room.dial_to(address)
    room.until(lambda: left.connection.connected and room.accepted)
    left.events.clear()
    return left, room.accepted[-1]


def test_carries_frames_both_ways_in_order(room: Room, door: str) -> None:
    left, right = meet(room, door)
    right.connection.on("message", right.connection.send)
    frames = [b"[%d]" % number for number in range(1000)]

    for frame in frames:
        left.connection.send(frame)
    assert left.events == []  # never from inside send()
    room.until(lambda: len(left.frames) == 1000)

    assert left.frames == right.frames == frames
    assert right.connection.dialled is False and left.connection.dialled
    assert left.connection.address == door


def test_each_frame_is_a_length_and_a_message(room: Room, door: str) -> None:
    _, right = meet(room, door)
    with _raw(door) as stranger:
        room.until(lambda: len(room.accepted) == 2)

        stranger.sendall(b"\x00\x00\x00\x07\x92\xa4ping\x01")
        room.until(lambda: room.accepted[1].frames)
        room.accepted[1].connection.send(b'["pong",1]')
        answer = room.run(room.loop.run_in_executor(None, stranger.recv, 100))

    assert room.accepted[1].frames == [b'["ping",1]']
    assert answer == b"\x00\x00\x00\x07\x92\xa4pong\x01"
    assert right.events == []


def _raw(address: str) -> socket.socket:
    if address.startswith("unix:"):
        stranger = socket.socket(socket.AF_UNIX)
        stranger.connect(address.removeprefix("unix:"))
        return stranger
    return socket.create_connection(("127.0.0.1", int(address.rpartition(":")[2])))


def test_disconnecting_gives_each_end_one_event(room: Room, door: str) -> None:
    left, right = meet(room, door)

    left.connection.disconnect("good night")
    left.connection.disconnect("again")
    assert left.events == []
    room.until(lambda: left.reasons and right.reasons and not room.network.channels)

    assert left.events == [("disconnect", "good night")]
    assert right.events == [("disconnect", "closed by the other end")]


def test_a_goodbye_in_bulk_arrives_whole_while_the_other_end_sends_too(room: Room, door: str) -> None:
    left, right = meet(room, door)

    for _ in range(50):
        left.connection.send(b'["%s"]' % (b"x" * 100_000))
        right.connection.send(b'["%s"]' % (b"y" * 100_000))
    left.connection.send(b'["bye"]')
    left.connection.disconnect("leaving")
    room.until(lambda: right.reasons and not room.network.channels)

    assert len(right.frames) == 51
    assert right.events[-2:] == [("message", b'["bye"]'), ("disconnect", "closed by the other end")]


def test_both_ends_disconnecting_at_once_get_their_own_reason(room: Room, door: str) -> None:
    left, right = meet(room, door)

    left.connection.disconnect("left")
    right.connection.disconnect("right")
    room.until(lambda: not room.network.channels)

    assert left.reasons == ["left"] and right.reasons == ["right"]


def test_dials_again_on_the_same_object(room: Room, door: str) -> None:
    left, right = meet(room, door)
    undo = left.connection.on("disconnect", lambda _: left.connection.connect())

    right.connection.disconnect("restarting")
    room.until(lambda: len(room.accepted) == 2 and left.connection.connected)
    left.connection.send(b"[1]")
    room.until(lambda: room.accepted[1].frames)

    undo()
    assert left.events == [("disconnect", "closed by the other end"), ("connecting",), ("connect",)]


def test_pausing_makes_the_sender_wait(room: Room, door: str) -> None:
    left, right = meet(room, door)
    right.connection.pause()

    for _ in range(150):
        left.connection.send(b'["%s"]' % (b"x" * 100_000))
    channel = channel_of(left.connection)
    waiting = settled(room, lambda: channel._queued_bytes)

    read_ahead = len(channel_of(right.connection)._wire._reader._buffer)
    assert right.events == [] and waiting > 1_000_000
    assert read_ahead <= 2 * READ_BYTES + 256 * 1024  # the last of it came in one read
    right.connection.resume()
    room.until(lambda: len(right.frames) == 150)


def test_closes_a_connection_that_is_too_slow(room: Room, door: str) -> None:
    left, right = meet(room, door)
    right.connection.pause()

    for _ in range(SEND_BYTES // 1_000_000 + 1):
        left.connection.send(b'["%s"]' % (b"x" * 1_000_000))
    room.until(lambda: left.reasons and not [c for c in room.network.channels if c.is_over])

    assert left.events == [("disconnect", "too slow")]


def test_a_paused_end_that_is_never_resumed_still_learns_of_the_end(room: Room, door: str) -> None:
    left, right = meet(room, door)
    right.connection.pause()

    left.connection.send(b"[1]")
    left.connection.disconnect("bye")
    room.until(lambda: right.reasons)

    assert right.events == [("disconnect", "closed by the other end")]


def test_holds_frames_until_somebody_listens(room: Room, tmp_path: Path) -> None:
    handed: list[Any] = []
    address = f"unix:{tmp_path}/door"
    room.run(as_coroutine(room.network.listen(address, 0, handed.append)))
    left = room.dial_to(address)
    room.until(lambda: left.connection.connected and handed)

    left.connection.send(b"[1]")
    left.connection.disconnect("in a hurry")
    room.until(lambda: left.reasons)
    right = Record(handed[0])
    room.until(lambda: right.reasons)

    assert right.frames == [b"[1]"]


def test_bytes_in_the_middle_of_a_frame_are_activity(room: Room, door: str) -> None:
    signs: list[str] = []
    with _raw(door) as stranger:
        room.until(lambda: room.accepted)
        room.accepted[0].connection.on("activity", lambda: signs.append("activity"))

        stranger.sendall(b"\x00\x00")
        room.until(lambda: signs)

    room.until(lambda: room.accepted[0].reasons)
    assert room.accepted[0].reasons == ["lost in the middle of a frame"]


@pytest.mark.parametrize(
    ("packed", "sentence"),
    [(b"\xc1", "no MessagePack"), (b"\xc4\x01a", "bytes"), (b"\xd4\x05a", "an extension of type 5")],
)
def test_a_frame_that_cannot_be_taken_is_an_error_and_the_end(room: Room, packed: bytes, sentence: str) -> None:
    port = room.listen().port
    with socket.create_connection(("127.0.0.1", port)) as stranger:
        stranger.sendall(b"".join(len(part).to_bytes(4, "big") + part for part in (b"\x01", packed, b"\x02")))
        room.until(lambda: room.accepted and room.accepted[0].reasons)

    right = room.accepted[0]
    assert [event[0] for event in right.events] == ["message", "error", "disconnect"]
    assert sentence in str(right.all("error")[0])
    assert right.reasons[0].startswith("it sent what cannot be taken: it sent")


def test_a_frame_that_is_too_long_is_refused_before_it_is_read(room: Room, door: str) -> None:
    with _raw(door) as stranger:
        stranger.sendall((MAX_FRAME + 1).to_bytes(4, "big"))
        room.until(lambda: room.accepted and room.accepted[0].reasons)

    assert "a frame of 1048577 bytes, and at most 1048576" in str(room.accepted[0].all("error")[0])


def test_a_frame_of_the_full_size_is_taken_and_a_longer_one_is_not_sent(room: Room, door: str) -> None:
    left, right = meet(room, door)
    full = b'"%s"' % (b"x" * (MAX_FRAME - 5))

    left.connection.send(full)
    with pytest.raises(ValueError, match="takes at most 1048576"):
        left.connection.send(b'"%s"' % (b"x" * (MAX_FRAME - 4)))
    with pytest.raises(ValueError, match="JSON text"):
        left.connection.send(b"{")
    room.until(lambda: right.frames)

    assert right.frames == [full]


def test_a_killed_peer_is_one_event(room: Room, door: str) -> None:
    left, right = meet(room, door)

    for _ in range(20):
        left.connection.send(b'["%s"]' % (b"x" * 100_000))
    channel_of(right.connection)._wire.abort()
    room.until(lambda: left.reasons and right.reasons)

    assert len(left.events) == 1 and left.reasons[0] in ("closed by the other end", "lost: reset")
    assert right.reasons == ["closed by the other end"]


# Doors


@pytest.mark.parametrize(
    ("address", "sentence"),
    [
        ("unix:", "with the whole path"),
        ("unix:door", "with the whole path"),
        ("unix:/a\0b", "with the whole path"),
        ("kitchen", "is not an address"),
        ("ws://kitchen:80/", "is not an address"),
    ],
)
def test_refuses_to_dial_a_bad_address(room: Room, address: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        room.network.dial(address)


def test_says_that_nobody_listens(room: Room, tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        tcp = room.dial(free.getsockname()[1])
        missing = room.dial_to(f"unix:{tmp_path}/none")
        room.until(lambda: tcp.reasons and missing.reasons)

    assert tcp.events == [("connecting",), ("disconnect", "refused")]
    assert missing.events == [("connecting",), ("disconnect", "No such file or directory")]


def test_the_file_of_a_unix_socket_is_its_owners_alone_and_goes_with_the_door(room: Room, tmp_path: Path) -> None:
    path = tmp_path / "door"

    listening = room.listen(f"unix:{path}")
    mode = stat.S_IMODE(path.stat().st_mode)
    room.run(as_coroutine(listening.close()))
    room.run(as_coroutine(listening.close()))

    assert mode == 0o600 and listening.port == 0
    assert not path.exists()


def test_a_unix_socket_that_somebody_listens_at_is_taken(room: Room, tmp_path: Path) -> None:
    room.listen(f"unix:{tmp_path}/door")

    with pytest.raises(OSError, match="somebody listens"):
        room.listen(f"unix:{tmp_path}/door")
    meet(room, f"unix:{tmp_path}/door")


def test_the_socket_of_a_killed_program_is_replaced_but_no_other_file(room: Room, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as killed:
        killed.bind(str(tmp_path / "door"))
    (tmp_path / "diary").write_text("mine")

    room.listen(f"unix:{tmp_path}/door")
    with pytest.raises(OSError):
        room.listen(f"unix:{tmp_path}/diary")

    assert (tmp_path / "diary").read_text() == "mine"


def test_a_taken_port_and_a_foreign_host_are_os_errors(room: Room) -> None:
    port = room.listen().port

    for host, number in (("127.0.0.1", port), ("203.0.113.7", 0), ("", port)):
        with pytest.raises(OSError):
            room.listen(host, number)


def test_an_empty_host_listens_on_ipv4_and_ipv6_with_one_port(room: Room) -> None:
    door = room.listen("")

    assert door.hosts == ("0.0.0.0", "::")
    ends = [room.dial(door.port, host=host) for host in ("127.0.0.1", "[::1]")]
    room.until(lambda: all(end.connection.connected for end in ends) and len(room.accepted) == 2)


def test_a_full_door_closes_the_next_at_once(room: Room, door: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(message_pack, "MAX_ACCEPTED", 1)
    first, _ = meet(room, door)

    second = room.dial_to(door)
    room.until(lambda: second.reasons)
    first.connection.disconnect()
    room.until(lambda: not room.network.channels)
    third, _ = meet(room, door)

    assert third.connection.connected
    assert len(room.accepted) == 2


def test_a_closed_door_leaves_accepted_connections_alone(room: Room, tmp_path: Path) -> None:
    listening = room.listen(f"unix:{tmp_path}/door")
    left, right = meet(room, f"unix:{tmp_path}/door")

    room.run(as_coroutine(listening.close()))
    left.connection.send(b"[1]")
    room.until(lambda: right.frames)

    assert left.connection.connected


def test_closing_the_network_ends_everything(room: Room, door: str) -> None:
    left, right = meet(room, door)

    room.run(as_coroutine(room.network.close()))

    assert left.reasons == right.reasons == ["this end is closing"]
    with pytest.raises(RuntimeError, match="network is closed"):
        left.connection.connect()
    assert len(asyncio.all_tasks(room.loop)) == 0


# Roles


@pytest.mark.parametrize("kind", ["unix", "tcp"])
def test_two_nodes_agree_over_it_and_agree_again_after_a_loss(room: Room, tmp_path: Path, kind: str) -> None:
    clock: Any = LoopClock(room.loop)
    attic, kitchen = open_log("attic", clock), open_log("kitchen", clock)
    roles: list[PeerSync] = []

    def start(name: str, log: PairLog, connection: Connection) -> None:
        roles.append(PeerSync(name, log, connection, clock=clock, random=Random(name)))

    host = "127.0.0.1" if kind == "tcp" else f"unix:{tmp_path}/door"
    accept = room.network.listen(host, 0, lambda connection: start("kitchen", kitchen, connection))
    port = room.run(as_coroutine(accept)).port
    dialled = room.network.dial(f"{host}:{port}" if port else host)
    reconnect = Reconnect(dialled, clock=clock, random=Random(1), min_delay=10)
    start("attic", attic, reconnect)
    attic.add({"type": "milk", "number": 2**70, "text": "ä\U0001f9c8"})
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
