"""Turns on one loop, wake-ups that are not lost, and calls that come through the mailbox."""

from __future__ import annotations

import asyncio
import random
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

import pykka
import pytest

from mesh.actors.runtime.loop_actor import Runtime
from tests.support.actor_loop import DEADLINE_SECONDS, ActorLoop, Recorder, wait_until


@pytest.fixture
def actor_loop() -> Iterator[ActorLoop]:
    with ActorLoop() as actor_loop:
        yield actor_loop


# On the loop


def test_starts_and_works_on_the_loop_wherever_it_was_started_from(actor_loop: ActorLoop) -> None:
    records: list[list[Any]] = [[], []]

    refs = [
        Recorder.start(actor_loop.runtime, records[0]),
        actor_loop.run(lambda: Recorder.start(actor_loop.runtime, records[1])),
    ]
    for ref in refs:
        ref.stop()

    assert records == [[("start", True), "stop"]] * 2


def test_start_runs_nothing_before_it_returns(actor_loop: ActorLoop) -> None:
    record: list[Any] = []

    def start() -> list[Any]:
        Recorder.start(actor_loop.runtime, record).tell("first")
        return list(record)

    assert actor_loop.run(start) == []
    wait_until(lambda: record == [("start", True), "first"])
    pykka.ActorRegistry.get_all()[0].stop()


@pytest.mark.parametrize("call", ["ask", "stop", "set"])
def test_what_would_block_the_loop_is_refused_and_sends_nothing(actor_loop: ActorLoop, call: str) -> None:
    record: list[Any] = []
    ref = Recorder.start(actor_loop.runtime, record)
    proxy = ref.proxy()
    calls = {"ask": lambda: ref.ask("hm"), "stop": ref.stop, "set": lambda: setattr(proxy, "colour", "red")}

    with pytest.raises(RuntimeError, match="block"):
        actor_loop.run(calls[call])

    assert ref.ask("alive", timeout=DEADLINE_SECONDS) == "alive"
    assert record == [("start", True), "alive"]
    ref.stop()


def test_a_message_of_another_thread_is_handled_as_soon_as_it_wakes_the_loop(actor_loop: ActorLoop) -> None:
    record: list[Any] = []
    ref = Recorder.start(actor_loop.runtime, record)
    other = Recorder.start(actor_loop.runtime, record)
    ref.ask("here", timeout=DEADLINE_SECONDS)
    record.clear()
    loop = actor_loop.runtime.loop

    def tell_from_a_thread(*messages: str) -> None:
        thread = threading.Thread(target=lambda: [ref.tell(message) for message in messages])
        thread.start()
        thread.join()
        loop.call_soon_threadsafe(record.append, "what came after")

    actor_loop.run(lambda: tell_from_a_thread("first"))
    wait_until(lambda: len(record) == 2)
    actor_loop.run(lambda: (other.tell("due"), tell_from_a_thread("second")))
    wait_until(lambda: len(record) == 5)

    assert record == ["first", "what came after", "second", "due", "what came after"]
    for each in (ref, other):
        each.stop()


def test_two_actors_talk_on_one_loop(actor_loop: ActorLoop) -> None:
    class Ponger(Recorder):
        async def play(self, other: Any, count: int) -> int:
            return sum([await other.ask(number, block=False) for number in range(count)])

    one, two = Ponger.start(actor_loop.runtime), Recorder.start(actor_loop.runtime)

    assert one.proxy().play(two, 10).get(timeout=DEADLINE_SECONDS) == 45
    one.stop()
    two.stop()


def test_takes_no_more_messages_in_a_turn_than_it_may(actor_loop: ActorLoop) -> None:
    record: list[Any] = []

    def flood() -> None:
        runtime = Runtime(actor_loop.loop, messages_per_turn=3)
        refs = [Recorder.start(runtime, record) for _ in range(2)]
        for number in range(6):
            for index, ref in enumerate(refs):
                ref.tell((index, number))
        for ref in refs:
            ref.stop(block=False)

    actor_loop.run(flood)
    wait_until(lambda: len(record) == 16)

    whose = [entry[0] for entry in record if isinstance(entry, tuple)]
    assert whose == ["start", 0, 0, "start", 1, 1, 0, 0, 0, 1, 1, 1, 0, 1]


def test_an_actor_whose_messages_take_long_lets_the_others_have_their_turn_after_each(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Also the sockets of the loop: what is due is not done at once if it takes long."""
    clock = [0.0]
    record: list[Any] = []

    class Slow(Recorder):
        def on_receive(self, message: Any) -> Any:
            clock[0] += 1.0
            return super().on_receive(message)

    with ActorLoop() as actor_loop:
        loop = actor_loop.loop

        def flood() -> None:
            monkeypatch.setattr(loop, "time", lambda: clock[0])
            slow, quick = Slow.start(actor_loop.runtime, record), Recorder.start(actor_loop.runtime, record)
            for number in range(3):
                slow.tell(("slow", number))
            quick.tell(("quick", 0))
            for ref in (slow, quick):
                ref.stop(block=False)
            loop.call_soon(record.append, "the loop")

        actor_loop.run(flood)
        wait_until(lambda: record.count("stop") == 2)

    whose = [each[0] if isinstance(each, tuple) else each for each in record]
    assert whose == ["start", "slow", "the loop", "start", "quick", "stop", "slow", "slow", "stop"]


def test_needs_at_least_one_message_a_turn(actor_loop: ActorLoop) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        Runtime(actor_loop.loop, messages_per_turn=0)


def test_turns_are_scheduled_as_the_runtime_says(actor_loop: ActorLoop) -> None:
    record: list[Any] = []
    bag: list[Callable[[], None]] = []
    runtime = Runtime(actor_loop.loop, schedule=bag.append, messages_per_turn=1)

    def play() -> None:
        refs = [Recorder.start(runtime, record) for _ in range(2)]
        for number in range(2):
            for index, ref in enumerate(refs):
                ref.tell((index, number))
        for ref in refs:
            ref.stop(block=False)
        chance = random.Random(3)
        while bag:
            bag.pop(chance.randrange(len(bag)))()

    actor_loop.run(play)
    first, record[:] = list(record), []
    actor_loop.run(play)

    assert record == first
    assert len(record) == 8


def test_a_message_from_another_thread_is_scheduled_as_the_runtime_says_too(actor_loop: ActorLoop) -> None:
    scheduled: list[bool] = []

    def schedule(turn: Callable[[], None]) -> None:
        scheduled.append(asyncio.get_running_loop() is actor_loop.loop)
        actor_loop.loop.call_soon(turn)

    ref = Recorder.start(Runtime(actor_loop.loop, schedule=schedule))
    ref.ask("ping", timeout=DEADLINE_SECONDS)
    ref.stop()

    assert scheduled
    assert all(scheduled)


# Wake-ups


@pytest.fixture
def eager_switches() -> Iterator[None]:
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


def in_threads(count: int, work: Callable[[int], None]) -> None:
    errors: list[BaseException] = []

    def guarded(number: int) -> None:
        try:
            work(number)
        except BaseException as error:  # noqa: BLE001 - raised below, in the thread of the test
            errors.append(error)

    threads = [threading.Thread(target=guarded, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(DEADLINE_SECONDS * 2)
    assert not any(thread.is_alive() for thread in threads)
    if errors:
        raise errors[0]


@pytest.mark.usefixtures("eager_switches")
def test_no_wake_up_is_lost_when_the_mailbox_runs_empty_again_and_again(actor_loop: ActorLoop) -> None:
    record: list[Any] = []
    ref = Recorder.start(actor_loop.runtime, record)

    def tell(number: int) -> None:
        for count in range(3000):
            ref.tell(number)
            if count % 7 == number:
                time.sleep(0)  # lets the mailbox run empty

    in_threads(4, tell)

    wait_until(lambda: len(record) == 12_001)  # without a further message that would wake it
    ref.stop()
    assert [record.count(number) for number in range(4)] == [3000] * 4


@pytest.mark.usefixtures("eager_switches")
def test_every_ask_in_turn_is_answered(actor_loop: ActorLoop) -> None:
    refs = [Recorder.start(actor_loop.runtime) for _ in range(2)]

    def ask(number: int) -> None:
        for count in range(500):
            assert refs[count % 2].ask(count, timeout=DEADLINE_SECONDS) == count

    in_threads(4, ask)

    for ref in refs:
        ref.stop()


@pytest.mark.usefixtures("eager_switches")
def test_every_ask_that_races_with_stop_is_answered(actor_loop: ActorLoop) -> None:
    outcomes: list[str] = []

    def race(_: int) -> None:
        for ref in refs:
            try:
                ref.ask("ping", timeout=DEADLINE_SECONDS)
                outcomes.append("answered")
            except pykka.ActorDeadError:
                outcomes.append("dead")

    for _ in range(20):
        refs = [Recorder.start(actor_loop.runtime) for _ in range(10)]
        stopper = threading.Thread(target=lambda refs=refs: [ref.stop(block=False) for ref in refs])
        stopper.start()
        in_threads(3, race)
        stopper.join(DEADLINE_SECONDS)

    wait_until(lambda: not pykka.ActorRegistry.get_all())
    assert len(outcomes) == 600


class Interleaved(deque[Any]):
    """A queue that lets another thread in where it hurts, once: before an append, or after it was seen empty."""

    before_append: Callable[[], None] | None = None
    when_empty: Callable[[], None] | None = None

    def append(self, envelope: Any) -> None:
        meanwhile, self.before_append = self.before_append, None
        if meanwhile is not None:
            meanwhile()
        super().append(envelope)

    def __len__(self) -> int:
        seen = super().__len__()
        if seen == 0 and self.when_empty is not None:
            meanwhile, self.when_empty = self.when_empty, None
            meanwhile()
        return seen


def test_a_message_that_comes_while_the_mailbox_looks_empty_is_taken(actor_loop: ActorLoop) -> None:
    record: list[Any] = []
    ref = Recorder.start(Runtime(actor_loop.loop, messages_per_turn=1), record)
    ref.ask("ping", timeout=DEADLINE_SECONDS)

    def tell() -> None:
        waiting = ref.actor_inbox._waiting = Interleaved()
        ref.tell("first")
        waiting.when_empty = lambda: ref.tell("in between")

    actor_loop.run(tell)

    wait_until(lambda: record[2:] == ["first", "in between"])
    ref.stop()


def test_a_message_that_comes_while_a_turn_ends_is_taken(actor_loop: ActorLoop) -> None:
    record: list[Any] = []
    ref = Recorder.start(actor_loop.runtime, record)
    ref.ask("ping", timeout=DEADLINE_SECONDS)
    actor_loop.run(asyncio.sleep(0))
    mailbox = ref.actor_inbox

    def tell() -> None:
        waiting = mailbox._waiting = Interleaved()
        mailbox._is_scheduled = True  # a turn is on its way to its end
        waiting.before_append = mailbox._rest
        ref.tell("at the end")

    actor_loop.run(tell)

    wait_until(lambda: record[2:] == ["at the end"])
    ref.stop()


def test_a_message_that_arrives_after_the_end_is_refused(actor_loop: ActorLoop) -> None:
    ref = Recorder.start(actor_loop.runtime)
    ref.stop()
    ref.actor_stopped.clear()  # as a teller sees it who looked just before the actor stopped

    with pytest.raises(pykka.ActorDeadError):
        ref.tell("late")
    with pytest.raises(pykka.ActorDeadError):
        ref.ask("late", timeout=DEADLINE_SECONDS)
    ref.actor_stopped.set()


# Deferred calls


def test_a_deferred_call_arrives_in_the_mailbox(actor_loop: ActorLoop) -> None:
    class Deferring(Recorder):
        def on_receive(self, message: Any) -> None:
            self.defer(self.note, "deferred", message)
            self.note("first")

    record: list[Any] = []
    ref = Deferring.start(actor_loop.runtime, record)

    ref.tell("message")
    wait_until(lambda: len(record) == 3)
    ref.stop()

    assert record[1:] == [("first",), ("deferred", "message"), "stop"]


def test_a_deferred_call_that_fails_is_the_actors_failure(actor_loop: ActorLoop) -> None:
    class Deferring(Recorder):
        def on_receive(self, message: Any) -> None:
            self.defer(int, message)

    record: list[Any] = []
    ref = Deferring.start(actor_loop.runtime, record)

    ref.tell("no number")

    wait_until(lambda: not ref.is_alive())
    assert record[1][0] == "failure"


def test_a_callback_comes_into_the_mailbox_from_any_thread(actor_loop: ActorLoop) -> None:
    class Listening(Recorder):
        def on_receive(self, message: Any) -> Any:
            return self.into_mailbox(self.note_thread)

        def note_thread(self, *words: Any) -> None:
            self.note(threading.current_thread() is actor_loop.thread, *words)

    record: list[Any] = []
    ref = Listening.start(actor_loop.runtime, record)
    callback = ref.ask("callback", timeout=DEADLINE_SECONDS)

    callback("a", "b")
    ref.stop()

    assert record[1] == (True, "a", "b")


def test_a_callback_of_a_dead_actor_is_dropped(actor_loop: ActorLoop) -> None:
    class Listening(Recorder):
        def on_receive(self, message: Any) -> Any:
            return self.into_mailbox(self.note)

    record: list[Any] = []
    ref = Listening.start(actor_loop.runtime, record)
    callback = ref.ask("callback", timeout=DEADLINE_SECONDS)
    ref.stop()

    callback("too late")
    actor_loop.close()
    callback("much too late")

    assert record == [("start", True), "stop"]
