"""ask_to and tell_to: methods of an actor that are called in its turns."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import pykka
import pytest

from mesh.actors.runtime.loop_actor import LoopActorRef
from peers.later import Later
from tests.support.actor_loop import DEADLINE_SECONDS, ActorLoop, Recorder, fail, wait_until


class Adder(Recorder):
    """Adds numbers: at once, in a coroutine, or with a Later."""

    def add(self, left: int, right: int = 0) -> int:
        return left + right

    async def add_slowly(self, left: int, right: int) -> int:
        await asyncio.sleep(0)
        return left + right

    def add_later(self, left: int, right: int) -> Later[int]:
        return Later.done(left + right)

    def where(self) -> int:
        return threading.get_ident()


@pytest.fixture
def actor_loop() -> Iterator[ActorLoop]:
    with ActorLoop() as actor_loop:
        yield actor_loop


@pytest.fixture
def adder(actor_loop: ActorLoop) -> Iterator[LoopActorRef[Adder]]:
    ref = Adder.start(actor_loop.runtime)
    yield ref
    ref.stop()


@pytest.mark.parametrize("method", [Adder.add, Adder.add_slowly, Adder.add_later])
def test_gives_the_result_of_a_method(adder: LoopActorRef[Adder], method: Any) -> None:
    assert adder.ask_to(method, 2, right=3).get(DEADLINE_SECONDS) == 5


def test_runs_on_the_loop_of_the_actor(actor_loop: ActorLoop, adder: LoopActorRef[Adder]) -> None:
    assert adder.ask_to(Adder.where).get(DEADLINE_SECONDS) == actor_loop.thread.ident


def test_can_be_awaited_on_the_loop_of_the_actor(actor_loop: ActorLoop, adder: LoopActorRef[Adder]) -> None:
    async def work() -> int:
        return await adder.ask_to(Adder.add_slowly, 2, 3)

    assert actor_loop.run(work()) == 5


def test_a_method_that_fails_fails_its_asker_only(adder: LoopActorRef[Adder]) -> None:
    with pytest.raises(RuntimeError, match="a bug"):
        adder.ask_to(fail).get(DEADLINE_SECONDS)

    assert adder.ask_to(Adder.add, 1).get(DEADLINE_SECONDS) == 1


def test_a_told_method_that_fails_ends_the_actor(actor_loop: ActorLoop) -> None:
    record: list[Any] = []
    ref = Recorder.start(actor_loop.runtime, record)

    ref.tell_to(fail)

    wait_until(lambda: not ref.is_alive())
    assert record == [("start", True), ("failure", "a bug")]


def test_calls_come_in_the_order_in_which_they_were_sent(actor_loop: ActorLoop) -> None:
    record: list[Any] = []
    ref = Recorder.start(actor_loop.runtime, record)

    ref.tell_to(Recorder.note, 1)
    ref.tell("message")
    ref.tell_to(Recorder.note, 2)
    ref.stop()

    assert record[1:] == [(1,), "message", (2,), "stop"]


@pytest.mark.parametrize("is_loop_closed", [False, True])
def test_a_dead_actor_fails_an_ask_and_drops_a_tell(actor_loop: ActorLoop, is_loop_closed: bool) -> None:
    record: list[Any] = []
    ref = Recorder.start(actor_loop.runtime, record)
    ref.stop()
    if is_loop_closed:
        actor_loop.close()

    ref.tell_to(Recorder.note, "late")
    with pytest.raises(pykka.ActorDeadError):
        ref.ask_to(Recorder.note, "late").get(DEADLINE_SECONDS)

    assert record[1:] == ["stop"]
