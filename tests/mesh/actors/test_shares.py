"""Who has many actors work for him, by many connections, does not delay the actors of others more than with one."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from functools import partial
from typing import Any, cast

import pytest

from mesh.actors.runtime.loop_actor import LoopActor, Runtime
from mesh.actors.session_base import SessionBase
from peers.transport.channel import WiredConnection
from peers.transport.web_socket import WebSocketNetwork
from tests.support.actor_loop import ActorLoop, wait_until


class Noting(LoopActor):
    """Begins to note its name so many times, in a turn each."""

    def __init__(self, runtime: Runtime, share: str, name: str, record: list[str]) -> None:
        super().__init__(runtime)
        if share:
            self.share_turns(share)
        for _ in range(2):
            self.defer(record.append, name)


class IdleSession(SessionBase[Any]):
    """A session that runs no role."""


@pytest.fixture
def actor_loop() -> Iterator[ActorLoop]:
    with ActorLoop() as actor_loop:
        yield actor_loop


def test_many_actors_of_one_share_delay_another_actor_by_one_turn(actor_loop: ActorLoop) -> None:
    record: list[str] = []
    runtime = Runtime(actor_loop.loop, messages_per_turn=1)

    def start() -> list[Any]:
        many = [Noting.start(runtime, "one host", f"many{number}", record) for number in range(3)]
        return [*many, Noting.start(runtime, "", "other", record)]

    refs = actor_loop.run(start)
    wait_until(lambda: len(record) == 8)

    assert record == ["other", "other", *["many0", "many1", "many2"] * 2]  # while each of the many has started
    for ref in refs:
        ref.stop()


def test_sessions_that_one_address_dialled_take_turns_as_one_session_would(actor_loop: ActorLoop) -> None:
    record: list[str] = []

    def start(runtime: Runtime, network: WebSocketNetwork, address: str) -> Any:
        nothing = cast(Any, None)  # it looks at neither environment nor log
        accepted = WiredConnection(network, address)
        ref = IdleSession.start(runtime, nothing, address, nothing, nothing, cast(Any, accepted))
        for _ in range(2):
            ref.tell_to(lambda _session: record.append(address))
        return ref

    def start_all() -> list[Any]:
        runtime = Runtime(actor_loop.loop, messages_per_turn=1)
        network = WebSocketNetwork(asyncio.get_running_loop())
        here = partial(start, runtime, network)
        return [*map(here, ("10.0.0.9:1", "10.0.0.9:2", "10.0.0.9:3", "10.0.0.7:1"))]

    refs = actor_loop.run(start_all)
    wait_until(lambda: len(record) == 8)

    assert [at for at, address in enumerate(record) if address == "10.0.0.7:1"] == [0, 1]
    for ref in refs:
        ref.stop()
