"""Exceptions that stop all actors, reactions that fail, and a loop that was closed under its actors."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pykka
import pytest

from mesh.actors.runtime.loop_actor import LoopActor, Runtime
from peers.later import Later
from tests.support.actor_loop import DEADLINE_SECONDS, ActorLoop, Lending, Recorder, wait_until


@pytest.fixture
def actor_loop() -> Iterator[ActorLoop]:
    with ActorLoop() as actor_loop:
        yield actor_loop


class Alarm(BaseException):
    pass


def test_a_base_exception_comes_out_of_the_turn_and_answers_its_asker(actor_loop: ActorLoop) -> None:
    class Alarming(Recorder):
        def on_receive(self, message: Any) -> None:
            raise Alarm

    ref, other = Alarming.start(actor_loop.runtime), Recorder.start(actor_loop.runtime)

    with pytest.raises(pykka.ActorDeadError):
        ref.ask("go", timeout=DEADLINE_SECONDS)

    wait_until(lambda: not other.is_alive() and bool(actor_loop.errors))
    assert isinstance(actor_loop.errors.pop(), Alarm)


def test_a_base_exception_in_a_coroutine_stops_every_actor_too(actor_loop: ActorLoop) -> None:
    class Alarming(Recorder):
        async def on_receive(self, message: Any) -> None:
            raise Alarm

    ref, other = Alarming.start(actor_loop.runtime), Recorder.start(actor_loop.runtime)

    with pytest.raises(pykka.ActorDeadError):
        ref.ask("go", timeout=DEADLINE_SECONDS)

    wait_until(lambda: not other.is_alive() and bool(actor_loop.errors))
    assert isinstance(actor_loop.errors.pop(), Alarm)


@pytest.mark.parametrize("where", ["on_start", "on_stop", "handler", "coroutine"])
def test_a_keyboard_interrupt_leaves_the_loop_and_every_actor_stops(where: str) -> None:
    class Interrupted(LoopActor):
        def on_start(self) -> None:
            self.interrupt("on_start")

        def on_stop(self) -> None:
            self.interrupt("on_stop")

        def on_receive(self, message: Any) -> Any:
            self.interrupt("handler")
            return self.work() if where == "coroutine" else None

        async def work(self) -> None:
            self.interrupt("coroutine")

        def interrupt(self, here: str) -> None:
            if here == where:
                raise KeyboardInterrupt

    loop = asyncio.new_event_loop()
    other = Recorder.start(Runtime(loop))
    ref = Interrupted.start(Runtime(loop))
    answer = ref.ask("go", block=False)
    if where == "on_stop":
        answer = ref.stop(block=False)

    with pytest.raises(KeyboardInterrupt):
        loop.run_forever()

    loop.call_later(0.01, loop.stop)
    loop.run_forever()
    loop.close()
    assert answer.is_done
    assert not ref.is_alive()
    assert not other.is_alive()
    assert pykka.ActorRegistry.get_all() == []


def test_a_reaction_of_the_asker_that_fails_is_not_the_actors_failure(actor_loop: ActorLoop) -> None:
    ref = Recorder.start(actor_loop.runtime)

    def react(answer: Later[Any]) -> None:
        raise ValueError("no")

    actor_loop.run(lambda: ref.ask("ping", block=False).then(react))

    wait_until(lambda: bool(actor_loop.errors))
    assert isinstance(actor_loop.errors.pop(), ValueError)
    assert ref.ask("alive", timeout=DEADLINE_SECONDS) == "alive"
    ref.stop()


# A closed loop


def test_an_actor_whose_loop_was_closed_is_dead(actor_loop: ActorLoop) -> None:
    ref = Recorder.start(actor_loop.runtime)
    ref.ask("ping", timeout=DEADLINE_SECONDS)
    actor_loop.close()

    for _ in range(2):
        with pytest.raises(pykka.ActorDeadError, match="Recorder cannot take a message: its loop is closed"):
            ref.tell("late")
    with pytest.raises(pykka.ActorDeadError):
        ref.ask("late")
    assert ref.stop() is False
    assert not ref.is_alive()
    assert pykka.ActorRegistry.get_all() == []


def test_an_ask_that_was_waiting_when_the_loop_was_closed_is_answered_by_the_next_message(
    actor_loop: ActorLoop,
) -> None:
    ref = Lending.start(actor_loop.runtime)
    later: Later[str] = Later()
    deferred = ref.ask([later], block=False)
    ref.ask("ping", timeout=DEADLINE_SECONDS)
    actor_loop.loop.call_soon_threadsafe(actor_loop.loop.stop)
    actor_loop.thread.join(DEADLINE_SECONDS)
    waiting = ref.ask("never taken", block=False)
    actor_loop.close()
    actor_loop.loop.close()

    with pytest.raises(pykka.ActorDeadError):
        ref.tell("late")

    for answer in (waiting, deferred):
        with pytest.raises(pykka.ActorDeadError):
            answer.get(timeout=DEADLINE_SECONDS)


def test_nothing_starts_on_a_closed_loop(actor_loop: ActorLoop) -> None:
    actor_loop.close()

    with pytest.raises(pykka.ActorDeadError, match="closed"):
        Recorder.start(actor_loop.runtime)


def test_stop_all_gets_past_an_actor_whose_loop_was_closed(actor_loop: ActorLoop) -> None:
    Recorder.start(actor_loop.runtime).ask("ping", timeout=DEADLINE_SECONDS)
    actor_loop.close()

    assert pykka.ActorRegistry.stop_all() == [False]


def test_errors_of_ours_name_the_class_and_no_urn(actor_loop: ActorLoop) -> None:
    ref = Recorder.start(actor_loop.runtime)
    ref.stop()

    with pytest.raises(pykka.ActorDeadError) as caught:
        ref.tell("late")

    assert str(caught.value) == "Recorder cannot take a message: it has stopped"
