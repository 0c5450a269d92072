"""A connection over a wire of which the test decides what it does."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from peers.transport import channel as channel_module
from peers.transport.channel import WiredConnection
from peers.transport.wire import FrameTaker, WireError
from tests.support.web_socket_room import Record, Room


class ScriptedWire:
    """Has these frames, and then ends; a socket that takes nothing raises `trouble` when it is waited for."""

    local_host = "127.0.0.1"
    proven_key = None

    def __init__(self, *frames: bytes, is_lost: bool = False, trouble: OSError | None = None) -> None:
        self.channel: FrameTaker | None = None
        self.is_lost = is_lost
        self.is_clear = trouble is None
        self.written: list[bytes] = []
        self._frames = list(frames)
        self._trouble = trouble

    async def recv_frame(self) -> bytes | None:
        if self._frames:
            return self._frames.pop(0)
        if self.is_lost:
            raise WireError("lost")
        return None

    def lose(self) -> None:
        self.is_lost = True
        assert self.channel is not None
        self.channel.on_lost()

    def write_frames(self, frames: list[bytes]) -> None:
        self.written += frames

    async def drain(self) -> None:
        await asyncio.sleep(0)
        if self._trouble is not None:
            raise self._trouble

    async def close(self, code: int, reason: str) -> None: ...

    def hold(self, is_held: bool) -> None: ...

    def end_large(self) -> None: ...

    def abort(self) -> None: ...

    async def wait_closed(self) -> None: ...


@pytest.fixture
def room() -> Iterator[Room]:
    room = Room()
    yield room
    room.leave()


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channel_module, "CLOSE_SECONDS", 0.02)


def accepted(room: Room, wire: ScriptedWire) -> WiredConnection:
    connection = WiredConnection(room.network, "the other end")
    connection.open_accepted(wire)
    return connection


def test_frames_of_a_connection_that_was_lost_before_it_was_accepted_are_delivered(room: Room) -> None:
    connection = accepted(room, ScriptedWire(b"[1]", b"[2]", is_lost=True))
    record = Record(connection)
    room.until(lambda: record.reasons)

    assert record.events == [("message", b"[1]"), ("message", b"[2]"), ("disconnect", "lost")]


def test_a_connection_that_was_lost_before_it_was_accepted_ends_though_its_frames_are_not_taken(room: Room) -> None:
    connection = accepted(room, ScriptedWire(b"[1]", is_lost=True))
    reasons: list[str] = []
    connection.on("disconnect", reasons.append)
    room.until(lambda: reasons)

    assert reasons == ["lost"]


def test_a_connection_that_is_lost_while_it_is_paused_ends(room: Room) -> None:
    wire = ScriptedWire(b"[1]")
    record = Record(accepted(room, wire))
    record.connection.pause()
    wire.lose()
    room.until(lambda: record.reasons)

    assert record.events == [("disconnect", "lost")]


def test_frames_of_a_socket_that_fails_do_not_end_the_connection_before_its_reader_does(room: Room) -> None:
    wire = ScriptedWire(trouble=BrokenPipeError())
    record = Record(accepted(room, wire))
    for frame in (b"[1]", b"[2]"):
        record.connection.send(frame)
        room.run(asyncio.sleep(0.001))
    assert record.events == []

    wire.lose()
    room.until(lambda: record.reasons)

    assert wire.written == [b"[1]", b"[2]"]
    assert record.events == [("disconnect", "lost")]
