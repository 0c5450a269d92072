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
from tests.support.loop_house import DEADLINE_SECONDS, House, Recorder, fail, wait_until


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
def house() -> Iterator[House]:
    with House() as house:
        yield house


@pytest.fixture
def adder(house: House) -> Iterator[LoopActorRef[Adder]]:
    ref = Adder.start(house.runtime)
    yield ref
    ref.stop()


@pytest.mark.parametrize("method", [Adder.add, Adder.add_slowly, Adder.add_later])
def test_gives_the_result_of_a_method(adder: LoopActorRef[Adder], method: Any) -> None:
    assert adder.ask_to(method, 2, right=3).get(DEADLINE_SECONDS) == 5


def test_runs_on_the_loop_of_the_actor(house: House, adder: LoopActorRef[Adder]) -> None:
    assert adder.ask_to(Adder.where).get(DEADLINE_SECONDS) == house.thread.ident


def test_can_be_awaited_on_the_loop_of_the_actor(house: House, adder: LoopActorRef[Adder]) -> None:
    async def work() -> int:
        return await adder.ask_to(Adder.add_slowly, 2, 3)

    assert house.run(work()) == 5


def test_a_method_that_fails_fails_its_asker_only(adder: LoopActorRef[Adder]) -> None:
    with pytest.raises(RuntimeError, match="a bug"):
        adder.ask_to(fail).get(DEADLINE_SECONDS)

    assert adder.ask_to(Adder.add, 1).get(DEADLINE_SECONDS) == 1


def test_a_told_method_that_fails_ends_the_actor(house: House) -> None:
    record: list[Any] = []
    ref = Recorder.start(house.runtime, record)

    ref.tell_to(fail)

    wait_until(lambda: not ref.is_alive())
    assert record == [("start", True), ("failure", "a bug")]


def test_calls_come_in_the_order_in_which_they_were_sent(house: House) -> None:
    record: list[Any] = []
    ref = Recorder.start(house.runtime, record)

    ref.tell_to(Recorder.note, 1)
    ref.tell("message")
    ref.tell_to(Recorder.note, 2)
    ref.stop()

    assert record[1:] == [(1,), "message", (2,), "stop"]


@pytest.mark.parametrize("is_loop_closed", [False, True])
def test_a_dead_actor_fails_who_asks_and_drops_what_it_is_told(house: House, is_loop_closed: bool) -> None:
    record: list[Any] = []
    ref = Recorder.start(house.runtime, record)
    ref.stop()
    if is_loop_closed:
        house.close()

    ref.tell_to(Recorder.note, "late")
    with pytest.raises(pykka.ActorDeadError):
        ref.ask_to(Recorder.note, "late").get(DEADLINE_SECONDS)

    assert record[1:] == ["stop"]
