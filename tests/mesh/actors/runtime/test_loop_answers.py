"""Answers that come later: a handler leaves them to a coroutine or to a Later."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import pykka
import pytest

from mesh.actors.runtime.loop_actor import LoopFuture
from peers.later import Later
from tests.support.actor_loop import DEADLINE_SECONDS, ActorLoop, Lending, Recorder, wait_until


@pytest.fixture
def actor_loop() -> Iterator[ActorLoop]:
    with ActorLoop() as actor_loop:
        yield actor_loop


class Waiter(Recorder):
    """Leaves its answers to a coroutine, which ends when the test opens the gate."""

    def on_start(self) -> None:
        self._gate = asyncio.Event()

    def open(self) -> None:
        self._gate.set()

    async def wait(self, answer: Any) -> Any:
        try:
            await self._gate.wait()
        except asyncio.CancelledError:
            self._record.append("cancelled")
            raise
        if isinstance(answer, BaseException):
            raise answer
        return answer

    def on_receive(self, message: Any) -> Any:
        return message if message == "ping" else self.wait(message)


def test_other_messages_are_taken_while_a_coroutine_runs(actor_loop: ActorLoop) -> None:
    ref = Waiter.start(actor_loop.runtime)

    answer = ref.ask("answer", block=False)
    assert ref.ask("ping", timeout=DEADLINE_SECONDS) == "ping"
    ref.proxy().open()

    assert answer.get(timeout=DEADLINE_SECONDS) == "answer"
    ref.stop()


def test_a_proxy_calls_a_coroutine_method(actor_loop: ActorLoop) -> None:
    ref = Waiter.start(actor_loop.runtime)
    proxy = ref.proxy()

    answer = proxy.wait("answer")
    proxy.open()

    assert answer.get(timeout=DEADLINE_SECONDS) == "answer"
    ref.stop()


def test_a_coroutine_that_fails_under_ask_fails_the_ask(actor_loop: ActorLoop) -> None:
    record: list[Any] = []
    ref = Waiter.start(actor_loop.runtime, record)

    answer = ref.ask(ValueError("no"), block=False)
    ref.proxy().open()

    with pytest.raises(ValueError, match="no"):
        answer.get(timeout=DEADLINE_SECONDS)
    assert ref.is_alive()
    ref.stop()


def test_a_coroutine_that_fails_under_tell_fails_the_actor(actor_loop: ActorLoop) -> None:
    record: list[Any] = []
    ref = Waiter.start(actor_loop.runtime, record)

    ref.tell(ValueError("no"))
    ref.proxy().open()

    wait_until(lambda: not ref.is_alive())
    assert record == [("failure", "no")]


def test_stopping_cancels_coroutines_and_answers_their_asks(actor_loop: ActorLoop) -> None:
    record: list[Any] = []
    ref = Waiter.start(actor_loop.runtime, record)
    answer = ref.ask("answer", block=False)
    ref.tell("no one waits for it")
    actor_loop.run(asyncio.sleep(0.01))  # a coroutine that has not begun would end without a trace

    assert ref.stop() is True

    with pytest.raises(pykka.ActorDeadError):
        answer.get(timeout=DEADLINE_SECONDS)
    wait_until(lambda: record == ["stop", "cancelled", "cancelled"])


def test_failing_cancels_coroutines_and_answers_their_asks(actor_loop: ActorLoop) -> None:
    record: list[Any] = []
    ref = Waiter.start(actor_loop.runtime, record)
    answer = ref.ask("answer", block=False)
    actor_loop.run(asyncio.sleep(0.01))

    ref.tell(pykka.messages.ProxyCall(("no_such_method",), (), {}))

    with pytest.raises(pykka.ActorDeadError):
        answer.get(timeout=DEADLINE_SECONDS)
    wait_until(lambda: record[-1:] == ["cancelled"])


def test_a_coroutine_may_take_its_time_to_end(actor_loop: ActorLoop) -> None:
    class Tidy(Recorder):
        async def on_receive(self, message: Any) -> None:
            try:
                await asyncio.sleep(60)
            finally:
                await asyncio.sleep(0)
                self.note("tidy")

    record: list[Any] = []
    ref = Tidy.start(actor_loop.runtime, record)
    ref.tell("go")
    actor_loop.run(asyncio.sleep(0.01))

    ref.stop()

    wait_until(lambda: ("tidy",) in record)


def test_a_coroutine_cancelled_by_others_is_no_failure_of_the_actor(actor_loop: ActorLoop) -> None:
    class Cancelling(Recorder):
        async def on_receive(self, message: Any) -> None:
            raise asyncio.CancelledError

    record: list[Any] = []
    ref = Cancelling.start(actor_loop.runtime, record)
    ref.tell("go")

    with pytest.raises(RuntimeError, match="cancelled this ask"):
        ref.ask("go", timeout=DEADLINE_SECONDS)

    assert ref.stop() is True
    assert record == [("start", True), "stop"]


def test_a_handler_that_raises_cancelled_error_fails_alone(actor_loop: ActorLoop) -> None:
    class Cancelling(Recorder):
        def on_receive(self, message: Any) -> None:
            raise asyncio.CancelledError

    ref, other = Cancelling.start(actor_loop.runtime), Recorder.start(actor_loop.runtime)

    ref.tell("go")

    wait_until(lambda: not ref.is_alive())
    assert other.ask("ping", timeout=DEADLINE_SECONDS) == "ping"
    other.stop()


def test_an_ask_is_answered_when_the_later_is_resolved(actor_loop: ActorLoop) -> None:
    ref = Lending.start(actor_loop.runtime)
    later: Later[str] = Later()
    threads: list[bool] = []

    answer = ref.ask([later], block=False)
    answer.then(lambda _: threads.append(threading.current_thread() is actor_loop.thread))
    assert ref.ask("ping", timeout=DEADLINE_SECONDS) == "ping"
    later.set("answer")

    assert answer.get(timeout=DEADLINE_SECONDS) == "answer"
    assert threads == [True]
    ref.stop()


def test_one_later_answers_several_asks(actor_loop: ActorLoop) -> None:
    ref = Lending.start(actor_loop.runtime)
    later: Later[str] = Later()
    answers = [ref.ask([later], block=False) for _ in range(3)]

    later.set("answer")

    assert pykka.get_all(answers, timeout=DEADLINE_SECONDS) == ["answer"] * 3
    ref.stop()


def test_a_later_that_is_resolved_already_answers_at_once(actor_loop: ActorLoop) -> None:
    ref = Lending.start(actor_loop.runtime)

    assert ref.ask([Later.done("answer")], timeout=DEADLINE_SECONDS) == "answer"
    with pytest.raises(ValueError, match="no"):
        ref.ask([Later.failed(ValueError("no"))], timeout=DEADLINE_SECONDS)
    ref.stop()


def test_a_later_that_fails_under_tell_fails_the_actor(actor_loop: ActorLoop) -> None:
    record: list[Any] = []
    ref = Lending.start(actor_loop.runtime, record)
    later: Later[str] = Later()
    ref.tell([later])

    later.fail(ValueError("no"))

    wait_until(lambda: not ref.is_alive())
    assert record == [("start", True), ("failure", "no")]


def test_stopping_answers_asks_that_wait_for_a_later(actor_loop: ActorLoop) -> None:
    ref = Lending.start(actor_loop.runtime)
    later: Later[str] = Later()
    answer = ref.ask([later], block=False)

    ref.stop()
    later.set("too late")

    with pytest.raises(pykka.ActorDeadError):
        answer.get(timeout=DEADLINE_SECONDS)


def test_a_loop_future_is_a_plain_answer(actor_loop: ActorLoop) -> None:
    ref = Lending.start(actor_loop.runtime)
    future: LoopFuture[int] = LoopFuture()

    assert ref.ask([future], timeout=DEADLINE_SECONDS) is future
    ref.stop()
