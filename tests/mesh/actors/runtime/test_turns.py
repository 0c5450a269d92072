"""Turns leave the loop time for its sockets."""

from __future__ import annotations

import asyncio
import socket
from functools import partial

from mesh.actors.runtime.turns import TURNS_AT_ONCE, Turns


def test_what_a_socket_brings_during_a_round_of_turns_is_read_before_the_next_round() -> None:
    record: list[str] = []
    ours, theirs = socket.socketpair()

    async def work() -> None:
        loop = asyncio.get_running_loop()
        turns, done = Turns(loop), asyncio.Event()
        loop.add_reader(ours, lambda: record.append(f"read {ours.recv(1).decode()}"))
        turns.add(partial(theirs.send, b"1"), "share")
        for number in range(TURNS_AT_ONCE):
            turns.add(partial(record.append, f"turn {number + 2}"), "share")
        turns.add(done.set, "share")
        await done.wait()
        loop.remove_reader(ours)

    with ours, theirs:
        asyncio.run(work())

    assert record.index("read 1") < record.index(f"turn {TURNS_AT_ONCE + 1}")
